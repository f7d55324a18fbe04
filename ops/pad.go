package ops

import (
	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// PadConstant puts value around x: padding[axis] = {before, after}. Panics unless there is one pair an axis, none negative.
func PadConstant(x *graph.Node, value float64, padding [][2]int) *graph.Node {
	if len(padding) != x.Rank() {
		Panicf("ops.PadConstant: x is %s, padding %v; want one pair an axis", x.Shape(), padding)
	}
	any := false
	for axis, p := range padding {
		if p[0] < 0 || p[1] < 0 {
			Panicf("ops.PadConstant: padding %v of axis %d is negative; slice instead", p, axis)
		}
		any = any || p != [2]int{}
	}
	switch {
	case !any:
		return x
	case onGo(x) || !x.DType().IsFloat() || x.Shape().Size() == 0:
		return padByConcatenation(x, value, padding)
	}
	return fit(x, value, padding)
}

// fit pads x, and crops it where a padding is negative.
func fit(x *graph.Node, value float64, padding [][2]int) *graph.Node {
	axes := make([]graph.PadAxis, len(padding))
	back := make([][2]int, len(padding))
	for axis, p := range padding {
		axes[axis] = graph.PadAxis{Start: max(p[0], 0), End: max(p[1], 0)}
		back[axis] = [2]int{-p[0], -p[1]}
	}
	y := crop(graph.Pad(graph.StopGradient(x), graph.Scalar(x.Graph(), x.DType(), value), axes...), padding)
	return CustomGradient(y, []*graph.Node{x}, func(v *graph.Node) []*graph.Node { return []*graph.Node{fit(v, 0, back)} })
}

// fitAny is fit for integers too, which have no gradient and which the Go engine does not pad.
func fitAny(x *graph.Node, value float64, padding [][2]int) *graph.Node {
	if x.DType().IsFloat() {
		return fit(x, value, padding)
	}
	around := make([][2]int, len(padding))
	for axis, p := range padding {
		around[axis] = [2]int{max(p[0], 0), max(p[1], 0)}
	}
	return padByConcatenation(crop(x, padding), value, around)
}

// crop cuts off what a negative padding takes away.
func crop(x *graph.Node, padding [][2]int) *graph.Node {
	spec := make([]graph.SliceAxisSpec, x.Rank())
	cut := false
	for axis, p := range padding {
		n := x.Shape().Dimensions[axis]
		spec[axis] = graph.AxisRange(max(-p[0], 0), n-max(-p[1], 0))
		cut = cut || p[0] < 0 || p[1] < 0
	}
	if !cut {
		return x
	}
	return graph.Slice(x, spec...)
}

func padByConcatenation(x *graph.Node, value float64, padding [][2]int) *graph.Node {
	for axis, p := range padding {
		parts := make([]*graph.Node, 0, 3)
		if p[0] > 0 {
			parts = append(parts, filled(x, axis, p[0], value))
		}
		parts = append(parts, x)
		if p[1] > 0 {
			parts = append(parts, filled(x, axis, p[1], value))
		}
		if len(parts) > 1 {
			x = graph.Concatenate(parts, axis)
		}
	}
	return x
}

// filled is a constant of x's shape, n long along the axis.
func filled(x *graph.Node, axis, n int, value float64) *graph.Node {
	shape := x.Shape().Clone()
	shape.Dimensions[axis] = n
	return graph.FillScalar(x.Graph(), shape, value)
}

// spread puts n-1 zeros between neighbours along each axis: size becomes (size-1) n + 1. It has no gradient.
func spread(x *graph.Node, n ...int) *graph.Node {
	axes := make([]graph.PadAxis, len(n))
	for axis := range n {
		axes[axis] = graph.PadAxis{Interior: n[axis] - 1}
	}
	return graph.Pad(x, graph.ScalarZero(x.Graph(), x.DType()), axes...)
}
