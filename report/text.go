package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/metric"
)

// Text writes a report for a terminal.
func (r Report) Text(w io.Writer) error {
	t := newTable(w)
	t.row("%s on %s, %d examples", printable.Line(r.Model), printable.Line(r.Data), r.Examples)
	t.row("")
	for _, n := range r.headline() {
		t.row("  %s\t%s", printable.Line(n.Label()), n.Text())
	}
	for _, s := range r.Sections {
		for _, each := range s.Tables {
			if each.Shown == Everywhere {
				t.table(each, "")
			}
		}
	}
	t.notes(r)
	return t.flush()
}

// Text writes the before and after table for a terminal.
func (c Comparison) Text(w io.Writer) error {
	t := newTable(w)
	t.row("%s: %s", printable.Line(c.Before.Model), printable.Line(c.What))
	t.row("measured on %s, %d examples", printable.Line(c.Before.Data), c.Before.Examples)
	t.row("")
	t.row("  \tbefore\tafter\tchange\t")
	for _, row := range c.rows() {
		t.row("  %s\t%s", printable.Line(row.Name), strings.Join(row.Cells, "\t"))
	}
	for _, before := range c.Before.Sections {
		after, ok := c.After.Section(before.Suite)
		if !ok {
			continue
		}
		for _, one := range before.Tables {
			for _, other := range after.Tables {
				if one.Title == other.Title && one.Shown <= Compared {
					t.table(sideBySide(one, other), "")
				}
			}
		}
	}
	t.notes(c.Before)
	return t.flush()
}

// rows are the numbers in short of both reports.
func (c Comparison) rows() []pageRow {
	var rows []pageRow
	after := c.After.Values()
	for _, b := range c.Before.headline() {
		if a, ok := find(after, b.Name); ok {
			v := verdict(b, a)
			rows = append(rows, pageRow{Name: b.Label(), Cells: []string{b.Text(), a.Text(), a.Change(b), v}, Verdict: v})
		}
	}
	return rows
}

// sideBySide is a table with each row before and after.
func sideBySide(before, after Table) Table {
	both := before
	both.Rows = nil
	for _, row := range before.Rows {
		for _, then := range after.Rows {
			if then.Name == row.Name {
				both.Rows = append(both.Rows, Row{row.Name + ", before", row.Values}, Row{row.Name + ", after", then.Values})
			}
		}
	}
	return both
}

// verdict marks a change that shows in the digits printed.
func verdict(before, after metric.Number) string {
	if before.Better != metric.Higher && before.Better != metric.Lower || before.Text() == after.Text() {
		return ""
	}
	if math.Signbit(after.Value-before.Value) == (before.Better == metric.Lower) {
		return "better"
	}
	return "worse"
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

// table writes a table of a section under an empty line; what goes before its title, such as whose it is.
func (t *table) table(shown Table, what string) {
	t.row("")
	t.row("  %s%s", printable.Line(what+shown.Title), columns(shown.heads()))
	for _, row := range shown.Rows {
		t.row("  %s%s", printable.Line(row.Name), columns(shown.cells(row)))
	}
}

// notes writes the notes of a report's sections under an empty line.
func (t *table) notes(r Report) {
	for _, note := range r.Notes {
		t.row("")
		t.row("  %s", printable.Line(note))
	}
	for _, s := range r.Sections {
		for _, note := range s.Notes {
			t.row("")
			t.row("  %s: %s", printable.Line(s.Suite), printable.Line(note))
		}
	}
}

// columns are texts behind a tab each.
func columns(texts []string) string {
	var b strings.Builder
	for _, text := range texts {
		b.WriteString("\t" + printable.Line(text))
	}
	return b.String()
}

func (t *table) flush() error {
	if t.err != nil {
		return t.err
	}
	return t.w.Flush()
}
