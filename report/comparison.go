package report

import (
	"math"

	"github.com/ballast-ml/ballast/metric"
)

// Comparison is a model before and after it was mended. NewComparison fills in what follows from the two reports.
type Comparison struct {
	SchemaVersion int      `json:"schema_version"`
	What          string   `json:"what"`              // what was done in between
	Verdict       string   `json:"verdict,omitempty"` // what became better and what became worse
	Why           string   `json:"why,omitempty"`     // why there was something to mend, and what else the mending does
	Changes       []Change `json:"changes,omitempty"` // of every number that both reports have
	Next          []Next   `json:"next,omitempty"`    // what may be done then
	Before        Report   `json:"before"`
	After         Report   `json:"after"`
}

// Change is one number before and after.
type Change struct {
	Name    string  `json:"name"`
	Before  float64 `json:"before"`
	After   float64 `json:"after"`
	Verdict string  `json:"verdict,omitempty"` // better or worse; "" where it shows no change, or where neither direction is better
}

// NewComparison holds a report against an earlier one of the same data.
func NewComparison(what string, before, after Report) Comparison {
	c := Comparison{SchemaVersion: SchemaVersion, What: what, Before: before, After: after}
	c.Verdict, c.Changes = c.InWords(), c.changes()
	return c
}

// changes are all numbers that both reports have, in the order of the first.
func (c Comparison) changes() []Change {
	after := map[string]metric.Number{}
	for _, n := range c.After.Values() {
		after[n.Name] = n
	}
	var all []Change
	for _, b := range c.Before.Values() {
		if a, ok := after[b.Name]; ok {
			all = append(all, Change{Name: b.Name, Before: b.Value, After: a.Value, Verdict: verdict(b, a)})
		}
	}
	return all
}

// The verdicts on a change.
const (
	better = "better"
	worse  = "worse"
)

// verdict marks a change that shows in the digits printed.
func verdict(before, after metric.Number) string {
	if before.Better != metric.Higher && before.Better != metric.Lower || before.Text() == after.Text() {
		return ""
	}
	if math.Signbit(after.Value-before.Value) == (before.Better == metric.Lower) {
		return better
	}
	return worse
}
