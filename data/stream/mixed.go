package stream

import "github.com/ballast-ml/ballast/data/sample"

// Mixed is all domains at once: every example under every shift, in random order, so that a batch has examples of all of them and its
// statistics are of none. Without Names the domains are those of the set, where it has some (each example then comes once), else all shifts.
type Mixed struct {
	Shifts
}

var _ Stream = Mixed{}

// NewMixed returns the stream of all domains, shifts at severity 5.
func NewMixed() Mixed { return Mixed{Shifts{Severity: mostSeverity}} }

// Validate refuses shifts and severities that there are not.
func (s Mixed) Validate() error { return s.validate("mixed") }

// Steps has every example once for each shift, or once for its own domain.
func (s Mixed) Steps(r sample.Rows, seed uint64) (Steps, error) {
	if err := s.Validate(); err != nil {
		return Steps{}, err
	}
	domains, err := s.domains("mixed", r)
	if err != nil {
		return Steps{}, err
	}
	all, err := oneAfterTheOther("mixed", sample.NewShuffle(), domains, r, seed)
	shuffle(all.Steps, seed, "mixed")
	return all, err
}
