package onnxrun

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

func batchNorm(c *call) []*node {
	x := c.x(0)
	mean, variance := c.x(3), c.x(4)
	out := []*node{nil}
	d := x.DType()
	training := c.int("training_mode", 0) == 1
	if c.opset < 7 { // the old attribute; its default was to train, which nobody meant who asks for one output
		training = c.int("is_test", 0) == 0 && len(c.n.Outputs) > 1
	}
	need(c.int("spatial", 1) == 1, "its attribute spatial is 0, which is not supported")
	need(!training || c.opset >= 14, "it has the outputs of training, which are not supported before opset 14")
	if x.Shape().Size() == 0 && !training {
		return []*node{x}
	}
	if training {
		axes := []int{}
		for i := range x.Rank() {
			if i != 1 {
				axes = append(axes, i)
			}
		}
		m, v := ops.Moments(ops.Widen(x), axes, nil)
		m, v = graph.Reshape(m, x.Shape().Dimensions[1]), graph.Reshape(v, x.Shape().Dimensions[1])
		k := c.float("momentum", 0.9)
		moved := func(old, now *node) *node {
			wide := ops.Widen(old)
			return convert(graph.Add(times(wide, k), times(convert(now, wide.DType()), 1-k)), old.DType())
		}
		out = append(out, moved(mean, m), moved(variance, v))
		mean, variance = m, v
	}
	x = ops.Widen(x)
	wide := func(i *node) *node { return convert(i, x.DType()) }
	scale := graph.Div(wide(c.x(1)), graph.Sqrt(plus(wide(variance), c.float("epsilon", 1e-5))))
	y := graph.Add(graph.Mul(graph.Sub(x, perChannel(wide(mean), x)), perChannel(scale, x)), perChannel(wide(c.x(2)), x))
	out[0] = convert(y, d)
	return out
}

// instanceNorm computes in float32 or wider, as layerNorm does.
func instanceNorm(c *call) *node {
	x, d := widen(c.x(0)), c.x(0).DType()
	if x.Shape().Size() == 0 {
		return c.x(0)
	}
	need(x.Rank() >= 3, "it takes examples, channels and one axis or more, got %v", x.Shape().Dimensions)
	axes := []int{}
	for i := 2; i < x.Rank(); i++ {
		axes = append(axes, i)
	}
	m, v := ops.Moments(x, axes, nil)
	dims := x.Shape().Dimensions
	y := graph.Div(graph.Sub(x, expandTo(m, dims)), expandTo(graph.Sqrt(plus(v, c.float("epsilon", 1e-5))), dims))
	y = graph.Add(graph.Mul(y, perChannel(widen(c.x(1)), x)), perChannel(widen(c.x(2)), x))
	return convert(y, d)
}

// layerNorm has mean and scale in float32 or wider, and gives both in the type that stash_type names.
func layerNorm(c *call) []*node {
	x, d := widen(c.x(0)), c.x(0).DType()
	stash := castTo(c.int("stash_type", 1))
	need(stash.IsFloat(), "stash_type %s is not a type of floats", stash)
	var axes []int
	dims := x.Shape().Dimensions
	kept := slices.Clone(dims)
	for i := axisIn(c.int("axis", -1), x.Rank()); i < x.Rank(); i++ {
		axes, kept[i] = append(axes, i), 1
	}
	if x.Shape().Size() == 0 {
		need(volumeOf(kept) == 0, "the mean of no elements of %v", dims)
		return []*node{c.x(0), emptyOf(c, stash, kept), emptyOf(c, stash, kept)}
	}

	m, v := ops.Moments(x, axes, nil)
	inverse := ops.Rsqrt(plus(v, c.float("epsilon", 1e-5)))
	y := graph.Mul(graph.Sub(x, expandTo(m, dims)), expandTo(inverse, dims))
	if stash == dtypes.BFloat16 || stash == dtypes.Float16 { // what is normalised passes through this type
		y = convert(convert(y, stash), x.DType())
	}
	y = graph.Mul(y, expandTo(widen(c.x(1)), dims))
	if b := c.maybe(2); b != nil {
		y = graph.Add(y, expandTo(widen(b), dims))
	}
	return []*node{convert(y, d), convert(m, stash), convert(inverse, stash)}
}

func lrn(c *call) *node {
	x, d, size := widen(c.x(0)), c.x(0).DType(), c.int("size", 1)
	if x.Shape().Size() == 0 {
		return c.x(0)
	}
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
	return convert(graph.Div(x, graph.Pow(base, scalar(x, c.float("beta", 0.75)))), d)
}

// lpNorm leaves rows of zeros as they are.
func lpNorm(c *call) *node {
	x, d := widen(c.x(0)), c.x(0).DType()
	axis, p := axisIn(c.int("axis", -1), x.Rank()), c.int("p", 2)
	need(p == 1 || p == 2, "p is %d; 1 and 2 are supported", p)
	if x.Shape().Size() == 0 {
		return c.x(0)
	}
	n := graph.Sqrt(graph.ReduceSum(graph.Mul(x, x), axis))
	if p == 1 {
		n = graph.ReduceSum(graph.Abs(x), axis)
	}
	n = graph.Where(graph.Equal(n, graph.ZerosLike(n)), graph.OnesLike(n), n)
	return convert(graph.Div(x, expandTo(graph.ExpandAxes(n, axis), x.Shape().Dimensions)), d)
}

func meanVarianceNorm(c *call) *node {
	x, axes := widen(c.x(0)), c.list("axes")
	if axes == nil {
		axes = []int{0, 2, 3}
	}
	axes = positiveAxes(axes, x.Rank())
	if x.Shape().Size() == 0 || len(axes) == 0 {
		return c.x(0)
	}
	m, v := ops.Moments(x, axes, nil)
	d := x.Shape().Dimensions
	y := graph.Div(graph.Sub(x, expandTo(m, d)), expandTo(plus(graph.Sqrt(v), 1e-9), d))
	return convert(y, c.x(0).DType())
}

func dropout(c *call) []*node {
	x := c.x(0)
	if c.has(2) && c.intAt(2) != 0 && !(c.has(1) && c.floatAt(1) == 0) {
		panic(fmt.Errorf("dropout in training draws numbers of its own; export the model for inference"))
	}
	mask := graph.Equal(graph.ZerosLike(x), graph.ZerosLike(x))
	if c.opset < 10 {
		mask = graph.OnesLike(x)
	}
	return []*node{x, mask}
}

func normOps() map[string]operator {
	return map[string]operator{
		"BatchNormalization": many(batchNorm), "InstanceNormalization": one(instanceNorm), "LayerNormalization": many(layerNorm),
		"LRN": one(lrn), "LpNormalization": one(lpNorm), "MeanVarianceNormalization": one(meanVarianceNorm), "Dropout": many(dropout),
	}
}
