package merge

import (
	"math"
	"sync"

	"github.com/ballast-ml/ballast/internal/vector"
)

// combine is sum c_i x_i, without those whose coefficient is 0, so that one model alone keeps its bits. The conversions forbid the fused
// multiply-add of some machines: results are the same on all.
func combine(dst []float32, c []float64, x [][]float32) {
	first := true
	for i, v := range x {
		switch k := float32(c[i]); {
		case c[i] == 0:
		case first && k == 1:
			copy(dst, v)
			first = false
		case first:
			vector.ScaleTo(dst, k, v)
			first = false
		default:
			vector.AddScaled(dst, k, v)
		}
	}
	if first {
		clear(dst)
	}
}

// subtract makes x the difference x - base.
func subtract(x, base []float32) { vector.AddScaledTo(x, x, -1, base) }

// deltas makes all models of a block differences from its base.
func (b Block) deltas() {
	for _, x := range b.Models {
		subtract(x, b.Base)
	}
}

// gram is the inner products of all pairs (i <= j), row by row, in float64.
func gram(dst []float64, x [][]float32) {
	k := 0
	for i := range x {
		for j := i; j < len(x); j++ {
			dst[k] += dot(x[i], x[j])
			k++
		}
	}
}

// orderedSum adds float64 numbers block by block in the order of the blocks, whichever goroutine comes first: the sum has always the same
// bits.
type orderedSum struct {
	mu    sync.Mutex
	turn  *sync.Cond
	next  int
	total []float64
}

func newOrderedSum(n int) *orderedSum {
	s := &orderedSum{total: make([]float64, n)}
	s.turn = sync.NewCond(&s.mu)
	return s
}

func (s *orderedSum) add(block int, part []float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.next != block {
		s.turn.Wait()
	}
	for i, v := range part {
		s.total[i] += v
	}
	s.next++
	s.turn.Broadcast()
}

// grams is the symmetric matrix of the inner products of n vectors.
type grams struct {
	n   int
	sum *orderedSum
}

func newGrams(n int) grams { return grams{n, newOrderedSum(n * (n + 1) / 2)} }

func (g grams) add(block int, x [][]float32) {
	part := make([]float64, len(g.sum.total))
	gram(part, x)
	g.sum.add(block, part)
}

// matrix is the whole of it.
func (g grams) matrix() [][]float64 { return square(g.n, g.sum.total) }

func square(n int, upper []float64) [][]float64 {
	m := make([][]float64, n)
	for i := range m {
		m[i] = make([]float64, n)
	}
	k := 0
	for i := range n {
		for j := i; j < n; j++ {
			m[i][j], m[j][i] = upper[k], upper[k]
			k++
		}
	}
	return m
}

// inner is a' G b, the inner product of two combinations of the vectors.
func inner(g [][]float64, a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		for j := range b {
			sum += a[i] * g[i][j] * b[j]
		}
	}
	return sum
}

func norm(g [][]float64, a []float64) float64 { return math.Sqrt(max(0, inner(g, a, a))) }

// spherical is a merger whose result is a linear combination with coefficients found from the inner products.
type spherical struct {
	onePass
	grams
	deltas bool // act on differences from the base, and add it
	solve  func(g [][]float64) (coefficients []float64, note string, err error)

	coefficients []float64
	note         string
}

func (s *spherical) Passes() int { return 1 }

func (s *spherical) Scan(_ int, b Block) {
	if s.deltas {
		b.deltas()
	}
	s.add(b.Index, b.Models)
}

func (s *spherical) Scanned(int) (err error) {
	s.coefficients, s.note, err = s.solve(s.matrix())
	return err
}

func (s *spherical) Merge(dst []float32, b Block) {
	if s.deltas {
		b.deltas()
	}
	combine(dst, s.coefficients, b.Models)
	if s.deltas {
		vector.AddScaled(dst, 1, b.Base)
	}
}

func (s *spherical) Notes() []string {
	if s.note == "" {
		return nil
	}
	return []string{s.note}
}
