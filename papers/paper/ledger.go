package paper

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/gonum/stat"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// maxLedger is the most bytes of a ledger that are read; that of this repository has under 1 MB.
const maxLedger = 16 << 20

// LedgerVersion is the schema_version of ledger.json. Version 1, one entry per paper without verdicts, is read as well.
const LedgerVersion = 2

// Ledger is the evidence: what was measured for each claim, when, on what, and the verdict. Only Reproduce's results go
// in; a claim that does not hold stays in as not held, and seeds that were measured later stand beside the first ones.
type Ledger struct {
	SchemaVersion int        `json:"schema_version"`
	Entries       []Entry    `json:"entries"`  // by paper, then by seeds
	Together      []Together `json:"together"` // by paper
}

// Entry is one paper measured with one set of seeds.
type Entry struct {
	Slug    string        `json:"slug"`
	Date    time.Time     `json:"date"`
	Seeds   []uint64      `json:"seeds"`
	Engine  string        `json:"engine"`
	Machine string        `json:"machine"`
	Version string        `json:"version"` // of Ballast and its engine libraries
	Commit  string        `json:"commit"`  // "+dirty" when the tree was changed
	Seconds float64       `json:"seconds"`
	Claims  []ClaimResult `json:"claims"`

	Made int `json:"-"` // runs made for it; the others were there
}

// ClaimResult is one claim measured.
type ClaimResult struct {
	Name      string `json:"name"`
	Statement string `json:"statement"`
	Certainty
	MeansHold    bool         `json:"means_hold"` // every inequality holds for the means over seeds
	Inequalities []Inequality `json:"inequalities"`
	Arms         []ArmResult  `json:"arms,omitempty"` // left out of a Together: they are those of the entries
}

// ArmResult is the numbers of one arm: metric -> mean, standard deviation (n-1) and the value of each seed.
type ArmResult struct {
	Name    string             `json:"name"`
	Metrics map[string]Summary `json:"metrics"`
}

// Summary is a sample over seeds.
type Summary struct {
	Mean   float64   `json:"mean"`
	SD     float64   `json:"sd"` // 0 for one seed
	Values []float64 `json:"values"`
}

// Stands reports whether every claim of the entry is held or held closely.
func (e Entry) Stands() bool {
	return !slices.ContainsFunc(e.Claims, func(c ClaimResult) bool { return !c.Stands() })
}

// ReadLedger reads a ledger file; a missing one is empty.
func ReadLedger(path string) (Ledger, error) {
	data, err := untrusted.ReadFile(path, maxLedger)
	if errors.Is(err, fs.ErrNotExist) {
		return Ledger{SchemaVersion: LedgerVersion}, nil
	}
	if err != nil {
		return Ledger{}, fmt.Errorf("papers: %w", err)
	}
	return ParseLedger(path, data)
}

// Put adds an entry. It takes the place of those of the same paper that share a seed with it, so that no seed counts twice. An entry for
// which no run was made, and that says what is there already, keeps the date and the circumstances of the measurement.
func (l *Ledger) Put(e Entry) {
	replaced := func(old Entry) bool {
		return old.Slug == e.Slug && slices.ContainsFunc(old.Seeds, func(seed uint64) bool { return slices.Contains(e.Seeds, seed) })
	}
	for _, old := range l.Entries {
		if e.Made == 0 && replaced(old) && old.sameNumbers(e) {
			e.Date, e.Machine, e.Version, e.Commit, e.Seconds = old.Date, old.Machine, old.Version, old.Commit, old.Seconds
		}
	}

	l.Entries = append(slices.DeleteFunc(l.Entries, replaced), e)
	slices.SortStableFunc(l.Entries, func(a, b Entry) int {
		return cmp.Or(strings.Compare(a.Slug, b.Slug), slices.Compare(a.Seeds, b.Seeds))
	})
}

// sameNumbers reports whether two entries have the same values for the same seeds on the same engine.
func (e Entry) sameNumbers(f Entry) bool {
	if !slices.Equal(e.Seeds, f.Seeds) || e.Engine != f.Engine || len(e.Claims) != len(f.Claims) {
		return false
	}
	for i, c := range e.Claims {
		if c.Name != f.Claims[i].Name || !reflect.DeepEqual(c.Arms, f.Claims[i].Arms) {
			return false
		}
	}
	return true
}

// Write writes the ledger whole or not at all.
func (l Ledger) Write(path string) error {
	return durable.WriteFile(path, l.encode)
}

func (l Ledger) encode(w io.Writer) error {
	l.SchemaVersion = LedgerVersion
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(l)
}

// Record puts an entry into a ledger file, beside what other processes have put into it since it was read. Verdicts of the entry's paper
// are computed anew from the values of all its seeds; list has it, and every paper whose entries have no verdict yet.
func Record(path string, list []Paper, e Entry) (Evidence, error) {
	var found Evidence
	err := durable.Update(path, func(content []byte) ([]byte, error) {
		l := Ledger{SchemaVersion: LedgerVersion}
		if content != nil {
			var err error
			if l, err = ParseLedger(path, content); err != nil {
				return nil, err
			}
		}
		l.Put(e)
		l.forget(e.Slug)
		l.Judge(list)
		found, _ = l.Evidence(e.Slug)

		var b bytes.Buffer
		err := l.encode(&b)
		return b.Bytes(), err
	})
	return found, err
}

// ParseLedger reads the content of a ledger file; its name is for errors. Entries of version 1 have no verdicts before Judge.
func ParseLedger(file string, data []byte) (Ledger, error) {
	var head struct {
		SchemaVersion int `json:"schema_version"`
	}
	if json.Unmarshal(data, &head) == nil && head.SchemaVersion == 1 {
		return parseFirst(file, data)
	}

	var l Ledger
	if err := strict.Decode(data, &l); err != nil {
		return Ledger{}, notALedger(file, err)
	}
	if l.SchemaVersion != LedgerVersion {
		return Ledger{}, &fault.Input{
			File: file, Field: "schema_version", Fix: "use the ballast that wrote it",
			Err: fmt.Errorf("want %d, got %d", LedgerVersion, l.SchemaVersion),
		}
	}
	return l, nil
}

func notALedger(file string, err error) error {
	return &fault.Input{File: file, Err: err, Fix: `write it with "ballast reproduce" alone`}
}

// parseFirst reads a ledger of version 1, whose claims said only whether their means held.
func parseFirst(file string, data []byte) (Ledger, error) {
	type claim struct {
		Name         string       `json:"name"`
		Statement    string       `json:"statement"`
		Held         bool         `json:"held"`
		Inequalities []Inequality `json:"inequalities"`
		Arms         []ArmResult  `json:"arms"`
	}
	type entry struct {
		Entry
		Claims []claim `json:"claims"`
	}
	var first struct {
		SchemaVersion int     `json:"schema_version"`
		Entries       []entry `json:"entries"`
	}
	if err := strict.Decode(data, &first); err != nil {
		return Ledger{}, notALedger(file, err)
	}

	l := Ledger{SchemaVersion: LedgerVersion}
	for _, old := range first.Entries {
		e := old.Entry
		for _, c := range old.Claims {
			e.Claims = append(e.Claims, ClaimResult{
				Name: c.Name, Statement: c.Statement, MeansHold: c.Held, Inequalities: c.Inequalities, Arms: c.Arms,
			})
		}
		l.Entries = append(l.Entries, e)
	}
	return l, nil
}

// Summarise is the sample of some values.
func Summarise(values []float64) Summary {
	s := Summary{Mean: stat.Mean(values, nil), Values: values}
	if len(values) > 1 {
		s.SD = stat.StdDev(values, nil)
	}
	return s
}
