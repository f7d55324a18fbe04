package onnxrun

import (
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

func reduction(r reducer) operator {
	return one(func(c *call) *node {
		x := c.x(0)
		axes := c.axes("axes", 1)
		if len(axes) == 0 {
			if c.int("noop_with_empty_axes", 0) == 1 { // each element is reduced alone
				return r.apply(c, graph.ExpandAxes(x, -1), []int{x.Rank()})
			}
			for i := range x.Rank() {
				axes = append(axes, i)
			}
		}
		axes = positiveAxes(axes, x.Rank())
		if len(axes) == 0 {
			return r.apply(c, graph.ExpandAxes(x, -1), []int{0})
		}
		y := r.apply(c, x, axes)
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

func arg(largest bool) operator {
	return one(func(c *call) *node {
		x := c.x(0)
		axis := axisIn(c.int("axis", 0), x.Rank())
		n := x.Shape().Dimensions[axis]
		if x.Shape().Size() == 0 && n > 0 {
			d := slices.Clone(x.Shape().Dimensions)
			d[axis] = 1
			if c.int("keepdims", 1) != 1 {
				d = slices.Delete(d, axis, axis+1)
			}
			return emptyOf(c, dtypes.Int64, d)
		}
		need(n > 0 && n <= math.MaxInt32, "axis %d has %d elements, so none is the largest", axis, n)
		var y *node
		if c.int("select_last_index", 0) == 1 {
			y = argBest(ops.Reverse(x, axis), axis, largest)
			y = plus(graph.Neg(y), float64(x.Shape().Dimensions[axis]-1))
		} else {
			y = argBest(x, axis, largest)
		}
		y = convert(y, dtypes.Int64)
		if c.int("keepdims", 1) == 1 {
			y = graph.ExpandAxes(y, axis)
		}
		return y
	})
}

func softmax(f func(x, mask *node, axis int) *node) operator {
	return one(func(c *call) *node {
		x := c.x(0)
		if x.Shape().Size() == 0 {
			return x
		}
		if c.opset >= 13 {
			axis := axisIn(c.int("axis", -1), x.Rank())
			return noneOfInfinite(x, f(x, nil, axis), axis)
		}
		x = flattenFrom(x, c.int("axis", 1))
		return graph.Reshape(noneOfInfinite(x, f(x, nil, 1), 1), c.x(0).Shape().Dimensions...)
	})
}

// noneOfInfinite is y, and NaN where the largest element of x along the axis is infinite, of which there are no shares: XLA gives 0 to
// the others.
func noneOfInfinite(x, y *node, axis int) *node {
	top := graph.ReduceAndKeep(ops.Widen(x), graph.ReduceMax, axis)
	infinite := graph.Equal(graph.Abs(top), graph.Infinity(x.Graph(), top.DType(), 1))
	d := x.Shape().Dimensions
	return graph.Where(graph.BroadcastToDims(infinite, d...), graph.BroadcastToDims(scalar(y, math.NaN()), d...), y)
}

func hardmaxOf(c *call) *node {
	x := c.x(0)
	switch {
	case x.Shape().Size() == 0:
		return x
	case c.opset >= 13:
		return hardmax(x, axisIn(c.int("axis", -1), x.Rank()))
	}
	return graph.Reshape(hardmax(flattenFrom(x, c.int("axis", 1)), 1), x.Shape().Dimensions...)
}

// hardmax is 1 at the first of the largest elements along an axis, and 0 elsewhere.
func hardmax(x *node, axis int) *node {
	d := x.Shape().Dimensions
	best := expandTo(graph.ExpandAxes(argBest(x, axis, true), axis), d)
	return convert(graph.Equal(best, graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, d...), axis)), x.DType())
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
	key := x
	if x.DType() == dtypes.Uint64 {
		key = ordered(x)
	}
	order := cutAxis(ops.ArgSort(key, axis, c.int("largest", 1) == 1), axis, 0, k, 1)
	return []*node{ops.TakeAlongAxis(x, order, axis), convert(order, dtypes.Int64)}
}

func cumSum(c *call) *node {
	sum := ops.Cumulative{Axis: axisIn(c.intAt(1), c.x(0).Rank())}
	sum.Exclusive, sum.Reverse = c.int("exclusive", 0) == 1, c.int("reverse", 0) == 1
	x := c.x(0)
	if x.Shape().Size() == 0 {
		return x
	}
	return convert(sum.Sum(widen(x)), x.DType())
}

func reduceOps() map[string]operator {
	table := map[string]operator{
		"ArgMax": arg(true), "ArgMin": arg(false), "TopK": many(topK), "CumSum": one(cumSum),
		"Softmax": softmax(ops.MaskedSoftmax), "LogSoftmax": softmax(ops.MaskedLogSoftmax), "Hardmax": one(hardmaxOf),
		"NegativeLogLikelihoodLoss": one(func(c *call) *node { return logLoss(c, c.x(0)) }),
		"SoftmaxCrossEntropyLoss":   many(softmaxLoss),
	}
	for name, r := range reducers() {
		table[name] = reduction(r)
	}
	return table
}
