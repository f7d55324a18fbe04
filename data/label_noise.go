package data

import (
	"fmt"
)

// LabelNoise is the preparation "label-noise": it replaces exactly round(rate n) of the labels by wrong ones. What the labels were
// stays in Prepared.True.
type LabelNoise struct {
	Kind string  `json:"kind"` // symmetric (any other class), pair (the next class) or joint (other classes as often as they are)
	Rate float64 `json:"rate"` // share of the labels, [0, 1]; 0.2
	Seed uint64  `json:"seed"` // own seed, so that runs of different seeds can share one noisy set; 0 = the run's
}

var _ Preparation = LabelNoise{}

// NewLabelNoise returns symmetric noise in a fifth of the labels.
func NewLabelNoise() LabelNoise { return LabelNoise{Kind: "symmetric", Rate: 0.2} }

// Reach is ReachTraining: a run is not measured on wrong labels.
func (LabelNoise) Reach() Reach { return ReachTraining }

// Prepare spoils the labels.
func (l LabelNoise) Prepare(p Prepared, seed uint64) (Prepared, error) {
	inject := map[string]func([]int32, int, float64, uint64) ([]int32, []int32, error){
		"symmetric": SymmetricNoise, "pair": PairNoise, "joint": JointNoise,
	}[l.Kind]
	if inject == nil {
		return p, usage("label-noise: kind is %q; use symmetric, pair or joint", l.Kind)
	}
	_, targeted := AsTargeted(p.Set)
	if _, text := AsTokens(p.Set); text || targeted {
		return p, usage("label-noise: %s has no classes to mistake; leave it out", p.Set.Info().Name)
	}
	if l.Seed != 0 {
		seed = l.Seed
	}
	noisy, _, err := inject(p.Labels, len(p.Set.Info().Classes), l.Rate, seed)
	if err != nil {
		return p, fmt.Errorf("label-noise: %w", err)
	}
	p.Labels = noisy
	return p, nil
}
