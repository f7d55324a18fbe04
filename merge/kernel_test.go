package merge

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
			if r.IntN(4) == 0 {
				x[i] = float32(r.IntN(3)-1) * 0.5 // zeros and equal magnitudes
			}
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
		if p, q := dot(x, y), dotPlain(x, y); p != q {
			t.Errorf("dot of %d values is %v and %v", n, p, q)
		}
		if p, q := countEqual(x, math.Float32bits(0.5)), countEqualPlain(x, math.Float32bits(0.5)); p != q {
			t.Errorf("countEqual of %d values is %d and %d", n, p, q)
		}
		if p, q := sumMagnitudes(x), sumMagnitudesPlain(x); p != q {
			t.Errorf("sumMagnitudes of %d values is %v and %v", n, p, q)
		}
		copy(a, x)
		copy(b, x)
		clearBelow(a, math.Float32bits(0.5))
		clearBelowPlain(b, math.Float32bits(0.5))
		same("clearBelow", n, a, b)
		for _, limit := range []uint32{0, 1, 1 << 31, 3 << 30, math.MaxUint32} {
			copy(a, x)
			copy(b, x)
			first := r.Uint64()
			dropPairs(a[:n&^1], first, limit)
			dropPairsPlain(b[:n&^1], first, limit)
			same("dropPairs", n, a, b)
		}
		p, q := new(histogram), new(histogram)
		countUpper(p, x, math.Float32bits(0.5)>>16)
		countUpperPlain(q, x, math.Float32bits(0.5)>>16)
		if *p != *q {
			t.Errorf("countUpper of %d values differs", n)
		}
		for _, normalize := range []bool{false, true} {
			z := [][]float32{x, y, draw(n)}
			elect(a, z, []float64{1, 0.5, -0.25}, normalize)
			electPlain(b, z, []float32{1, 0.5, -0.25}, normalize, 0)
			same("elect", n, a, b)
		}
	}
}

// TestRanking compares the exact selection with sorting, with many equal magnitudes.
func TestRanking(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		n := 1 + r.IntN(400)
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.IntN(9)-4) * 0.25
			if r.IntN(3) == 0 {
				x[i] = float32(r.NormFloat64())
			}
		}
		k := r.IntN(n + 1)
		order := make([]int, n)
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int {
			p, q := math.Abs(float64(x[a])), math.Abs(float64(x[b]))
			switch {
			case p > q:
				return -1
			case p < q:
				return 1
			}
			return 0
		})
		want := make([]float32, n)
		for _, i := range order[:k] {
			want[i] = x[i]
		}
		const length = 37 // elements of a block
		rank := ranking{n: n}
		rank.ask(0, k)
		for pass := range rank.passes() {
			for b := 0; b*length < n; b++ {
				rank.scan(pass, Block{Index: b, At: b * length, Models: [][]float32{x[b*length : min(n, (b+1)*length)]}})
			}
			rank.scanned(pass)
		}
		got := slices.Clone(x)
		for b := 0; b*length < n; b++ {
			rank.questions[0].keep(got[b*length:min(n, (b+1)*length)], n, b)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("the %d largest of %v are %v, want %v", k, x, got, want)
		}
	}
}
