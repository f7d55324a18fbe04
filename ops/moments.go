package ops

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// Moments returns the mean and the biased variance of x over axes, which stay with size 1:
//
//	mean = sum(mask x) / n      variance = sum(mask (x - mean)^2) / n      n = sum(mask), or the number of elements
//
// The variance is computed from centred values, in float32 or wider whatever x is. mask, which may be nil, is 0 or 1 (any
// dtype, bool too) and broadcasts against x; what it hides may be anything, NaN too. Where it hides everything, both moments
// are 0. Gradients flow through both. Panics if axes is empty or names an axis twice or beyond the rank.
func Moments(x *graph.Node, axes []int, mask *graph.Node) (mean, variance *graph.Node) {
	x, hide, average := averages("Moments", x, axes, mask)
	mean = average(hide(x))
	return mean, average(graph.Square(hide(graph.Sub(x, mean))))
}

// MeanSquare returns the mean of x^2 over axes, which stay with size 1, under the rules of Moments.
func MeanSquare(x *graph.Node, axes []int, mask *graph.Node) *graph.Node {
	x, hide, average := averages("MeanSquare", x, axes, mask)
	return average(graph.Square(hide(x)))
}

// averages returns x in float32 or wider, what puts 0 where the mask hides, and the mean over axes of what is left.
func averages(who string, x *graph.Node, axes []int, mask *graph.Node) (wide *graph.Node, hide, average func(*graph.Node) *graph.Node) {
	if len(axes) == 0 {
		Panicf("ops.%s: no axes given for x %s; name those to average over", who, x.Shape())
	}
	seen := map[int]bool{}
	n := 1
	for _, axis := range axes {
		a := axis
		if a < 0 {
			a += x.Rank()
		}
		if a < 0 || a >= x.Rank() || seen[a] {
			Panicf("ops.%s: axes %v do not fit x %s; use each of 0 to %d at most once, or count from -1", who, axes, x.Shape(), x.Rank()-1)
		}
		seen[a] = true
		n *= x.Shape().Dimensions[a]
	}
	x = Widen(x)
	sum := func(v *graph.Node) *graph.Node { return graph.ReduceAndKeep(v, graph.ReduceSum, axes...) }
	if mask == nil {
		return x, func(v *graph.Node) *graph.Node { return v }, func(v *graph.Node) *graph.Node { return graph.DivScalar(sum(v), float64(n)) }
	}
	if mask.DType() != dtypes.Bool {
		mask = graph.NotEqual(mask, graph.ScalarZero(mask.Graph(), mask.DType()))
	}
	if mask.Rank() != x.Rank() {
		Panicf("ops.%s: mask %s does not broadcast against x %s; give it the same rank, with sizes 1", who, mask.Shape(), x.Shape())
	}
	mask = graph.BroadcastToDims(mask, x.Shape().Dimensions...)
	count := graph.MaxScalar(sum(graph.ConvertDType(mask, x.DType())), 1.0)
	hide = func(v *graph.Node) *graph.Node { return graph.Where(mask, v, graph.ZerosLike(v)) }
	return x, hide, func(v *graph.Node) *graph.Node { return graph.Div(sum(v), count) }
}

// Widen converts a float narrower than float32 to float32 and leaves others alone.
func Widen(x *graph.Node) *graph.Node {
	if x.DType().Size() < dtypes.Float32.Size() {
		return graph.ConvertDType(x, dtypes.Float32)
	}
	return x
}
