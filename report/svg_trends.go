package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/metric"
)

// mostPanels is the most rows of a table that are worth a panel each; more are read as numbers, or from a heat map.
const mostPanels = 9

// trends draws a table whose columns count something: a panel for each row, a line in it for each report. Lines that are the same in all
// reports are drawn once. captions name the reports.
func trends(title string, reports []Report, captions []string, suite string) []*Figure {
	tables := sameTables(title, reports, suite)
	if len(tables) == 0 || tables[0].X == "" || len(tables) != len(reports) || len(tables[0].Rows) > mostPanels {
		return nil
	}
	if alike(tables) {
		tables, captions = tables[:1], captions[:1]
	}

	var all [][]Series // by row
	for _, row := range tables[0].Rows {
		var lines []Series
		for i, t := range tables {
			if line, ok := t.line(row.Name, reports[i]); ok {
				line.Name = captions[i]
				lines = append(lines, line)
			}
		}
		if len(lines) != len(tables) {
			return nil
		}
		all = append(all, lines)
	}
	x, y := bounds(slices.Concat(all...), false)
	if y[0] > y[1] {
		return nil
	}

	// One scale for all panels, from 0, so that they can be held against each other.
	unit := tables[0].unit()
	vertical := newScale(min(0, y[0]), y[1], false)
	if unit == metric.Share {
		vertical = scale{low: 0, high: 1}
	}
	var figures []*Figure
	for i, row := range tables[0].Rows {
		p := panel{
			title: tables[0].label(row), x: tables[0].X, y: tables[0].of(), unit: unit, series: all[i], whole: wholes(all[i]),
			horizontal: scale{low: x[0], high: max(x[1], x[0]+1)}, vertical: vertical, width: 250, height: 200,
		}
		p.alt = p.describe()
		figures = append(figures, p.figure())
	}
	return figures
}

// describe says what the lines of a panel do.
func (p panel) describe() string {
	var parts []string
	for _, s := range p.series {
		first, last := 0, len(s.Y)-1
		text := fmt.Sprintf("from %s at %s %s to %s at %s %s", metric.Number{Value: s.Y[first], Unit: p.unit}.Text(), p.x, short(s.X[first]),
			metric.Number{Value: s.Y[last], Unit: p.unit}.Text(), p.x, short(s.X[last]))
		if s.Name != "" {
			text = s.Name + " " + text
		}
		parts = append(parts, text)
	}
	return strings.Trim(p.title+", "+p.y, ", ") + ": " + strings.Join(parts, "; ")
}

// of is what a table is of: its title before "by".
func (t Table) of() string {
	name, _, _ := strings.Cut(t.Title, " by ")
	return name
}

// unit is the unit of all columns; "" where they differ.
func (t Table) unit() string {
	for _, c := range t.Columns {
		if c.Unit != t.Columns[0].Unit {
			return ""
		}
	}
	if len(t.Columns) == 0 {
		return ""
	}
	return t.Columns[0].Unit
}

// line is a row over what the heads count, from the origin on where there is one; ok is false if a head is not a number.
func (t Table) line(row string, r Report) (line Series, ok bool) {
	at := slices.IndexFunc(t.Rows, func(other Row) bool { return other.Name == row })
	if at < 0 {
		return line, false
	}
	if origin, there := r.Number(t.Origin); there && t.Origin != "" {
		line.X, line.Y = append(line.X, 0), append(line.Y, origin.Value)
	}
	for c := range min(len(t.Columns), len(t.Rows[at].Values)) {
		x, err := strconv.ParseFloat(t.Columns[c].Head, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return line, false
		}
		line.X, line.Y = append(line.X, x), append(line.Y, t.Rows[at].Values[c])
	}
	return line, len(line.X) > 0
}

// sameTables are the tables of a title in the sections of a suite, one for each report that has it.
func sameTables(title string, reports []Report, suite string) []Table {
	var all []Table
	for _, r := range reports {
		if t, ok := r.table(title, suite); ok {
			all = append(all, t)
		}
	}
	return all
}

// table is the table of a title in the section of a suite.
func (r Report) table(title, suite string) (Table, bool) {
	s, _ := r.Section(suite)
	at := slices.IndexFunc(s.Tables, func(t Table) bool { return t.Title == title })
	if at < 0 {
		return Table{}, false
	}
	return s.Tables[at], true
}

// alike reports whether tables show the same numbers in the same rows.
func alike(tables []Table) bool {
	for _, t := range tables[1:] {
		if len(t.Rows) != len(tables[0].Rows) {
			return false
		}
		for i, row := range t.Rows {
			if row.Name != tables[0].Rows[i].Name || !slices.Equal(t.cells(row), tables[0].cells(tables[0].Rows[i])) {
				return false
			}
		}
	}
	return len(tables) > 1
}
