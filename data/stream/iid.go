package stream

import "github.com/ballast-ml/ballast/data/sample"

// IID is all examples in random order, what most methods of test time are made for.
type IID struct {
	Shifts
}

var _ Stream = IID{}

// NewIID returns the stream of the examples as they are.
func NewIID() IID { return IID{Shifts{Severity: mostSeverity}} }

// Validate refuses shifts and severities that there are not.
func (s IID) Validate() error { return s.validate("iid") }

// Steps has every example once for each shift, or once.
func (s IID) Steps(r sample.Rows, seed uint64) (Steps, error) {
	if err := s.Validate(); err != nil {
		return Steps{}, err
	}
	return oneAfterTheOther("iid", sample.NewShuffle(), s.asIs(), r, seed)
}
