package data

import (
	"fmt"
)

// Keep is the preparation "subset": that many of the examples, drawn with the run's seed, as many of each class as its share.
type Keep struct {
	Examples int `json:"examples"` // how many, at least 1; there is no default
}

var _ Preparation = Keep{}

// NewKeep returns a subset whose size has yet to be said.
func NewKeep() Keep { return Keep{} }

// Reach is ReachExamples.
func (Keep) Reach() Reach { return ReachExamples }

// Prepare keeps the part that Stratified holds out. Errors if there are not as many examples.
func (k Keep) Prepare(p Prepared, seed uint64) (Prepared, error) {
	n := p.Set.Len()
	if k.Examples < 1 {
		return p, usage("subset: examples is %d; say how many to keep, at least 1", k.Examples)
	}
	if k.Examples > n {
		return p, usage("subset: examples is %d, the set has %d; use at most as many", k.Examples, n)
	}
	if k.Examples == n {
		return p, nil
	}
	_, index, err := Stratified(p.Labels, float64(k.Examples)/float64(n), seed)
	if err != nil {
		return p, fmt.Errorf("subset: %w", err)
	}
	return p.Pick(index), nil
}
