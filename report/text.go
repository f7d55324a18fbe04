package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/ballast-ml/ballast/internal/console"
	"github.com/ballast-ml/ballast/internal/printable"
)

// Text writes a report for a terminal.
func (r Report) Text(w io.Writer) error {
	t := newTable(w)
	t.row("%s on %s, %d examples", printable.Line(r.Model), printable.Line(r.Data), r.Examples)
	t.row("")
	t.verdict(r.Verdict())
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
	t.verdict(c.InWords())
	t.row("  \t%s\t%s\t%s\t", t.colours.Strong("before"), t.colours.Strong("after"), t.colours.Strong("change"))
	for _, row := range c.rows() {
		last := len(row.Cells) - 1
		t.row("  %s\t%s\t%s", printable.Line(row.Name), strings.Join(row.Cells[:last], "\t"), t.shade(row.Cells[last]))
	}
	for _, before := range c.Before.Sections {
		after, ok := c.After.Section(before.Suite)
		if !ok {
			continue
		}
		for _, one := range before.Tables {
			for _, other := range after.Tables {
				if one.Title == other.Title && one.Shown <= Compared {
					t.compared(one, other)
				}
			}
		}
	}
	if c.Why != "" {
		t.row("")
		t.row("  %s", printable.Line(c.Why))
	}
	t.notes(c.Before)
	t.next(c.Next)
	return t.flush()
}

// rows are the numbers in short of both reports.
func (c Comparison) rows() []textRow {
	var rows []textRow
	after := c.After.Values()
	for _, b := range c.Before.headline() {
		if a, ok := find(after, b.Name); ok {
			rows = append(rows, textRow{Name: b.Label(), Cells: []string{b.Text(), a.Text(), a.Change(b), verdict(b, a)}})
		}
	}
	return rows
}

// textRow is a row of a table in a terminal.
type textRow struct {
	Name  string
	Cells []string
}

// compared writes a table with each row before and after, and in how many columns it became better or worse.
func (t *table) compared(before, after Table) {
	t.row("")
	t.row("  %s%s\t", printable.Line(before.Title), columns(before.heads()))
	for _, row := range before.Rows {
		for _, then := range after.Rows {
			if then.Name != row.Name {
				continue
			}
			t.row("  %s, before%s\t", printable.Line(before.label(row)), columns(before.cells(row)))
			t.row("  %s, after%s\t%s", printable.Line(before.label(row)), columns(after.cells(then)), t.shade(fared(before, row, after, then)))
		}
	}
}

// fared says in how many columns of a row a number became better or worse: "worse in 5 of 5".
func fared(before Table, row Row, after Table, then Row) string {
	counts := map[string]int{}
	n := min(len(row.Values), len(then.Values), len(before.Columns), len(after.Columns))
	for c := range n {
		counts[verdict(before.cell(row, c), after.cell(then, c))]++
	}
	var parts []string
	for _, word := range []string{better, worse} {
		if counts[word] > 0 {
			parts = append(parts, fmt.Sprintf("%s in %d of %d", word, counts[word], n))
		}
	}
	return strings.Join(parts, ", ")
}

// table aligns columns at tabs and remembers the first error.
type table struct {
	w       *console.Table
	colours console.Palette
	err     error
}

func newTable(w io.Writer) *table {
	return &table{w: console.NewTable(w, 3), colours: console.PaletteOf(w)}
}

// shade colours what says that something became better or worse, worse where it is both.
func (t *table) shade(text string) string {
	switch {
	case strings.Contains(text, worse):
		return t.colours.Bad(text)
	case strings.Contains(text, better):
		return t.colours.Good(text)
	}
	return text
}

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
		t.row("  %s%s", printable.Line(shown.label(row)), columns(shown.cells(row)))
	}
}

// verdict writes the verdict over an empty line.
func (t *table) verdict(text string) {
	if text != "" {
		t.row("%s", printable.Line(text))
		t.row("")
	}
}

// next writes the commands that would help under an empty line.
func (t *table) next(all []Next) {
	for _, n := range all {
		t.row("")
		t.row("next: %s", printable.Line(n.Why))
		t.row("  %s", printable.Line(n.Command))
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
