package onnxrun

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

func unary(f func(x *node) *node) operator {
	return one(func(c *call) *node { return f(c.x(0)) })
}

func binary2(f func(a, b *node) *node) operator {
	return one(func(c *call) *node {
		p := broadcast(c.pair())
		return f(p[0], p[1])
	})
}

// pair are two inputs that broadcast. By the rule of old versions the second lies along the axes of the first from the attribute axis on.
func (c *call) pair() (a, b *node) {
	a, b = c.x(0), c.x(1)
	if c.opset >= 7 || a.Shape().Size() == 0 || b.Shape().Size() == 0 {
		return a, b
	}
	if c.n.Attribute("axis") != nil {
		for b.Rank() < a.Rank()-c.int("axis", 0) {
			b = graph.ExpandAxes(b, -1)
		}
	}
	need(c.int("broadcast", 0) == 1 || slices.Equal(a.Shape().Dimensions, b.Shape().Dimensions),
		"shapes %v and %v, and its attribute broadcast is 0", a.Shape().Dimensions, b.Shape().Dimensions)
	return a, b
}

// divide is Div.
var divide = one(func(c *call) *node {
	return binary2(func(a, b *node) *node { return graph.Div(a, c.divisor(b)) }).nodes(c)[0]
})

func variadic(f func(a, b *node) *node, after func(x *node, n int) *node) operator {
	return one(func(c *call) *node {
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

func choose(cond, a, b *node) *node {
	p := broadcast(cond, a, b)
	return graph.Where(p[0], p[1], p[2])
}

// divisor is a second input as one may divide by it. Integers have no quotient by 0, of which each engine makes what it will: the
// run ends with an error.
func (c *call) divisor(b *node) *node {
	if b.DType().IsFloat() {
		return b
	}
	zero := graph.Equal(b, scalar(b, 0))
	if v := c.in[1]; v.known == nil {
		c.watch(convert(zero, dtypes.Int32), func(_, high int64) error {
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
func modulo(c *call) *node {
	p := broadcast(c.x(0), c.x(1))
	a, b := p[0], p[1]
	if a.DType().IsFloat() {
		if c.int("fmod", 0) == 1 {
			return viaWide(graph.Rem)(a, b)
		}
		return viaWide(func(a, b *node) *node { // exact where the quotient is large, and a where b is infinite
			r := graph.Rem(a, b)
			zero := graph.ZerosLike(r)
			other := graph.LogicalXor(graph.LessThan(r, zero), graph.LessThan(b, zero))
			return graph.Where(graph.LogicalAnd(graph.NotEqual(r, zero), other), graph.Add(r, b), r)
		})(a, b)
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

// viaWide lets f work on floats of 16 bits as on those of 32.
func viaWide(f func(a, b *node) *node) func(a, b *node) *node {
	return func(a, b *node) *node { return convert(f(ops.Widen(a), ops.Widen(b)), a.DType()) }
}

func clip(c *call) *node {
	x := c.x(0)
	if c.opset < 11 {
		return hard(x, c.float("min", math.Inf(-1)), c.float("max", math.Inf(1)))
	}
	if low := c.maybe(1); low != nil {
		p := broadcast(x, low)
		x = larger(p[0], p[1])
	}
	if high := c.maybe(2); high != nil {
		p := broadcast(x, high)
		x = smaller(p[0], p[1])
	}
	return x
}

func power(c *call) *node {
	x, y := c.pair()
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
	p := broadcast(x, y)
	if !x.DType().IsFloat() {
		return c.integerPower(p[0], p[1])
	}
	return graph.Pow(p[0], convert(p[1], x.DType()))
}

func gelu(c *call) *node {
	x, d := widen(c.x(0)), c.x(0).DType()
	if c.text("approximate", "none") == "tanh" {
		inner := times(graph.Add(x, times(graph.Mul(x, graph.Mul(x, x)), 0.044715)), math.Sqrt(2/math.Pi))
		return convert(graph.Mul(times(x, 0.5), plus(graph.Tanh(inner), 1)), d)
	}
	return convert(graph.Mul(times(x, 0.5), plus(graph.Erf(times(x, math.Sqrt2/2)), 1)), d)
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

func isInf(c *call) *node {
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
	return graph.LogicalAnd(inf(1), inf(-1)) // nowhere
}

// equal compares bools as numbers, which the Go engine does not compare otherwise.
func equal(a, b *node) *node {
	if a.DType() == dtypes.Bool {
		a, b = convert(a, dtypes.Int32), convert(b, dtypes.Int32)
	}
	return graph.Equal(a, b)
}

// erf of integers is what is left when the fraction is cut off: 1 from 4 on, as float32 has it.
func erf(x *node) *node {
	if x.DType().IsFloat() {
		return graph.Erf(x)
	}
	zero := graph.ZerosLike(x)
	y := graph.Where(graph.GreaterOrEqual(x, scalar(x, 4)), graph.OnesLike(x), zero)
	if x.DType().IsUnsigned() {
		return y
	}
	return graph.Where(graph.LessOrEqual(x, scalar(x, -4)), graph.Neg(graph.OnesLike(x)), y)
}

// absolute leaves unsigned numbers alone, of which XLA takes no absolute value.
func absolute(x *node) *node {
	if x.DType().IsUnsigned() {
		return x
	}
	return graph.Abs(x)
}

// sign keeps NaN.
func sign(x *node) *node {
	switch {
	case x.DType().IsUnsigned():
		return convert(positive(x), x.DType())
	case x.DType().IsFloat():
		return graph.Where(graph.NotEqual(x, x), x, graph.Sign(x))
	}
	return graph.Sign(x)
}

func prelu(a, b *node) *node { return graph.Where(positive(a), a, graph.Mul(a, b)) }

func shift(c *call) *node {
	p := broadcast(c.x(0), c.x(1))
	move := graph.BitwiseShiftRightLogical
	switch d := p[0].DType(); {
	case c.text("direction", "") == "LEFT":
		move = graph.BitwiseShiftLeft
	case !d.IsUnsigned():
		move = graph.BitwiseShiftRightArithmetic
	}
	return move(p[0], p[1])
}

// activations of one input, without attributes or with numbers.
func activationOps() map[string]operator {
	return map[string]operator{
		"Relu":      unary(func(x *node) *node { return graph.Max(x, scalar(x, 0)) }),
		"Softplus":  unary(viaFloat(ops.Softplus)),
		"Softsign":  unary(func(x *node) *node { return graph.Div(x, plus(graph.Abs(x), 1)) }),
		"Mish":      unary(func(x *node) *node { return graph.Mul(x, graph.Tanh(ops.Softplus(x))) }),
		"HardSwish": unary(func(x *node) *node { return graph.Mul(x, hard(plus(times(x, 1.0/6), 0.5), 0, 1)) }),
		"Sigmoid":   unary(graph.Sigmoid), "Tanh": unary(graph.Tanh), "Gelu": one(gelu), "PRelu": one(parametricRelu),
		"HardSigmoid": one(func(c *call) *node {
			y := hard(plus(times(widen(c.x(0)), c.float("alpha", 0.2)), c.float("beta", 0.5)), 0, 1)
			return convert(y, c.x(0).DType())
		}),
		"LeakyRelu": one(func(c *call) *node {
			x := c.x(0)
			return prelu(x, times(graph.OnesLike(x), c.float("alpha", 0.01)))
		}),
		"Elu": one(func(c *call) *node {
			x := c.x(0)
			return graph.Where(positive(x), x, times(ops.Expm1(x), c.float("alpha", 1)))
		}),
		"Selu": one(func(c *call) *node {
			x := c.x(0)
			low := times(ops.Expm1(x), c.float("alpha", 1.67326319217681884765625))
			return times(graph.Where(positive(x), x, low), c.float("gamma", 1.05070102214813232421875))
		}),
		"Celu": one(func(c *call) *node {
			x, a := c.x(0), c.float("alpha", 1)
			return graph.Where(positive(x), x, times(ops.Expm1(times(x, 1/a)), a))
		}),
		"ThresholdedRelu": one(func(c *call) *node {
			x := c.x(0)
			return graph.Where(graph.GreaterThan(x, scalar(x, c.float("alpha", 1))), x, graph.ZerosLike(x))
		}),
		"Shrink": one(func(c *call) *node {
			x, lambda, bias := c.x(0), c.float("lambd", 0.5), c.float("bias", 0)
			low := graph.Where(graph.LessThan(x, scalar(x, -lambda)), plus(x, bias), graph.ZerosLike(x))
			return graph.Where(graph.GreaterThan(x, scalar(x, lambda)), plus(x, -bias), low)
		}),
	}
}

// parametricRelu takes a slope for each channel where the shapes say nothing else.
func parametricRelu(c *call) *node {
	x, slope := c.x(0), c.x(1)
	d := x.Shape().Dimensions
	if slope.Rank() == 1 && x.Rank() > 1 {
		n := slope.Shape().Size()
		if c.opset < 9 || n == d[1] && n != d[x.Rank()-1] {
			slope = perChannel(slope, x)
		}
	}
	p := broadcast(x, slope)
	return prelu(p[0], p[1])
}

func hyperbolicSine(x *node) *node {
	return times(graph.Sub(graph.Exp(x), graph.Exp(graph.Neg(x))), 0.5)
}

func hyperbolicCosine(x *node) *node {
	return times(graph.Add(graph.Exp(x), graph.Exp(graph.Neg(x))), 0.5)
}

func elementwiseOps() map[string]operator {
	return map[string]operator{
		"Abs": unary(absolute), "Neg": unary(graph.Neg), "Sign": unary(sign), "Not": unary(graph.LogicalNot),
		"Ceil": unary(ops.Ceil), "Floor": unary(ops.Floor), "Round": unary(ops.Round), "Clip": one(clip),
		"Sqrt": unary(graph.Sqrt), "Exp": unary(graph.Exp), "Log": unary(graph.Log), "Erf": unary(erf), "Pow": one(power),
		"Reciprocal": unary(func(x *node) *node { return graph.Div(scalar(x, 1), x) }),
		"IsNaN":      unary(graph.IsNaN), "IsInf": one(isInf),

		"Sin": unary(graph.Sin), "Cos": unary(graph.Cos),
		"Tan":  unary(func(x *node) *node { return graph.Div(graph.Sin(x), graph.Cos(x)) }),
		"Asin": unary(func(x *node) *node { y, _ := inverseTrig(x); return y }),
		"Acos": unary(func(x *node) *node { _, y := inverseTrig(x); return y }),
		"Atan": unary(func(x *node) *node { return ops.Atan2(x, graph.OnesLike(x)) }),
		"Sinh": unary(hyperbolicSine), "Cosh": unary(hyperbolicCosine),
		"Asinh": unary(inverseHyperbolic("sinh")), "Acosh": unary(inverseHyperbolic("cosh")), "Atanh": unary(inverseHyperbolic("tanh")),

		"Add": binary2(graph.Add), "Sub": binary2(graph.Sub), "Mul": binary2(graph.Mul), "Div": divide, "Mod": one(modulo),
		"BitShift": one(shift), "And": binary2(graph.LogicalAnd), "Or": binary2(graph.LogicalOr), "Xor": binary2(graph.LogicalXor),
		"Equal": binary2(equal), "Less": binary2(graph.LessThan), "Greater": binary2(graph.GreaterThan),
		"LessOrEqual": binary2(graph.LessOrEqual), "GreaterOrEqual": binary2(graph.GreaterOrEqual),
		"Sum": variadic(graph.Add, nil), "Max": variadic(larger, nil), "Min": variadic(smaller, nil),
		"Mean":     variadic(graph.Add, func(x *node, n int) *node { return times(x, 1/float64(n)) }),
		"Where":    one(func(c *call) *node { return choose(c.x(0), c.x(1), c.x(2)) }),
		"Cast":     one(func(c *call) *node { return cast(c.x(0), castTo(c.int("to", 0))) }),
		"CastLike": one(func(c *call) *node { return cast(c.x(0), c.x(1).DType()) }),
	}
}
