package paper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
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

// LedgerVersion is the schema_version of ledger.json.
const LedgerVersion = 1

// Ledger is the evidence: what was measured for each claim, when, on what, and the verdict. Only Reproduce's results go
// in; a claim that does not hold stays in as not held.
type Ledger struct {
	SchemaVersion int     `json:"schema_version"`
	Entries       []Entry `json:"entries"`
}

// Entry is one paper measured once.
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
}

// ClaimResult is one claim measured.
type ClaimResult struct {
	Name         string       `json:"name"`
	Statement    string       `json:"statement"`
	Held         bool         `json:"held"`
	Inequalities []Inequality `json:"inequalities"`
	Arms         []ArmResult  `json:"arms"`
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

// Held reports whether every claim of the entry held.
func (e Entry) Held() bool {
	return !slices.ContainsFunc(e.Claims, func(c ClaimResult) bool { return !c.Held })
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

// Entry returns the entry of a paper.
func (l Ledger) Entry(slug string) (Entry, bool) {
	i := slices.IndexFunc(l.Entries, func(e Entry) bool { return e.Slug == slug })
	if i < 0 {
		return Entry{}, false
	}
	return l.Entries[i], true
}

// Put replaces the entry of the same paper, or adds it; entries stay in order of slugs.
func (l *Ledger) Put(e Entry) {
	l.Entries = slices.DeleteFunc(l.Entries, func(old Entry) bool { return old.Slug == e.Slug })
	l.Entries = append(l.Entries, e)
	slices.SortFunc(l.Entries, func(a, b Entry) int { return strings.Compare(a.Slug, b.Slug) })
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

// Record puts an entry into a ledger file, beside what other processes have put into it since it was read.
func Record(path string, e Entry) error {
	return durable.Update(path, func(content []byte) ([]byte, error) {
		l := Ledger{SchemaVersion: LedgerVersion}
		if content != nil {
			var err error
			if l, err = ParseLedger(path, content); err != nil {
				return nil, err
			}
		}
		l.Put(e)
		var b bytes.Buffer
		err := l.encode(&b)
		return b.Bytes(), err
	})
}

// ParseLedger reads the content of a ledger file; its name is for errors.
func ParseLedger(file string, data []byte) (Ledger, error) {
	var l Ledger
	if err := strict.Decode(data, &l); err != nil {
		return Ledger{}, &fault.Input{File: file, Err: err, Fix: `write it with "ballast reproduce" alone`}
	}
	if l.SchemaVersion != LedgerVersion {
		return Ledger{}, &fault.Input{
			File: file, Field: "schema_version", Fix: "use the ballast that wrote it",
			Err: fmt.Errorf("want %d, got %d", LedgerVersion, l.SchemaVersion),
		}
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
