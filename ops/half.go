package ops

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
)

// leastNormalHalf is the least number that float16 has with all its 11 bits. Below it float16 has the multiples of 2^-24.
const leastNormalHalf = 0x1p-14

// Narrow converts x to a type of elements, floats rounded to nearest, ties to even. It is graph.ConvertDType, but that of the Go engine
// makes zeros of all numbers below 2^-14 where the type is float16; here they are the multiples of 2^-24 that float16 has there. Those
// numbers have no gradient.
func Narrow(x *graph.Node, d dtypes.DType) *graph.Node {
	y := graph.ConvertDType(x, d)
	if d != dtypes.Float16 || x.DType() == d || !x.DType().IsFloat() || !onGo(x) || x.Shape().Size() == 0 {
		return y
	}

	// Float32 has the multiples of 2^-24 and no others between 1/2 and 1: the sum is rounded to one, and their number is in its bits.
	x = graph.ConvertDType(graph.StopGradient(x), dtypes.Float32)
	size := graph.Abs(x)
	half := graph.Scalar(x.Graph(), dtypes.Uint32, float64(math.Float32bits(0.5)))
	steps := graph.ConvertDType(graph.Sub(graph.Bitcast(graph.AddScalar(size, 0.5), dtypes.Uint32), half), dtypes.Uint16)
	sign := graph.Scalar(x.Graph(), dtypes.Uint16, 0x8000)
	negative := graph.LessThan(x, graph.ScalarZero(x.Graph(), dtypes.Float32))
	bits := graph.Where(negative, graph.Add(steps, sign), steps)

	least := graph.Scalar(x.Graph(), dtypes.Float32, leastNormalHalf)
	small := graph.LogicalAnd(graph.LessThan(size, least), graph.GreaterThan(size, graph.ScalarZero(x.Graph(), dtypes.Float32)))
	return graph.Where(small, graph.Bitcast(bits, dtypes.Float16), y)
}
