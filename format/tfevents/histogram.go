package tfevents

import (
	"fmt"
	"math"
	"slices"
	"sync"
)

// Histogram counts values in buckets. Bucket i holds the values from Limits[i-1] up to, but without, Limits[i].
type Histogram struct {
	Min, Max   float64
	Num        float64   // number of values
	Sum        float64   // of the values
	SumSquares float64   // of the values
	Limits     []float64 // upper edges
	Counts     []float64 // one a limit
}

// edges are TensorBoard's bucket edges: 0 and 1e-12 1.1^k up to 1e20, of both signs. The power is taken by repeated
// multiplication, as the other writers do, so that equal values fall into equal buckets.
var edges = sync.OnceValue(func() []float64 {
	var positive []float64
	for v := 1e-12; v < 1e20; v *= 1.1 {
		positive = append(positive, v)
	}
	out := make([]float64, 0, 2*len(positive)+1)
	for _, v := range slices.Backward(positive) {
		out = append(out, -v)
	}
	return append(append(out, 0), positive...)
})

// NewHistogram counts values in exponential buckets and keeps the buckets from one below the first occupied one to the last.
// No value, and a value that is not finite, is an error: leave those out and log how many there were. Values beyond the
// outermost edges (about 1e20) count in the outermost buckets.
func NewHistogram(values []float64) (Histogram, error) {
	if len(values) == 0 {
		return Histogram{}, fmt.Errorf("tfevents: histogram of no values; log it when there are some")
	}
	edge := edges()
	counts := make([]float64, len(edge)-1)
	h := Histogram{Min: values[0], Max: values[0], Num: float64(len(values))}
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return Histogram{}, fmt.Errorf("tfevents: histogram: value %d is %v; leave out what is not finite", i, v)
		}
		h.Min, h.Max = min(h.Min, v), max(h.Max, v)
		h.Sum += v
		h.SumSquares += v * v
		// The bucket is the last whose lower edge is at most v.
		at, exact := slices.BinarySearch(edge, v)
		if !exact {
			at--
		}
		counts[min(max(at, 0), len(counts)-1)]++
	}
	first := slices.IndexFunc(counts, func(n float64) bool { return n > 0 })
	last := len(counts) - 1
	for counts[last] == 0 {
		last--
	}
	if first == 0 { // there is no bucket to its left: make one
		h.Counts = append([]float64{0}, counts[:last+1]...)
		h.Limits = slices.Clone(edge[:last+2])
		return h, nil
	}
	h.Counts = slices.Clone(counts[first-1 : last+1])
	h.Limits = slices.Clone(edge[first : last+2])
	return h, nil
}
