package onnxrun

import (
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

func reduction(f func(x *node, axes []int) *node) operator {
	return one(func(c *call) *node {
		x := c.x(0)
		axes := c.axes("axes", 1)
		if len(axes) == 0 {
			if c.int("noop_with_empty_axes", 0) == 1 {
				return x
			}
			for i := range x.Rank() {
				axes = append(axes, i)
			}
		}
		axes = positiveAxes(axes, x.Rank())
		if len(axes) == 0 {
			return x
		}
		y := f(x, axes)
		if c.int("keepdims", 1) == 1 {
			d := slices.Clone(x.Shape().Dimensions)
			for _, a := range axes {
				d[a] = 1
			}
			y = graph.Reshape(y, d...)
		}
		return y
	})
}

func arg(best func(x *node, axis int, d ...dtypes.DType) *node) operator {
	return one(func(c *call) *node {
		x := c.x(0)
		axis := axisIn(c.int("axis", 0), x.Rank())
		n := x.Shape().Dimensions[axis]
		need(n > 0 && n <= math.MaxInt32, "axis %d has %d elements, of which none is the largest", axis, n)
		var y *node
		if c.int("select_last_index", 0) == 1 {
			y = best(ops.Reverse(x, axis), axis, dtypes.Int32)
			y = plus(graph.Neg(y), float64(x.Shape().Dimensions[axis]-1))
		} else {
			y = best(x, axis, dtypes.Int32)
		}
		y = graph.ConvertDType(y, dtypes.Int64)
		if c.int("keepdims", 1) == 1 {
			y = graph.ExpandAxes(y, axis)
		}
		return y
	})
}

func softmax(f func(x, mask *node, axis int) *node) operator {
	return one(func(c *call) *node {
		x := c.x(0)
		if c.opset >= 13 {
			return f(x, nil, axisIn(c.int("axis", -1), x.Rank()))
		}
		return graph.Reshape(f(flattenFrom(x, c.int("axis", 1)), nil, 1), x.Shape().Dimensions...)
	})
}

func hardmax(x, _ *node, axis int) *node {
	d := x.Shape().Dimensions
	best := expandTo(graph.ExpandAxes(graph.ArgMax(x, axis, dtypes.Int32), axis), d)
	return graph.ConvertDType(graph.Equal(best, graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, d...), axis)), x.DType())
}

func topK(c *call) []*node {
	x := c.x(0)
	k := c.int("k", 0)
	if c.has(1) {
		k = c.intAt(1)
	}
	axis := axisIn(c.int("axis", -1), x.Rank())
	n := x.Shape().Dimensions[axis]
	need(k >= 0 && k <= n, "the first %d of axis %d, which has %d elements", k, axis, n)
	if d := slices.Clone(x.Shape().Dimensions); k == 0 || x.Shape().Size() == 0 {
		d[axis] = k
		return []*node{graph.Zeros(c.g, shapes.Make(x.DType(), d...)), graph.Zeros(c.g, shapes.Make(dtypes.Int64, d...))}
	}
	order := cutAxis(ops.ArgSort(x, axis, c.int("largest", 1) == 1), axis, 0, k, 1)
	return []*node{ops.TakeAlongAxis(x, order, axis), graph.ConvertDType(order, dtypes.Int64)}
}

func cumSum(c *call) *node {
	sum := ops.Cumulative{Axis: axisIn(c.intAt(1), c.x(0).Rank())}
	sum.Exclusive, sum.Reverse = c.int("exclusive", 0) == 1, c.int("reverse", 0) == 1
	return sum.Sum(c.x(0))
}

// logSumExp subtracts the largest value first, so that none overflows.
func logSumExp(x *node, axes []int) *node {
	m := graph.ReduceMax(x, axes...)
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

func reduceOps() map[string]operator {
	sum := func(x *node, a []int) *node { return graph.ReduceSum(x, a...) }
	return map[string]operator{
		"ReduceSum":       reduction(sum),
		"ReduceMean":      reduction(func(x *node, a []int) *node { return graph.ReduceMean(x, a...) }),
		"ReduceMax":       reduction(func(x *node, a []int) *node { return graph.ReduceMax(x, a...) }),
		"ReduceMin":       reduction(func(x *node, a []int) *node { return graph.ReduceMin(x, a...) }),
		"ReduceL1":        reduction(func(x *node, a []int) *node { return sum(graph.Abs(x), a) }),
		"ReduceL2":        reduction(func(x *node, a []int) *node { return graph.Sqrt(sum(graph.Mul(x, x), a)) }),
		"ReduceSumSquare": reduction(func(x *node, a []int) *node { return sum(graph.Mul(x, x), a) }),
		"ReduceLogSum":    reduction(func(x *node, a []int) *node { return graph.Log(sum(x, a)) }),
		"ReduceLogSumExp": reduction(logSumExp),
		"ReduceProd":      reduction(reduceProduct),

		"ArgMax": arg(graph.ArgMax), "ArgMin": arg(graph.ArgMin), "TopK": many(topK), "CumSum": one(cumSum),
		"Softmax": softmax(ops.MaskedSoftmax), "LogSoftmax": softmax(ops.MaskedLogSoftmax), "Hardmax": softmax(hardmax),
		"NegativeLogLikelihoodLoss": one(func(c *call) *node { return logLoss(c, c.x(0)) }),
		"SoftmaxCrossEntropyLoss":   many(softmaxLoss),
	}
}
