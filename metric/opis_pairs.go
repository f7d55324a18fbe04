package metric

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// vectorPairs are all pairs of vectors. Distances are computed each time the pairs are gone through: those of 10,000 vectors would take
// 400 MB.
type vectorPairs struct {
	unit      []float64 // [n, dim], of length 1
	dim       int
	class     []int // of each vector, a place in labels
	labels    []int // of the classes, ascending
	sizes     []int // vectors of each class
	curves    []int // the classes that have a curve
	negatives int   // pairs of different classes
}

// pairsOf checks the vectors and sorts out their classes.
func pairsOf[F Float, L Label](o OPIS, vectors []F, labels []L, dim int) (*vectorPairs, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := checkVectors(vectors, len(labels), dim); err != nil {
		return nil, err
	}
	p := &vectorPairs{unit: unit(vectors, dim), dim: dim, class: make([]int, len(labels))}
	for _, l := range labels {
		p.labels = append(p.labels, int(l))
	}
	slices.Sort(p.labels)
	p.labels = slices.Compact(p.labels)
	p.sizes = make([]int, len(p.labels))
	for i, l := range labels {
		p.class[i], _ = slices.BinarySearch(p.labels, int(l))
		p.sizes[p.class[i]]++
	}

	n := len(labels)
	p.negatives = n * (n - 1) / 2
	for c, size := range p.sizes {
		p.negatives -= size * (size - 1) / 2
		if size >= o.MinClassSize {
			p.curves = append(p.curves, c)
		}
	}
	if len(p.curves) < 2 {
		return nil, fmt.Errorf("metric: OPIS: %d classes have %d vectors or more; it compares classes, so it needs 2 of them", len(p.curves), o.MinClassSize)
	}
	return p, nil
}

// count goes through all pairs i < j on all processors. visit adds to the counts of its processor, which are added up in the end: whole
// numbers, so the order of the pairs does not matter.
func (p *vectorPairs) count(size int, visit func(counts []int, i, j int, distance float64)) []int {
	n := len(p.class)
	var next atomic.Int64
	var wg sync.WaitGroup
	const most = 16 // each has counts of its own, which with many classes are large
	parts := make([][]int, min(runtime.GOMAXPROCS(0), most))
	for w := range parts {
		parts[w] = make([]int, size)
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				row := p.unit[i*p.dim : (i+1)*p.dim]
				for j := i + 1; j < n; j++ {
					visit(parts[w], i, j, math.Sqrt(squaredDistance(row, p.unit[j*p.dim:(j+1)*p.dim])))
				}
			}
		})
	}
	wg.Wait()
	for _, part := range parts[1:] {
		for k, v := range part {
			parts[0][k] += v
		}
	}
	return parts[0]
}

// ends are the distances that take two shares of the pairs of different classes for the same: each halfway between the k-th and the next
// smallest of their distances, k the share of their number, rounded down, at least 1. Behind the last one it is that.
func (p *vectorPairs) ends(low, high float64) (from, to float64) {
	rank := func(share float64) int { return min(max(1, int(math.Floor(share*float64(p.negatives)))), p.negatives) }
	a, b := rank(low), rank(high)
	d := p.smallest(a, min(a+1, p.negatives), b, min(b+1, p.negatives))
	return (d[0] + d[1]) / 2, (d[2] + d[3]) / 2
}

// smallest are distances of pairs of different classes by their rank, from 1, as float32. The bits of a float32 that is not negative are
// in its order, so two rounds of counting, over the upper and then over the lower half of them, find any rank without keeping distances.
func (p *vectorPairs) smallest(ranks ...int) []float64 {
	const half = 1 << 16
	upper := p.count(half, func(counts []int, i, j int, distance float64) {
		if p.class[i] != p.class[j] {
			counts[math.Float32bits(float32(distance))/half]++
		}
	})
	prefix, left := make([]uint32, len(ranks)), make([]int, len(ranks))
	for r, rank := range ranks {
		left[r] = rank
		for left[r] > upper[prefix[r]] {
			left[r] -= upper[prefix[r]]
			prefix[r]++
		}
	}

	lower := p.count(half*len(ranks), func(counts []int, i, j int, distance float64) {
		if p.class[i] == p.class[j] {
			return
		}
		bits := math.Float32bits(float32(distance))
		for r, want := range prefix {
			if bits/half == want {
				counts[r*half+int(bits%half)]++
			}
		}
	})
	found := make([]float64, len(ranks))
	for r := range ranks {
		low := 0
		for left[r] > lower[r*half+low] {
			left[r] -= lower[r*half+low]
			low++
		}
		found[r] = float64(math.Float32frombits(prefix[r]*half + uint32(low)))
	}
	return found
}

// utility are the curves of the classes over ascending, evenly spaced thresholds, [class][threshold].
func (p *vectorPairs) utility(thresholds []float64) [][]float64 {
	last := len(thresholds) - 1
	low, step := thresholds[0], (thresholds[last]-thresholds[0])/float64(last)
	place := func(distance float64) int { // of the first threshold that is not below the distance, last+1 if all are
		t := int(min(max(math.Ceil((distance-low)/step), 0), float64(last+1)))
		// The division rounds: the thresholds themselves decide.
		for t > 0 && distance <= thresholds[t-1] {
			t--
		}
		for t <= last && distance > thresholds[t] {
			t++
		}
		return t
	}

	// For each class with a curve: how many pairs within it, and how many with one end in it, come in at each threshold.
	width := last + 2
	curve := make([]int, len(p.labels))
	for c := range curve {
		curve[c] = -1
	}
	for k, c := range p.curves {
		curve[c] = k
	}
	counts := p.count(2*len(p.curves)*width, func(counts []int, i, j int, distance float64) {
		a, b, t := curve[p.class[i]], curve[p.class[j]], place(distance)
		if p.class[i] == p.class[j] {
			if a >= 0 {
				counts[2*a*width+t]++
			}
			return
		}
		for _, k := range [2]int{a, b} {
			if k >= 0 {
				counts[(2*k+1)*width+t]++
			}
		}
	})

	curves := make([][]float64, len(p.curves))
	for k, c := range p.curves {
		size := p.sizes[c]
		within, across := float64(size*(size-1)/2), float64(size*(len(p.class)-size))
		taken, mistaken := 0, 0
		curves[k] = make([]float64, len(thresholds))
		for t := range thresholds {
			taken += counts[2*k*width+t]
			mistaken += counts[(2*k+1)*width+t]
			sensitivity, specificity := float64(taken)/within, 1-float64(mistaken)/across
			if sum := sensitivity + specificity; sum > 0 {
				curves[k][t] = 2 * sensitivity * specificity / sum
			}
		}
	}
	return curves
}
