package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ballast-ml/ballast/metric"
)

// heat draws the accuracy by shift and severity: the colour is the share of wrong answers, so that a pale map is a good one. A column 0 is
// the data as it is, where that was measured.
func (s Shift) heat(r Report) *Figure {
	var heads []string
	for _, severity := range s.Rows[0].Severities {
		heads = append(heads, strconv.Itoa(severity))
	}
	clean, measured := r.Number("acc")
	if measured {
		heads = append([]string{"0"}, heads...)
	}
	m := heatMap{heads: heads, x: "severity"}
	if measured {
		m.x = "severity; 0 is the data as it is"
	}
	for _, row := range s.Rows {
		values := slices.Clone(row.Accuracy[:min(len(row.Accuracy), len(row.Severities))])
		if measured {
			values = append([]float64{clean.Value}, values...)
		}
		name := row.Name
		if row.Drawn {
			name += "*"
		}
		m.rows = append(m.rows, Row{Name: name, Values: values})
	}
	return m.figure()
}

// heatMap is shares by row and column.
type heatMap struct {
	heads []string
	x     string // what the heads are
	rows  []Row
}

// figure draws the map.
func (m heatMap) figure() *Figure {
	longest := 0
	for _, row := range m.rows {
		longest = max(longest, utf8.RuneCountInString(row.Name))
	}
	const width, top, cellHeight, right, mostName = 400, 8, 24, 4, 16
	left := 10 + 7.2*float64(min(longest, mostName))
	cellWidth := (width - left - right) / float64(max(len(m.heads), 1))
	height := top + cellHeight*float64(len(m.rows)) + 38
	d := newDrawing(width, height)
	for i, row := range m.rows {
		y := top + cellHeight*float64(i)
		d.text("tick", "end", left-6, y+cellHeight/2+4.5, cut(row.Name, mostName))
		for j, v := range row.Values[:min(len(row.Values), len(m.heads))] {
			if !(v >= 0 && v <= 1) {
				continue
			}
			x := left + cellWidth*float64(j)
			says := fmt.Sprintf("%s, severity %s: %s right", row.Name, m.heads[j], percent(v))
			// At most half strength, on which text of the page's colour can be read in light and in dark.
			d.rect("wrong", x+0.5, y+0.5, cellWidth-1, cellHeight-1, 0.04+0.5*(1-v), says)
			d.text("cell", "middle", x+cellWidth/2, y+cellHeight/2+4.5, fmt.Sprintf("%.0f", 100*v))
		}
	}
	bottom := top + cellHeight*float64(len(m.rows))
	for j, head := range m.heads {
		d.text("tick", "middle", left+cellWidth*(float64(j)+0.5), bottom+15, head)
	}
	d.text("soft", "middle", left+(width-left-right)/2, bottom+32, m.x)
	return d.figure(m.describe(), classKey(true, "wrong", "wrong answers; stronger where there are more. Numbers are % right."))
}

// describe names the best and the worst row at its last column.
func (m heatMap) describe() string {
	var parts []string
	for _, row := range m.rows {
		if n := min(len(row.Values), len(m.heads)); n > 0 {
			last := metric.Number{Value: row.Values[n-1], Unit: metric.Share}
			parts = append(parts, fmt.Sprintf("%s %s", row.Name, last.Text()))
		}
	}
	if len(parts) == 0 {
		return "Nothing was measured."
	}
	return fmt.Sprintf("Right at severity %s: %s.", m.heads[len(m.heads)-1], strings.Join(parts, ", "))
}
