package merge

import "github.com/ballast-ml/ballast/internal/vector"

// DARE drops differences from a base at random and scales the rest, then adds them as task arithmetic does, or by elected signs as TIES does
// (Elect):
//
//	m ~ Bernoulli(density) an element
//	none             D' = m D
//	inverse_density  D' = m D / density                       (the paper; unbiased)
//	l1               D' = m D sum|D| / sum|m D|, a tensor     (what recipes mean by rescale: true; 1 where sum|m D| <= 1e-7)
//
// For large tensors the last two agree to about 1/sqrt(numel). The masks are a function of seed, tensor name, model and element alone. DARE is
// meant for large models with small differences; on small networks it costs accuracy.
// Source: Yu et al., "Language Models are Super Mario", arXiv 2311.03099.
type DARE struct {
	Weight    []float64 `json:"weight"`    // a model; required
	Density   []float64 `json:"density"`   // a model, [0, 1]; 1
	Rescale   Rescale   `json:"rescale"`   // l1
	Normalize bool      `json:"normalize"` // false
	Lambda    float64   `json:"lambda"`    // 1
	Elect     bool      `json:"-"`         // dare_ties, else dare_linear

	// Keep, if set, gives the masks in place of the seed: it clears what is dropped of a model's values from element at on.
	Keep func(model, at int, x []float32) `json:"-"`
}

var _ Method = DARE{}

// NewDARE returns the defaults of dare_linear.
func NewDARE() DARE { return DARE{Rescale: RescaleL1, Lambda: 1} }

// Start checks weights and densities.
func (d DARE) Start(t Target) (Merger, error) {
	name := "dare_linear"
	if d.Elect {
		name = "dare_ties"
	}
	c := consensus{weight: d.Weight, elect: d.Elect, normalize: d.Normalize, lambda: d.Lambda}
	if err := c.check(name, t); err != nil {
		return nil, err
	}
	if err := t.densities(name, d.Density); err != nil {
		return nil, err
	}
	if err := d.Rescale.check(name, t); err != nil {
		return nil, err
	}
	m := &dare{dropper: newDropper(t.Models, d.Rescale), c: c, keep: d.Keep}
	if m.keep == nil {
		keys := make([]uint64, t.Models)
		for i := range keys {
			keys[i] = maskKey(t, i)
		}
		m.keep = func(model, at int, x []float32) { dropRandomly(x, keys[model], at, d.Density[model]) }
		whole := true
		for _, v := range d.Density {
			whole = whole && v == 1
		}
		if whole { // nothing is dropped
			m.rescale = RescaleNone
		}
	}

	if m.rescale == RescaleInverseDensity {
		for i, v := range d.Density {
			if v > 0 { // else nothing is left to scale
				m.scale[i] = 1 / v
			}
		}
	}
	return m, nil
}

type dare struct {
	dropper
	c    consensus
	keep func(model, at int, x []float32)
}

func (d *dare) Scan(_ int, b Block) {
	b.deltas()
	d.scan(b, d.keep)
}

func (d *dare) Merge(dst []float32, b Block) {
	b.deltas()
	for i, x := range b.Models {
		d.keep(i, b.At, x)
		if k := float32(d.scale[i]); k != 1 {
			vector.ScaleTo(x, k, x)
		}
	}
	d.c.merge(dst, b)
}

// dropper finds by what the rest of dropped differences is scaled.
type dropper struct {
	onePass
	rescale Rescale
	scale   []float64 // a model
	sum     *orderedSum
}

func newDropper(models int, rescale Rescale) dropper {
	d := dropper{rescale: rescale, scale: make([]float64, models), sum: newOrderedSum(2 * models)}
	for i := range d.scale {
		d.scale[i] = 1
	}
	return d
}

func (d *dropper) Passes() int {
	if d.rescale == RescaleL1 {
		return 1
	}
	return 0
}

// scan adds up magnitudes before and after the drop.
func (d *dropper) scan(b Block, drop func(model, at int, x []float32)) {
	part := make([]float64, 2*len(b.Models))
	for i, x := range b.Models {
		part[2*i] = sumMagnitudes(x)
		drop(i, b.At, x)
		part[2*i+1] = sumMagnitudes(x)
	}
	d.sum.add(b.Index, part)
}

func (d *dropper) Scanned(int) error {
	for i := range d.scale {
		if whole, rest := d.sum.total[2*i], d.sum.total[2*i+1]; rest > 1e-7 {
			d.scale[i] = whole / rest
		}
	}
	return nil
}

// Scales is what DARE scales the rest of each model's differences by, for one tensor in memory.
func (d DARE) Scales(t Target, base []float32, models [][]float32) ([]float64, error) {
	t.Models, t.Base = len(models), true
	started, err := d.Start(t)
	if err != nil {
		return nil, err
	}
	m := started.(*dare)
	b := Block{Base: base}
	for _, x := range models {
		b.Models = append(b.Models, append([]float32(nil), x...))
	}
	for pass := range m.Passes() {
		m.Scan(pass, b)
		if err := m.Scanned(pass); err != nil {
			return nil, err
		}
	}
	return m.scale, nil
}
