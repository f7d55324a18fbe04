package merge

import "math"

// RAM adds differences from a base that one model alone has as they are, and averages those that several have: D_i = T_i - B counts where
// |D_i| > Epsilon, c is for how many models it does,
//
//	M = B + sum D_i / max(1, c)        over the models for which it counts
//
// Source: "Behavior Knowledge Merge in Reinforced Agentic Models", arXiv 2601.13572 (Reinforced Agent Merging).
type RAM struct {
	Epsilon float64 `json:"epsilon"` // 1e-5
}

var _ Method = RAM{}

// NewRAM returns the default.
func NewRAM() RAM { return RAM{Epsilon: 1e-5} }

// Start checks epsilon.
func (r RAM) Start(t Target) (Merger, error) {
	return startRAM("ram", t, RAMPlus{Epsilon: r.Epsilon})
}

// RAMPlus is RAM with what one model alone has scaled up by how much of it is shared: with s_i the elements of a tensor that model i shares with
// another and u_i those that it has alone,
//
//	M = B + sum l_i D_i        where c = 1, l_i = 1 + R min(Alpha, s_i / max(Epsilon, u_i))
//	M = B + sum D_i / c        elsewhere
//
// Source: as RAM, tensor by tensor.
type RAMPlus struct {
	R       float64 `json:"r"`       // 0.1
	Alpha   float64 `json:"alpha"`   // most that a share counts for; 0.2
	Epsilon float64 `json:"epsilon"` // 1e-5
}

var _ Method = RAMPlus{}

// NewRAMPlus returns the defaults.
func NewRAMPlus() RAMPlus { return RAMPlus{R: 0.1, Alpha: 0.2, Epsilon: 1e-5} }

// Start checks the parameters.
func (r RAMPlus) Start(t Target) (Merger, error) { return startRAM("ramplus_tl", t, r) }

func startRAM(method string, t Target, p RAMPlus) (Merger, error) {
	if err := t.needsBase(method); err != nil {
		return nil, err
	}
	for _, v := range []struct {
		name  string
		value float64
	}{{"r", p.R}, {"alpha", p.Alpha}, {"epsilon", p.Epsilon}} {
		if !(v.value >= 0) || math.IsInf(v.value, 0) {
			return nil, t.wrong(method, v.name, "is %v; give a number of at least 0", v.value)
		}
	}

	m := &ram{p: p, counts: newOrderedSum(2 * t.Models)}
	m.scale = make([]float64, t.Models)
	for i := range m.scale {
		m.scale[i] = 1
	}
	return m, nil
}

type ram struct {
	onePass
	p      RAMPlus
	counts *orderedSum // of each model, what it shares and what it has alone
	scale  []float64   // of what a model has alone
}

func (m *ram) Passes() int {
	if m.p.R == 0 || m.p.Alpha == 0 { // all scales are 1
		return 0
	}
	return 1
}

// has reports whether a difference counts.
func (m *ram) has(d float32) bool { return math.Abs(float64(d)) > float64(float32(m.p.Epsilon)) }

func (m *ram) Scan(_ int, b Block) {
	b.deltas()
	part := make([]float64, 2*len(b.Models))
	for i := range b.Base {
		n, last := 0, 0
		for k, x := range b.Models {
			if m.has(x[i]) {
				n, last = n+1, k
			}
		}
		if n == 1 {
			part[2*last+1]++
			continue
		}
		for k, x := range b.Models {
			if m.has(x[i]) {
				part[2*k]++
			}
		}
	}
	m.counts.add(b.Index, part)
}

func (m *ram) Scanned(int) error {
	for i := range m.scale {
		shared, alone := m.counts.total[2*i], m.counts.total[2*i+1]
		if shared > 0 {
			m.scale[i] = 1 + m.p.R*min(m.p.Alpha, shared/max(m.p.Epsilon, alone)) // over 0 it is infinite, and Alpha counts
		}
	}
	return nil
}

func (m *ram) Merge(dst []float32, b Block) {
	b.deltas()
	for i := range dst {
		n, last, sum := 0, 0, 0.0
		for k, x := range b.Models {
			if m.has(x[i]) {
				n, last = n+1, k
				sum += float64(x[i])
			}
		}
		switch {
		case n == 1:
			sum *= m.scale[last]
		case n > 1:
			sum /= float64(n)
		}
		dst[i] = float32(float64(b.Base[i]) + sum)
	}
}
