package merge

// Breadcrumbs drops the largest and the smallest differences from a base and adds the rest, as task arithmetic does or by elected signs as TIES
// does (Elect). Of a tensor with n values the floor(gamma n) largest and, after them, all but floor(density n) are dropped; where that leaves too
// few, fewer of the largest are dropped. Of equal magnitudes the one with the lower index counts as larger.
// Source: Davari, Belilovsky, "Model Breadcrumbs: Scaling Multi-Task Model Merging with Sparse Masks", arXiv 2312.06795.
type Breadcrumbs struct {
	Weight    []float64 `json:"weight"`    // a model; required
	Density   []float64 `json:"density"`   // a model, (0, 1]; 1
	Gamma     []float64 `json:"gamma"`     // a model, [0, 1); 0.01
	Normalize bool      `json:"normalize"` // false
	Lambda    float64   `json:"lambda"`    // 1
	Elect     bool      `json:"-"`         // breadcrumbs_ties, else breadcrumbs
}

var _ Method = Breadcrumbs{}

// NewBreadcrumbs returns the defaults of breadcrumbs.
func NewBreadcrumbs() Breadcrumbs { return Breadcrumbs{Lambda: 1} }

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
	r := ranking{n: t.Elements()}
	for i, g := range m.Gamma {
		if g < 0 || g >= 1 {
			return nil, t.wrong(name, "gamma", "of model %d is %v; it lies from 0 up to 1", i, g)
		}
		keep := int(m.Density[i] * float64(r.n))
		largest := min(int(g*float64(r.n)), r.n-keep)
		r.ask(i, largest)
		r.ask(i, largest+keep)
	}
	return &breadcrumbs{c: c, r: &r}, nil
}

// Trim drops from differences in memory what a model's density and gamma say.
func (m Breadcrumbs) Trim(t Target, delta []float32) error {
	t.Models, t.Base = 1, true
	started, err := m.Start(t)
	if err != nil {
		return err
	}
	b := started.(*breadcrumbs)
	block := Block{Models: [][]float32{delta}}
	for pass := range b.Passes() {
		b.r.scan(pass, block)
		b.r.scanned(pass)
	}
	b.trim(0, 0, delta)
	return nil
}

type breadcrumbs struct {
	onePass
	c consensus
	r *ranking
}

func (m *breadcrumbs) Passes() int    { return m.r.passes() }
func (m *breadcrumbs) Scratch() int64 { return rankingScratch }

func (m *breadcrumbs) Scan(pass int, b Block) {
	b.deltas()
	m.r.scan(pass, b)
}

func (m *breadcrumbs) Scanned(pass int) error {
	m.r.scanned(pass)
	return nil
}

// trim keeps the larger set first: what it clears is below every other threshold.
func (m *breadcrumbs) trim(model, block int, x []float32) {
	m.r.questions[2*model+1].keep(x, m.r.n, block)
	if q := &m.r.questions[2*model]; !q.nothing() {
		q.drop(x, m.r.n, block)
	}
}

func (m *breadcrumbs) Merge(dst []float32, b Block) {
	b.deltas()
	for i, x := range b.Models {
		m.trim(i, b.Index, x)
	}
	m.c.merge(dst, b)
}
