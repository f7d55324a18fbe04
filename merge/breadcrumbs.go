package merge

// Breadcrumbs drops the largest and the smallest differences from a base and adds the rest, as task arithmetic does or by elected signs as TIES
// does (Elect). Of a tensor with n values the floor(gamma n) largest and, after them, all but floor(density n) are dropped; where that leaves too
// few, fewer of the largest are dropped. Of equal magnitudes the one with the lower index counts as larger. Rescale l1 scales what is left of a
// model so that the sum of its magnitudes stays.
// Source: Davari, Belilovsky, "Model Breadcrumbs: Scaling Multi-Task Model Merging with Sparse Masks", arXiv 2312.06795.
type Breadcrumbs struct {
	Weight    []float64 `json:"weight"`    // a model; required
	Density   []float64 `json:"density"`   // a model, [0, 1]; 1
	Gamma     []float64 `json:"gamma"`     // a model, [0, 1); 0.01
	Rescale   Rescale   `json:"rescale"`   // none; or l1
	Normalize bool      `json:"normalize"` // false
	Lambda    float64   `json:"lambda"`    // 1
	Elect     bool      `json:"-"`         // breadcrumbs_ties, else breadcrumbs
}

var _ Method = Breadcrumbs{}

// NewBreadcrumbs returns the defaults of breadcrumbs.
func NewBreadcrumbs() Breadcrumbs { return Breadcrumbs{Rescale: RescaleNone, Lambda: 1} }

// Start checks weights, densities and gammas.
func (m Breadcrumbs) Start(t Target) (Merger, error) {
	name := "breadcrumbs"
	if m.Elect {
		name = "breadcrumbs_ties"
	}
	c := consensus{weight: m.Weight, elect: m.Elect, normalize: m.Normalize, lambda: m.Lambda}
	if err := c.check(name, t); err != nil {
		return nil, err
	}
	if err := t.densities(name, m.Density); err != nil {
		return nil, err
	}
	if err := t.perModel(name, "gamma", m.Gamma); err != nil {
		return nil, err
	}
	if err := m.Rescale.checkTrimmed(name, t); err != nil {
		return nil, err
	}
	r := ranking{n: t.Elements()}
	for i, g := range m.Gamma {
		if g < 0 || g >= 1 {
			return nil, t.wrong(name, "gamma", "of model %d is %v; it must be at least 0 and below 1", i, g)
		}
		keep := int(m.Density[i] * float64(r.n))
		largest := min(int(g*float64(r.n)), r.n-keep)
		r.ask(i, largest)
		r.ask(i, largest+keep)
	}
	trim := func(model, block int, x []float32) {
		r.questions[2*model+1].keep(x, r.n, block) // the larger set first: what it clears is below every other threshold
		if q := &r.questions[2*model]; !q.nothing() {
			q.drop(x, r.n, block)
		}
	}
	return &trimmed{dropper: newDropper(t.Models, m.Rescale), c: c, r: &r, trim: trim}, nil
}

// Trim drops from differences in memory what a model's density and gamma say.
func (m Breadcrumbs) Trim(t Target, delta []float32) error {
	t.Models, t.Base = 1, true
	started, err := m.Start(t)
	if err != nil {
		return err
	}
	b := started.(*trimmed)
	block := Block{Models: [][]float32{delta}}
	for pass := range b.r.passes() {
		b.r.scan(pass, block)
		b.r.scanned(pass)
	}
	b.trim(0, 0, delta)
	return nil
}
