package stream

import (
	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/data/sample"
)

// Gradual is one shift after the other, each from severity 1 up to Most and back to 1, with all examples at each severity: 1, 2, 3, 4, 5, 4,
// 3, 2, 1. Where one shift ends and the next begins both are weak. Without Names all shifts come.
// Source: the gradually changing setup of Wang, Fink, Van Gool, Dai, "Continual Test-Time Domain Adaptation", arXiv 2203.13591.
type Gradual struct {
	Names []string      `json:"shifts"` // of data/corrupt; empty = all
	Most  int           `json:"most"`   // the largest severity, 1 to 5; 5
	Order sample.Choice `json:"order"`  // of the examples of a severity; shuffle
}

var _ Stream = Gradual{}

// NewGradual returns the stream of all shifts up to severity 5, each severity in random order.
func NewGradual() Gradual {
	return Gradual{Most: mostSeverity, Order: sample.Choice{Sampler: sample.NewShuffle()}}
}

// Validate refuses shifts and severities that there are not, and orders that leave examples out or repeat them.
func (s Gradual) Validate() error {
	const who = "gradual"
	if s.Most < 1 || s.Most > corrupt.Severities {
		return wrong(who, "most is %d; use a severity from 1 to %d", s.Most, corrupt.Severities)
	}
	if err := checkOrder(who, s.Order.Sampler); err != nil {
		return err
	}
	return checkNames(who, s.Names)
}

// Steps has every example once at each severity of each shift, on the way up and on the way down.
func (s Gradual) Steps(r sample.Rows, seed uint64) (Steps, error) {
	if err := s.Validate(); err != nil {
		return Steps{}, err
	}
	names := s.Names
	if len(names) == 0 {
		names = every()
	}
	var domains []domain
	for _, name := range names {
		for _, severity := range ramp(s.Most) {
			domains = append(domains, domain{name: label(name, severity), shift: name, severity: severity})
		}
	}
	return oneAfterTheOther("gradual", s.Order.Sampler, domains, r, seed)
}
