package onnxrun

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
)

// The largest and smallest of floats are NaN where one of them is. The engines' own operations say so only for some orders of operands:
// XLA on a CPU gives 1 for the larger of 1 and NaN.

// larger is the larger of a and b, element by element.
func larger(a, b *node) *node {
	if !a.DType().IsFloat() {
		return graph.Max(a, b)
	}
	return graph.Where(graph.LogicalOr(graph.GreaterOrEqual(a, b), graph.NotEqual(a, a)), a, b)
}

// smaller is the smaller of a and b, element by element.
func smaller(a, b *node) *node {
	if !a.DType().IsFloat() {
		return graph.Min(a, b)
	}
	return graph.Where(graph.LogicalOr(graph.LessOrEqual(a, b), graph.NotEqual(a, a)), a, b)
}

// unlessNaN is y, reduced from x over axes, and NaN where one of the elements of x is.
func unlessNaN(x, y *node, axes []int) *node {
	odd := graph.ReduceMax(convert(graph.NotEqual(x, x), dtypes.Int32), axes...)
	return graph.Where(positive(odd), graph.BroadcastToDims(scalar(y, math.NaN()), y.Shape().Dimensions...), y)
}

func reduceMax(x *node, axes []int) *node {
	switch {
	case x.DType() == dtypes.Bool:
		return cast(graph.ReduceMax(convert(x, dtypes.Int32), axes...), dtypes.Bool)
	case !x.DType().IsFloat():
		return graph.ReduceMax(x, axes...)
	}
	return unlessNaN(x, graph.ReduceMax(x, axes...), axes)
}

func reduceMin(x *node, axes []int) *node {
	switch {
	case x.DType() == dtypes.Bool:
		return cast(graph.ReduceMin(convert(x, dtypes.Int32), axes...), dtypes.Bool)
	case !x.DType().IsFloat():
		return graph.ReduceMin(x, axes...)
	}
	return unlessNaN(x, graph.ReduceMin(x, axes...), axes)
}

// argBest is the place of the first element along an axis that is the largest, or the smallest; the first NaN is both.
func argBest(x *node, axis int, largest bool) *node {
	best := graph.ArgMin
	if largest {
		best = graph.ArgMax
	}
	if x.DType() == dtypes.Uint64 { // the order of int64 with the first bit turned
		x = ordered(x)
	}
	if !x.DType().IsFloat() {
		return best(x, axis, dtypes.Int32)
	}

	odd := convert(graph.NotEqual(x, x), dtypes.Int32)
	last := math.Inf(1)
	if largest {
		last = math.Inf(-1)
	}
	plain := best(graph.Where(positive(odd), graph.BroadcastToDims(scalar(x, last), x.Shape().Dimensions...), x), axis, dtypes.Int32)
	return graph.Where(positive(graph.ReduceMax(odd, axis)), graph.ArgMax(odd, axis, dtypes.Int32), plain)
}

// ordered are int64 values in the order of uint64 ones, which the engines do not sort.
func ordered(x *node) *node {
	return graph.BitwiseXor(graph.Bitcast(x, dtypes.Int64), graph.Const(x.Graph(), int64(math.MinInt64)))
}
