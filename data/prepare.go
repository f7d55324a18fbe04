package data

import (
	"fmt"

	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/own"
)

// Prepared is a set with what was done to it before a run. All that is of the length of the set follows its examples.
type Prepared struct {
	Set     Dataset
	Labels  []int32   // as they are trained on, wrong ones among them
	True    []int32   // before anything was done to them
	Weights []float32 // of the examples in the loss; nil = all 1
}

// Begin is a set to which nothing has been done. weights may be nil.
func Begin(set Dataset, weights []float32) Prepared {
	labels := Labels(set)
	return Prepared{Set: set, Labels: labels, True: labels, Weights: weights}
}

// Pick is p with the examples at the given places alone, in that order. p stays as it is.
func (p Prepared) Pick(index []int32) Prepared {
	picked := Prepared{Set: Subset(p.Set, index), Labels: take(p.Labels, index), True: take(p.True, index)}
	if p.Weights != nil {
		picked.Weights = take(p.Weights, index)
	}
	return picked
}

func take[T any](all []T, index []int32) []T {
	taken := make([]T, len(index))
	for k, i := range index {
		taken[k] = all[i]
	}
	return taken
}

// Reach says which examples a preparation is done to.
type Reach int

const (
	// ReachAll is every part: what changes an example's shape or meaning is done to the test part too.
	ReachAll Reach = iota
	// ReachExamples is what a run trains on and what it keeps aside for validation.
	ReachExamples
	// ReachTraining is what a run trains on, once validation has been kept aside: wrong labels are not validated on.
	ReachTraining
)

// Preparation is something done to a set once, before a run.
type Preparation interface {
	// Prepare returns p with it done, and changes nothing of p. seed is the run's.
	Prepare(p Prepared, seed uint64) (Prepared, error)
	Reach() Reach
}

// Preparations is every preparation that has a name, with its defaults.
func Preparations() []choice.Kind[Preparation] {
	return []choice.Kind[Preparation]{
		{Name: "subset", New: func() Preparation { return NewKeep() }},
		{Name: "long-tail", New: func() Preparation { return NewLongTail() }},
		{Name: "label-noise", New: func() Preparation { return NewLabelNoise() }},
		{Name: "paired-label-noise", New: func() Preparation { return NewPairedLabelNoise() }},
		{Name: "pool", New: func() Preparation { return NewPool() }},
		{Name: "domains", New: func() Preparation { return NewJoin() }},
	}
}

// Step is a preparation chosen by name in a recipe: "pool", or {"name": "label-noise", "rate": 0.4}.
type Step struct{ Preparation }

// MarshalJSON writes the name and the options.
func (s Step) MarshalJSON() ([]byte, error) {
	return choice.Encode("preparation", Preparations(), s.Preparation)
}

// UnmarshalJSON reads a name, or a name with options; an unknown name or option is an error that names the nearest.
func (s *Step) UnmarshalJSON(b []byte) error { return s.UnmarshalOwn(b, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (s *Step) UnmarshalOwn(b []byte, r own.Registry) (err error) {
	s.Preparation, err = choice.Decode("preparation", Preparations(), b, r)
	return err
}

// Steps are the preparations of a recipe, done one after the other. A run does Examples, keeps validation examples aside, and does
// Training to the rest; the set it tests on gets All.
type Steps []Step

// Validate refuses an order that cannot be kept: what is done to the training examples alone comes last.
func (s Steps) Validate() error {
	for i, step := range s {
		if step.Preparation == nil {
			return fmt.Errorf("prepare: entry %d is empty; name a preparation", i+1)
		}
		if i > 0 && step.Reach() < ReachTraining && s[i-1].Reach() == ReachTraining {
			return fmt.Errorf("prepare: %s comes after %s, which is applied only to the training examples, "+
				"after validation is split off; put %[1]s first",
				step.name(), s[i-1].name())
		}
	}
	return nil
}

func (s Step) name() string { return choice.NameOf(Preparations(), s.Preparation) }

// All does to a set that is tested on what is done to all parts.
func (s Steps) All(p Prepared, seed uint64) (Prepared, error) {
	return s.do(p, seed, ReachAll, ReachAll)
}

// Examples does what comes before validation examples are kept aside.
func (s Steps) Examples(p Prepared, seed uint64) (Prepared, error) {
	return s.do(p, seed, ReachAll, ReachExamples)
}

// Training does what is done to the training examples alone.
func (s Steps) Training(p Prepared, seed uint64) (Prepared, error) {
	return s.do(p, seed, ReachTraining, ReachTraining)
}

func (s Steps) do(p Prepared, seed uint64, from, to Reach) (Prepared, error) {
	if err := s.Validate(); err != nil {
		return p, err
	}
	for _, step := range s {
		if r := step.Reach(); r < from || r > to {
			continue
		}
		var err error
		if p, err = step.Prepare(p, seed); err != nil {
			return p, fmt.Errorf("prepare: %w", err)
		}
	}
	return p, nil
}
