package engine

import (
	"fmt"
	"os"
	"strings"
)

// Work describes the coming computation, as far as it is known before an engine is opened.
type Work struct {
	Weights  int64 // of the largest network
	Updates  int   // of a training; 0 = examples go through the network and nothing is learnt
	Examples int   // that go through the network in one direction

	// MultiplyAdds are those of everything: of an example that is learnt from three times those of its way through the network, since
	// two more products make the gradients. 0 = not known.
	MultiplyAdds float64

	Devices int // that it is spread over; 0 = 1
}

// The bounds of a small run: work that the Go engine ends before XLA has compiled its graphs. They are constants, and say nothing of the
// machine: the same work gets the same engine everywhere, whatever else a machine does. docs/engines.md has what they were taken from.
const (
	// SmallMultiplyAdds are as many as the Go engine does in the time that XLA takes to compile a small network.
	SmallMultiplyAdds = 2e9
	// SmallPasses is the same of examples that go through the network alone, whose graph is smaller and sooner compiled.
	SmallPasses = 5e8
	// SmallUpdates bounds what an update costs beside its products: some hundred operations of the Go engine, whatever their size.
	SmallUpdates = 2000
)

// Small reports whether the Go engine finishes the work sooner than XLA.
func (w Work) Small() bool {
	most := SmallMultiplyAdds
	if w.Updates == 0 {
		most = SmallPasses
	}
	return w.MultiplyAdds > 0 && w.MultiplyAdds <= most && w.Updates <= SmallUpdates && w.Devices <= 1
}

// String returns the amount of work.
func (w Work) String() string {
	if w.Updates > 0 {
		return fmt.Sprintf("%s weights x %s updates", thousands(w.Weights), thousands(int64(w.Updates)))
	}
	return fmt.Sprintf("%s weights x %s examples", thousands(w.Weights), thousands(int64(w.Examples)))
}

// thousands is a number with commas.
func thousands(n int64) string {
	digits := fmt.Sprint(n)
	var groups []string
	for len(digits) > 3 {
		groups = append([]string{digits[len(digits)-3:]}, groups...)
		digits = digits[:len(digits)-3]
	}
	return strings.Join(append([]string{digits}, groups...), ",")
}

// OpenFor is Open for work that is known: where neither choice nor BALLAST_ENGINE names an engine and the work is small, it is the Go
// engine, even where XLA could be had.
func OpenFor(choice string, w Work) (*Engine, error) {
	if choice != "" || os.Getenv(EnvChoice) != "" || !w.Small() || !found() {
		return Open(choice)
	}
	return openGo(fmt.Sprintf("a small run: %s; --engine xla for XLA", w), "")
}

// OpenAs is Open for a kind that a program, not a person, has chosen; why gives the reason.
func OpenAs(kind, why string) (*Engine, error) {
	e, err := Open(kind)
	if err != nil {
		return nil, err
	}
	e.Why, e.Hint = why, ""
	return e, nil
}

// found reports whether an XLA plugin is here, as far as can be seen without loading it.
func found() bool {
	if !xlaBuilt {
		return false
	}
	for _, kind := range []string{KindCUDA, KindCPU} {
		if kind == KindCUDA && !hasNVIDIA() {
			continue
		}
		if _, err := findPlugin(kind); err == nil {
			return true
		}
	}
	return false
}
