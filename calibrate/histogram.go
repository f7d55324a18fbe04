package calibrate

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/metric"
)

// HistogramBinning replaces each class's probability by how often the class was the label among the examples whose probability fell into the
// same bin:
//
//	q_k = (examples of class k in the bin) / (examples in the bin), probabilities q_k / sum of q
//
// Bins are (low, high], the first with 0. An empty bin keeps its middle. A probability is at least Floor before the division. Answers may
// change, and equal probabilities arise. Source: Zadrozny, Elkan, "Obtaining calibrated probability estimates from decision trees and naive
// Bayesian classifiers", ICML 2001.
type HistogramBinning struct {
	Bins    int            `json:"bins"`    // of a class; 15
	Binning metric.Binning `json:"binning"` // equal-width or equal-mass; equal-width
}

var _ Method = HistogramBinning{}

// NewHistogramBinning returns the defaults.
func NewHistogramBinning() HistogramBinning {
	return HistogramBinning{Bins: metric.DefaultBins, Binning: metric.EqualWidth}
}

// Validate reports what is wrong with the options.
func (h HistogramBinning) Validate() error {
	if h.Bins < 1 || h.Bins > 1<<20 {
		return fmt.Errorf("calibrate: bins is %d; use 1 to %d, commonly %d", h.Bins, 1<<20, metric.DefaultBins)
	}
	if known := []string{string(metric.EqualWidth), string(metric.EqualMass)}; !slices.Contains(known, string(h.Binning)) {
		return fmt.Errorf("calibrate: binning: %w", choice.NewUnknown("binning", string(h.Binning), known))
	}
	return nil
}

// Fit counts. There is an answer for any number of examples.
func (h HistogramBinning) Fit(x Examples) (Result, error) {
	if err := errors.Join(h.Validate(), x.check()); err != nil {
		return Result{}, err
	}
	p, k := append([]float64(nil), x.Logits...), x.Classes
	if err := rows(p, k, func(row []float64) { softmax(row, row) }); err != nil {
		return Result{}, err
	}
	fitted := HistogramMap{Edges: make([][]float64, k), Values: make([][]float64, k)}
	_ = each(k, func(c int) { fitted.Edges[c], fitted.Values[c] = h.class(p, x.Labels, c, k) })
	return Result{Fitted: FittedChoice{fitted}}.judged(x)
}

// class is the inner edges of one class's bins, and the value of each bin.
func (h HistogramBinning) class(p []float64, labels []int32, c, classes int) (edges, values []float64) {
	edges = []float64{}
	if h.Binning == metric.EqualMass {
		sorted := make([]float64, len(labels))
		for i := range sorted {
			sorted[i] = p[i*classes+c]
		}
		slices.Sort(sorted)
		for b := 1; b < h.Bins; b++ { // an edge is halfway between two examples; equal ones share a bin
			at := b*len(sorted)/h.Bins - 1
			if at < 0 {
				continue
			}
			next := sort.Search(len(sorted), func(i int) bool { return sorted[i] > sorted[at] })
			if next < len(sorted) {
				edges = append(edges, sorted[at]+(sorted[next]-sorted[at])/2)
			}
		}
		edges = slices.Compact(edges)
	} else {
		for b := 1; b < h.Bins; b++ {
			edges = append(edges, float64(b)/float64(h.Bins))
		}
	}

	values = make([]float64, len(edges)+1)
	counts := make([]float64, len(values))
	for i, label := range labels {
		bin := sort.SearchFloat64s(edges, p[i*classes+c])
		counts[bin]++
		if int(label) == c {
			values[bin]++
		}
	}
	for b := range values {
		if counts[b] > 0 {
			values[b] /= counts[b]
			continue
		}
		low, high := 0.0, 1.0
		if b > 0 {
			low = edges[b-1]
		}
		if b < len(edges) {
			high = edges[b]
		}
		values[b] = (low + high) / 2
	}
	return edges, values
}

// HistogramMap is fitted histogram binning.
type HistogramMap struct {
	Edges  [][]float64 `json:"edges"`  // inner edges, rising [classes][bins - 1]; bin b is (edge b-1, edge b]
	Values [][]float64 `json:"values"` // [classes][bins], in [0,1]
}

// Apply writes the logarithms of the probabilities.
func (m HistogramMap) Apply(logits []float64) error {
	k := len(m.Edges)
	return rows(logits, k, func(row []float64) {
		p := make([]float64, k)
		softmax(row, p)
		for c, v := range p {
			p[c] = m.Values[c][sort.SearchFloat64s(m.Edges[c], v)]
		}
		finish(row, p, Floor)
	})
}

// Validate refuses edges that do not rise, values that are no probabilities, and a number of classes that is another.
func (m HistogramMap) Validate(classes int) error {
	if len(m.Edges) != classes || len(m.Values) != classes {
		return fmt.Errorf("there are edges of %d classes and values of %d, and the model has %d", len(m.Edges), len(m.Values), classes)
	}
	var errs []error
	for c, edges := range m.Edges {
		values := m.Values[c]
		switch {
		case len(values) != len(edges)+1:
			errs = append(errs, fmt.Errorf("class %d has %d edges and %d values; want a value more than edges", c, len(edges), len(values)))
		case !rising(edges):
			errs = append(errs, fmt.Errorf("edges.%d do not rise", c))
		case slices.ContainsFunc(values, func(v float64) bool { return !(v >= 0 && v <= 1) }):
			errs = append(errs, fmt.Errorf("values.%d leave [0,1]", c))
		}
	}
	return errors.Join(errs...)
}

// rising reports whether each number is in [0,1] and above the one before.
func rising(x []float64) bool {
	for i, v := range x {
		if !(v >= 0 && v <= 1) || i > 0 && !(v > x[i-1]) {
			return false
		}
	}
	return true
}
