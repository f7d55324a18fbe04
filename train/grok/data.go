// Package grok is a testbed for grokking, where networks generalise long after they have memorised: modular arithmetic with wrong labels,
// the quadratic network that solves it, and measures that distinguish memorisation from generalisation.
//
//	what                                         where
//	the data                                     Dataset, NewDataset
//	the network and its training, by a recipe    Config, Run, Analytic
//	which neurons generalise                     IPR, Gini, NeuronIPR
//	pruning neurons                              Prune, Curve
//	the outcome of a run                         PhaseOf, Sweep
//
// Source: Doshi, Das, He, Gromov, "To grok or not to grok: Disentangling generalization and memorization on corrupted
// algorithmic datasets", arXiv 2310.13061.
package grok

import (
	"fmt"
	"math/rand/v2"
)

// Dataset holds all pairs (m, n) of numbers below P with their labels: m+n or m n modulo P. The first Train pairs are the training set, and
// of these the first Corrupted have labels drawn evenly from 0 to P-1, so that one in P stays right by chance.
type Dataset struct {
	P                int
	M, N             []int32
	Labels           []int32 // as trained on
	True             []int32 // without corruption
	Train, Corrupted int
}

// NewDataset draws a data set: pairs in an order of the permutation seed, a share of them for training, int(share p^2), and of
// these a share with wrong labels, int(noise train), drawn with the label seed. op is "add" or "mul".
func NewDataset(p int, op string, share, noise float64, permutation, label uint64) (Dataset, error) {
	switch {
	case p < 3:
		return Dataset{}, fmt.Errorf("grok: p is %d; use a prime of at least 3", p)
	case op != "add" && op != "mul":
		return Dataset{}, fmt.Errorf("grok: op is %q; use add or mul", op)
	case !(share >= 0 && share <= 1):
		return Dataset{}, fmt.Errorf("grok: the training share is %v; use a number from 0 to 1", share)
	case !(noise >= 0 && noise <= 1):
		return Dataset{}, fmt.Errorf("grok: the share of wrong labels is %v; use a number from 0 to 1", noise)
	}
	d := Dataset{P: p, Train: int(share * float64(p*p))}
	if d.Train == 0 {
		return Dataset{}, fmt.Errorf("grok: a training share of %v leaves no pair of %d to train on; use a larger one", share, p*p)
	}
	d.Corrupted = int(noise * float64(d.Train))
	for _, pair := range rand.New(rand.NewPCG(permutation, 1)).Perm(p * p) {
		m, n := pair/p, pair%p
		result := (m + n) % p
		if op == "mul" {
			result = m * n % p
		}
		d.M, d.N, d.True = append(d.M, int32(m)), append(d.N, int32(n)), append(d.True, int32(result))
	}
	d.Labels = append([]int32{}, d.True...)
	r := rand.New(rand.NewPCG(label, 2))
	for i := range d.Corrupted {
		d.Labels[i] = int32(r.IntN(p))
	}
	return d, nil
}

// Scores are the accuracies of a network on a data set, shares from 0 to 1.
type Scores struct {
	Train     float64 `json:"train"`     // training pairs, labels as given
	Memorised float64 `json:"memorised"` // corrupted pairs, their wrong labels
	Corrected float64 `json:"corrected"` // corrupted pairs, their true labels
	Test      float64 `json:"test"`      // pairs not trained on
}

// Score compares predictions, one for each pair, with the labels. A share of no pairs is 0.
func (d Dataset) Score(predictions []int32) Scores {
	share := func(from, to int, labels []int32) float64 {
		right := 0
		for i := from; i < to; i++ {
			if predictions[i] == labels[i] {
				right++
			}
		}
		return float64(right) / float64(max(1, to-from))
	}
	return Scores{
		Train: share(0, d.Train, d.Labels), Memorised: share(0, d.Corrupted, d.Labels), Corrected: share(0, d.Corrupted, d.True),
		Test: share(d.Train, len(d.M), d.True),
	}
}
