package augment

import (
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

// Cutout paints a square over an image. Its middle is any pixel with equal chances, so that a part of it may lie outside.
//
// Source: DeVries, Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", arXiv 1708.04552.
type Cutout struct {
	Size int     `json:"size"` // of the side in pixels, at least 0; 8. 0 leaves all as they are
	Fill float64 `json:"fill"` // value of the square, [0, 1]; 0
	Drawing
}

var _ Transform = Cutout{}

// NewCutout returns black squares of eight pixels a side.
func NewCutout() Cutout { return Cutout{Size: 8} }

// Validate errors for a size below 0 or a fill outside [0, 1].
func (c Cutout) Validate() error {
	if c.Size < 0 || c.Size > maxPixels {
		return wrong("cutout", "size is %d; use 0 to %d", c.Size, maxPixels)
	}
	return within("cutout", "fill", c.Fill, 0, 1)
}

// Apply paints.
func (c Cutout) Apply(r ops.Random, x *graph.Node) *graph.Node {
	_, height, width, _ := images("cutout", x)
	if c.Size == 0 {
		return x
	}
	u := c.draws(r, x, 2)
	down, right := whole(u[0], 0, height-1), whole(u[1], 0, width-1)
	covers := func(middle *graph.Node, size, axis int) *graph.Node {
		dims := []int{1, 1, 1, 1}
		dims[axis] = size
		first := graph.AddScalar(middle, -float64(c.Size/2))
		i := graph.Iota(x.Graph(), shapes.Make(middle.DType(), dims...), axis)
		in := graph.LogicalAnd(graph.GreaterOrEqual(i, first), graph.LessThan(i, graph.AddScalar(first, float64(c.Size))))
		return graph.BroadcastToDims(in, x.Shape().Dimensions...)
	}
	square := graph.LogicalAnd(covers(down, height, 1), covers(right, width, 2))
	return graph.Where(square, graph.MulScalar(graph.OnesLike(x), c.Fill), x)
}
