package onnxrun

import (
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

// reducer is one way to make one number of many.
type reducer struct {
	floats func(x *node, axes []int) *node // of floats, 16-bit ones in 32 bits
	whole  func(x *node, axes []int) *node // of integers; where it is nil, floats, rounded towards 0
	empty  float64                         // what it makes of no elements
}

// apply reduces the axes of x, at least one.
func (r reducer) apply(c *call, x *node, axes []int) *node {
	d := x.DType()
	if volumeOf(x.Shape().Dimensions) == 0 {
		return r.ofNothing(c, x, axes)
	}
	switch {
	case d.IsFloat():
		return convert(r.floats(widen(x), axes), d)
	case r.whole != nil:
		return r.whole(x, axes)
	}
	return cast(r.floats(convert(x, dtypes.Float64), axes), d)
}

// ofNothing is what is left of x, which has no elements: none, or the value of an empty sum, product or maximum.
func (r reducer) ofNothing(c *call, x *node, axes []int) *node {
	var left []int
	for i, n := range x.Shape().Dimensions {
		if !slices.Contains(axes, i) {
			left = append(left, n)
		}
	}

	shape := room(x.DType(), left...)
	if shape.Size() == 0 {
		return graph.Zeros(c.g, shape)
	}
	value := r.empty
	if !x.DType().IsFloat() {
		need(!math.IsNaN(value), "the axes %v have no elements, and no integer is their mean", axes)
	}
	return graph.BroadcastToDims(extreme(x, value), left...)
}

// extreme is a number of x's type, where the infinite ones stand for the ends of an integer type.
func extreme(x *node, v float64) *node {
	switch {
	case x.DType() == dtypes.Bool:
		return graph.Const(x.Graph(), v > 0)
	case x.DType().IsFloat() || !math.IsInf(v, 0):
		return scalar(x, v)
	case v > 0:
		return graph.Const(x.Graph(), x.DType().HighestValue())
	}
	return graph.Const(x.Graph(), x.DType().LowestValue())
}

// wholeMean is a mean of integers, rounded towards 0. The sum is taken in 64 bits.
func wholeMean(x *node, axes []int) *node {
	wide := dtypes.Int64
	if x.DType().IsUnsigned() {
		wide = dtypes.Uint64
	}
	sum := graph.ReduceSum(convert(x, wide), axes...)
	return convert(graph.Div(sum, scalar(sum, float64(x.Shape().Size()/sum.Shape().Size()))), x.DType())
}

// wholeRoot is the root of integers, rounded towards 0: that of float64, put right where 53 bits do not hold the square.
func wholeRoot(x *node) *node {
	root := convert(graph.Sqrt(convert(x, dtypes.Float64)), x.DType())
	root = graph.Where(graph.GreaterThan(graph.Mul(root, root), x), plus(root, -1), root)
	next := plus(root, 1)
	return graph.Where(graph.LessOrEqual(graph.Mul(next, next), x), next, root)
}

// reducers are the reductions by name.
func reducers() map[string]reducer {
	sum := func(x *node, a []int) *node { return graph.ReduceSum(x, a...) }
	sizes := func(x *node, a []int) *node { return sum(absolute(x), a) }
	squares := func(x *node, a []int) *node { return sum(graph.Mul(x, x), a) }
	low, high, none := math.Inf(-1), math.Inf(1), math.NaN()
	return map[string]reducer{
		"ReduceSum":       {sum, sum, 0},
		"ReduceMean":      {func(x *node, a []int) *node { return graph.ReduceMean(x, a...) }, wholeMean, none},
		"ReduceMax":       {reduceMax, reduceMax, low},
		"ReduceMin":       {reduceMin, reduceMin, high},
		"ReduceL1":        {sizes, sizes, 0},
		"ReduceL2":        {func(x *node, a []int) *node { return graph.Sqrt(squares(x, a)) }, func(x *node, a []int) *node { return wholeRoot(squares(x, a)) }, 0},
		"ReduceSumSquare": {squares, squares, 0},
		"ReduceLogSum":    {func(x *node, a []int) *node { return graph.Log(sum(x, a)) }, nil, low},
		"ReduceLogSumExp": {logSumExp, nil, low},
		"ReduceProd":      {reduceProduct, func(x *node, a []int) *node { return graph.ReduceMultiply(x, a...) }, 1},
	}
}

// logSumExp subtracts the largest value first, so that none overflows. An infinite one is left: it is the answer, and what is
// subtracted from itself is none.
func logSumExp(x *node, axes []int) *node {
	m := graph.ReduceMax(x, axes...)
	m = graph.Where(graph.IsFinite(m), m, graph.ZerosLike(m))
	dims := slices.Clone(x.Shape().Dimensions)
	for _, i := range axes {
		dims[i] = 1
	}
	less := graph.Sub(x, expandTo(graph.Reshape(m, dims...), x.Shape().Dimensions))
	return graph.Add(m, graph.Log(graph.ReduceSum(graph.Exp(less), axes...)))
}

func reduceProduct(x *node, axes []int) *node {
	for i := len(axes) - 1; i >= 0; i-- {
		x = ops.ReduceProduct(x, axes[i])
	}
	return x
}
