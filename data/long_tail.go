package data

import (
	"fmt"
	"math"
	"slices"
)

// LongTail is the preparation "long-tail": class k of K, in the order of their numbers, keeps
//
//	n_k = max(least, floor(most ratio^(-k/(K-1))))
//
// examples, drawn with the seed: the first class most of them, the last one a ratio-th. Source of the form: Cao et al., "Learning
// Imbalanced Datasets with Label-Distribution-Aware Margin Loss", arXiv 1906.07413.
type LongTail struct {
	Most  int     `json:"most"`  // examples of the first class; 120
	Ratio float64 `json:"ratio"` // first class / last class, at least 1; 50
	Least int     `json:"least"` // no class has fewer, at least 1; 2
	Seed  uint64  `json:"seed"`  // own seed, so that runs of different seeds can share one set; 0 = the run's
}

var _ Preparation = LongTail{}

// NewLongTail returns the tail that optdigits has in the claims: 120 examples of the digit 0, 2 of the digit 9.
func NewLongTail() LongTail { return LongTail{Most: 120, Ratio: 50, Least: 2} }

// Reach is ReachTraining: validation and test examples keep their classes as they are.
func (LongTail) Reach() Reach { return ReachTraining }

// Counts is the number of examples of each of so many classes.
func (l LongTail) Counts(classes int) []int {
	counts := make([]int, classes)
	for k := range counts {
		share := 1.0
		if classes > 1 {
			share = math.Pow(l.Ratio, -float64(k)/float64(classes-1))
		}
		// A whole number that rounding left just below itself is meant as it is: 500 x 100^-1 is 5.
		counts[k] = max(l.Least, int(math.Floor(float64(l.Most)*share*(1+1e-12))))
	}
	return counts
}

// Prepare draws the examples. They keep the order they had. Errors if a class has fewer than it should.
func (l LongTail) Prepare(p Prepared, seed uint64) (Prepared, error) {
	if l.Most < 1 || l.Least < 1 || !(l.Ratio >= 1) || math.IsInf(l.Ratio, 0) {
		return p, usage("long-tail: most is %d, ratio %v, least %d; use at least 1 of each", l.Most, l.Ratio, l.Least)
	}
	if l.Seed != 0 {
		seed = l.Seed
	}
	names := p.Set.Info().Classes
	left := l.Counts(len(names))
	counts := slices.Clone(left)

	var index []int32
	have := make([]int, len(left))
	for _, i := range Order(len(p.Labels), seed, longTailOrder) {
		label := p.Labels[i]
		if label < 0 || int(label) >= len(left) {
			return p, fmt.Errorf("long-tail: label %d of example %d is outside 0 to %d", label, i, len(left)-1)
		}
		have[label]++
		if left[label] > 0 {
			left[label]--
			index = append(index, i)
		}
	}
	for class, missing := range left {
		if missing > 0 {
			return p, usage("long-tail: class %q has %d examples, the tail needs %d; lower most or least",
				names[class], have[class], counts[class])
		}
	}
	slices.Sort(index)
	return p.Pick(index), nil
}

// longTailOrder keeps this draw apart from those of epochs and of label noise.
const longTailOrder = -2
