package onnxrun

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

func quantize(x, scale, zero *node, d dtypes.DType, axis int) *node {
	y := ops.Round(graph.Div(x, along(graph.ConvertDType(scale, x.DType()), x, axis)))
	if zero != nil {
		y = graph.Add(y, along(graph.ConvertDType(zero, x.DType()), x, axis))
	}
	low, high := 0.0, 255.0
	if d == dtypes.Int8 {
		low, high = -128, 127
	}
	return graph.ConvertDType(hard(y, low, high), d)
}

func quantizeLinear(c *call) *node {
	d, zero := dtypes.Uint8, c.maybe(2)
	if zero != nil {
		d = zero.DType()
	}
	x := c.x(0)
	if !x.DType().IsFloat() { // integers have no steps between them, and no quotient by 0
		x = graph.ConvertDType(x, dtypes.Float32)
	}
	return quantize(ops.Widen(x), c.x(1), zero, d, c.int("axis", 1))
}

func dequantizeLinear(c *call) *node {
	scale, axis := c.x(1), c.int("axis", 1)
	x := graph.ConvertDType(c.x(0), scale.DType())
	if zero := c.maybe(2); zero != nil {
		x = graph.Sub(x, along(graph.ConvertDType(zero, scale.DType()), x, axis))
	}
	return graph.Mul(x, along(scale, x, axis))
}

func dynamicQuantize(c *call) []*node {
	x := c.x(0)
	need(x.DType().IsFloat() && x.Shape().Size() > 0, "its input is %s, want floats", x.Shape())
	zero := scalar(x, 0)
	high, low := graph.Max(graph.ReduceAllMax(x), zero), graph.Min(graph.ReduceAllMin(x), zero)
	scale := times(graph.Sub(high, low), 1.0/255)
	point := graph.ConvertDType(hard(ops.Round(graph.Div(graph.Neg(low), scale)), 0, 255), dtypes.Uint8)
	return []*node{quantize(x, scale, point, dtypes.Uint8, 0), scale, point}
}

// real is what numbers in steps of scale from zero stand for, along an axis.
func real(x, scale, zero *node, axis int) *node {
	x = graph.ConvertDType(x, dtypes.Float32)
	return graph.Mul(graph.Sub(x, along(graph.ConvertDType(zero, dtypes.Float32), x, axis)), along(scale, x, axis))
}

// convInteger computes in float32.
func convInteger(c *call) *node {
	x := graph.ConvertDType(c.x(0), dtypes.Float32)
	if z := c.maybe(2); z != nil {
		x = graph.Sub(x, along(graph.ConvertDType(z, dtypes.Float32), x, 1))
	}
	k := graph.ConvertDType(c.x(1), dtypes.Float32)
	if z := c.maybe(3); z != nil {
		k = graph.Sub(k, along(graph.ConvertDType(z, dtypes.Float32), k, 0))
	}
	return graph.ConvertDType(convOf(c, x, k), dtypes.Int32)
}

func quantizedConv(c *call) *node {
	y := convOf(c, real(c.x(0), c.x(1), c.x(2), 1), real(c.x(3), c.x(4), c.x(5), 0))
	if b := c.maybe(8); b != nil {
		s := graph.Mul(expandTo(graph.Reshape(c.x(1)), b.Shape().Dimensions), along(c.x(4), b, 0))
		y = addBias(y, graph.Mul(graph.ConvertDType(b, dtypes.Float32), expandTo(s, b.Shape().Dimensions)))
	}
	return quantize(y, c.x(6), c.x(7), c.x(7).DType(), 1)
}

// matMulInteger computes in float64, which holds the sums of products of bytes exactly.
func matMulInteger(c *call) *node {
	wide := func(i int) *node { return graph.ConvertDType(c.x(i), dtypes.Float64) }
	a, b := wide(0), wide(1)
	if c.has(2) {
		a = graph.Sub(a, along(wide(2), a, -2))
	}
	if c.has(3) {
		b = graph.Sub(b, along(wide(3), b, -1))
	}
	return graph.ConvertDType(matMul(a, b), dtypes.Int32)
}

func quantizedMatMul(c *call) *node {
	f := func(i int) *node { return graph.ConvertDType(c.x(i), dtypes.Float32) }
	a, b := f(0), f(3)
	a = graph.Mul(graph.Sub(a, along(f(2), a, -2)), along(f(1), a, -2))
	b = graph.Mul(graph.Sub(b, along(f(5), b, -1)), along(f(4), b, -1))
	return quantize(matMul(a, b), c.x(6), c.x(7), c.x(7).DType(), -2)
}

func quantizedOps() map[string]operator {
	return map[string]operator{
		"QuantizeLinear": one(quantizeLinear), "DequantizeLinear": one(dequantizeLinear), "DynamicQuantizeLinear": many(dynamicQuantize),
		"ConvInteger": one(convInteger), "QLinearConv": one(quantizedConv),
		"MatMulInteger": one(matMulInteger), "QLinearMatMul": one(quantizedMatMul),
	}
}
