package merge

import (
	"math"

	"github.com/ballast-ml/ballast/internal/vector"
)

// TIES trims the differences from a base to the largest, elects a sign for each element, and merges what has it. For each tensor by itself:
//
//	trim:  the floor(density numel) largest |D_i| = |T_i - B| survive, at least one, of equal ones those with the lower index
//	elect: E_i = w_i trim(D_i), s = + where sum E_i >= 0, else -
//	merge: M = B + lambda sum E_i / sum w_i, both sums over the models with sign(E_i) = s; not divided without Normalize
//
// What was trimmed to zero has no sign. Density 1 keeps all, density 0 nothing. Rescale l1 scales what survives of a model so that the sum of
// its magnitudes stays. The research code trims the model as a whole and does without weights: see ResearchTIES.
// Source: Yadav et al., "TIES-Merging: Resolving Interference When Merging Models", arXiv 2306.01708.
type TIES struct {
	Weight    []float64 `json:"weight"`    // a model; required
	Density   []float64 `json:"density"`   // a model, [0, 1]; 1
	Rescale   Rescale   `json:"rescale"`   // none; or l1
	Normalize bool      `json:"normalize"` // true
	Lambda    float64   `json:"lambda"`    // 1
}

var _ Method = TIES{}

// NewTIES returns the defaults.
func NewTIES() TIES { return TIES{Rescale: RescaleNone, Normalize: true, Lambda: 1} }

// Start checks weights and densities.
func (m TIES) Start(t Target) (Merger, error) {
	c := consensus{weight: m.Weight, elect: true, normalize: m.Normalize, lambda: m.Lambda}
	if err := c.check("ties", t); err != nil {
		return nil, err
	}
	if err := t.densities("ties", m.Density); err != nil {
		return nil, err
	}
	if err := m.Rescale.checkTrimmed("ties", t); err != nil {
		return nil, err
	}
	r := ranking{n: t.Elements()}
	for i, d := range m.Density {
		k := r.n
		if d < 1 {
			k = int(d * float64(r.n))
		}
		if d > 0 {
			k = max(1, k)
		}
		r.ask(i, k)
	}
	keep := func(model, block int, x []float32) { r.questions[model].keep(x, r.n, block) }
	return &trimmed{dropper: newDropper(t.Models, m.Rescale), c: c, r: &r, trim: keep}, nil
}

// Masks tells, for one tensor in memory, what survives the trim and what of it has the elected sign, of each model.
func (m TIES) Masks(t Target, base []float32, models [][]float32) (kept, agree [][]bool, err error) {
	t.Models, t.Base = len(models), true
	started, err := m.Start(t)
	if err != nil {
		return nil, nil, err
	}
	merger := started.(*trimmed)
	block := Block{Base: base}
	for _, x := range models {
		block.Models = append(block.Models, append([]float32(nil), x...))
	}

	block.deltas()
	for pass := range merger.r.passes() {
		merger.r.scan(pass, block)
		merger.r.scanned(pass)
	}

	sum := make([]float32, len(base))
	for i, x := range block.Models {
		merger.r.questions[i].keep(x, merger.r.n, 0)
		vector.AddScaled(sum, float32(m.Weight[i]), x)
	}

	for i, x := range block.Models {
		k, a := make([]bool, len(x)), make([]bool, len(x))
		for j, v := range x {
			e := float32(m.Weight[i]) * v
			k[j] = v != 0
			a[j] = e > 0 && sum[j] >= 0 || e < 0 && sum[j] < 0
		}
		kept, agree = append(kept, k), append(agree, a)
	}
	return kept, agree, nil
}

// ResearchTIES is TIES as its research code has it, on flattened whole models in memory: it returns the merged difference from the base, of
// which lambda times is added. It keeps |D| from the (d - floor(K d))-th smallest on, one more than TIES does; resolves a sum of zero to the sign
// that most elements have, - where there is none; and takes the plain mean of what is not zero and agrees. K is the share that is kept, 0.2 in the paper; at 1 all
// are kept, where that code fails. kept counts the survivors of each model.
func ResearchTIES(base []float32, models [][]float32, k float64) (delta []float32, kept []int) {
	d := len(base)
	block := Block{Base: base}
	r := ranking{n: d}
	for i, x := range models {
		block.Models = append(block.Models, append([]float32(nil), x...))
		r.ask(i, min(d, int(k*float64(d))+1))
	}

	block.deltas()
	for pass := range r.passes() {
		r.scan(pass, block)
		r.scanned(pass)
	}

	sum := make([]float32, d)
	for i, x := range block.Models {
		n := 0
		// All that equal the threshold are kept, however many.
		if q := &r.questions[i]; !q.everything(d) {
			clearBelow(x, q.bits)
			for _, v := range x {
				if math.Float32bits(v)&magnitude >= q.bits {
					n++
				}
			}
		} else {
			n = d
		}
		kept = append(kept, n)
		vector.AddScaled(sum, 1, x)
	}

	majority := 0
	for _, v := range sum {
		switch {
		case v > 0:
			majority++
		case v < 0:
			majority--
		}
	}

	delta = make([]float32, d)
	for i := range delta {
		positive := sum[i] > 0 || sum[i] == 0 && majority > 0
		n := 0
		for _, x := range block.Models {
			if v := x[i]; v > 0 && positive || v < 0 && !positive {
				delta[i] += v
				n++
			}
		}
		if n > 0 {
			delta[i] /= float32(n)
		}
	}
	return delta, kept
}
