// Package augment changes the examples of an update in the graph: transforms, which make views of images, and mixings, which make one
// example of several and say whose labels it has.
//
// What is random comes from an ops.Random of the update, and from columns: numbers of one update that the host draws (nn/optim). The
// same key and the same columns give the same bits.
package augment

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/ops"
)

// Transform changes each image of a batch by itself: x is [batch, height, width, channels] with values in [0,1], and so is the result, of
// x's shape and dtype. The gradient goes through to x.
type Transform interface {
	Validate() error
	Apply(r ops.Random, x *graph.Node) *graph.Node
}

// Kind is a transform that can be chosen by name.
type Kind = choice.Kind[Transform]

// All is every transform that has a name, with its defaults.
func All() []Kind {
	return []Kind{
		{Name: "flip", New: func() Transform { return NewFlip() }},
		{Name: "shift", New: func() Transform { return NewShift() }},
		{Name: "crop", New: func() Transform { return NewCrop() }},
		{Name: "rotate", New: func() Transform { return NewRotate() }},
		{Name: "colour", New: func() Transform { return NewColour() }},
		{Name: "noise", New: func() Transform { return NewNoise() }},
		{Name: "blur", New: func() Transform { return NewBlur() }},
		{Name: "cutout", New: func() Transform { return NewCutout() }},
	}
}

// Choice is a transform chosen by name in a recipe: "flip", or {"name": "shift", "pixels": 2}.
type Choice struct{ Transform }

// MarshalJSON writes the name and the options.
func (c Choice) MarshalJSON() ([]byte, error) {
	return choice.Encode("transform", All(), c.Transform)
}

// UnmarshalJSON reads a name, or a name with options; an unknown name or option is an error that names the nearest.
func (c *Choice) UnmarshalJSON(b []byte) (err error) {
	if c.Transform, err = choice.Decode("transform", All(), b); err != nil {
		return err
	}
	return c.Validate()
}

// Name returns the name a transform has in All, or its Go type.
func Name(t Transform) string { return choice.NameOf(All(), t) }

// View is transforms done one after the other. Each draws from a key of its own, folded with its place.
type View []Choice

// Validate says what is wrong with the first transform that has a fault.
func (v View) Validate() error {
	for i, c := range v {
		if c.Transform == nil {
			return wrong("view", "entry %d is empty; name a transform", i+1)
		}
		if err := c.Validate(); err != nil {
			return err
		}
	}
	return nil
}

// Apply does the transforms to x [batch, height, width, channels], values in [0,1].
func (v View) Apply(r ops.Random, x *graph.Node) *graph.Node {
	for i, c := range v {
		x = c.Transform.Apply(r.Fold(uint64(i)), x)
	}
	return x
}

// wrong is an error of a value used wrongly.
func wrong(who, format string, a ...any) error {
	return &fault.Usage{Err: fmt.Errorf("augment: "+who+": "+format, a...)}
}

// within refuses a number outside a range.
func within(who, what string, v, low, high float64) error {
	if v >= low && v <= high && !math.IsInf(v, 0) {
		return nil
	}
	if math.IsInf(high, 1) {
		return wrong(who, "%s is %v; use a finite number from %v on", what, v, low)
	}
	return wrong(who, "%s is %v; use a number from %v to %v", what, v, low, high)
}

// images panics unless x is a batch of images of floats.
func images(who string, x *graph.Node) (n, height, width, channels int) {
	if x.Rank() != 4 || !x.DType().IsFloat() {
		Panicf("augment: %s: x is %s; want floats [batch, height, width, channels]", who, x.Shape())
	}
	d := x.Shape().Dimensions
	return d[0], d[1], d[2], d[3]
}

// Drawing says whether the examples of a batch share one draw.
type Drawing struct {
	Together bool `json:"together"` // one draw for the whole batch, in the place of one for each example; false
}

// uniform draws from [low, high) for each of n examples, in x's dtype or float32 if that is narrower: [n, 1, 1, 1].
func (d Drawing) uniform(r ops.Random, x *graph.Node, low, high float64) *graph.Node {
	n := x.Shape().Dimensions[0]
	dtype := drawType(x)
	if d.Together {
		u := r.Uniform(dtype, 1, 1, 1, 1)
		return graph.BroadcastToDims(scaled(u, low, high), n, 1, 1, 1)
	}
	return scaled(r.Uniform(dtype, n, 1, 1, 1), low, high)
}

func scaled(u *graph.Node, low, high float64) *graph.Node {
	return graph.AddScalar(graph.MulScalar(u, high-low), low)
}

// integers draws from low to high, both included, for each of n examples, as floats: [n, 1, 1, 1].
func (d Drawing) integers(r ops.Random, x *graph.Node, low, high int) *graph.Node {
	u := d.uniform(r, x, float64(low), float64(high)+1)
	return ops.Clamp(ops.Floor(u), float64(low), float64(high)) // the largest u may round up to high + 1
}

// drawType keeps draws of narrow images in float32.
func drawType(x *graph.Node) dtypes.DType {
	if x.DType() == dtypes.Float64 {
		return dtypes.Float64
	}
	return dtypes.Float32
}
