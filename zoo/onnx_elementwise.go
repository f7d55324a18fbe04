package zoo

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

type node = graph.Node

// broadcast brings nodes to one shape, as NumPy does.
func broadcast(x ...*node) []*node {
	rank := 0
	for _, n := range x {
		rank = max(rank, n.Rank())
	}
	dims := make([]int, rank)
	for i := range dims {
		dims[i] = 1
	}
	for _, n := range x {
		for i, d := range n.Shape().Dimensions {
			at := rank - n.Rank() + i
			if d != 1 && dims[at] != 1 && d != dims[at] {
				panic(fmt.Errorf("shapes %v do not broadcast", shapesOf(x)))
			}
			if d != 1 {
				dims[at] = d
			}
		}
	}
	for _, n := range x {
		room(n.DType(), dims...)
	}
	out := make([]*node, len(x))
	for i, n := range x {
		out[i] = expandTo(n, dims)
	}
	return out
}

func shapesOf(x []*node) (out []string) {
	for _, n := range x {
		out = append(out, n.Shape().String())
	}
	return out
}

// expandTo broadcasts to dims of at least x's rank.
func expandTo(x *node, dims []int) *node {
	need(x.Rank() <= len(dims), "%v does not broadcast to %s", x.Shape().Dimensions, dimsText(dims))
	room(x.DType(), dims...)
	if x.Rank() < len(dims) {
		x = graph.ExpandLeftToRank(x, len(dims))
	}
	same := true
	for i, d := range x.Shape().Dimensions {
		same = same && d == dims[i]
	}
	if same {
		return x
	}
	return graph.BroadcastToDims(x, dims...)
}

func unary(f func(x *node) *node) onnxOp {
	return one(func(c *onnxCall) *node { return f(c.x(0)) })
}

func binary2(f func(a, b *node) *node) onnxOp {
	return one(func(c *onnxCall) *node {
		a, b := c.x(0), c.x(1)
		if c.n.Attribute("axis") != nil && c.opset < 7 { // the old rule: b lies along a's axes from axis on
			for b.Rank() < a.Rank()-c.int("axis", 0) {
				b = graph.ExpandAxes(b, -1)
			}
		}
		p := broadcast(a, b)
		return f(p[0], p[1])
	})
}

// divide is Div.
var divide = one(func(c *onnxCall) *node {
	return binary2(func(a, b *node) *node { return graph.Div(a, c.divisor(b)) }).nodes(c)[0]
})

func variadic(f func(a, b *node) *node, after func(x *node, n int) *node) onnxOp {
	return one(func(c *onnxCall) *node {
		y := c.x(0)
		for i := 1; i < len(c.in); i++ {
			p := broadcast(y, c.x(i))
			y = f(p[0], p[1])
		}
		if after != nil {
			y = after(y, len(c.in))
		}
		return y
	})
}

func scalar(x *node, v float64) *node { return graph.ConstAsDType(x.Graph(), x.DType(), v) }

func plus(x *node, v float64) *node  { return graph.Add(x, scalar(x, v)) }
func times(x *node, v float64) *node { return graph.Mul(x, scalar(x, v)) }

func positive(x *node) *node { return graph.GreaterThan(x, scalar(x, 0)) }

func choose(cond, a, b *node) *node {
	p := broadcast(cond, a, b)
	return graph.Where(p[0], p[1], p[2])
}

func hard(x *node, low, high float64) *node {
	return graph.Max(graph.Min(x, scalar(x, high)), scalar(x, low))
}

// divisor is a second input as one may divide by it. Integers have no quotient by 0, of which each engine makes what it will: the
// run ends with an error.
func (c *onnxCall) divisor(b *node) *node {
	if b.DType().IsFloat() {
		return b
	}
	zero := graph.Equal(b, scalar(b, 0))
	if v := c.in[1]; v.known == nil {
		c.watch(graph.ConvertDType(zero, dtypes.Int32), func(_, high int64) error {
			if high == 0 {
				return nil
			}
			return fmt.Errorf("it divides an integer by 0; give inputs without")
		})
	} else {
		need(!slices.Contains(tensorInts(v.known), 0), "it divides an integer by 0; correct input 1, %q", c.n.Inputs[1])
	}
	return graph.Where(zero, scalar(b, 1), b)
}

// modulo has the sign of the divisor, or of the dividend with fmod.
func modulo(c *onnxCall) *node {
	p := broadcast(c.x(0), c.x(1))
	a, b := p[0], p[1]
	if a.DType().IsFloat() {
		if c.int("fmod", 0) == 1 {
			return ops.Rem(a, b)
		}
		return ops.Mod(a, b)
	}
	b = c.divisor(b)
	r := graph.Sub(a, graph.Mul(graph.Div(a, b), b))
	if c.int("fmod", 0) == 1 || a.DType().IsUnsigned() {
		return r
	}
	zero := scalar(r, 0)
	other := graph.LogicalAnd(graph.NotEqual(r, zero), graph.LogicalXor(graph.LessThan(r, zero), graph.LessThan(b, zero)))
	return graph.Where(other, graph.Add(r, b), r)
}

func clip(c *onnxCall) *node {
	x := c.x(0)
	if c.opset < 11 {
		return hard(x, c.float("min", math.Inf(-1)), c.float("max", math.Inf(1)))
	}
	if low := c.maybe(1); low != nil {
		p := broadcast(x, low)
		x = graph.Max(p[0], p[1])
	}
	if high := c.maybe(2); high != nil {
		p := broadcast(x, high)
		x = graph.Min(p[0], p[1])
	}
	return x
}

func power(c *onnxCall) *node {
	x, y := c.x(0), c.x(1)
	if c.has(1) && c.in[1].known != nil && c.in[1].known.Shape().Size() == 1 && x.DType().IsFloat() && y.Rank() <= x.Rank() {
		switch c.floats(1)[0] {
		case 2:
			return graph.Mul(x, x)
		case 0.5:
			return graph.Sqrt(x)
		case 3:
			return graph.Mul(x, graph.Mul(x, x))
		}
	}
	d := x.DType()
	wide := d
	if !d.IsFloat() {
		wide = dtypes.Float64
	}
	p := broadcast(graph.ConvertDType(x, wide), graph.ConvertDType(y, wide))
	y = graph.Pow(p[0], p[1])
	if wide != d {
		y = graph.ConvertDType(ops.Round(y), d)
	}
	return y
}

func gelu(c *onnxCall) *node {
	x := c.x(0)
	if c.text("approximate", "none") == "tanh" {
		inner := times(graph.Add(x, times(graph.Mul(x, graph.Mul(x, x)), 0.044715)), math.Sqrt(2/math.Pi))
		return times(graph.Mul(x, plus(graph.Tanh(inner), 1)), 0.5)
	}
	return times(graph.Mul(x, plus(graph.Erf(times(x, math.Sqrt2/2)), 1)), 0.5)
}

func cast(x *node, d dtypes.DType) *node {
	if x.DType() == d {
		return x
	}
	if d == dtypes.Bool {
		return graph.NotEqual(x, scalar(x, 0))
	}
	return graph.ConvertDType(x, d)
}

func castTo(to int) dtypes.DType {
	for k, d := range onnxTypes {
		if int(k) == to {
			return d
		}
	}
	panic(fmt.Errorf("the engines have no type %d", to))
}

func viaFloat(f func(x *node) *node) func(x *node) *node {
	return func(x *node) *node {
		d := x.DType()
		if d == dtypes.Float16 || d == dtypes.BFloat16 {
			return graph.ConvertDType(f(ops.Widen(x)), d)
		}
		return f(x)
	}
}

func inverseHyperbolic(name string) func(x *node) *node {
	return func(x *node) *node {
		switch name {
		case "sinh": // even where x is negative and large
			a := graph.Abs(x)
			return graph.Mul(graph.Sign(x), graph.Log(graph.Add(a, graph.Sqrt(plus(graph.Mul(a, a), 1)))))
		case "cosh":
			return graph.Log(graph.Add(x, graph.Sqrt(plus(graph.Mul(x, x), -1))))
		}
		return times(graph.Sub(graph.Log1p(x), graph.Log1p(graph.Neg(x))), 0.5)
	}
}

func inverseTrig(x *node) (asin, acos *node) {
	cos := graph.Sqrt(graph.Mul(plus(x, 1), plus(graph.Neg(x), 1)))
	return ops.Atan2(x, cos), ops.Atan2(cos, x)
}

func isInf(c *onnxCall) *node {
	x := c.x(0)
	inf := func(s int) *node { return graph.Equal(x, graph.Infinity(c.g, x.DType(), s)) }
	up, down := c.int("detect_positive", 1) == 1, c.int("detect_negative", 1) == 1
	switch {
	case up && down:
		return graph.LogicalOr(inf(1), inf(-1))
	case up:
		return inf(1)
	case down:
		return inf(-1)
	}
	return graph.NotEqual(x, x)
}

func prelu(a, b *node) *node { return graph.Where(positive(a), a, graph.Mul(a, b)) }

func shift(c *onnxCall) *node {
	p := broadcast(c.x(0), c.x(1))
	if c.text("direction", "") == "LEFT" {
		return graph.BitwiseShiftLeft(p[0], p[1])
	}
	return graph.BitwiseShiftRightLogical(p[0], p[1])
}

func elementwiseOps() map[string]onnxOp {
	exp := graph.Exp
	return map[string]onnxOp{
		"Abs": unary(graph.Abs), "Neg": unary(graph.Neg), "Sqrt": unary(graph.Sqrt), "Exp": unary(exp), "Log": unary(graph.Log), "Tanh": unary(graph.Tanh),
		"Sin": unary(graph.Sin), "Cos": unary(graph.Cos), "Erf": unary(graph.Erf), "Sigmoid": unary(graph.Sigmoid), "Sign": unary(graph.Sign),
		"Ceil": unary(ops.Ceil), "Floor": unary(ops.Floor), "Round": unary(ops.Round), "Not": unary(graph.LogicalNot), "IsNaN": unary(graph.IsNaN), "IsInf": one(isInf),
		"Tan":        unary(func(x *node) *node { return graph.Div(graph.Sin(x), graph.Cos(x)) }),
		"Reciprocal": unary(func(x *node) *node { return graph.Div(scalar(x, 1), x) }),
		"Relu":       unary(func(x *node) *node { return graph.Max(x, scalar(x, 0)) }),
		"Softplus":   unary(viaFloat(ops.Softplus)), "Softsign": unary(func(x *node) *node { return graph.Div(x, plus(graph.Abs(x), 1)) }),
		"Mish": unary(func(x *node) *node { return graph.Mul(x, graph.Tanh(ops.Softplus(x))) }),
		"Sinh": unary(func(x *node) *node { return times(graph.Sub(exp(x), exp(graph.Neg(x))), 0.5) }), "Cosh": unary(func(x *node) *node { return times(graph.Add(exp(x), exp(graph.Neg(x))), 0.5) }),
		"Asinh": unary(inverseHyperbolic("sinh")), "Acosh": unary(inverseHyperbolic("cosh")), "Atanh": unary(inverseHyperbolic("tanh")),
		"Asin": unary(func(x *node) *node { y, _ := inverseTrig(x); return y }), "Acos": unary(func(x *node) *node { _, y := inverseTrig(x); return y }),
		"Atan":      unary(func(x *node) *node { return ops.Atan2(x, graph.OnesLike(x)) }),
		"HardSwish": unary(func(x *node) *node { return graph.Mul(x, hard(plus(times(x, 1.0/6), 0.5), 0, 1)) }),
		"HardSigmoid": one(func(c *onnxCall) *node {
			return hard(plus(times(c.x(0), c.float("alpha", 0.2)), c.float("beta", 0.5)), 0, 1)
		}),
		"LeakyRelu": one(func(c *onnxCall) *node {
			x := c.x(0)
			return prelu(x, times(graph.OnesLike(x), c.float("alpha", 0.01)))
		}),
		"Elu": one(func(c *onnxCall) *node {
			x := c.x(0)
			return graph.Where(positive(x), x, times(ops.Expm1(x), c.float("alpha", 1)))
		}),
		"Selu": one(func(c *onnxCall) *node {
			x := c.x(0)
			return times(graph.Where(positive(x), x, times(ops.Expm1(x), c.float("alpha", 1.67326319217681884765625))), c.float("gamma", 1.05070102214813232421875))
		}),
		"Celu": one(func(c *onnxCall) *node {
			x, a := c.x(0), c.float("alpha", 1)
			return graph.Where(positive(x), x, times(ops.Expm1(times(x, 1/a)), a))
		}),
		"ThresholdedRelu": one(func(c *onnxCall) *node {
			x := c.x(0)
			return graph.Where(graph.GreaterThan(x, scalar(x, c.float("alpha", 1))), x, graph.ZerosLike(x))
		}),
		"Shrink": one(func(c *onnxCall) *node {
			x, lambda, bias := c.x(0), c.float("lambd", 0.5), c.float("bias", 0)
			low := graph.Where(graph.LessThan(x, scalar(x, -lambda)), plus(x, bias), graph.ZerosLike(x))
			return graph.Where(graph.GreaterThan(x, scalar(x, lambda)), plus(x, -bias), low)
		}),
		"Gelu": one(gelu), "Clip": one(clip), "Pow": one(power), "Mod": one(modulo), "BitShift": one(shift), "PRelu": one(func(c *onnxCall) *node {
			x, slope := c.x(0), c.x(1)
			if slope.Rank() == 1 && x.Rank() > 1 && (c.opset < 9 || slope.Shape().Size() == x.Shape().Dimensions[1] && slope.Shape().Size() != x.Shape().Dimensions[x.Rank()-1]) {
				slope = perChannel(slope, x)
			}
			p := broadcast(x, slope)
			return prelu(p[0], p[1])
		}),
		"Add": binary2(graph.Add), "Sub": binary2(graph.Sub), "Mul": binary2(graph.Mul), "Div": divide,
		"And": binary2(graph.LogicalAnd), "Or": binary2(graph.LogicalOr), "Xor": binary2(graph.LogicalXor),
		"Equal": binary2(graph.Equal), "Less": binary2(graph.LessThan), "Greater": binary2(graph.GreaterThan), "LessOrEqual": binary2(graph.LessOrEqual), "GreaterOrEqual": binary2(graph.GreaterOrEqual),
		"Sum": variadic(graph.Add, nil), "Max": variadic(graph.Max, nil), "Min": variadic(graph.Min, nil),
		"Mean":  variadic(graph.Add, func(x *node, n int) *node { return times(x, 1/float64(n)) }),
		"Where": one(func(c *onnxCall) *node { return choose(c.x(0), c.x(1), c.x(2)) }),
		"Cast":  one(func(c *onnxCall) *node { return cast(c.x(0), castTo(c.int("to", 0))) }), "CastLike": one(func(c *onnxCall) *node { return cast(c.x(0), c.x(1).DType()) }),
		"QuantizeLinear": one(quantizeLinear), "DequantizeLinear": one(dequantizeLinear), "DynamicQuantizeLinear": many(dynamicQuantize),
	}
}

// along puts a vector along an axis of x, to broadcast.
func along(v, x *node, axis int) *node {
	if v.Rank() != 1 || v.Shape().Dimensions[0] == 1 {
		need(v.Shape().Size() == 1, "%v where one number or one for each element of an axis is wanted", v.Shape().Dimensions)
		return graph.Reshape(v)
	}
	dims := make([]int, x.Rank())
	for i := range dims {
		dims[i] = 1
	}
	need(axis >= -x.Rank() && axis < x.Rank(), "axis %d of %d", axis, x.Rank())
	dims[(axis+x.Rank())%x.Rank()] = v.Shape().Dimensions[0]
	return expandTo(graph.Reshape(v, dims...), x.Shape().Dimensions)
}

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

func quantizeLinear(c *onnxCall) *node {
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

func dequantizeLinear(c *onnxCall) *node {
	scale, axis := c.x(1), c.int("axis", 1)
	x := graph.ConvertDType(c.x(0), scale.DType())
	if zero := c.maybe(2); zero != nil {
		x = graph.Sub(x, along(graph.ConvertDType(zero, scale.DType()), x, axis))
	}
	return graph.Mul(x, along(scale, x, axis))
}

func dynamicQuantize(c *onnxCall) []*node {
	x := c.x(0)
	need(x.DType().IsFloat() && x.Shape().Size() > 0, "its input is %s, want floats", x.Shape())
	zero := scalar(x, 0)
	high, low := graph.Max(graph.ReduceAllMax(x), zero), graph.Min(graph.ReduceAllMin(x), zero)
	scale := times(graph.Sub(high, low), 1.0/255)
	point := graph.ConvertDType(hard(ops.Round(graph.Div(graph.Neg(low), scale)), 0, 255), dtypes.Uint8)
	return []*node{quantize(x, scale, point, dtypes.Uint8, 0), scale, point}
}
