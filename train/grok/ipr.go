package grok

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Amplitudes are the sizes of the real Fourier transform of v: len(v)/2 + 1 numbers, the constant first.
func Amplitudes(v []float64) []float64 {
	n := len(v)
	out := make([]float64, n/2+1)
	for k := range out {
		var re, im float64
		for i, x := range v {
			sin, cos := math.Sincos(2 * math.Pi * float64(k*i%n) / float64(n))
			re, im = re+x*cos, im-x*sin
		}
		out[k] = math.Hypot(re, im)
	}
	return out
}

// IPR is the inverse participation ratio of v in frequencies: with a = Amplitudes(v) and u = a/|a|, the sum of u^(2r). It is 1 where v
// is a wave of one frequency, as in a neuron that generalises, and near (r=2) 2/(bins+1) for noise, as in one that memorises. r is 2 in
// the paper. A vector of zeros has none, and is an error.
func IPR(v []float64, r int) (float64, error) {
	if r < 1 || len(v) == 0 {
		return 0, fmt.Errorf("grok: IPR of %d values with exponent %d; give at least 1 of each", len(v), r)
	}
	amplitudes := Amplitudes(v)
	norm := 0.0
	for _, a := range amplitudes {
		norm += a * a
	}
	if norm == 0 {
		return 0, errors.New("grok: the IPR of a vector of zeros is not defined; leave pruned neurons out")
	}
	sum := 0.0
	for _, a := range amplitudes {
		sum += math.Pow(a*a/norm, float64(r))
	}
	return sum, nil
}

// Gini is the Gini coefficient of non-negative values: 0 where all are the same, near 1 where one has everything.
func Gini(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := float64(len(sorted))
	var weighted, sum float64
	for i, v := range sorted {
		weighted, sum = weighted+float64(i+1)*v, sum+v
	}
	if sum == 0 {
		return 0
	}
	return 2*weighted/(n*sum) - (n+1)/n
}

// Neurons are the IPRs of each neuron: of its weights for m, for n, and to the logits, and their mean.
type Neurons struct {
	U, V, W, Mean []float64
}

// NeuronIPR computes the IPR of every neuron of a network with weights w1 [2p, neurons] and w2 [neurons, p].
func NeuronIPR(w1, w2 []float64, p, r int) (Neurons, error) {
	n := len(w2) / p
	if len(w1) != 2*p*n || len(w2) != n*p {
		return Neurons{}, fmt.Errorf("grok: %d and %d weights do not make a network for p = %d; want [2p, neurons] and [neurons, p]", len(w1), len(w2), p)
	}
	var out Neurons
	column := func(from, k int) []float64 {
		v := make([]float64, p)
		for i := range v {
			v[i] = w1[(from+i)*n+k]
		}
		return v
	}
	for k := range n {
		var each [3]float64
		for i, v := range [][]float64{column(0, k), column(p, k), w2[k*p : (k+1)*p]} {
			var err error
			if each[i], err = IPR(v, r); err != nil {
				return Neurons{}, fmt.Errorf("neuron %d: %w", k, err)
			}
		}
		out.U, out.V, out.W = append(out.U, each[0]), append(out.V, each[1]), append(out.W, each[2])
		out.Mean = append(out.Mean, (each[0]+each[1]+each[2])/3)
	}
	return out, nil
}

// Order lists the neurons from low to high IPR, those of the same by number.
func Order(ipr []float64) []int {
	order := make([]int, len(ipr))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case ipr[a] < ipr[b]:
			return -1
		case ipr[a] > ipr[b]:
			return 1
		}
		return 0
	})
	return order
}

// Prune returns which neurons stay when int(share n) of lowest IPR, or of highest, are taken out; of the same IPR the one of the
// lower number goes first.
func Prune(ipr []float64, share float64, highest bool) ([]bool, error) {
	if !(share >= 0 && share <= 1) {
		return nil, fmt.Errorf("grok: the share to prune is %v; use a number from 0 to 1", share)
	}
	ranked := ipr
	if highest {
		ranked = make([]float64, len(ipr))
		for i, v := range ipr {
			ranked[i] = -v
		}
	}
	keep := slices.Repeat([]bool{true}, len(ipr))
	for _, k := range Order(ranked)[:int(share*float64(len(ipr)))] {
		keep[k] = false
	}
	return keep, nil
}

// Analytic is the solution of modular addition that networks find: with a frequency and two phases for each of n neurons,
//
//	U_ki = A cos(2 pi s_k i/p + f1_k)   V_kj = A cos(2 pi s_k j/p + f2_k)   W_qk = A cos(2 pi s_k q/p + f1_k + f2_k)   A = (2/n)^(1/3)
//
// It returns w1 [2p, n] and w2 [n, p].
func Analytic(p int, frequency []int, phase1, phase2 []float64) (w1, w2 []float64, err error) {
	n := len(frequency)
	if p < 3 || n == 0 || len(phase1) != n || len(phase2) != n {
		return nil, nil, fmt.Errorf("grok: p = %d with %d frequencies, %d and %d phases; give one of each for every neuron, and p of at least 3", p, n, len(phase1), len(phase2))
	}
	amplitude := math.Cbrt(2 / float64(n))
	w1, w2 = make([]float64, 2*p*n), make([]float64, n*p)
	for k, s := range frequency {
		for i := range p {
			angle := 2 * math.Pi * float64(s*i%p) / float64(p)
			w1[i*n+k] = amplitude * math.Cos(angle+phase1[k])
			w1[(p+i)*n+k] = amplitude * math.Cos(angle+phase2[k])
			w2[k*p+i] = amplitude * math.Cos(angle+phase1[k]+phase2[k])
		}
	}
	return w1, w2, nil
}

// Phase is what came of a training run on corrupted labels.
type Phase string

// The phases, by the names of the paper.
const (
	Coexistence      Phase = "coexistence"       // generalises, and has memorised the wrong labels
	PartialInversion Phase = "partial inversion" // generalises, and has given up some of the wrong labels
	FullInversion    Phase = "full inversion"    // generalises, and answers corrupted pairs rightly
	Memorisation     Phase = "memorisation"      // knows the training pairs alone
	Confusion        Phase = "confusion"         // knows neither
)

// PhaseOf names the phase of a run: test >= 0.95 is to generalise; then train >= 0.95 is coexistence, memorised <= 0.05 full inversion,
// and anything else partial inversion. Without, train >= 0.95 and test < 0.5 is memorisation, else confusion.
func PhaseOf(s Scores) Phase {
	switch {
	case s.Test >= 0.95 && s.Train >= 0.95:
		return Coexistence
	case s.Test >= 0.95 && s.Memorised <= 0.05:
		return FullInversion
	case s.Test >= 0.95:
		return PartialInversion
	case s.Train >= 0.95 && s.Test < 0.5:
		return Memorisation
	}
	return Confusion
}
