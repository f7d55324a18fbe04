package report

import (
	"fmt"
	"io"
	"iter"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/metric"
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
	for _, profiles := range s.profiles() {
		first := profiles[0]
		t.row("")
		t.row("  %s%s", printable.Line(first.Title), heads)
		for i, name := range first.Names {
			line := ""
			for _, p := range profiles {
				line += "\t" + metric.Number{Value: p.Values[i], Unit: p.Unit}.Text()
			}
			t.row("  %s%s", printable.Line(name), line)
		}
	}
	for _, r := range s.Reports {
		for _, section := range r.Sections {
			for _, each := range section.Tables {
				if each.Shown == Everywhere {
					t.table(each, r.Model+", ")
				}
			}
		}
	}
	t.notes(s.Reports[0])
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
		d.addTables(", "+r.Model, r)
	}
	for suite, profiles := range s.profiles() {
		png, err := s.profilesPNG(suite, profiles)
		if err != nil {
			return err
		}
		d.Pictures = append(d.Pictures, pictureRow{Title: profiles[0].Question, Pictures: []picture{{Source: source(png)}}})
	}
	return d.write(w, s.Reports, d.Columns)
}

// rows are the numbers in short, a column a model; one that a model lacks is empty.
func (s Several) rows() []pageRow {
	var rows []pageRow
	for _, n := range s.Reports[0].headline() {
		row := pageRow{Name: n.Label()}
		for _, r := range s.Reports {
			cell := ""
			if other, ok := find(r.headline(), n.Name); ok {
				cell = other.Text()
			}
			row.Cells = append(row.Cells, cell)
		}
		rows = append(rows, row)
	}
	return rows
}

// profiles are the suites with a profile that all models have, of the same length, and short enough; one a model.
func (s Several) profiles() iter.Seq2[string, []Profile] {
	return func(yield func(string, []Profile) bool) {
		for _, section := range s.Reports[0].Sections {
			var all []Profile
			for _, r := range s.Reports {
				other, _ := r.Section(section.Suite)
				p := other.Profile
				if p == nil || len(p.Names) == 0 || len(p.Names) > mostNames || len(p.Values) != len(p.Names) {
					break
				}
				if len(all) > 0 && len(p.Names) != len(all[0].Names) {
					break
				}
				all = append(all, *p)
			}
			if len(all) == len(s.Reports) && !yield(section.Suite, all) {
				return
			}
		}
	}
}

// profilesPNG draws a profile, one line a model, with the suite's first number in the legend.
func (s Several) profilesPNG(suite string, profiles []Profile) ([]byte, error) {
	first := profiles[0]
	p := newPlot("", first.X, first.Y)
	p.X.Min, p.X.Max = -0.5, float64(len(first.Names))-0.5
	if first.Unit == metric.Share {
		p.Y.Min, p.Y.Max = 0, 1.02
	}
	ticks := plot.ConstantTicks{}
	for i, name := range first.Names {
		if len(name) > 12 {
			name = name[:11] + "."
		}
		ticks = append(ticks, plot.Tick{Value: float64(i), Label: name})
	}
	p.X.Tick.Marker = ticks
	p.Legend.Top, p.Legend.Left = false, true
	for i, profile := range profiles {
		var points plotter.XYs
		for k, v := range profile.Values {
			points = append(points, plotter.XY{X: float64(k), Y: v})
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		c := palette[i%len(palette)]
		line.LineStyle = draw.LineStyle{Color: c, Width: vg.Points(2)}
		dots.GlyphStyle = draw.GlyphStyle{Color: c, Radius: vg.Points(3), Shape: draw.CircleGlyph{}}
		p.Add(line, dots)
		name := s.Reports[i].Model
		if section, ok := s.Reports[i].Section(suite); ok && len(section.Numbers) > 0 {
			name += ", " + section.Numbers[0].Text()
		}
		p.Legend.Add(name, line, dots)
	}
	return render(p, 14, 9)
}
