// Package stream puts the examples of a data set, as they are and shifted, into an order in which test time may bring them. A model that
// adapts while it answers depends on that order; see package adapt.
//
//	stream       what comes after what
//	iid          all examples in random order
//	sorted       the examples of the first class, then those of the second, and so on
//	dirichlet    stretches of time with few classes each
//	mixed        the shifts mixed, each with every example
//	continual    one shift after the other, each with every example
//	gradual      one shift after the other, each from severity 1 up to 5 and back to 1
//
// iid, sorted and dirichlet leave the examples as they are unless Shifts name some; each shift is then a pass of its own, as in continual.
//
// A Stream is a value. Its Steps say which example comes when, of which domain and severity; Open makes of them a data set that reads the
// shifted examples in that order:
//
//	s, err := stream.Open(test, stream.NewContinual(), 1)
//
// The same set, stream and seed give the same steps, and an example is shifted as corrupt.Wrap would shift it with the same seed.
package stream

import (
	"fmt"

	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/data/sample"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/own"
)

// Step is one moment of a stream.
type Step struct {
	Example  int32  // place in the set
	Domain   int32  // of which Shifted, or domain of the set, it is: a place in Steps.Domains
	Shift    string // the name of the shift; "" = as it is
	Severity int    // 1 to 5; 0 = as it is
}

// Steps are a whole stream.
type Steps struct {
	Domains []string // names: "contrast:5", the set's domains, or one name, "clean"
	Steps   []Step
}

// Stream is an order of examples and shifts.
type Stream interface {
	// Steps are those of a stream over rows. It errors if the rows lack what the stream goes by, or an option is wrong.
	Steps(r sample.Rows, seed uint64) (Steps, error)

	// Validate says what is wrong with the options, and how to fix it.
	Validate() error
}

// Kind is a stream that can be chosen by name: its Name, and New, which returns it with its defaults.
type Kind = choice.Kind[Stream]

// All is every stream that has a name, with its defaults.
func All() []Kind {
	return []Kind{
		{Name: "iid", New: func() Stream { return NewIID() }},
		{Name: "sorted", New: func() Stream { return NewSorted() }},
		{Name: "dirichlet", New: func() Stream { return NewDirichlet() }},
		{Name: "mixed", New: func() Stream { return NewMixed() }},
		{Name: "continual", New: func() Stream { return NewContinual() }},
		{Name: "gradual", New: func() Stream { return NewGradual() }},
	}
}

// Choice is a stream chosen by name: "sorted", or {"name": "dirichlet", "delta": 0.01}.
type Choice struct{ Stream }

// MarshalJSON writes the name and the options.
func (c Choice) MarshalJSON() ([]byte, error) { return choice.Encode("stream", All(), c.Stream) }

// UnmarshalJSON reads a name, or a name with options; an unknown name or option is an error that names the nearest.
func (c *Choice) UnmarshalJSON(b []byte) error { return c.UnmarshalOwn(b, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (c *Choice) UnmarshalOwn(b []byte, r own.Registry) (err error) {
	if c.Stream, err = choice.Decode("stream", All(), b, r); err != nil {
		return err
	}
	return c.Validate()
}

// Name returns the name a stream has in All, or its Go type.
func Name(s Stream) string { return choice.NameOf(All(), s) }

// Names are the names of all streams.
func Names() []string {
	var names []string
	for _, k := range All() {
		names = append(names, k.Name)
	}
	return names
}

// Shifts are what a stream does to its examples: shifts of data/corrupt by name, all at one severity.
type Shifts struct {
	Names    []string `json:"shifts"`   // empty = what the stream says
	Severity int      `json:"severity"` // 1 to 5; 5
}

// validate refuses names that no shift has, a shift named twice, and severities that there are not.
func (s Shifts) validate(who string) error {
	if s.Severity < 1 || s.Severity > corrupt.Severities {
		return wrong(who, "severity is %d; use 1 to %d", s.Severity, corrupt.Severities)
	}
	return checkNames(who, s.Names)
}

// checkNames refuses names that no shift has, and a shift named twice.
func checkNames(who string, names []string) error {
	seen := map[string]bool{}
	for _, name := range names {
		if _, err := corrupt.Find(name); err != nil {
			return fmt.Errorf("stream: %s: %w", who, err)
		}
		if seen[name] {
			return wrong(who, "the shift %s is named twice; name each once", name)
		}
		seen[name] = true
	}
	return nil
}

// every is the names of all shifts of Ballast's audit.
func every() []string {
	var names []string
	for _, s := range corrupt.All() {
		names = append(names, s.Name())
	}
	return names
}

// wrong is an error of a stream used wrongly.
func wrong(who, format string, a ...any) error {
	return &fault.Usage{Err: fmt.Errorf("stream: "+who+": "+format, a...)}
}
