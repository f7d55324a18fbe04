package onnxrun

import (
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

func batchNorm(c *call) []*node {
	x := c.x(0)
	mean, variance := c.x(3), c.x(4)
	out := []*node{nil}
	d := x.DType()
	if c.int("training_mode", 0) == 1 {
		axes := []int{}
		for i := range x.Rank() {
			if i != 1 {
				axes = append(axes, i)
			}
		}
		m, v := ops.Moments(x, axes, nil)
		m, v = graph.Reshape(m, x.Shape().Dimensions[1]), graph.Reshape(v, x.Shape().Dimensions[1])
		k := c.float("momentum", 0.9)
		moved := func(old, now *node) *node {
			return graph.Add(times(old, k), times(graph.ConvertDType(now, old.DType()), 1-k))
		}
		out = append(out, moved(mean, m), moved(variance, v))
		mean, variance = m, v
	}
	x = ops.Widen(x)
	wide := func(i *node) *node { return graph.ConvertDType(i, x.DType()) }
	scale := graph.Div(wide(c.x(1)), graph.Sqrt(plus(wide(variance), c.float("epsilon", 1e-5))))
	y := graph.Add(graph.Mul(graph.Sub(x, perChannel(wide(mean), x)), perChannel(scale, x)), perChannel(wide(c.x(2)), x))
	out[0] = graph.ConvertDType(y, d)
	return out
}

func instanceNorm(c *call) *node {
	x := c.x(0)
	axes := []int{}
	for i := 2; i < x.Rank(); i++ {
		axes = append(axes, i)
	}
	m, v := ops.Moments(x, axes, nil)
	d := x.Shape().Dimensions
	y := graph.Div(graph.Sub(x, expandTo(m, d)), expandTo(graph.Sqrt(plus(v, c.float("epsilon", 1e-5))), d))
	return graph.Add(graph.Mul(y, perChannel(c.x(1), x)), perChannel(c.x(2), x))
}

func layerNorm(c *call) []*node {
	x := c.x(0)
	var axes []int
	for i := axisIn(c.int("axis", -1), x.Rank()); i < x.Rank(); i++ {
		axes = append(axes, i)
	}
	d := x.Shape().Dimensions
	m, v := ops.Moments(x, axes, nil)
	inverse := ops.Rsqrt(plus(v, c.float("epsilon", 1e-5)))
	y := graph.Mul(graph.Sub(x, expandTo(m, d)), expandTo(inverse, d))
	y = graph.Mul(y, expandTo(c.x(1), d))
	if b := c.maybe(2); b != nil {
		y = graph.Add(y, expandTo(b, d))
	}
	return []*node{y, m, inverse}
}

func lrn(c *call) *node {
	x, size := c.x(0), c.int("size", 1)
	need(x.Rank() >= 2 && size >= 1 && size <= mostNodes, "size %d of %v", size, x.Shape().Dimensions)
	c.parts(2 * size)
	wide := slices.Clone(x.Shape().Dimensions)
	wide[1] += size - 1
	room(x.DType(), wide...)
	p := make([][2]int, x.Rank())
	p[1] = [2]int{(size - 1) / 2, size / 2}
	s := ops.PadConstant(graph.Mul(x, x), 0, p)
	var parts []*node
	for i := range size {
		parts = append(parts, cutAxis(s, 1, i, i+x.Shape().Dimensions[1], 1))
	}
	base := plus(times(joined(parts, graph.Add), c.float("alpha", 1e-4)/float64(size)), c.float("bias", 1))
	return graph.Div(x, graph.Pow(base, scalar(x, c.float("beta", 0.75))))
}

func lpNorm(c *call) *node {
	x := c.x(0)
	axis := axisIn(c.int("axis", -1), x.Rank())
	n := graph.Sqrt(graph.ReduceSum(graph.Mul(x, x), axis))
	if c.int("p", 2) == 1 {
		n = graph.ReduceSum(graph.Abs(x), axis)
	}
	return graph.Div(x, expandTo(graph.ExpandAxes(n, axis), x.Shape().Dimensions))
}

func meanVarianceNorm(c *call) *node {
	x, axes := c.x(0), c.list("axes")
	if axes == nil {
		axes = []int{0, 2, 3}
	}
	m, v := ops.Moments(x, axes, nil)
	d := x.Shape().Dimensions
	return graph.Div(graph.Sub(x, expandTo(m, d)), expandTo(plus(graph.Sqrt(v), 1e-9), d))
}

func dropout(c *call) []*node {
	x := c.x(0)
	if c.has(2) && c.intAt(2) != 0 && !(c.has(1) && c.floatAt(1) == 0) {
		panic(fmt.Errorf("dropout in training draws numbers of its own; export the model for inference"))
	}
	return []*node{x, graph.Equal(graph.ZerosLike(x), graph.ZerosLike(x))}
}

func normOps() map[string]operator {
	return map[string]operator{
		"BatchNormalization": many(batchNorm), "InstanceNormalization": one(instanceNorm), "LayerNormalization": many(layerNorm),
		"LRN": one(lrn), "LpNormalization": one(lpNorm), "MeanVarianceNormalization": one(meanVarianceNorm), "Dropout": many(dropout),
	}
}
