package ops_test

import (
	"math"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/float16"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/ops"
)

// nearestHalf is the float16 number nearest to x, the even one of two, by its definition: the multiples of a step that depends on x's size.
func nearestHalf(x float64) float64 {
	size := math.Abs(x)
	if size >= 65520 || math.IsNaN(x) {
		return math.Copysign(math.Inf(1), x)
	}
	step := 0x1p-24
	if size >= 0x1p-14 {
		step = math.Exp2(math.Floor(math.Log2(size)) - 10)
	}
	return math.Copysign(math.RoundToEven(size/step)*step, x)
}

// numberOfHalf is the number that bits of float16 stand for.
func numberOfHalf(bits uint16) float64 {
	v := math.Ldexp(float64(bits&0x3ff), -24)
	switch e := int(bits>>10) & 31; {
	case e == 31:
		v = math.Inf(1)
	case e > 0:
		v = math.Ldexp(float64(bits&0x3ff|0x400), e-25)
	}
	if bits&0x8000 != 0 {
		return -v
	}
	return v
}

// Every number of float16 comes through a wider type as it is, and what lies between two is rounded to the nearer one, the even one of
// two; below 2^-14 as well.
func TestNarrow(t *testing.T) {
	var x []float64
	for i := range 0x7c00 {
		v := numberOfHalf(uint16(i))
		x = append(x, v, -v)
		if i < 2048 || i%7 == 0 {
			step := 0x1p-24 * math.Exp2(math.Max(0, float64(i>>10)-1))
			x = append(x, v+step/2, -v-step/2, v+step/4, v+step*0.75)
		}
	}
	x = append(x, math.Copysign(0, -1), 0x1p-26, -0x1p-26, 0x1p-25*1.5, 65519, 65520, 1e9, -1e9)

	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, from := range []dtypes.DType{dtypes.Float32, dtypes.Float64} {
			out, err := graph.CallOnce(e, func(in *graph.Node) *graph.Node {
				return ops.Narrow(graph.ConvertDType(in, from), dtypes.Float16)
			}, x)
			if err != nil {
				t.Fatal(err)
			}
			for i, half := range tensors.MustCopyFlatData[float16.Float16](out) {
				got := numberOfHalf(half.Bits())
				if want := nearestHalf(x[i]); got != want || math.Signbit(got) != math.Signbit(want) {
					t.Fatalf("%s %v is %v, want %v", from, x[i], got, want)
				}
			}
		}
	})
}
