package augment

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

// Shift moves an image by whole pixels, in each direction by -Pixels to Pixels with equal chances; Fill moves in. It is the random crop of
// an image that was padded by as many pixels.
type Shift struct {
	Pixels int     `json:"pixels"` // at least 0; 4. 0 leaves all as they are
	Fill   float64 `json:"fill"`   // value of what moves in, [0, 1]; 0
	Drawing
}

var _ Transform = Shift{}

// NewShift returns the four pixels that are usual for images of 32x32, and black.
func NewShift() Shift { return Shift{Pixels: 4} }

// maxPixels a shift can move, and a cutout's side.
const maxPixels = 1 << 12

// Validate errors for pixels below 0 or a fill outside [0, 1].
func (s Shift) Validate() error {
	if s.Pixels < 0 || s.Pixels > maxPixels {
		return wrong("shift", "pixels is %d; use 0 to %d", s.Pixels, maxPixels)
	}
	return within("shift", "fill", s.Fill, 0, 1)
}

// Apply shifts.
func (s Shift) Apply(r ops.Random, x *graph.Node) *graph.Node {
	images("shift", x)
	if s.Pixels == 0 {
		return x
	}
	u := s.draws(r, x, 2)
	return s.along(s.along(x, whole(u[0], -s.Pixels, s.Pixels), 1), whole(u[1], -s.Pixels, s.Pixels), 2)
}

// along moves x along an axis by [batch, 1, 1, 1] whole pixels.
func (s Shift) along(x, by *graph.Node, axis int) *graph.Node {
	d := x.Shape().Dimensions
	n, size := d[0], d[axis]
	place := graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, n, size), 1)
	from := graph.Sub(place, graph.ConvertDType(graph.Reshape(by, n, 1), dtypes.Int32))
	inside := graph.LogicalAnd(
		graph.GreaterOrEqual(from, graph.ZerosLike(from)),
		graph.LessThan(from, graph.MulScalar(graph.OnesLike(from), int32(size))))

	wide := []int{n, 1, 1, 1}
	wide[axis] = size
	inside = graph.BroadcastToDims(graph.Reshape(inside, wide...), d...)
	return graph.Where(inside, rowsAlong(x, from, axis), graph.MulScalar(graph.OnesLike(x), s.Fill))
}

// rowsAlong takes rows (axis 1) or columns (axis 2) of each image: index [batch, places] int32; what is outside is the nearest.
func rowsAlong(x, index *graph.Node, axis int) *graph.Node {
	if axis == 1 {
		return ops.GatherBatch(x, index, 1)
	}
	turned := ops.GatherBatch(graph.TransposeAllAxes(x, 0, 2, 1, 3), index, 1)
	return graph.TransposeAllAxes(turned, 0, 2, 1, 3)
}
