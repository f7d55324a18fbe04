package stream

import (
	"math"

	"github.com/ballast-ml/ballast/data/sample"
)

// Dirichlet is a stream whose labels hang together in time: each class is spread over Slots stretches by a draw from the symmetric Dirichlet
// distribution with concentration Delta, and the stretches come one after the other, each in random order; see sample.Dirichlet. The papers
// take 0.1 for ten classes and 0.01 for a hundred or more.
//
// Source: Yuan et al., "Robust Test-Time Adaptation in Dynamic Scenarios", arXiv 2303.13899.
type Dirichlet struct {
	Shifts
	Delta float64 `json:"delta"` // concentration, above 0; 0.1
	Slots int     `json:"slots"` // stretches, at least 1; 10
}

var _ Stream = Dirichlet{}

// NewDirichlet returns ten stretches with concentration 0.1 of the examples as they are.
func NewDirichlet() Dirichlet {
	d := sample.NewDirichlet()
	return Dirichlet{Shifts: Shifts{Severity: mostSeverity}, Delta: d.Delta, Slots: d.Slots}
}

// Validate refuses shifts and severities that there are not, and a distribution that is none.
func (s Dirichlet) Validate() error {
	if !(s.Delta > 0) || math.IsInf(s.Delta, 0) || s.Slots < 1 {
		return wrong("dirichlet", "delta is %v with %d slots; use a finite number above 0 and at least 1 slot", s.Delta, s.Slots)
	}
	return s.validate("dirichlet")
}

// Steps has every example once for each shift, or once. It errors without labels.
func (s Dirichlet) Steps(r sample.Rows, seed uint64) (Steps, error) {
	if err := s.Validate(); err != nil {
		return Steps{}, err
	}
	return oneAfterTheOther("dirichlet", sample.Dirichlet{Delta: s.Delta, Slots: s.Slots}, s.asIs(), r, seed)
}
