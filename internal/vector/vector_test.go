package vector

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestKernels compares the loops that this machine uses with the plain ones: every bit.
func TestKernels(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	draw := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		return x
	}
	same := func(what string, n int, a, b []float32) {
		t.Helper()
		if !slices.EqualFunc(a, b, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
			t.Errorf("%s of %d values differs", what, n)
		}
	}

	for n := range 70 {
		x, y := draw(n), draw(n)
		a, b := make([]float32, n), make([]float32, n)
		ScaleTo(a, 0.3, x)
		scaleToPlain(b, 0.3, x)
		same("ScaleTo", n, a, b)

		AddScaledTo(a, y, 0.7, x)
		addScaledToPlain(b, y, 0.7, x)
		same("AddScaledTo", n, a, b)

		copy(b, y)
		AddScaled(b, 0.7, x)
		same("AddScaled", n, a, b)
	}
}
