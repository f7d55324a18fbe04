// Package augment changes the examples of an update in the graph. Transforms make views of images; mixings combine several examples into
// one and return its labels with their shares.
//
// Randomness comes from the update's ops.Random and from columns, which are numbers that the host draws for each update (nn/optim). The
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
	"github.com/ballast-ml/ballast/own"
)

// Transform changes each image of a batch by itself: x is [batch, height, width, channels] with values in [0,1], and so is the result, of
// x's shape and dtype. The gradient goes through to x.
type Transform interface {
	Validate() error
	Apply(r ops.Random, x *graph.Node) *graph.Node
}

// Kind is a transform that can be chosen by name: its Name, and New, which returns it with its defaults.
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
func (c *Choice) UnmarshalJSON(b []byte) error { return c.UnmarshalOwn(b, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (c *Choice) UnmarshalOwn(b []byte, r own.Registry) (err error) {
	if c.Transform, err = choice.Decode("transform", All(), b, r); err != nil {
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

// Moves is the name of the first transform that takes pixels to other places, which a mask of the image would have to follow; "" where there
// is none.
func (v View) Moves() string {
	for _, c := range v {
		switch c.Transform.(type) {
		case Flip, Shift, Crop, Rotate:
			return Name(c.Transform)
		}
	}
	return ""
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

// draws are so many numbers from [0, 1) for each of x's examples, [batch, 1, 1, 1] each, in x's dtype or float32 if that is narrower. They
// come from one call of the generator, which takes most of the time that a transform takes to compile.
func (d Drawing) draws(r ops.Random, x *graph.Node, numbers int) []*graph.Node {
	n := x.Shape().Dimensions[0]
	rows := n
	if d.Together {
		rows = 1
	}
	all := r.Uniform(drawType(x), rows, numbers)
	draws := make([]*graph.Node, numbers)
	for k := range draws {
		one := graph.Reshape(graph.Slice(all, graph.AxisRange(), graph.AxisRange(k, k+1)), rows, 1, 1, 1)
		draws[k] = graph.BroadcastToDims(one, n, 1, 1, 1)
	}
	return draws
}

// between is a draw from [0, 1) as one from [low, high).
func between(u *graph.Node, low, high float64) *graph.Node {
	return graph.AddScalar(graph.MulScalar(u, high-low), low)
}

// whole is a draw from [0, 1) as a whole number from low to high, both included, each as likely; a float.
func whole(u *graph.Node, low, high int) *graph.Node {
	// The largest draw may round up to high + 1.
	return ops.Clamp(ops.Floor(between(u, float64(low), float64(high)+1)), float64(low), float64(high))
}

// chosen is true with a probability, by a draw from [0, 1): bools of x's shape.
func chosen(u, x *graph.Node, probability float64) *graph.Node {
	yes := graph.LessThan(graph.ConvertDType(u, dtypes.Float32), graph.Const(x.Graph(), float32(probability)))
	return graph.BroadcastToDims(yes, x.Shape().Dimensions...)
}

// drawType keeps draws of narrow images in float32.
func drawType(x *graph.Node) dtypes.DType {
	if x.DType() == dtypes.Float64 {
		return dtypes.Float64
	}
	return dtypes.Float32
}
