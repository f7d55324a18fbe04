package augment

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

// Crop cuts a random box out of an image and stretches it to the image's size, bilinearly: the random resized crop. With an area
// s ~ U(Smallest, 1) and a logarithm of the aspect ratio uniform up to that of Aspect, the box has the height H sqrt(s/a) and the width
// W sqrt(s a), at most H and W, and stands anywhere with equal chances.
type Crop struct {
	Smallest float64 `json:"smallest"` // area of the smallest box, (0, 1]; 0.2
	Aspect   float64 `json:"aspect"`   // widest box, at least 1; 4/3. With 1 and a smallest area of 1 all stay as they are
	Drawing
}

var _ Transform = Crop{}

// NewCrop returns boxes from a fifth of the area on, and 4:3 to 3:4.
func NewCrop() Crop { return Crop{Smallest: 0.2, Aspect: 4.0 / 3} }

// Validate errors for an area outside (0, 1] or an aspect ratio below 1.
func (c Crop) Validate() error {
	if !(c.Smallest > 0 && c.Smallest <= 1) {
		return wrong("crop", "smallest is %v; use a share above 0, up to 1", c.Smallest)
	}
	return within("crop", "aspect", c.Aspect, 1, 1000)
}

// Apply crops.
func (c Crop) Apply(r ops.Random, x *graph.Node) *graph.Node {
	_, height, width, _ := images("crop", x)
	if c.Smallest == 1 && c.Aspect == 1 {
		return x
	}
	u := c.draws(r, x, 4)
	area := between(u[0], c.Smallest, 1)
	widest := math.Log(c.Aspect)
	aspect := graph.Exp(between(u[1], -widest, widest))
	x = stretched(x, ops.Clamp(graph.Sqrt(graph.Div(area, aspect)), 0, 1), u[2], height, 1)
	return stretched(x, ops.Clamp(graph.Sqrt(graph.Mul(area, aspect)), 0, 1), u[3], width, 2)
}

// stretched is a part of x along an axis, of the given share of its length and at a place from 0 to 1, stretched to the whole length.
func stretched(x, share, place *graph.Node, size, axis int) *graph.Node {
	n := x.Shape().Dimensions[0]
	share, place = graph.Reshape(share, n, 1), graph.Reshape(place, n, 1)
	first := graph.Mul(place, graph.MulScalar(graph.OneMinus(share), float64(size)))
	centre := graph.AddScalar(graph.Iota(x.Graph(), shapes.Make(share.DType(), n, size), 1), 0.5)
	at := ops.Clamp(graph.AddScalar(graph.Add(first, graph.Mul(centre, share)), -0.5), 0, float64(size-1))

	low := ops.Floor(at)
	weight := graph.Sub(at, low)
	index := graph.ConvertDType(low, dtypes.Int32)
	wide := []int{n, 1, 1, 1}
	wide[axis] = size
	weight = graph.ConvertDType(graph.Reshape(weight, wide...), x.DType())
	near, far := rowsAlong(x, index, axis), rowsAlong(x, graph.AddScalar(index, 1), axis)
	// Rounding may leave [0,1] by a unit of the last place.
	return ops.Clamp(graph.Add(graph.Mul(near, graph.OneMinus(weight)), graph.Mul(far, weight)), 0, 1)
}
