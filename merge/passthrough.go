package merge

import "math"

// Passthrough copies the tensor of one model, times Scale: for stacking layers of several models.
type Passthrough struct {
	Scale float64 `json:"scale"` // 1
}

var _ Method = Passthrough{}

// NewPassthrough returns the default, a copy.
func NewPassthrough() Passthrough { return Passthrough{Scale: 1} }

// Start checks that there is one model.
func (p Passthrough) Start(t Target) (Merger, error) {
	if t.Models != 1 {
		return nil, t.wrong("passthrough", "models", "are %d; a tensor is copied from one", t.Models)
	}
	if math.IsNaN(p.Scale) || math.IsInf(p.Scale, 0) {
		return nil, t.wrong("passthrough", "scale", "is %v; give a finite number", p.Scale)
	}
	return linear{c: []float64{p.Scale}}, nil
}
