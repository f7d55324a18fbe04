package report

import (
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/ballast-ml/ballast/internal/printable"
)

// Several is what audits of several models on the same data found, in the order in which they were named.
type Several struct {
	SchemaVersion int      `json:"schema_version"`
	Reports       []Report `json:"reports"` // at least one; of the same suites
}

// NewSeveral puts reports side by side.
func NewSeveral(reports []Report) Several {
	return Several{SchemaVersion: SchemaVersion, Reports: reports}
}

// Text writes the numbers of all models side by side for a terminal.
func (s Several) Text(w io.Writer) error {
	t := newTable(w)
	first := s.Reports[0]
	t.row("%d models on %s, %d examples", len(s.Reports), printable.Line(first.Data), first.Examples)
	t.row("")
	heads := ""
	for _, r := range s.Reports {
		heads += "\t" + printable.Line(r.Model)
	}
	t.row("  %s", heads)
	for _, row := range s.rows() {
		t.row("  %s\t%s", row.Name, strings.Join(row.Cells, "\t"))
	}
	if names, shares := s.recalls(); len(names) > 0 {
		t.row("")
		t.row("  right of each class%s", heads)
		for c, name := range names {
			line := ""
			for _, share := range shares {
				line += fmt.Sprintf("\t%.2f %%", 100*share[c])
			}
			t.row("  %s%s", printable.Line(name), line)
		}
	}
	for _, r := range s.Reports {
		if r.Shift == nil {
			continue
		}
		t.row("")
		t.row("  %s, accuracy by severity%s", printable.Line(r.Model), severities(r.Shift.Rows))
		for _, row := range r.Shift.Rows {
			t.row("  %s%s", printable.Line(row.Name), shares(row.Accuracy))
		}
	}
	return t.flush()
}

// HTML writes all models side by side as one page that needs nothing else.
func (s Several) HTML(w io.Writer) error {
	first := s.Reports[0]
	d := pageData{
		Title: fmt.Sprintf("%d models side by side", len(s.Reports)), Subtitle: fmt.Sprintf("on %s, %d examples", first.Data, first.Examples),
		Facts: first.facts(), Rows: s.rows(),
	}
	for _, r := range s.Reports {
		d.Columns = append(d.Columns, r.Model)
		d.addShifts(", "+r.Model, r)
	}
	if names, shares := s.recalls(); len(names) > 0 {
		png, err := s.classesPNG(names, shares)
		if err != nil {
			return err
		}
		source := "data:image/png;base64," + base64.StdEncoding.EncodeToString(png)
		d.Pictures = append(d.Pictures, pictureRow{Title: "Which classes are right?", Pictures: []picture{{Source: template.URL(source)}}}) //nolint:gosec // our own bytes
	}
	return d.write(w, s.Reports, d.Columns)
}

// rows are the headline numbers, a column a model; one that a model lacks is empty.
func (s Several) rows() []pageRow {
	var rows []pageRow
	for _, v := range s.Reports[0].headline() {
		row := pageRow{Name: title(v.Name)}
		for _, r := range s.Reports {
			cell := ""
			for _, other := range r.headline() {
				if other.Name == v.Name {
					cell = other.format()
				}
			}
			row.Cells = append(row.Cells, cell)
		}
		rows = append(rows, row)
	}
	return rows
}

// recalls are the shares of each class's examples that each model gets right, [model][class]; none where the models know different
// classes or more than fit.
func (s Several) recalls() (names []string, shares [][]float64) {
	const most = 30
	for _, r := range s.Reports {
		if r.Clean == nil || len(r.Clean.Confusion) == 0 || len(r.Clean.Confusion) > most {
			return nil, nil
		}
		if names != nil && len(names) != len(r.Clean.Confusion) {
			return nil, nil
		}
		names = r.Clean.Labels
		row := make([]float64, len(names))
		for c, counts := range r.Clean.Confusion {
			total := 0
			for _, n := range counts {
				total += n
			}
			row[c] = float64(counts[c]) / float64(max(total, 1))
		}
		shares = append(shares, row)
	}
	return names, shares
}

// classesPNG draws the share of right answers of each class, one line a model, and its accuracy in the legend.
func (s Several) classesPNG(names []string, shares [][]float64) ([]byte, error) {
	p := newPlot("", "class", "share right")
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = -0.5, float64(len(names))-0.5, 0, 1.02
	ticks := plot.ConstantTicks{}
	for c, name := range names {
		if len(name) > 12 {
			name = name[:11] + "."
		}
		ticks = append(ticks, plot.Tick{Value: float64(c), Label: name})
	}
	p.X.Tick.Marker = ticks
	p.Legend.Top, p.Legend.Left = false, true
	for i, row := range shares {
		var points plotter.XYs
		for c, share := range row {
			points = append(points, plotter.XY{X: float64(c), Y: share})
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		c := palette[i%len(palette)]
		line.LineStyle = draw.LineStyle{Color: c, Width: vg.Points(2)}
		dots.GlyphStyle = draw.GlyphStyle{Color: c, Radius: vg.Points(3), Shape: draw.CircleGlyph{}}
		p.Add(line, dots)
		p.Legend.Add(fmt.Sprintf("%s, %.2f %%", s.Reports[i].Model, 100*s.Reports[i].Clean.Accuracy), line, dots)
	}
	return render(p, 14, 9)
}
