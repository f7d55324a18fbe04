package merge

import (
	"math"
	"testing"
)

// Models that are equal, opposite or cancel out have no angle, or no share, to speak of: what comes out is finite and small.
func TestDegenerate(t *testing.T) {
	a := []float32{0.3, -1.7, 0.9, 2.2, -0.4, 1.1}
	times := func(k float32) []float32 {
		x := make([]float32, len(a))
		for i, v := range a {
			x[i] = k * v
		}
		return x
	}
	near := func(name string, m Method, base []float32, models [][]float32, want func(i int) float64) {
		t.Helper()
		got, err := Values(m, Target{Name: "w", Shape: []int{2, 3}}, base, models)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i, v := range got {
			if !(math.Abs(float64(v)-want(i)) < 1e-5) {
				t.Errorf("%s: [%d] is %v, want %v", name, i, v, want(i))
			}
		}
	}
	for _, k := range []float32{-3, -1.3, -1, -0.7, 1, 1.3} {
		for _, m := range []NuSLERP{{Flatten: true}, {}, {RowWise: true}} {
			m.Weight = []float64{0.6, 0.4}
			near("nuslerp", m, nil, [][]float32{a, times(k)}, func(i int) float64 { return float64(a[i]) * (0.6 + 0.4*float64(k)) })
		}
		near("slerp", SLERP{T: 0.4, DotThreshold: 1, NormEpsilon: 1e-8}, nil, [][]float32{a, times(k)}, func(i int) float64 { return float64(a[i]) * (0.6 + 0.4*float64(k)) })
	}
	for _, rows := range []bool{false, true} {
		near("model_stock", ModelStock{FilterWise: rows}, make([]float32, 6), [][]float32{a, times(-1)}, func(int) float64 { return 0 })
	}
	// One sum is 0, of the others one is positive and one negative: no sign is that of most, and - is taken.
	delta, _ := ResearchTIES([]float32{0, 0, 0}, [][]float32{{1, 2, 3}, {-1, -4, 3}, {0, 0, 0}}, 1)
	for i, want := range []float32{-1, -4, 3} {
		if delta[i] != want {
			t.Errorf("research TIES: [%d] is %v, want %v", i, delta[i], want)
		}
	}
}
