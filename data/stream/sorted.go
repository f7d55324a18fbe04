package stream

import "github.com/ballast-ml/ballast/data/sample"

// Sorted is the examples of one class after those of another, in ascending order of labels; within a class the order is random. It is the
// hardest stream for methods that normalise by the batch: a batch has one class or two.
type Sorted struct {
	Shifts
}

var _ Stream = Sorted{}

// NewSorted returns the stream of the examples as they are.
func NewSorted() Sorted { return Sorted{Shifts{Severity: mostSeverity}} }

// Validate refuses shifts and severities that there are not.
func (s Sorted) Validate() error { return s.validate("sorted") }

// Steps has every example once for each shift, or once. It errors without labels.
func (s Sorted) Steps(r sample.Rows, seed uint64) (Steps, error) {
	if err := s.Validate(); err != nil {
		return Steps{}, err
	}
	return oneAfterTheOther("sorted", sample.NewSorted(), s.asIs(), r, seed)
}
