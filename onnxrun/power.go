package onnxrun

import (
	"fmt"
	"math/bits"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
)

// integerPower is x^y for integers x: exact, modulo 2 to the bits of the type, where y is a whole number. A negative exponent
// leaves 1 and -1, and 0 of all others; of 0 the run ends with an error. Else it is float64's, the fraction cut off.
func (c *call) integerPower(x, y *node) *node {
	if !y.DType().IsFloat() {
		return c.wholePower(x, y)
	}

	y = convert(y, dtypes.Float64)
	whole := graph.Equal(y, graph.Floor(y))
	part := saturated(graph.Pow(convert(x, dtypes.Float64), y), x.DType())
	return graph.Where(whole, c.wholePower(x, saturated(y, dtypes.Int64)), part)
}

// wholePower multiplies squares of x, one for each bit of y.
func (c *call) wholePower(x, y *node) *node {
	if y.DType() == dtypes.Uint64 { // beyond 2^63 only the last bits count, as powers repeat
		y = graph.BitwiseAnd(y, graph.Const(c.g, uint64(1<<62-1)))
	}
	y = convert(y, dtypes.Int64)
	zero := graph.ZerosLike(y)
	negative := graph.LessThan(y, zero)
	nought := graph.Equal(x, graph.ZerosLike(x))
	c.watch(convert(graph.LogicalAnd(negative, nought), dtypes.Int32), func(_, high int64) error {
		if high == 0 {
			return nil
		}
		return fmt.Errorf("it raises 0 to a negative power; give inputs without")
	})

	steps := 63
	if v := c.in[1]; v.known != nil && !v.known.DType().IsFloat() {
		steps = 0
		for _, n := range tensorInts(v.known) {
			steps = max(steps, bits.Len64(uint64(max(n, 0))))
		}
	}
	result, square := graph.OnesLike(x), x
	rest := graph.Where(negative, zero, y)
	for range steps {
		odd := graph.NotEqual(graph.BitwiseAnd(rest, scalar(rest, 1)), zero)
		result = graph.Where(odd, graph.Mul(result, square), result)
		square = graph.Mul(square, square)
		rest = graph.BitwiseShiftRightLogical(rest, scalar(rest, 1))
	}

	one := graph.OnesLike(x)
	inverse := graph.Where(graph.Equal(x, one), one, graph.ZerosLike(x))
	if !x.DType().IsUnsigned() {
		minus := graph.Equal(x, graph.Neg(one))
		even := graph.Equal(graph.BitwiseAnd(y, scalar(y, 1)), zero)
		inverse = graph.Where(minus, graph.Where(even, one, x), inverse)
	}
	return graph.Where(negative, inverse, result)
}
