package ops

import (
	"math"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// Pool is a 2-D pooling window. Rows and columns that no whole window covers are left out, as everywhere.
type Pool struct {
	Window  int       // side of the window
	Stride  int       // 0 = Window
	Padding [2][2]int // before and after, rows and columns; each less than Window
}

// Max is the largest pixel of each window of x [batch, height, width, channels]; padding never wins.
func (p Pool) Max(x *graph.Node) *graph.Node {
	p = p.complete("Max", x)
	if p.Stride == p.Window && p.Padding == [2][2]int{} {
		d := x.Shape().Dimensions
		rows, columns, w := d[1]/p.Window, d[2]/p.Window, p.Window
		if rows*w != d[1] || columns*w != d[2] {
			x = graph.Slice(x, graph.AxisRange(), graph.AxisRange(0, rows*w), graph.AxisRange(0, columns*w), graph.AxisRange())
		}
		return maxOfWindows(graph.Reshape(x, d[0], rows, w, columns, w, d[3]))
	}
	x = PadConstant(x, math.Inf(-1), [][2]int{{}, p.Padding[0], p.Padding[1], {}})
	return p.reduce(x, graph.Max)
}

// maxOfWindows is the largest of axes 2 and 4 of x. Its gradient goes, as that of ReduceMax does, to every pixel that is as
// large; a comparison and a selection take half the time of the arithmetic with signs that ReduceMax's own is made of.
func maxOfWindows(x *graph.Node) *graph.Node {
	y := graph.ReduceMax(graph.StopGradient(x), 2, 4)
	return CustomGradient(y, []*graph.Node{x}, func(v *graph.Node) []*graph.Node {
		lay := func(p *graph.Node) *graph.Node {
			d := p.Shape().Dimensions
			return graph.BroadcastToDims(graph.Reshape(p, d[0], d[1], 1, d[2], 1, d[3]), x.Shape().Dimensions...)
		}
		return []*graph.Node{graph.Where(graph.GreaterOrEqual(x, lay(y)), lay(v), graph.ZerosLike(x))}
	})
}

// Mean is the mean of the pixels of each window of x [batch, height, width, channels]; padding does not count.
func (p Pool) Mean(x *graph.Node) *graph.Node {
	p = p.complete("Mean", x)
	d := x.Shape().Dimensions
	sum := p.reduce(PadConstant(x, 0, [][2]int{{}, p.Padding[0], p.Padding[1], {}}), graph.Add)
	rows, columns := sum.Shape().Dimensions[1], sum.Shape().Dimensions[2]
	inverse := make([]float64, rows*columns)
	for i := range rows {
		for j := range columns {
			inverse[i*columns+j] = 1 / float64(p.inside(i, d[1], p.Padding[0][0])*p.inside(j, d[2], p.Padding[1][0]))
		}
	}
	scale := graph.ConvertDType(graph.ConstTensor(x.Graph(), tensors.FromFlatDataAndDimensions(inverse, 1, rows, columns, 1)), x.DType())
	return graph.Mul(sum, graph.BroadcastToDims(scale, sum.Shape().Dimensions...))
}

// inside counts the real pixels of window i along a side of n pixels.
func (p Pool) inside(i, n, before int) int {
	from := i*p.Stride - before
	return min(from+p.Window, n) - max(from, 0)
}

func (p Pool) complete(what string, x *graph.Node) Pool {
	if x.Rank() != 4 {
		Panicf("ops.Pool.%s: x is %s; want [batch, height, width, channels]", what, x.Shape())
	}
	if p.Stride == 0 {
		p.Stride = p.Window
	}
	if p.Window < 1 || p.Stride < 1 {
		Panicf("ops.Pool.%s: window %d, stride %d; both must be at least 1", what, p.Window, p.Stride)
	}
	for axis, pad := range p.Padding {
		if pad[0] < 0 || pad[1] < 0 || pad[0] >= p.Window || pad[1] >= p.Window {
			Panicf("ops.Pool.%s: padding %v with window %d; use 0 to %d, or a window would see padding alone", what, p.Padding, p.Window, p.Window-1)
		}
		if n := x.Shape().Dimensions[axis+1] + pad[0] + pad[1]; n < p.Window {
			Panicf("ops.Pool.%s: window %d on x %s; use a smaller window or pad", what, p.Window, sizeText(x))
		}
	}
	return p
}

// reduce joins the shifted slices of padded x, one for each place in the window.
func (p Pool) reduce(x *graph.Node, join func(a, b *graph.Node) *graph.Node) *graph.Node {
	d := x.Shape().Dimensions
	rows, columns := (d[1]-p.Window)/p.Stride+1, (d[2]-p.Window)/p.Stride+1
	strides := Conv{Strides: [2]int{p.Stride, p.Stride}}
	var y *graph.Node
	for u := range p.Window {
		for v := range p.Window {
			part := takeEvery(x, u, v, rows, columns, strides)
			if y == nil {
				y = part
			} else {
				y = join(y, part)
			}
		}
	}
	return y
}
