// Package norm has the normalisation layers. All take their moments from one primitive (ops.Moments) and say with a Source
// value where their statistics come from.
//
//	norm       statistics over                      state                     at inference              paper
//	Batch      batch and positions                  running mean, variance    the running values        arXiv 1502.03167
//	Ghost      groups of the batch, and positions   running mean, variance    the running values        arXiv 1705.08741
//	LayerNorm  given axes of one example            none                      the same as in training   arXiv 1607.06450
//	Identity   nothing                              none                      x
//
// How to choose: Batch for batches of 16 and more; Ghost when the batch is made large for speed and accuracy falls;
// LayerNorm for batches of 1, recurrences and attention.
//
// Activations are x [batch, ..., channels]. Variables are scale and offset (trained), mean and variance (collected). Layers
// know whether they train from scope.IsTraining.
package norm

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/nn/param"
)

// Layer normalises activations x [batch, ..., channels]; the result has x's shape and dtype.
type Layer interface {
	Apply(scope *model.Scope, x *graph.Node) *graph.Node
}

// Kind is a norm that can be chosen by name.
type Kind = choice.Kind[Layer]

// All is every norm that has a name, with its defaults.
func All() []Kind {
	return []Kind{
		{Name: "batch", New: func() Layer { return NewBatch() }},
		{Name: "ghost", New: func() Layer { return NewGhost(32) }},
		{Name: "layer", New: func() Layer { return NewLayerNorm(-1) }},
		{Name: "identity", New: func() Layer { return Identity{} }},
	}
}

// Choice is a norm chosen by name in a recipe or a bundle: "ghost", or {"name": "ghost", "ghost_size": 32}.
type Choice struct{ Layer }

// MarshalJSON writes the name and the options.
func (c Choice) MarshalJSON() ([]byte, error) { return choice.Encode("norm", All(), c.Layer) }

// UnmarshalJSON reads a name, or a name with options; an unknown name or option is an error that names the nearest.
func (c *Choice) UnmarshalJSON(data []byte) (err error) {
	c.Layer, err = choice.Decode("norm", All(), data)
	return err
}

// Name returns the name a norm has in All, or its Go type.
func Name(l Layer) string { return choice.NameOf(All(), l) }

// affine returns the trained scale and offset. The variables have the shape dims, which broadcast, of the same size, lays
// against x.
func affine(scope *model.Scope, x *graph.Node, dims, broadcast []int) (scale, offset *graph.Node) {
	get := func(name string, first float64) *graph.Node {
		v := param.Variable(scope, name, param.Affine, stateType(x), param.Constant(first), dims...)
		return graph.Reshape(v.NodeValue(x.Graph()), broadcast...)
	}
	return get("scale", 1), get("offset", 0)
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
