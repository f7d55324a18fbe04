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
	if len(axes) == 0 {
		Panicf("ops.Moments: no axes given for x %s; name those to average over", x.Shape())
	}
	seen := map[int]bool{}
	n := 1
	for _, axis := range axes {
		a := axis
		if a < 0 {
			a += x.Rank()
		}
		if a < 0 || a >= x.Rank() || seen[a] {
			Panicf("ops.Moments: axes %v do not fit x %s; use each of 0 to %d at most once, or count from -1", axes, x.Shape(), x.Rank()-1)
		}
		seen[a] = true
		n *= x.Shape().Dimensions[a]
	}
	x = Widen(x)
	sum := func(v *graph.Node) *graph.Node { return graph.ReduceAndKeep(v, graph.ReduceSum, axes...) }
	if mask == nil {
		mean = graph.DivScalar(sum(x), float64(n))
		return mean, graph.DivScalar(sum(graph.Square(graph.Sub(x, mean))), float64(n))
	}
	if mask.DType() != dtypes.Bool {
		mask = graph.NotEqual(mask, graph.ScalarZero(mask.Graph(), mask.DType()))
	}
	if mask.Rank() != x.Rank() {
		Panicf("ops.Moments: mask %s does not broadcast against x %s; give it the same rank, with sizes 1", mask.Shape(), x.Shape())
	}
	mask = graph.BroadcastToDims(mask, x.Shape().Dimensions...)
	hidden := graph.ZerosLike(x)
	count := graph.MaxScalar(sum(graph.ConvertDType(mask, x.DType())), 1.0)
	mean = graph.Div(sum(graph.Where(mask, x, hidden)), count)
	return mean, graph.Div(sum(graph.Square(graph.Where(mask, graph.Sub(x, mean), hidden))), count)
}

// Widen converts a float narrower than float32 to float32 and leaves others alone.
func Widen(x *graph.Node) *graph.Node {
	if x.DType().Size() < dtypes.Float32.Size() {
		return graph.ConvertDType(x, dtypes.Float32)
	}
	return x
}
