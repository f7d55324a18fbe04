package metric

import (
	"fmt"
	"math"
)

// Embedding measures how well vectors find others of their class. It keeps the vectors; the numbers compare each with every other.
type Embedding struct {
	Dim int // of a vector

	vectors []float32
	labels  []int32
}

var _ Measure = (*Embedding)(nil)

// Add takes vectors [n, Dim] and labels [n].
func (e *Embedding) Add(out []float32, labels []int32, _ []float32) error {
	if err := checkVectors(out, len(labels), e.Dim); err != nil {
		return err
	}
	e.vectors = append(e.vectors, out...)
	e.labels = append(e.labels, labels...)
	return nil
}

// Numbers are the shares that Retrieve computes. They are NaN while no class has two vectors.
func (e *Embedding) Numbers() []Number {
	r, err := Retrieve(e.vectors, e.labels, e.Dim, 1)
	if err != nil {
		r = Retrieval{Recall: []float64{math.NaN()}, RPrecision: math.NaN(), MAPAtR: math.NaN()}
	}
	return []Number{
		{Name: "recall_at_1", Title: "recall@1", Value: r.Recall[0], Better: Higher, Unit: Share},
		{Name: "r_precision", Title: "R-precision", Value: r.RPrecision, Better: Higher, Unit: Share},
		{Name: "map_at_r", Title: "MAP@R", Value: r.MAPAtR, Better: Higher, Unit: Share},
	}
}

// checkVectors refuses vectors [n, dim] that do not fit n labels or are not finite.
func checkVectors[F Float](vectors []F, n, dim int) error {
	switch {
	case n == 0:
		return fmt.Errorf("metric: no vectors")
	case dim < 1 || len(vectors) != n*dim:
		return fmt.Errorf("metric: %d values for %d vectors of %d; want %d", len(vectors), n, dim, n*max(dim, 0))
	}
	for i, v := range vectors {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return fmt.Errorf("metric: vector %d: value %d is %v; vectors must be finite", i/dim, i%dim, v)
		}
	}
	return nil
}

// unit returns vectors [n, dim] of length 1, in float64. One of length 0 stays as it is.
func unit[F Float](vectors []F, dim int) []float64 {
	const least = 1e-12
	out := make([]float64, len(vectors))
	for from := 0; from < len(vectors); from += dim {
		row := out[from : from+dim]
		// The largest value is taken out first, so that no square overflows or vanishes.
		top := 0.0
		for k, v := range vectors[from : from+dim] {
			row[k] = float64(v)
			top = max(top, math.Abs(row[k]))
		}
		if top < least {
			clear(row)
			continue
		}
		sum := 0.0
		for k := range row {
			row[k] /= top
			sum += row[k] * row[k]
		}
		for k := range row {
			row[k] /= math.Sqrt(sum)
		}
	}
	return out
}

// dot is the inner product of two vectors of one length, always in the same order.
func dot(a, b []float64) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	k := 0
	for ; k+4 <= len(a); k += 4 {
		s0 += a[k] * b[k]
		s1 += a[k+1] * b[k+1]
		s2 += a[k+2] * b[k+2]
		s3 += a[k+3] * b[k+3]
	}
	for ; k < len(a); k++ {
		s0 += a[k] * b[k]
	}
	return (s0 + s1) + (s2 + s3)
}

// Utilization is the mean over the queries of the squared distance to the nearest training vector, all of length 1: lower means that
// training covered the space in which the queries lie. queries is [q, dim], training [n, dim]. In [0,4].
// Source: Venkataramanan et al., "It Takes Two to Tango: Mixup for Deep Metric Learning", arXiv 2106.04990.
func Utilization[F Float](queries, training []F, dim int) (float64, error) {
	q, n := len(queries)/max(dim, 1), len(training)/max(dim, 1)
	if err := checkVectors(queries, q, dim); err != nil {
		return 0, fmt.Errorf("queries: %w", err)
	}
	if err := checkVectors(training, n, dim); err != nil {
		return 0, fmt.Errorf("training: %w", err)
	}
	a, b := unit(queries, dim), unit(training, dim)
	nearest := make([]float64, q)
	err := inBlocks(q, pairRows, func(from, to int) error {
		for i := from; i < to; i++ {
			best := math.Inf(1)
			for j := 0; j < len(b); j += dim {
				best = min(best, squaredDistance(a[i*dim:(i+1)*dim], b[j:j+dim]))
			}
			nearest[i] = best
		}
		return nil
	})
	return mean(nearest), err
}

// Alignment is the mean squared distance of two different vectors of one class, all of length 1, over all such pairs: how close a
// class lies together. In [0,4]. Where no class has two vectors there is none, an error.
// Source: Wang, Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the Hypersphere",
// arXiv 2005.10242.
func Alignment[F Float, L Label](vectors []F, labels []L, dim int) (float64, error) {
	if err := checkVectors(vectors, len(labels), dim); err != nil {
		return 0, err
	}
	total, pairs := overPairs(unit(vectors, dim), dim,
		func(i, j int) bool { return labels[i] == labels[j] }, func(squared float64) float64 { return squared })
	if pairs == 0 {
		return 0, fmt.Errorf("metric: Alignment: no class has two vectors")
	}
	return total / float64(pairs), nil
}

// Uniformity is ln of the mean of exp(-t d^2) over all pairs of different vectors, all of length 1, d their distance: the lower, the
// more evenly they fill the sphere. t is commonly 2; at most 0, and 0 when all vectors are the same.
// Source: as Alignment.
func Uniformity[F Float](vectors []F, dim int, t float64) (float64, error) {
	n := len(vectors) / max(dim, 1)
	if err := checkVectors(vectors, n, dim); err != nil {
		return 0, err
	}
	if n < 2 || !(t > 0) || math.IsInf(t, 0) {
		return 0, fmt.Errorf("metric: Uniformity: %d vectors, t is %v; it needs 2 vectors and a finite t above 0", n, t)
	}
	total, pairs := overPairs(unit(vectors, dim), dim,
		func(int, int) bool { return true }, func(squared float64) float64 { return math.Exp(-t * squared) })
	return math.Log(total / float64(pairs)), nil
}

// squaredDistance is |a - b|^2, always added up in the same order.
func squaredDistance(a, b []float64) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	k := 0
	for ; k+4 <= len(a); k += 4 {
		d0, d1, d2, d3 := a[k]-b[k], a[k+1]-b[k+1], a[k+2]-b[k+2], a[k+3]-b[k+3]
		s0 += d0 * d0
		s1 += d1 * d1
		s2 += d2 * d2
		s3 += d3 * d3
	}
	for ; k < len(a); k++ {
		d := a[k] - b[k]
		s0 += d * d
	}
	return (s0 + s1) + (s2 + s3)
}

// overPairs adds up f of the squared distance over the pairs i < j that count, one row after the other.
func overPairs(vectors []float64, dim int, counts func(i, j int) bool, f func(squared float64) float64) (total float64, pairs int) {
	n := len(vectors) / dim
	sums, numbers := make([]float64, n), make([]int, n)
	_ = inBlocks(n, pairRows, func(from, to int) error { // f cannot fail
		for i := from; i < to; i++ {
			for j := i + 1; j < n; j++ {
				if counts(i, j) {
					sums[i] += f(squaredDistance(vectors[i*dim:(i+1)*dim], vectors[j*dim:(j+1)*dim]))
					numbers[i]++
				}
			}
		}
		return nil
	})
	for i := range n {
		total += sums[i]
		pairs += numbers[i]
	}
	return total, pairs
}
