package merge

import (
	"math"
	"sync"
)

// SCE selects what differs most between the models, calculates each model's weight from how far it has moved, and erases what goes against the
// majority. For each tensor by itself, with D_i = T_i - B and N models:
//
//	select:    the floor(SelectTopK n) elements with the largest variance of D_i over the models (1/N) survive, n those with any variance;
//	           of equal ones those with the lower index. SelectTopK 1 keeps all
//	calculate: w_i = mean D_i^2 / sum_j mean D_j^2, the mean over the tensor, what was not selected being 0; 1/N where the sum is below 1e-6
//	erase:     s = + where sum D_i >= 0, else -
//	           M = B + sum w_i D_i / max(1e-6, sum w_i), both sums over the models with sign(D_i) = s
//
// A difference of 0 has no sign. One model alone varies nowhere: below SelectTopK 1 the base is what remains.
// Source: Wan et al., "FuseChat: Knowledge Fusion of Chat Models", arXiv 2408.07990.
type SCE struct {
	SelectTopK float64 `json:"select_topk"` // share that is kept, [0, 1]; 1
}

var _ Method = SCE{}

// NewSCE returns the defaults.
func NewSCE() SCE { return SCE{SelectTopK: 1} }

// The sums of squares below which models weigh alike, and the least sum of weights that is divided by.
const sceLeast = 1e-6

// Start checks the share.
func (s SCE) Start(t Target) (Merger, error) {
	if err := t.needsBase("sce"); err != nil {
		return nil, err
	}
	if !(s.SelectTopK >= 0 && s.SelectTopK <= 1) {
		return nil, t.wrong("sce", "select_topk", "is %v; it must be from 0 to 1", s.SelectTopK)
	}

	m := &sce{share: s.SelectTopK, squares: newOrderedSum(t.Models), n: t.Elements()}
	if s.SelectTopK < 1 {
		m.r = &ranking{n: m.n}
		m.r.ask(0, min(1, m.n-1)) // how many is known once those with any variance are counted
	}
	return m, nil
}

type sce struct {
	onePass
	share   float64
	n       int
	r       *ranking // by variance; nil = all are kept
	squares *orderedSum
	weights []float64

	mu      sync.Mutex
	varying int
}

func (m *sce) Passes() int {
	if m.r == nil {
		return 1
	}
	return rankingPasses + 1
}

func (m *sce) Scratch() int64 { return rankingScratch + 4*BlockElements }

func (m *sce) Scan(pass int, b Block) {
	b.deltas()
	if m.r != nil && pass < rankingPasses {
		v := make([]float32, len(b.Base))
		varying := variances(v, b.Models)
		if pass == 0 {
			m.mu.Lock()
			m.varying += varying
			m.mu.Unlock()
		}
		m.r.scan(pass, Block{Index: b.Index, At: b.At, Models: [][]float32{v}})
		return
	}

	m.sel(b)
	part := make([]float64, len(b.Models))
	for i, x := range b.Models {
		part[i] = dot(x, x)
	}
	m.squares.add(b.Index, part)
}

func (m *sce) Scanned(pass int) error {
	if m.r != nil && pass < rankingPasses {
		if pass == 0 {
			m.r.questions[0].k = int(m.share * float64(m.varying))
		}
		m.r.scanned(pass)
		return nil
	}

	sum := 0.0
	for _, v := range m.squares.total {
		sum += v / float64(m.n)
	}
	m.weights = make([]float64, len(m.squares.total))
	for i, v := range m.squares.total {
		m.weights[i] = 1 / float64(len(m.weights))
		if sum >= sceLeast {
			m.weights[i] = v / float64(m.n) / sum
		}
	}
	return nil
}

// sel clears the differences of elements that are not selected.
func (m *sce) sel(b Block) {
	if m.r == nil {
		return
	}
	v := make([]float32, len(b.Base))
	variances(v, b.Models)
	m.r.questions[0].keep(v, m.n, b.Index)
	for _, x := range b.Models {
		for i := range x {
			if v[i] == 0 { // what is kept has some
				x[i] = 0
			}
		}
	}
}

func (m *sce) Merge(dst []float32, b Block) {
	b.deltas()
	m.sel(b)
	for i := range dst {
		sum := float32(0)
		for _, x := range b.Models {
			sum += x[i]
		}
		positive := sum >= 0
		num, den := 0.0, 0.0
		for k, x := range b.Models {
			if v := x[i]; v > 0 && positive || v < 0 && !positive {
				num += float64(m.weights[k] * float64(v))
				den += m.weights[k]
			}
		}
		dst[i] = float32(float64(b.Base[i]) + num/max(sceLeast, den))
	}
}

// variances puts the variance over the models of each element into dst, 1/N, and counts those that are not 0.
func variances(dst []float32, models [][]float32) (varying int) {
	n := float64(len(models))
	for i := range dst {
		mean := 0.0
		for _, x := range models {
			mean += float64(x[i])
		}
		mean /= n
		sum := 0.0
		for _, x := range models {
			d := float64(x[i]) - mean
			sum += float64(d * d)
		}
		if dst[i] = float32(min(sum/n, math.MaxFloat32)); dst[i] != 0 {
			varying++
		}
	}
	return varying
}
