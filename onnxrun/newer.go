package onnxrun

import (
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/ops"
)

// cumProduct multiplies along an axis, up to each element; exclusive without it, reverse from the end.
func cumProduct(c *call) *node {
	x := c.x(0)
	axis := axisIn(c.intAt(1), x.Rank())
	if x.Shape().Size() == 0 {
		return x
	}
	if c.int("reverse", 0) == 1 {
		x = ops.Reverse(x, axis)
	}
	n := x.Shape().Dimensions[axis]
	if c.int("exclusive", 0) == 1 {
		d := slices.Clone(x.Shape().Dimensions)
		d[axis] = 1
		one := graph.BroadcastToDims(scalar(x, 1), d...)
		x = graph.Concatenate([]*node{one, cutAxis(x, axis, 0, n-1, 1)}[:min(n, 2)], axis)
	}

	// Each round multiplies by the products that end a distance before, which doubles.
	for gap := 1; gap < n; gap *= 2 {
		more := graph.Mul(cutAxis(x, axis, gap, n, 1), cutAxis(x, axis, 0, n-gap, 1))
		x = graph.Concatenate([]*node{cutAxis(x, axis, 0, gap, 1), more}, axis)
	}
	if c.int("reverse", 0) == 1 {
		x = ops.Reverse(x, axis)
	}
	return x
}

// bitCast reads elements as another type of the same size.
func bitCast(c *call) []*tensors.Tensor {
	x, d := c.known(0), castTo(c.int("to", 0))
	need(d.Size() == x.DType().Size() && d != dtypes.Bool && x.DType() != dtypes.Bool,
		"%s as %s: they differ in size", x.DType(), d)
	return []*tensors.Tensor{ofBytes(d, bytesIn(x), x.Shape().Dimensions...)}
}

// globalLpPool is (sum over all places of |x|^p)^(1/p).
func globalLpPool(c *call) *node {
	x := ops.Widen(c.x(0))
	p := c.float("p", 2)
	if a := c.n.Attribute("p"); a != nil && a.Type == 2 {
		p = float64(a.Int)
	}
	need(p > 0 && !math.IsInf(p, 1), "p %v", p)
	spatial(x)
	y := graph.ReduceSum(graph.Pow(graph.Abs(x), scalar(x, p)), lastAxes(2, x.Rank())...)
	y = graph.Pow(y, scalar(y, 1/p))
	d := slices.Clone(x.Shape().Dimensions)
	for i := 2; i < len(d); i++ {
		d[i] = 1
	}
	return convert(graph.Reshape(y, d...), c.dtype(0))
}

// swiGLU is a sigmoid(alpha a) b.
func swiGLU(c *call) *node {
	a, b := ops.Widen(c.x(0)), ops.Widen(c.x(1))
	need(slices.Equal(a.Shape().Dimensions, b.Shape().Dimensions), "inputs %s and %s, want one shape", a.Shape(),
		b.Shape())
	return convert(graph.Mul(graph.Mul(a, graph.Sigmoid(times(a, c.float("alpha", 1)))), b), c.dtype(0))
}

func newerOps() map[string]operator {
	sized := func(n *onnx.Node) string {
		if n.Attribute("to") == nil {
			return "attribute to is missing"
		}
		return ""
	}
	return map[string]operator{
		"CumProd": one(cumProduct).takes("exclusive", "reverse"), "BitCast": hosted(bitCast).unless(sized).unlessTypes(ofOneSize).takes("to"),
		"GlobalLpPool": one(globalLpPool).takes("p"), "SwiGLU": one(swiGLU).takes("alpha"),
	}
}
