package onnxrun

import (
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/format/onnx"
)

// numbersOf are the elements of a tensor.
func numbersOf(x *tensors.Tensor) []float64 { return (&call{in: []*value{{known: x}}}).floats(0) }

// wide is a case whose inputs of a type are those of a 16-bit type d, times a factor that it holds; and one where they are of float32.
func (c *schemaCase) wide(t *testing.T, from, d dtypes.DType, factor float64) (narrow, wide *schemaCase) {
	t.Helper()
	of := func(to dtypes.DType) *schemaCase {
		k := *c
		k.in = nil
		m, err := onnx.Parse(c.model)
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range c.in {
			if x.DType() == from {
				v := numbersOf(x)
				for j := range v {
					v[j] *= factor
				}
				x = made(to, numbersOf(made(d, v, x.Shape().Dimensions...)), x.Shape().Dimensions...)
			} else {
				x = ofBytes(x.DType(), bytesIn(x), x.Shape().Dimensions...)
			}
			k.in = append(k.in, x)
			m.Graph.Inputs[i].Type = typeOf(x.DType())
		}
		k.parsed = m
		return &k
	}
	return of(d), of(dtypes.Float32)
}

// stepsApart compares with what float32 gives, rounded: no more than one step of the type apart, or what float32 itself leaves open.
func stepsApart(got, want *tensors.Tensor) error {
	if !slices.Equal(got.Shape().Dimensions, want.Shape().Dimensions) {
		return fmt.Errorf("shape %s, want %s", got.Shape(), want.Shape())
	}
	bits, least := 10, 0x1p-24
	if got.DType() == dtypes.BFloat16 {
		bits, least = 7, 0x1p-133
	}
	a, b := numbersOf(got), numbersOf(want)
	top := 0.0
	for _, v := range b {
		if !math.IsInf(v, 0) {
			top = math.Max(top, math.Abs(v))
		}
	}
	for i := range a {
		if math.IsNaN(a[i]) && math.IsNaN(b[i]) || a[i] == b[i] {
			continue
		}
		step := math.Max(least, math.Exp2(math.Floor(math.Log2(math.Abs(b[i])))-float64(bits)))
		if math.IsInf(a[i], 0) && math.Abs(b[i]) >= 65504 && bits == 10 {
			continue
		}
		if !(math.Abs(a[i]-b[i]) <= step+1e-6*top) {
			return fmt.Errorf("element %d is %v, want %v", i, a[i], b[i])
		}
	}
	return nil
}

// norms are the operators that bring numbers to one mean and size.
var norms = []string{
	"BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization", "LpNormalization", "MeanVarianceNormalization",
	"RMSNormalization", "LRN",
}

// Every operator of floats gives for 16-bit inputs what it gives for the same numbers in float32, rounded once, to a step of the type;
// for small numbers too, of which float16 keeps fewer bits. Of an engine that compiles the norms do, one case each where not all are walked.
func TestHalf(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		host := e.Kind == engine.KindGo
		ran, seen := map[float64]int{}, map[string]bool{}
		for _, c := range schemaCases(t) {
			d := map[string]dtypes.DType{"float16": dtypes.Float16, "bfloat16": dtypes.BFloat16}[c.Type[1]]
			from, norm := d, slices.Contains(norms, c.Op)
			if norm && c.Type[0] == "" { // all its floats as those of 16 bits
				from, d = dtypes.Float32, dtypes.Float16
			}
			if d == dtypes.InvalidDType || c.Op == "Cast" || !host && (!norm || seen[c.Op] && os.Getenv("BALLAST_TEST_WALK") != "all") {
				continue
			}
			seen[c.Op] = true
			factors := []float64{1, 0x1p-12, 0x1p-20}
			if !host {
				factors = factors[:1]
			}
			for _, factor := range factors {
				narrow, wide := c.wide(t, from, d, factor)
				opset := c.Opsets[len(c.Opsets)-1]
				want, err := wide.outputs(t, e, opset)
				if err != nil {
					continue // float32 is not a type of the operator, or of it beside the others
				}
				got, err := narrow.outputs(t, e, opset)
				if err != nil {
					t.Errorf("%s, times %v: %v", c, factor, err)
					continue
				}
				ran[factor]++
				for i := range got {
					if got[i].DType() != d {
						continue
					}
					if err := stepsApart(got[i], want[i]); err != nil {
						t.Errorf("%s, times %v, output %d: %v", c, factor, i, err)
					}
				}
			}
		}
		if host && (ran[1] < 300 || ran[0x1p-20] < 300) || len(seen) < len(norms) {
			t.Errorf("%v cases ran", ran)
		}
	})
}
