package ops

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// MaskedSoftmax is exp(x) / sum(exp(x)) along an axis, over the elements where mask is true, and 0 elsewhere. Where mask is
// false along the whole axis the result and its gradient are 0. What the mask hides may be anything, NaN too. mask, which
// may be nil, is bool, of x's shape or broadcasting against it. Any float type; computed in float32 or wider, the result is
// of x's type.
func MaskedSoftmax(x, mask *graph.Node, axis int) *graph.Node {
	a := axisOf("MaskedSoftmax", x, axis)
	e, _, _, sum := exponentials("MaskedSoftmax", x, mask, a)
	return graph.ConvertDType(graph.Div(e, sum), x.DType())
}

// MaskedLogSoftmax is x - log(sum(exp(x))) along an axis, over the elements where mask is true, and 0 elsewhere; see
// MaskedSoftmax.
func MaskedLogSoftmax(x, mask *graph.Node, axis int) *graph.Node {
	a := axisOf("MaskedLogSoftmax", x, axis)
	_, shifted, _, sum := exponentials("MaskedLogSoftmax", x, mask, a)
	y := graph.Sub(shifted, graph.Log(sum))
	if mask != nil {
		y = graph.Where(laidOver(mask, x), y, graph.ZerosLike(y))
	}
	return graph.ConvertDType(y, x.DType())
}

// MaskedLogSumExp is log(sum(exp(x))) along an axis, which it takes away, over the elements where mask is true, in float32 or
// wider. Where mask is false along the whole axis it is minus infinity, with a gradient of 0. See MaskedSoftmax.
func MaskedLogSumExp(x, mask *graph.Node, axis int) *graph.Node {
	a := axisOf("MaskedLogSumExp", x, axis)
	_, _, top, sum := exponentials("MaskedLogSumExp", x, mask, a)
	return graph.Squeeze(graph.Add(graph.Log(sum), top), a)
}

// exponentials returns exp(x - max), x - max, max and the sum, which is 1 where everything is hidden.
func exponentials(what string, x, mask *graph.Node, axis int) (e, shifted, top, sum *graph.Node) {
	if !x.DType().IsFloat() {
		Panicf("ops.%s: x is %s; want floats", what, x.Shape())
	}
	wide := Widen(x)
	if mask == nil {
		top = graph.StopGradient(graph.ReduceAndKeep(wide, graph.ReduceMax, axis))
		shifted = graph.Sub(wide, top)
		e = graph.Exp(shifted)
		return e, shifted, top, graph.ReduceAndKeep(e, graph.ReduceSum, axis)
	}
	if mask.DType() != dtypes.Bool || mask.Rank() != x.Rank() {
		Panicf("ops.%s: the mask is %s, x %s; want bools of x's rank", what, mask.Shape(), x.Shape())
	}
	full := laidOver(mask, x)
	zero := graph.ZerosLike(wide)
	lowest := graph.FillScalar(wide.Graph(), wide.Shape(), math.Inf(-1))
	top = graph.StopGradient(graph.ReduceAndKeep(graph.Where(full, wide, lowest), graph.ReduceMax, axis))
	shifted = graph.Where(full, graph.Sub(graph.Where(full, wide, zero), top), zero)
	e = graph.Where(full, graph.Exp(shifted), zero)
	sum = graph.ReduceAndKeep(e, graph.ReduceSum, axis)
	return e, shifted, top, graph.Where(graph.Equal(sum, graph.ZerosLike(sum)), graph.OnesLike(sum), sum)
}

func laidOver(mask, x *graph.Node) *graph.Node {
	return graph.BroadcastToDims(mask, x.Shape().Dimensions...)
}
