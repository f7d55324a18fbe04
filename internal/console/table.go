package console

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

const (
	// comfort is the least width of a column of sentences; below it they become towers of words.
	comfort = 20
	// broken is the width at which a word may be broken where nothing else helps.
	broken = 16
)

// Table aligns cells that are set apart by tabs, line by line, as text/tabwriter does. On a terminal it fits the width: columns that can be
// spared are left out, which a line says, and then texts are broken into several lines within their columns. Elsewhere the table is whole.
type Table struct {
	w     io.Writer
	gap   int
	spare []int
	text  bytes.Buffer
}

// NewTable returns a table with so many blanks between its columns. spare are the columns, counted from 0, that are left out first where the
// terminal is too narrow, in this order; then those at the right.
func NewTable(w io.Writer, gap int, spare ...int) *Table { return &Table{w: w, gap: gap, spare: spare} }

// Write takes text; nothing is written before Flush.
func (t *Table) Write(p []byte) (int, error) { return t.text.Write(p) }

// Flush writes the table.
func (t *Table) Flush() error {
	columns, painted := Columns(t.w), PaletteOf(t.w).on
	if columns == 0 && !painted {
		w := tabwriter.NewWriter(t.w, 0, 0, t.gap, ' ', 0)
		if _, err := t.text.WriteTo(w); err != nil {
			return err
		}
		return w.Flush()
	}
	if columns == 0 {
		columns = 1 << 20
	}
	lines := strings.Split(strings.TrimSuffix(t.text.String(), "\n"), "\n")
	t.text.Reset()
	var out strings.Builder
	for len(lines) > 0 {
		tabbed := strings.Contains(lines[0], "\t")
		n := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, "\t") != tabbed })
		if n < 0 {
			n = len(lines)
		}
		if tabbed {
			t.block(&out, lines[:n], columns)
		} else {
			for _, line := range lines[:n] {
				paragraph(&out, line, columns)
			}
		}
		lines = lines[n:]
	}
	_, err := io.WriteString(t.w, out.String())
	return err
}

// paragraph writes a line that is no row.
func paragraph(out *strings.Builder, line string, columns int) {
	parts := Wrap(line, columns, leading(line)+"  ")
	if len(parts) > 1 && strings.HasPrefix(strings.TrimSpace(line), "ballast ") { // a command to copy
		parts = Command(line, columns)
	}
	for _, part := range parts {
		out.WriteString(part + "\n")
	}
}

// block writes consecutive rows.
func (t *Table) block(out *strings.Builder, lines []string, columns int) {
	rows := make([][]string, len(lines))
	n := 0
	for i, line := range lines {
		rows[i] = strings.Split(line, "\t")
		n = max(n, len(rows[i]))
	}
	natural := make([]int, n)
	for _, row := range rows {
		for j, cell := range row {
			natural[j] = max(natural[j], Width(cell))
		}
	}
	for n > 1 && natural[n-1] == 0 { // a tab at the end of each line
		n--
	}

	l := layout{rows: rows, natural: natural[:n], gap: t.gap, columns: columns}
	l.fit(t.spare)
	for _, row := range rows {
		l.row(out, row)
	}
	if names := l.leftOut(); len(names) > 0 {
		them := "it"
		if len(names) > 1 {
			them = "them"
		}
		paragraph(out, fmt.Sprintf("%s(%s: left out for want of room; a wider terminal shows %s)", leading(rows[0][0]), strings.Join(names, ", "), them), columns)
	}
}

// layout is how wide the columns of a block are.
type layout struct {
	rows    [][]string
	natural []int // widths of the columns' longest cells
	gap     int
	columns int // of the terminal

	kept   []int // columns that are shown
	widths []int // of those
}

// fit chooses columns and widths.
func (l *layout) fit(spare []int) {
	for j := range l.natural {
		l.kept = append(l.kept, j)
	}
	soft := func(j int) int { return l.least(j, 1<<20) }
	hard := func(j int) int { return l.least(j, broken) }
	for _, j := range spare {
		if l.total(soft) <= l.columns {
			break
		}
		if at := slices.Index(l.kept, j); at >= 0 && len(l.kept) > 1 {
			l.kept = slices.Delete(l.kept, at, at+1)
		}
	}
	least := soft
	if l.total(soft) > l.columns {
		least = hard
	}
	for l.total(least) > l.columns && len(l.kept) > 1 {
		l.kept = l.kept[:len(l.kept)-1]
	}

	sum := l.gap * (len(l.kept) - 1)
	for _, j := range l.kept {
		l.widths = append(l.widths, l.natural[j])
		sum += l.natural[j]
	}
	for ; sum > l.columns; sum-- { // take from the widest that can give
		widest := -1
		for i, j := range l.kept {
			if l.widths[i] > least(j) && (widest < 0 || l.widths[i] > l.widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		l.widths[widest]--
	}
	if len(l.kept) == 1 {
		l.widths[0] = min(l.widths[0], l.columns)
	}
}

// least is the width that a column needs at least: that of its longest word, of which no more than most count.
func (l *layout) least(j, most int) int {
	n := 0
	for _, row := range l.rows {
		if j < len(row) {
			plain, _ := unpainted(row[j])
			for _, word := range strings.Fields(plain) {
				n = max(n, len(leading(plain))+min(Width(word), most))
			}
		}
	}
	if l.natural[j] > comfort {
		n = max(n, min(comfort, most))
	}
	return min(n, l.natural[j])
}

// total is the width of the columns that are kept.
func (l *layout) total(least func(int) int) int {
	sum := l.gap * (len(l.kept) - 1)
	for _, j := range l.kept {
		sum += least(j)
	}
	return sum
}

// row writes one row, on as many lines as its longest cell needs.
func (l *layout) row(out *strings.Builder, row []string) {
	cells := make([][]string, len(l.kept))
	height := 1
	for i, j := range l.kept {
		if j >= len(row) {
			continue
		}
		plain, again := unpainted(row[j])
		cells[i] = breakAnywhere(plain, l.widths[i])
		for k, part := range cells[i] {
			cells[i][k] = again(part)
		}
		height = max(height, len(cells[i]))
	}
	for line := range height {
		text := ""
		for i := range cells {
			cell := ""
			if line < len(cells[i]) {
				cell = cells[i][line]
			}
			text += cell + strings.Repeat(" ", l.widths[i]-min(Width(cell), l.widths[i])+l.gap)
		}
		fmt.Fprintln(out, strings.TrimRight(text, " "))
	}
}

// leftOut are the heads of the columns that are not shown.
func (l *layout) leftOut() []string {
	var names []string
	for j := range l.natural {
		if !slices.Contains(l.kept, j) && j < len(l.rows[0]) {
			if plain, _ := unpainted(l.rows[0][j]); strings.TrimSpace(plain) != "" {
				names = append(names, strings.TrimSpace(plain))
			}
		}
	}
	return names
}
