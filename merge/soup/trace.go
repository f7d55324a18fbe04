package soup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// greedyTrace is the file from which a greedy soup resumes: what was asked for, and every score that is known.
type greedyTrace struct {
	SchemaVersion int        `json:"schema_version"`
	Method        Greedy     `json:"method"`
	Models        []string   `json:"models"`
	Given         []float64  `json:"given_scores"` // supplied from outside; null = none
	Checksums     []string   `json:"checksums"`    // of each model's weights; "" = not read yet
	Scores        []*float64 `json:"scores"`       // measured; null = not yet
	Trials        []Trial    `json:"trials"`
}

const traceVersion = 1

// maxTrace is the most bytes of a trace that are read; a soup of 1000 models has 1 MB.
const maxTrace = 16 << 20

// openTrace starts a trace, or takes up the one that is there if it is of the same soup.
func (g *greedyRun) openTrace() error {
	n := g.models.Len()
	g.trace = greedyTrace{
		SchemaVersion: traceVersion, Method: g.Greedy, Models: g.r.Models, Given: g.o.Scores,
		Checksums: make([]string, n), Scores: make([]*float64, n), Trials: []Trial{},
	}
	if g.o.Trace == "" {
		return nil
	}
	text, err := untrusted.ReadFile(g.o.Trace, maxTrace)
	if errors.Is(err, fs.ErrNotExist) {
		return g.saveTrace()
	}
	if err != nil {
		return fmt.Errorf("merge: greedy soup: trace: %w", err)
	}
	var old greedyTrace
	if err := strict.Decode(text, &old); err != nil {
		return &fault.Input{File: g.o.Trace, Err: err, Fix: "delete it to begin again"}
	}
	switch {
	case old.SchemaVersion != traceVersion:
		return g.traceError("schema_version is %d, this build reads %d", old.SchemaVersion, traceVersion)
	case old.Method != g.Greedy:
		return g.traceError("it was written with the options %s, now they are %+v", strict.Short(fmt.Sprintf("%+v", old.Method)), g.Greedy)
	case !slices.Equal(old.Models, g.r.Models):
		return g.traceError("it is of other models: %s", strict.Short(fmt.Sprint(old.Models)))
	case !slices.Equal(old.Given, g.o.Scores):
		return g.traceError("it was written with other scores given")
	case len(old.Checksums) != n || len(old.Scores) != n || len(old.Trials) > n-1:
		return g.traceError("it has %d checksums, %d scores and %d trials for %d models", len(old.Checksums), len(old.Scores), len(old.Trials), n)
	}

	g.trace = old
	return nil
}

func (g *greedyRun) traceError(format string, args ...any) error {
	return &fault.Input{File: g.o.Trace, Err: fmt.Errorf(format, args...), Fix: "delete it to begin again"}
}

func (g *greedyRun) saveTrace() error {
	if g.o.Trace == "" {
		return nil
	}
	return durable.WriteFile(g.o.Trace, func(w io.Writer) error {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(g.trace)
	})
}

// checkUnchanged compares a model with what it was when the trace began.
func (g *greedyRun) checkUnchanged(i int, w weights.Set) error {
	if g.o.Trace == "" {
		return nil
	}
	sum := w.Checksum()
	if old := g.trace.Checksums[i]; old != "" && old != sum {
		return g.traceError("%s has other weights than when the trace was written", g.models.Name(i))
	}
	g.trace.Checksums[i] = sum
	return nil
}
