package norm

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/own"
)

// Layer normalises activations x [batch, ..., channels]; the result has x's shape and dtype.
type Layer interface {
	Apply(scope *model.Scope, x *graph.Node) *graph.Node
}

// Activated is a layer that may contain its activation: where Activates says so, none follows it. WithoutActivation is the layer
// for a place without one, such as the end of a residual branch, whose scale starts at 0, or its shortcut.
type Activated interface {
	Layer
	Activates() bool
	WithoutActivation(branchEnd bool) Layer
}

// Kind is a norm that can be chosen by name: its Name, and New, which returns it with its defaults.
type Kind = choice.Kind[Layer]

// All is every norm that has a name, with its defaults.
func All() []Kind {
	return []Kind{
		{Name: "batch", New: func() Layer { return NewBatch() }},
		{Name: "ghost", New: func() Layer { return NewGhost(32) }},
		{Name: "layer", New: func() Layer { return NewLayerNorm(-1) }},
		{Name: "rms", New: func() Layer { return NewRMS(-1) }},
		{Name: "group", New: func() Layer { return NewGroup() }},
		{Name: "instance", New: func() Layer { return NewInstance() }},
		{Name: "ibn", New: func() Layer { return NewIBN() }},
		{Name: "estimated", New: func() Layer { return NewEstimated() }},
		{Name: "batch-channel", New: func() Layer { return NewBatchChannel() }},
		{Name: "power", New: func() Layer { return NewPower("running") }},
		{Name: "power-paper", New: func() Layer { return NewPower("paper") }},
		{Name: "power-v", New: func() Layer { return NewPower("v") }},
		{Name: "unified", New: func() Layer { return NewUnified() }},
		{Name: "evonorm-b0", New: func() Layer { return NewEvoNorm("B0") }},
		{Name: "evonorm-b1", New: func() Layer { return NewEvoNorm("B1") }},
		{Name: "evonorm-b2", New: func() Layer { return NewEvoNorm("B2") }},
		{Name: "evonorm-s0", New: func() Layer { return NewEvoNorm("S0") }},
		{Name: "evonorm-s1", New: func() Layer { return NewEvoNorm("S1") }},
		{Name: "evonorm-s2", New: func() Layer { return NewEvoNorm("S2") }},
		{Name: "genome", New: func() Layer { return NewGenome() }},
		{Name: "offset", New: func() Layer { return Offset{} }},
		{Name: "identity", New: func() Layer { return Identity{} }},
	}
}

// Choice is a norm chosen by name in a recipe or a bundle: "ghost", or {"name": "ghost", "ghost_size": 32}.
type Choice struct{ Layer }

// MarshalJSON writes the name and the options.
func (c Choice) MarshalJSON() ([]byte, error) { return choice.Encode("norm", All(), c.Layer) }

// UnmarshalJSON reads a name, or a name with options; an unknown name or option is an error that names the nearest.
func (c *Choice) UnmarshalJSON(data []byte) error { return c.UnmarshalOwn(data, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (c *Choice) UnmarshalOwn(data []byte, r own.Registry) (err error) {
	c.Layer, err = choice.Decode("norm", All(), data, r)
	return err
}

// Name returns the name a norm has in All, or its Go type.
func Name(l Layer) string { return choice.NameOf(All(), l) }

// affine returns the trained scale and offset. The variables have the shape dims, which broadcast, of the same size, lays
// against x. One that is left out is nil, and no variable.
func affine(scope *model.Scope, x *graph.Node, dims, broadcast []int, options ...affineOption) (scale, offset *graph.Node) {
	first := map[string]param.Init{"scale": param.Constant(1), "offset": param.Constant(0)}
	for _, o := range options {
		o(first)
	}
	get := func(name string) *graph.Node {
		if first[name] == nil {
			return nil
		}
		v := param.Variable(scope, name, param.Affine, stateType(x), first[name], dims...)
		return graph.Reshape(pass.Weight(v, x.Graph()), broadcast...)
	}
	return get("scale"), get("offset")
}

// affineOption changes the first value of a variable of affine by its name; nil leaves it out.
type affineOption func(first map[string]param.Init)

func without(yes bool, name string) affineOption {
	return func(first map[string]param.Init) {
		if yes {
			first[name] = nil
		}
	}
}

func starting(name string, value float64) affineOption {
	return func(first map[string]param.Init) { first[name] = param.Constant(value) }
}

// scaled is scale y + offset, of which either may be nil.
func scaled(y, scale, offset *graph.Node) *graph.Node {
	if scale != nil {
		y = graph.Mul(y, scale)
	}
	if offset != nil {
		y = graph.Add(y, offset)
	}
	return y
}

// normalise is scale (x - mean) / sqrt(variance + epsilon) + offset with moments from elsewhere, in their dtype.
func normalise(x, scale, offset, mean, variance *graph.Node, epsilon float64) *graph.Node {
	y := graph.Mul(graph.Sub(graph.ConvertDType(x, mean.DType()), mean), graph.Reciprocal(graph.Sqrt(graph.AddScalar(variance, epsilon))))
	return graph.Add(graph.Mul(y, scale), offset)
}

// stateType keeps variables of narrow activations in float32.
func stateType(x *graph.Node) dtypes.DType {
	if x.DType() == dtypes.Float64 {
		return dtypes.Float64
	}
	return dtypes.Float32
}
