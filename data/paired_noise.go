package data

import (
	"fmt"
	"math/rand/v2"
)

// PairedLabelNoise is the preparation "paired-label-noise": each class has one other that it is mistaken for, drawn once, and a label becomes
// that one with probability Rate. The true posterior of an example of class c is then 1 - Rate of c and Rate of its partner: an overlap of
// two classes on real data. Source: Chidambaram, Ge, arXiv 2306.00740; rates there are recalled as 0, 0.25 and 0.5.
type PairedLabelNoise struct {
	Rate float64 `json:"rate"` // [0, 1]; 0.25
	Seed uint64  `json:"seed"` // own seed, of partners and of flips, so that runs of different seeds can share one noisy set; 0 = the run's
}

var _ Preparation = PairedLabelNoise{}

// NewPairedLabelNoise returns a quarter of the labels.
func NewPairedLabelNoise() PairedLabelNoise { return PairedLabelNoise{Rate: 0.25} }

// Reach is ReachTraining: a run is not measured on wrong labels.
func (PairedLabelNoise) Reach() Reach { return ReachTraining }

// Partners is the class that each is mistaken for.
func (PairedLabelNoise) Partners(classes int, seed uint64) []int32 {
	r := rand.New(generator(seed, "paired-label-noise partners", 0))
	partners := make([]int32, classes)
	for c := range partners {
		partners[c] = int32(r.IntN(max(classes-1, 1)))
		if int(partners[c]) >= c && classes > 1 {
			partners[c]++
		}
	}
	return partners
}

// Flip is the labels with noise. Errors for a rate outside [0,1], fewer than two classes, and labels that are none of them.
func (l PairedLabelNoise) Flip(labels []int32, classes int, seed uint64) ([]int32, error) {
	if !(l.Rate >= 0 && l.Rate <= 1) {
		return nil, fmt.Errorf("data: paired-label-noise: rate is %v; use 0 to 1", l.Rate)
	}
	if classes < 2 {
		return nil, fmt.Errorf("data: paired-label-noise: there are %d classes; a class needs another to be mistaken for", classes)
	}
	if l.Seed != 0 {
		seed = l.Seed
	}
	partners := l.Partners(classes, seed)
	r := rand.New(generator(seed, "paired-label-noise", 0))
	noisy := make([]int32, len(labels))
	for i, label := range labels {
		if label < 0 || int(label) >= classes {
			return nil, fmt.Errorf("data: paired-label-noise: label %d of example %d is outside 0 to %d", label, i, classes-1)
		}
		if noisy[i] = label; r.Float64() < l.Rate {
			noisy[i] = partners[label]
		}
	}
	return noisy, nil
}

// Posterior is the probability of each noisy label given the true ones: [n, classes].
func (l PairedLabelNoise) Posterior(labels []int32, classes int, seed uint64) ([]float64, error) {
	if _, err := l.Flip(labels, classes, seed); err != nil {
		return nil, err
	}
	if l.Seed != 0 {
		seed = l.Seed
	}
	partners, p := l.Partners(classes, seed), make([]float64, len(labels)*classes)
	for i, label := range labels {
		p[i*classes+int(label)] += 1 - l.Rate
		p[i*classes+int(partners[label])] += l.Rate
	}
	return p, nil
}

// Prepare spoils the labels.
func (l PairedLabelNoise) Prepare(p Prepared, seed uint64) (Prepared, error) {
	_, targeted := AsTargeted(p.Set)
	if _, text := AsTokens(p.Set); text || targeted {
		return p, usage("paired-label-noise: %s has no classes to mistake; leave it out", p.Set.Info().Name)
	}
	noisy, err := l.Flip(p.Labels, len(p.Set.Info().Classes), seed)
	if err != nil {
		return p, usage("%v", err)
	}
	p.Labels = noisy
	return p, nil
}
