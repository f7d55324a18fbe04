package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/ballast-ml/ballast/internal/printable"
)

// titles are what tables call the values.
var titles = map[string]string{
	"acc": "accuracy", "nll": "NLL (nats)", "brier": "Brier score", "ece": "ECE, equal width", "ece_mass": "ECE, equal mass",
	"classwise_ece": "classwise ECE", "mce": "MCE", "confidence": "mean confidence", "shift.acc": "accuracy, mean of shifts",
}

// Text writes a report for a terminal.
func (r Report) Text(w io.Writer) error {
	t := newTable(w)
	t.row("%s on %s, %d examples", printable.Line(r.Model), printable.Line(r.Data), r.Examples)
	t.row("")
	for _, v := range r.headline() {
		t.row("  %s\t%s", title(v.Name), v.format())
	}
	if r.Shift != nil {
		t.row("")
		t.row("  accuracy by severity%s", severities(r.Shift.Rows))
		for _, row := range r.Shift.Rows {
			t.row("  %s%s", printable.Line(row.Name), shares(row.Accuracy))
		}
	}
	return t.flush()
}

// Text writes the before and after table for a terminal.
func (c Comparison) Text(w io.Writer) error {
	t := newTable(w)
	t.row("%s: %s", printable.Line(c.Before.Model), printable.Line(c.What))
	t.row("measured on %s, %d examples", printable.Line(c.Before.Data), c.Before.Examples)
	t.row("")
	t.row("  \tbefore\tafter\tchange\t")
	after := map[string]Value{}
	for _, v := range c.After.Values() {
		after[v.Name] = v
	}
	for _, b := range c.Before.headline() {
		a, ok := after[b.Name]
		if !ok {
			continue
		}
		t.row("  %s\t%s\t%s\t%s\t%s", title(b.Name), b.format(), a.format(), change(b, a), verdict(b, a))
	}
	if c.Before.Shift != nil && c.After.Shift != nil {
		t.row("")
		t.row("  accuracy by severity%s", severities(c.Before.Shift.Rows))
		for i, row := range c.Before.Shift.Rows {
			t.row("  %s, before%s", printable.Line(row.Name), shares(row.Accuracy))
			t.row("  %s, after%s", printable.Line(row.Name), shares(c.After.Shift.Rows[i].Accuracy))
		}
		t.row("")
		t.row("  ECE by severity%s", severities(c.Before.Shift.Rows))
		for i, row := range c.Before.Shift.Rows {
			t.row("  %s, before%s", printable.Line(row.Name), numbers(row.ECE))
			t.row("  %s, after%s", printable.Line(row.Name), numbers(c.After.Shift.Rows[i].ECE))
		}
	}
	return t.flush()
}

// headline is the values without those of single shifts.
func (r Report) headline() []Value {
	var v []Value
	for _, value := range r.Values() {
		if strings.Count(value.Name, ".") < 2 {
			v = append(v, value)
		}
	}
	return v
}

func title(name string) string {
	if t, ok := titles[name]; ok {
		return t
	}
	if k, ok := strings.CutPrefix(name, "top"); ok {
		return "accuracy, top " + k
	}
	return name
}

func (v Value) format() string {
	if v.Share {
		return fmt.Sprintf("%.2f %%", 100*v.Number)
	}
	return fmt.Sprintf("%.4f", v.Number)
}

func change(before, after Value) string {
	d := after.Number - before.Number
	if before.Share {
		return fmt.Sprintf("%+.2f", 100*d)
	}
	return fmt.Sprintf("%+.4f", d)
}

// verdict marks a change that shows in the digits printed.
func verdict(before, after Value) string {
	if before.Better == 0 || before.format() == after.format() {
		return ""
	}
	if math.Signbit(after.Number-before.Number) == (before.Better < 0) {
		return "better"
	}
	return "worse"
}

func severities(rows []ShiftRow) string {
	if len(rows) == 0 {
		return ""
	}
	var b strings.Builder
	for _, s := range rows[0].Severities {
		fmt.Fprintf(&b, "\t%d", s)
	}
	return b.String()
}

func shares(values []float64) string {
	var b strings.Builder
	for _, v := range values {
		fmt.Fprintf(&b, "\t%.2f %%", 100*v)
	}
	return b.String()
}

func numbers(values []float64) string {
	var b strings.Builder
	for _, v := range values {
		fmt.Fprintf(&b, "\t%.4f", v)
	}
	return b.String()
}

// table aligns columns at tabs and remembers the first error.
type table struct {
	w   *tabwriter.Writer
	err error
}

func newTable(w io.Writer) *table { return &table{w: tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)} }

func (t *table) row(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format+"\n", args...)
	}
}

func (t *table) flush() error {
	if t.err != nil {
		return t.err
	}
	return t.w.Flush()
}
