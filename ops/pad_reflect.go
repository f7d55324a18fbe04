package ops

import (
	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// PadReflect mirrors images x [batch, height, width, channels] beyond their borders by n pixels on each side, without repeating the
// border: c b | a b c | b a. Panics unless n is from 0 to below the height and the width.
func PadReflect(x *graph.Node, n int) *graph.Node {
	d := x.Shape().Dimensions
	if x.Rank() != 4 || n < 0 || n >= d[1] || n >= d[2] {
		Panicf("ops.PadReflect: x is %s, to be mirrored by %d; want [batch, height, width, channels] with sides larger than that", x.Shape(), n)
	}
	if n == 0 {
		return x
	}
	for axis := 1; axis <= 2; axis++ {
		size := d[axis]
		before := Reverse(graph.SliceAxis(x, axis, graph.AxisRange(1, n+1)), axis)
		after := Reverse(graph.SliceAxis(x, axis, graph.AxisRange(size-1-n, size-1)), axis)
		x = graph.Concatenate([]*graph.Node{before, x, after}, axis)
	}
	return x
}

// PixelShuffle turns channels into pixels: x [batch, height, width, r r c] becomes [batch, r height, r width, c], where pixel (r i + u, r j + v)
// of channel k is channel k r r + u r + v of pixel (i, j), as in PyTorch. Panics unless r r divides the channels.
// Source: Shi et al., arXiv 1609.05158.
func PixelShuffle(x *graph.Node, r int) *graph.Node {
	d := x.Shape().Dimensions
	if x.Rank() != 4 || r < 1 || d[3]%(r*r) != 0 {
		Panicf("ops.PixelShuffle: x is %s; want [batch, height, width, channels] with channels that %d x %d divides", x.Shape(), r, r)
	}
	c := d[3] / (r * r)
	x = graph.TransposeAllAxes(graph.Reshape(x, d[0], d[1], d[2], c, r, r), 0, 1, 4, 2, 5, 3)
	return graph.Reshape(x, d[0], r*d[1], r*d[2], c)
}
