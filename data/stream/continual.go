package stream

import "github.com/ballast-ml/ballast/data/sample"

// Continual is one domain after the other, each with all its examples: the shift changes, and nobody says when. Without Names the domains are
// those of the set, where it has some, else all shifts.
//
// Order says how the examples of a domain come: shuffle, or sorted or dirichlet for labels that hang together.
// Source: Wang, Fink, Van Gool, Dai, "Continual Test-Time Domain Adaptation", arXiv 2203.13591.
type Continual struct {
	Shifts
	Order sample.Choice `json:"order"` // within a domain; shuffle
}

var _ Stream = Continual{}

// NewContinual returns the stream of all domains, shifts at severity 5, each in random order.
func NewContinual() Continual {
	return Continual{Shifts: Shifts{Severity: mostSeverity}, Order: sample.Choice{Sampler: sample.NewShuffle()}}
}

// Validate refuses shifts and severities that there are not, and orders that leave examples out or repeat them.
func (s Continual) Validate() error {
	if err := checkOrder("continual", s.Order.Sampler); err != nil {
		return err
	}
	return s.validate("continual")
}

// Steps has every example once for each shift, or once in its own domain.
func (s Continual) Steps(r sample.Rows, seed uint64) (Steps, error) {
	if err := s.Validate(); err != nil {
		return Steps{}, err
	}
	domains, err := s.domains("continual", r)
	if err != nil {
		return Steps{}, err
	}
	return oneAfterTheOther("continual", s.Order.Sampler, domains, r, seed)
}

// checkOrder takes the samplers that give each example once in a pass.
func checkOrder(who string, order sample.Sampler) error {
	switch order.(type) {
	case sample.Shuffle, sample.Sorted, sample.Dirichlet:
		return nil
	case nil:
		return wrong(who, "there is no order; use shuffle, sorted or dirichlet")
	}
	return wrong(who, "order is %s, which does not give each example once; use shuffle, sorted or dirichlet", sample.Name(order))
}
