package onnxrun

import (
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/ops"
)

// steps is a type of quantised values: how it is kept, and its ends.
type steps struct {
	kept      dtypes.DType
	low, high float64
}

// stepsOf are the ends of the integers of up to 16 bits that values are quantised to.
func stepsOf(d dtypes.DType) steps {
	bits := float64(8 * d.Size())
	need(d.IsInt() && d.Size() <= 2, "values are quantised to integers of 4, 8 or 16 bits, not to %s", d)
	if d.IsUnsigned() {
		return steps{d, 0, math.Exp2(bits) - 1}
	}
	return steps{d, -math.Exp2(bits - 1), math.Exp2(bits-1) - 1}
}

// fourBits are the ends of the types that the engines lack and that are kept in a byte.
var fourBits = map[onnx.DataType]steps{onnx.Int4: {dtypes.Int8, -8, 7}, onnx.Uint4: {dtypes.Uint8, 0, 15}}

// quantize is round(x / scale) + zero within the ends of a type; scale and zero have the shape of x, or one element.
func quantize(x, scale, zero *node, to steps) *node {
	y := ops.Round(graph.Div(x, convert(scale, x.DType())))
	if zero != nil {
		y = graph.Add(y, convert(zero, x.DType()))
	}
	return cast(hard(y, to.low, to.high), to.kept)
}

// quantizeLinear quantises x by one scale, by one for each element of an axis, or by one for each block of an axis.
func quantizeLinear(c *call) *node {
	to := c.quantized()
	x, scale := c.x(0), c.x(1)
	if !x.DType().IsFloat() { // integers have no steps between them, and no quotient by 0
		x = convert(x, dtypes.Float32)
	}
	if x.Shape().Size() == 0 {
		return emptyOf(c, to.kept, x.Shape().Dimensions)
	}
	zero := c.maybe(2)
	if zero != nil {
		zero = c.perBlock(zero, x)
	}
	scale = c.perBlock(scale, x)

	if p := c.int("precision", 0); p != 0 { // the quotient is rounded to this type
		d := castTo(p)
		need(d.IsFloat(), "precision %s is not a type of floats", d)
		x = graph.Div(convert(x, d), convert(scale, d))
		return quantize(ops.Widen(x), scalar(ops.Widen(x), 1), zero, to)
	}
	return quantize(ops.Widen(x), scale, zero, to)
}

// quantized is the type that QuantizeLinear gives: that of the zero point, or of output_dtype.
func (c *call) quantized() steps {
	named := onnx.DataType(c.int("output_dtype", 0))
	if !c.has(2) {
		if to, ok := fourBits[named]; ok {
			return to
		}
		if named != 0 {
			return stepsOf(castTo(int(named)))
		}
		return stepsOf(dtypes.Uint8)
	}

	to := stepsOf(c.x(2).DType())
	is := typeOf(to.kept)
	if four, ok := fourBits[c.in[2].narrow]; ok {
		to, is = four, c.in[2].narrow
	}
	need(named == 0 || named == is, "output_dtype is %s, the zero point %s", named, is)
	return to
}

// perBlock lays scales or zero points over x: one for all, one for each element of the attribute axis, or with block_size one for each
// block of as many elements along it.
func (c *call) perBlock(v, x *node) *node {
	axis, size := c.int("axis", 1), c.int("block_size", 0)
	need(size >= 0, "block_size %d", size)
	if size == 0 {
		return along(v, x, axis)
	}

	axis = axisIn(axis, x.Rank())
	d := x.Shape().Dimensions
	want := slices.Clone(d)
	want[axis] = (d[axis] + size - 1) / size
	need(slices.Equal(v.Shape().Dimensions, want), "%v for blocks of %d along axis %d of %v, want %v", v.Shape().Dimensions, size, axis, d, want)

	wide := slices.Insert(slices.Clone(want), axis+1, size)
	room(v.DType(), wide...)
	v = graph.BroadcastToDims(graph.ExpandAxes(v, axis+1), wide...)
	want[axis] *= size
	return cutAxis(graph.Reshape(v, want...), axis, 0, d[axis], 1)
}

// dequantizeLinear is (x - zero) scale, computed in float32 or wider from a difference of integers.
func dequantizeLinear(c *call) *node {
	x, scale := c.x(0), c.x(1)
	d := scale.DType()
	if named := c.int("output_dtype", 0); named != 0 {
		d = castTo(named)
		need(d.IsFloat(), "output_dtype %s is not a type of floats", d)
	}
	if x.Shape().Size() == 0 {
		return emptyOf(c, d, x.Shape().Dimensions)
	}

	zero := c.maybe(2)
	if zero != nil {
		zero = c.perBlock(zero, x)
	}
	switch {
	case x.DType().IsFloat():
		refuse("it takes integers, got %s", x.DType())
	case zero != nil:
		wide := dtypes.Int32
		if x.DType().Size() > 2 {
			wide = dtypes.Int64
		}
		x = graph.Sub(convert(x, wide), convert(zero, wide))
	}
	scale = ops.Widen(c.perBlock(scale, x))
	return convert(graph.Mul(convert(x, scale.DType()), scale), d)
}

func dynamicQuantize(c *call) []*node {
	x := c.x(0)
	need(x.DType().IsFloat() && x.Shape().Size() > 0, "its input is %s, want floats", x.Shape())
	zero := scalar(x, 0)
	high, low := larger(graph.ReduceAllMax(x), zero), smaller(graph.ReduceAllMin(x), zero)
	scale := times(graph.Sub(high, low), 1.0/255)
	scale = graph.Where(graph.Equal(scale, zero), scalar(x, 1), scale) // of zeros alone
	point := convert(hard(ops.Round(graph.Div(graph.Neg(low), scale)), 0, 255), dtypes.Uint8)
	return []*node{quantize(x, scale, point, stepsOf(dtypes.Uint8)), scale, point}
}

// counts are quantised numbers less their zero point, which has one element or one for each of an axis: integers, in floats that hold
// the sums of that many products exactly.
func (c *call) counts(x, zero, axis, products int) *node {
	d := dtypes.Float64
	if products <= 1<<24/(255*255) {
		d = dtypes.Float32
	}
	v := convert(c.x(x), d)
	if z := c.maybe(zero); z != nil {
		v = graph.Sub(v, along(convert(z, d), v, axis))
	}
	return v
}

// requantized is what sums of products stand for in another scale: they are counted in steps of a times b. scales are the places of a's
// input, of b's, of the output's and of its zero point.
func (c *call) requantized(sums *node, scales [4]int, aAxis, bAxis, axis int) *node {
	d := sums.Shape().Dimensions
	sums = convert(sums, dtypes.Float64)
	single := func(i, axis int) *node {
		return expandTo(along(convert(c.x(i), dtypes.Float64), sums, axis), d)
	}
	y := graph.Div(graph.Mul(sums, graph.Mul(single(scales[0], aAxis), single(scales[1], bAxis))), single(scales[2], axis))
	to := stepsOf(c.x(scales[3]).DType())
	return cast(hard(graph.Add(ops.Round(y), single(scales[3], axis)), to.low, to.high), to.kept)
}

// convSums are the sums of a convolution of counts, and matMulSums those of a product.
func (c *call) convSums(x, xZero, k, kZero int) *node {
	products := c.x(k).Shape().Size() / max(1, c.x(k).Shape().Dim(0))
	return convOf(c, c.counts(x, xZero, 1, products), c.counts(k, kZero, 0, products))
}

func (c *call) matMulSums(a, aZero, b, bZero int) *node {
	products := c.x(a).Shape().Dim(-1)
	return matMul(c.counts(a, aZero, -2, products), c.counts(b, bZero, -1, products))
}

func convInteger(c *call) *node { return convert(c.convSums(0, 2, 1, 3), dtypes.Int32) }

func quantizedConv(c *call) *node {
	sums := c.convSums(0, 2, 3, 5)
	if b := c.maybe(8); b != nil { // of 32 bits
		sums = addBias(convert(sums, dtypes.Float64), convert(b, dtypes.Float64))
	}
	return c.requantized(sums, [4]int{1, 4, 6, 7}, 1, 1, 1)
}

func matMulInteger(c *call) *node { return convert(c.matMulSums(0, 2, 1, 3), dtypes.Int32) }

func quantizedMatMul(c *call) *node {
	return c.requantized(c.matMulSums(0, 2, 3, 5), [4]int{1, 4, 6, 7}, -2, -1, -2)
}

func quantizedOps() map[string]operator {
	return map[string]operator{
		"QuantizeLinear": one(quantizeLinear), "DequantizeLinear": one(dequantizeLinear), "DynamicQuantizeLinear": many(dynamicQuantize),
		"ConvInteger": one(convInteger), "QLinearConv": one(quantizedConv),
		"MatMulInteger": one(matMulInteger), "QLinearMatMul": one(quantizedMatMul),
	}
}
