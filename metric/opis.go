package metric

import (
	"fmt"
	"math"
	"slices"
)

// OPIS is the operating-point inconsistency score: how far one threshold for "the same class" is from doing as well for every class.
// Lower is better, 0 is the same utility for all. Vectors are brought to length 1; d is their Euclidean distance. At threshold d, class c
// has
//
//	sensitivity(c, d) = share of pairs within c at most d apart
//	specificity(c, d) = share of pairs with exactly one end in c more than d apart
//	U(c, d)           = 2 specificity sensitivity / (specificity + sensitivity), 0 where both are
//
// and OPIS is the mean of (1/C) sum over c of (U(c, d) - mean U(d))^2 over the thresholds from Min to Max, between which the share of
// all pairs of different classes that a threshold takes for the same goes from FARLow to FARHigh. Scores of different ranges, grids or
// class sizes cannot be compared.
//
// Source: Zhang et al., "Threshold-Consistent Margin Loss for Open-World Deep Metric Learning", arXiv 2307.04047. The range and the
// tail are reconstructed from accounts of the paper.
type OPIS struct {
	FARLow       float64 `json:"far_low"`        // share of false accepts at the lowest threshold; 0.01
	FARHigh      float64 `json:"far_high"`       // and at the highest; 0.1
	Thresholds   int     `json:"thresholds"`     // evenly spaced, both ends among them; 101
	TailFraction float64 `json:"tail_fraction"`  // share of classes, rounded up, that are the worst ones of the tail; 0.1
	MinClassSize int     `json:"min_class_size"` // a smaller class has no curve; its vectors still are others to the rest; 2
}

// NewOPIS returns the paper's settings.
func NewOPIS() OPIS {
	return OPIS{FARLow: 0.01, FARHigh: 0.1, Thresholds: 101, TailFraction: 0.1, MinClassSize: 2}
}

// Consistency is what OPIS finds. Means come in two forms: the integral by the trapezoid rule over the length of the range, and the plain
// mean over thresholds.
type Consistency struct {
	OPIS, OPISMean float64     // of the squared distance of a class's utility from the mean of all
	Tail, TailMean float64     // of the squared distance of the mean of the worst classes, chosen at each threshold, from the mean of all
	Min, Max       float64     // the range
	Thresholds     []float64   //
	Classes        []int       // labels of the classes with a curve, ascending
	Utility        [][]float64 // [class][threshold]
	Share          []float64   // of OPIS, by class; they add up to it
}

// Validate says what is wrong with the settings, if anything.
func (o OPIS) Validate() error {
	switch {
	case !(o.FARLow >= 0 && o.FARLow < o.FARHigh && o.FARHigh <= 1):
		return fmt.Errorf("metric: OPIS: far_low is %v and far_high %v; use shares of 1, the first one smaller, such as 0.01 and 0.1", o.FARLow, o.FARHigh)
	case o.Thresholds < 2:
		return fmt.Errorf("metric: OPIS: %d thresholds; use at least 2, commonly 101", o.Thresholds)
	case !(o.TailFraction > 0 && o.TailFraction <= 1):
		return fmt.Errorf("metric: OPIS: tail_fraction is %v; use a share of the classes above 0, such as 0.1", o.TailFraction)
	case o.MinClassSize < 2:
		return fmt.Errorf("metric: OPIS: min_class_size is %d; a class has pairs from 2 on", o.MinClassSize)
	}
	return nil
}

// OPISOf computes the score of vectors [n, dim] with class labels [n] in the range of their own false accepts. An end of the range is
// halfway between the k-th and the next smallest distance of vectors of different classes, k = FAR times the number of such pairs,
// rounded down, at least 1. Every pair counts, none is drawn. Fewer than two classes that are large enough, and ends that are the same,
// are errors.
func OPISOf[F Float, L Label](o OPIS, vectors []F, labels []L, dim int) (Consistency, error) {
	p, err := pairsOf(o, vectors, labels, dim)
	if err != nil {
		return Consistency{}, err
	}
	low, high := p.ends(o.FARLow, o.FARHigh)
	if !(low < high) {
		return Consistency{}, fmt.Errorf("metric: OPIS: both ends of the range are %v, of %d pairs of different classes; it needs more vectors, or some that differ",
			low, p.negatives)
	}
	return o.over(p, low, high), nil
}

// OPISBetween is OPISOf over a range that is given, as when two models are compared at the thresholds of one of them.
func OPISBetween[F Float, L Label](o OPIS, vectors []F, labels []L, dim int, low, high float64) (Consistency, error) {
	p, err := pairsOf(o, vectors, labels, dim)
	if err != nil {
		return Consistency{}, err
	}
	if !(low >= 0 && low < high) || math.IsInf(high, 0) {
		return Consistency{}, fmt.Errorf("metric: OPIS: the range is %v to %v; use distances from 0, the first one smaller", low, high)
	}
	return o.over(p, low, high), nil
}

// over integrates over a range.
func (o OPIS) over(p *vectorPairs, low, high float64) Consistency {
	c := Consistency{Min: low, Max: high, Thresholds: make([]float64, o.Thresholds)}
	last := o.Thresholds - 1
	for t := range last {
		c.Thresholds[t] = low + float64(t)*((high-low)/float64(last))
	}
	c.Thresholds[last] = high
	c.Utility = p.utility(c.Thresholds)
	c.Share = make([]float64, len(c.Utility))
	for _, k := range p.curves {
		c.Classes = append(c.Classes, p.labels[k])
	}

	classes := float64(len(c.Utility))
	worst := max(1, int(math.Ceil(o.TailFraction*classes)))
	column := make([]float64, len(c.Utility))
	for t := range c.Thresholds {
		average := 0.0
		for k, curve := range c.Utility {
			column[k] = curve[t]
			average += curve[t] / classes
		}

		weight := 1 / float64(last) // of the trapezoid rule
		if t == 0 || t == last {
			weight /= 2
		}
		for k, u := range column {
			d := (u - average) * (u - average) / classes
			c.Share[k] += weight * d
			c.OPIS += weight * d
			c.OPISMean += d / float64(o.Thresholds)
		}

		slices.Sort(column)
		tail := 0.0
		for _, u := range column[:worst] {
			tail += u / float64(worst)
		}
		c.Tail += weight * (tail - average) * (tail - average)
		c.TailMean += (tail - average) * (tail - average) / float64(o.Thresholds)
	}
	return c
}
