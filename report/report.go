// Package report holds what an audit found and shows it: in the terminal, as JSON, as one HTML file with its pictures in it.
//
// An audit is a list of sections, one a suite. A section brings all that is shown of it: numbers with their direction and unit, tables,
// charts and pictures. Nothing here asks which suite it is from.
package report

import (
	"io"
	"time"

	"github.com/ballast-ml/ballast/internal/anynumber"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/metric"
)

// SchemaVersion is the schema_version of a report's JSON.
const SchemaVersion = 1

// Report is what an audit of one model found. In the JSON each section stands under its suite's name.
type Report struct {
	SchemaVersion int       `json:"schema_version"`
	Model         string    `json:"model"`
	Data          string    `json:"data"`
	Examples      int       `json:"examples"`
	Engine        string    `json:"engine,omitempty"`
	Seed          uint64    `json:"seed"`
	Created       time.Time `json:"created"`
	Seconds       float64   `json:"seconds"`

	Version      string `json:"version,omitempty"`       // of Ballast
	Commit       string `json:"commit,omitempty"`        // that Ballast was built from
	Files        []File `json:"files,omitempty"`         // of the model, or of the saved outputs
	DataChecksum string `json:"data_checksum,omitempty"` // of the examples and their labels
	Next         []Next `json:"next,omitempty"`          // what may be done about it

	Assumed     []Assumption `json:"assumed,omitempty"`      // what the model was taken for, where it does not say so itself
	DataAssumed []Assumption `json:"data_assumed,omitempty"` // what data of a user's own were taken for, and what was left out of them

	LeftOut  []LeftOut `json:"left_out,omitempty"`
	Notes    []string  `json:"notes,omitempty"` // how the model's answers and the data were understood, where that may surprise
	Sections []Section `json:"-"`               // of the suites that were run, in the order of the list of suites
}

// Assumption is something that a model was taken for: its input, layout, outputs, preprocessing or labels; or data: their format, layout,
// pictures, classes, and what was skipped.
type Assumption struct {
	What    string `json:"what"`              // input, layout, outputs, preprocessing, labels
	Is      string `json:"is"`                // what it was taken for
	Because string `json:"because,omitempty"` // why
	Guess   bool   `json:"guess,omitempty"`   // nothing says so: it is what is most likely
}

// Text is the assumption in a line, without what it is about.
func (a Assumption) Text() string {
	text := a.Is
	if a.Because != "" {
		text += " (" + a.Because + ")"
	}
	if a.Guess {
		text += " - a guess"
	}
	return text
}

// File is a file that a report is about.
type File struct {
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Next is a command that would help, and why.
type Next struct {
	Why     string `json:"why"` // lower case, without a full stop
	Command string `json:"command"`
}

// LeftOut is a suite that nobody asked for by name, and that could not be run.
type LeftOut struct {
	Suite string `json:"suite"`
	Why   string `json:"why"`
}

// Values lists the numbers of a report by the names that requirements and tables use.
func (r Report) Values() []metric.Number {
	var all []metric.Number
	for _, s := range r.Sections {
		all = append(all, s.values()...)
	}
	return all
}

// Number returns the number of a name.
func (r Report) Number(name string) (metric.Number, bool) { return find(r.Values(), name) }

// Section returns the section of a suite.
func (r Report) Section(suite string) (Section, bool) {
	for _, s := range r.Sections {
		if s.Suite == suite {
			return s, true
		}
	}
	return Section{}, false
}

// headline is the numbers in short, without those of tables.
func (r Report) headline() []metric.Number {
	var all []metric.Number
	for _, s := range r.Sections {
		all = append(all, s.Numbers...)
	}
	return all
}

// find returns the number of a name.
func find(numbers []metric.Number, name string) (metric.Number, bool) {
	for _, n := range numbers {
		if n.Name == name {
			return n, true
		}
	}
	return metric.Number{}, false
}

// WriteJSON writes v as indented JSON to a file, whole or not at all.
func WriteJSON(path string, v any) error {
	return durable.WriteFile(path, func(w io.Writer) error {
		text, err := anynumber.MarshalIndent(v, "  ")
		if err != nil {
			return err
		}
		_, err = w.Write(append(text, '\n'))
		return err
	})
}
