package report

import (
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"

	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/printable"
)

//go:embed report.html
var pageText string

var page = template.Must(template.New("report").Parse(pageText))

// pageData is what the page shows.
type pageData struct {
	Title    string
	Subtitle string
	Facts    [][2]string
	Columns  []string
	Rows     []pageRow
	Shifts   []shiftTable
	Pictures []pictureRow
}

type pageRow struct {
	Name    string
	Cells   []string
	Verdict string // better, worse or ""
}

type shiftTable struct {
	Title string
	Heads []int
	Rows  []pageRow
}

type pictureRow struct {
	Title    string
	Pictures []picture
}

type picture struct {
	Caption string
	Source  template.URL
}

// HTML writes a report as one page that needs nothing else: its pictures are in it.
func (r Report) HTML(w io.Writer) error {
	d := pageData{Title: "Audit of " + r.Model, Subtitle: fmt.Sprintf("on %s, %d examples", r.Data, r.Examples), Facts: r.facts(), Columns: []string{"measured"}}
	for _, v := range r.headline() {
		d.Rows = append(d.Rows, pageRow{Name: title(v.Name), Cells: []string{v.format()}})
	}
	d.addShifts("", r)
	return d.write(w, []Report{r}, []string{""})
}

// HTML writes before beside after as one page that needs nothing else.
func (c Comparison) HTML(w io.Writer) error {
	d := pageData{
		Title: c.Before.Model + ", before and after", Subtitle: fmt.Sprintf("%s; measured on %s, %d examples", c.What, c.Before.Data, c.Before.Examples),
		Facts: c.Before.facts(), Columns: []string{"before", "after", "change", ""},
	}
	after := map[string]Value{}
	for _, v := range c.After.Values() {
		after[v.Name] = v
	}
	for _, b := range c.Before.headline() {
		if a, ok := after[b.Name]; ok {
			v := verdict(b, a)
			d.Rows = append(d.Rows, pageRow{Name: title(b.Name), Cells: []string{b.format(), a.format(), change(b, a), v}, Verdict: v})
		}
	}
	d.addShifts(", before", c.Before)
	d.addShifts(", after", c.After)
	return d.write(w, []Report{c.Before, c.After}, []string{"before", "after"})
}

// WriteHTML writes a page to a file, whole or not at all.
func WriteHTML(path string, page interface{ HTML(io.Writer) error }) error {
	return durable.WriteFile(path, page.HTML)
}

func (r Report) facts() [][2]string {
	facts := [][2]string{{"seed", fmt.Sprint(r.Seed)}}
	if r.Engine != "" {
		facts = append(facts, [2]string{"engine", r.Engine})
	}
	if !r.Created.IsZero() {
		facts = append(facts, [2]string{"made", r.Created.Format("2006-01-02 15:04 MST")})
	}
	return facts
}

func (d *pageData) addShifts(suffix string, r Report) {
	if r.Shift == nil || len(r.Shift.Rows) == 0 {
		return
	}
	for _, t := range []struct {
		title  string
		values func(ShiftRow) []float64
		format string
		factor float64
	}{
		{"Accuracy by severity", func(s ShiftRow) []float64 { return s.Accuracy }, "%.2f %%", 100},
		{"NLL by severity", func(s ShiftRow) []float64 { return s.NLL }, "%.4f", 1},
		{"ECE by severity", func(s ShiftRow) []float64 { return s.ECE }, "%.4f", 1},
	} {
		table := shiftTable{Title: t.title + suffix, Heads: r.Shift.Rows[0].Severities}
		for _, row := range r.Shift.Rows {
			var cells []string
			for _, v := range t.values(row) {
				cells = append(cells, fmt.Sprintf(t.format, v*t.factor))
			}
			table.Rows = append(table.Rows, pageRow{Name: row.Name, Cells: cells})
		}
		d.Shifts = append(d.Shifts, table)
	}
}

// write draws the pictures, the same kind of all reports side by side, and fills in the page.
func (d pageData) write(w io.Writer, reports []Report, captions []string) error {
	for _, kind := range []struct {
		title string
		draw  func(Report) ([]byte, error)
	}{
		{"Can the confidences be trusted?", func(r Report) ([]byte, error) {
			if r.Calibration == nil {
				return nil, nil
			}
			return ReliabilityPNG("", r.Calibration.Curve)
		}},
		{"What do shifted inputs do?", func(r Report) ([]byte, error) {
			if r.Shift == nil {
				return nil, nil
			}
			clean := math.NaN()
			if r.Clean != nil {
				clean = r.Clean.Accuracy
			}
			return SeverityPNG("", *r.Shift, clean)
		}},
		{"What is taken for what?", func(r Report) ([]byte, error) {
			if r.Clean == nil || len(r.Clean.Confusion) > 100 {
				return nil, nil
			}
			return ConfusionPNG("", r.Clean.Confusion, r.Clean.Labels)
		}},
	} {
		row := pictureRow{Title: kind.title}
		for i, r := range reports {
			png, err := kind.draw(r)
			if err != nil {
				return err
			}
			if png != nil {
				source := "data:image/png;base64," + base64.StdEncoding.EncodeToString(png)
				row.Pictures = append(row.Pictures, picture{Caption: captions[i], Source: template.URL(source)}) //nolint:gosec // our own bytes
			}
		}
		if len(row.Pictures) > 0 {
			d.Pictures = append(d.Pictures, row)
		}
	}
	var b strings.Builder
	if err := page.Execute(&b, d.printable()); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printable is the page with what text from strangers may hold besides letters escaped: a browser obeys marks of direction, and a page is
// looked at in terminals too. The template escapes what HTML gives a meaning.
func (d pageData) printable() pageData {
	line := printable.Line
	lines := func(list []string) []string {
		out := make([]string, len(list))
		for i, text := range list {
			out[i] = line(text)
		}
		return out
	}
	rows := func(list []pageRow) []pageRow {
		out := make([]pageRow, len(list))
		for i, r := range list {
			out[i] = pageRow{Name: line(r.Name), Cells: lines(r.Cells), Verdict: r.Verdict}
		}
		return out
	}
	p := pageData{Title: line(d.Title), Subtitle: line(d.Subtitle), Columns: lines(d.Columns), Rows: rows(d.Rows)}
	for _, f := range d.Facts {
		p.Facts = append(p.Facts, [2]string{line(f[0]), line(f[1])})
	}
	for _, t := range d.Shifts {
		p.Shifts = append(p.Shifts, shiftTable{Title: line(t.Title), Heads: t.Heads, Rows: rows(t.Rows)})
	}
	for _, row := range d.Pictures {
		shown := pictureRow{Title: line(row.Title)}
		for _, one := range row.Pictures {
			shown.Pictures = append(shown.Pictures, picture{Caption: line(one.Caption), Source: one.Source})
		}
		p.Pictures = append(p.Pictures, shown)
	}
	return p
}
