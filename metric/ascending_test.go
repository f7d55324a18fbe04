package metric

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestAscending: many values are ordered as a stable sort orders them, equal ones, both zeros, the smallest number and 1 among them.
func TestAscending(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	values := make([]float64, 3*fewToSort)
	for i := range values {
		switch i % 5 {
		case 0:
			values[i] = r.Float64()
		case 1:
			values[i] = float64(r.IntN(9)) / 8
		case 2:
			values[i] = math.Ldexp(r.Float64(), -r.IntN(1070))
		case 3:
			values[i] = 1 - math.Ldexp(1, -r.IntN(53))
		default:
			values[i] = []float64{0, math.Copysign(0, -1), 1, math.SmallestNonzeroFloat64, 0.5}[r.IntN(5)]
		}
	}
	want := make([]int32, len(values))
	for i := range want {
		want[i] = int32(i)
	}
	slices.SortStableFunc(want, func(a, b int32) int { return cmp.Compare(values[a], values[b]) })
	if got := ascending(values); !slices.Equal(got, want) {
		t.Error("another order than a stable sort's")
	}

	same := slices.Repeat([]float64{0.25}, 2*fewToSort)
	if got := ascending(same); !slices.IsSorted(got) || len(got) != len(same) {
		t.Error("equal values changed places")
	}
}

func BenchmarkAscending(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	values := make([]float64, 1_000_000)
	for i := range values {
		values[i] = r.Float64()
	}
	for b.Loop() {
		ascending(values)
	}
}
