package ops

import (
	"math"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// Resize changes the size of images by interpolation, each axis by a product with a constant matrix:
//
//	y = R_h x R_w^T
//
// With AlignCorners the first and last pixels of both images fall together, source = i (n-1)/(m-1) (0 if m is 1); without,
// pixels are areas, source = (i + 1/2) n/m - 1/2, at least 0. Bilinear weighs the two nearest source pixels of each axis;
// nearest takes pixel floor(i n/m). These are the conventions of PyTorch's interpolate. With Antialias an image that shrinks is averaged
// first: the triangle that weighs source pixels becomes n/m as wide, pixel j having max(0, 1 - |j - source| m/n), divided by their sum
// inside the image; one that grows stays as it would be. Pillow and torchvision resize so.
type Resize struct {
	Height, Width int
	Nearest       bool // else bilinear
	AlignCorners  bool // bilinear only
	Antialias     bool // bilinear without AlignCorners only
}

// Apply resizes x [batch, height, width, channels]. Panics if a size is below 1, and for AlignCorners with Nearest.
func (r Resize) Apply(x *graph.Node) *graph.Node {
	if x.Rank() != 4 || !x.DType().IsFloat() {
		Panicf("ops.Resize: x is %s; want floats [batch, height, width, channels]", x.Shape())
	}
	if r.Height < 1 || r.Width < 1 || volume(x.Shape().Dimensions) == 0 {
		Panicf("ops.Resize: from x %s to %d x %d; sizes must be at least 1", x.Shape(), r.Height, r.Width)
	}
	if r.Nearest && r.AlignCorners {
		Panicf("ops.Resize: AlignCorners has no meaning for the nearest pixel; leave one out")
	}
	if r.Antialias && (r.Nearest || r.AlignCorners) {
		Panicf("ops.Resize: Antialias has no meaning for the nearest pixel or with AlignCorners; leave one out")
	}
	d := x.Shape().Dimensions
	if r.Height != d[1] {
		rows := r.matrix(x, d[1], r.Height)
		y := graph.DotGeneral(x, []int{1}, nil, rows, []int{1}, nil) // [batch, width, channels, height']
		x = graph.TransposeAllAxes(y, 0, 3, 1, 2)
	}
	if r.Width != d[2] {
		y := graph.DotGeneral(x, []int{2}, nil, r.matrix(x, d[2], r.Width), []int{1}, nil) // [batch, height', channels, width']
		x = graph.TransposeAllAxes(y, 0, 1, 3, 2)
	}
	return x
}

// matrix is [m, n]: the weights of the n source pixels in each of m.
func (r Resize) matrix(x *graph.Node, n, m int) *graph.Node {
	weights := make([]float64, m*n)
	for i := range m {
		row := weights[i*n : (i+1)*n]
		if r.Nearest {
			row[min(i*n/m, n-1)] = 1
			continue
		}
		if r.Antialias && m < n {
			r.triangle(row, (float64(i)+0.5)*float64(n)/float64(m)-0.5, float64(n)/float64(m))
			continue
		}
		source := max(0, (float64(i)+0.5)*float64(n)/float64(m)-0.5)
		if r.AlignCorners {
			source = 0
			if m > 1 {
				source = float64(i) * float64(n-1) / float64(m-1)
			}
		}
		low := min(int(math.Floor(source)), n-1)
		rest := source - float64(low)
		row[low] += 1 - rest
		row[min(low+1, n-1)] += rest
	}
	return graph.ConvertDType(graph.ConstTensor(x.Graph(), tensors.FromFlatDataAndDimensions(weights, m, n)), x.DType())
}

// triangle weighs source pixels by their distance from a place, up to reach.
func (Resize) triangle(row []float64, source, reach float64) {
	sum := 0.0
	for j := range row {
		row[j] = max(0, 1-math.Abs(float64(j)-source)/reach)
		sum += row[j]
	}
	for j := range row {
		row[j] /= sum
	}
}
