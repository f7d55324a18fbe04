package report

import (
	"cmp"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

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
	Groups   []tableGroup
	Pictures []pictureRow
	Notes    []string
}

type pageRow struct {
	Name    string
	Cells   []string
	Verdict string // better, worse or ""
}

// tableGroup is the tables of one suite, of all reports.
type tableGroup struct {
	Suite, Heading string
	Tables         []pageTable
}

type pageTable struct {
	Title string
	Heads []string
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
	for _, n := range r.headline() {
		d.Rows = append(d.Rows, pageRow{Name: n.Label(), Cells: []string{n.Text()}})
	}
	d.addTables("", r)
	return d.write(w, []Report{r}, []string{""})
}

// HTML writes before beside after as one page that needs nothing else.
func (c Comparison) HTML(w io.Writer) error {
	d := pageData{
		Title: c.Before.Model + ", before and after", Subtitle: fmt.Sprintf("%s; measured on %s, %d examples", c.What, c.Before.Data, c.Before.Examples),
		Facts: c.Before.facts(), Columns: []string{"before", "after", "change", ""}, Rows: c.rows(),
	}
	d.addTables(", before", c.Before)
	d.addTables(", after", c.After)
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

// addTables adds the tables of a report to those of the same suites.
func (d *pageData) addTables(suffix string, r Report) {
	for _, s := range r.Sections {
		if len(s.Tables) == 0 {
			continue
		}
		at := slices.IndexFunc(d.Groups, func(g tableGroup) bool { return g.Suite == s.Suite })
		if at < 0 {
			at = len(d.Groups)
			d.Groups = append(d.Groups, tableGroup{Suite: s.Suite, Heading: cmp.Or(s.Heading, s.Suite)})
		}
		for _, t := range s.Tables {
			shown := pageTable{Title: sentence(t.Title) + suffix, Heads: t.heads()}
			for _, row := range t.Rows {
				shown.Rows = append(shown.Rows, pageRow{Name: row.Name, Cells: t.cells(row)})
			}
			d.Groups[at].Tables = append(d.Groups[at].Tables, shown)
		}
	}
}

// sentence begins a text with a capital.
func sentence(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}

// write draws the pictures, the same one of all reports side by side, and fills in the page.
func (d pageData) write(w io.Writer, reports []Report, captions []string) error {
	for _, last := range []bool{false, true} {
		for _, suite := range suitesOf(reports) {
			if err := d.addPictures(suite, last, reports, captions); err != nil {
				return err
			}
		}
	}
	for _, r := range reports {
		for _, note := range r.Notes {
			if len(reports) > 1 {
				note = r.Model + ": " + note
			}
			if !slices.Contains(d.Notes, note) {
				d.Notes = append(d.Notes, note)
			}
		}
	}
	for _, section := range reports[0].Sections {
		d.Notes = append(d.Notes, section.Notes...)
	}
	var b strings.Builder
	if err := page.Execute(&b, d.printable()); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// suitesOf is every suite that a report has, in the order of the reports.
func suitesOf(reports []Report) []string {
	var suites []string
	for _, r := range reports {
		for _, s := range r.Sections {
			if !slices.Contains(suites, s.Suite) {
				suites = append(suites, s.Suite)
			}
		}
	}
	return suites
}

// addPictures draws the pictures of one suite that are, or are not, to be last.
func (d *pageData) addPictures(suite string, last bool, reports []Report, captions []string) error {
	var rows []pictureRow
	for i, r := range reports {
		s, _ := r.Section(suite)
		for _, p := range s.pictures() {
			if p.Last != last {
				continue
			}
			png, err := p.Draw(r)
			if err != nil {
				return err
			}
			if png == nil {
				continue
			}
			at := slices.IndexFunc(rows, func(row pictureRow) bool { return row.Title == p.Title })
			if at < 0 {
				at = len(rows)
				rows = append(rows, pictureRow{Title: p.Title})
			}
			rows[at].Pictures = append(rows[at].Pictures, picture{Caption: captions[i], Source: source(png)})
		}
	}
	d.Pictures = append(d.Pictures, rows...)
	return nil
}

// source is a picture as the address of itself.
func source(png []byte) template.URL {
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(png)) //nolint:gosec // our own bytes
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
	p := pageData{Title: line(d.Title), Subtitle: line(d.Subtitle), Columns: lines(d.Columns), Rows: rows(d.Rows), Notes: lines(d.Notes)}
	for _, f := range d.Facts {
		p.Facts = append(p.Facts, [2]string{line(f[0]), line(f[1])})
	}
	for _, g := range d.Groups {
		shown := tableGroup{Heading: line(g.Heading)}
		for _, t := range g.Tables {
			shown.Tables = append(shown.Tables, pageTable{Title: line(t.Title), Heads: lines(t.Heads), Rows: rows(t.Rows)})
		}
		p.Groups = append(p.Groups, shown)
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
