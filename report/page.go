package report

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ballast-ml/ballast/metric"
)

// page is what an HTML page shows, from its top to its end.
type page struct {
	Title, Subtitle string
	Headline        string // the verdict
	Details         string // what it follows from
	Grade           string // better, worse, mixed or ""
	Why             string
	Tiles           []tile
	Numbers         grid
	Next            []Next
	Blocks          []block // figures and tables by suite
	Examples        gallery
	Last            []block
	Notes           []string
	Facts           []fact
}

// tile is a number that is shown large.
type tile struct {
	Title, Value, Before, Verdict, Note, Means string
}

// grid is a table of a page: rows in groups.
type grid struct {
	Caption string
	Corner  string // head of the column of names
	Heads   []string
	Groups  []rowGroup
	Key     bool // cells are marked as better or worse
	Changes bool // the last column is what changed
}

// Columns is the number of columns, that of the names among them.
func (g grid) Columns() int { return len(g.Heads) + 1 }

// rowGroup is rows under a common name; "" = none.
type rowGroup struct {
	Name string
	Rows []gridRow
}

type gridRow struct {
	Name, Means string
	Cells       []cell
}

// cell is one value; its mark is better, worse, best or "".
type cell struct {
	Text, Mark string
	Word       bool // the mark is written out
}

// block is what a page shows under one heading.
type block struct {
	Heading string
	Rows    []figureRow
	Tables  []grid
}

// figureRow is figures that are held against each other, with one legend.
type figureRow struct {
	Title   string
	Small   bool
	Figures []shownFigure
	Legend  []key
}

type shownFigure struct {
	Caption string
	SVG     template.HTML
	PNG     template.URL
	Alt     string
}

// gallery is the worst examples.
type gallery struct {
	Title, Says string
	Pictures    []shownExample
	Table       grid // in the place of pictures
}

type shownExample struct {
	Index   int
	PNG     template.URL
	Label   string
	Answers []string
}

type fact struct {
	Name string
	Code bool
	Text []string
}

// view is reports that a page shows together.
type view struct {
	reports  []Report
	captions []string // of each report; one that stands alone has ""
	compared bool     // the second is what became of the first
}

// page lays out what all kinds of pages have.
func (v view) page(p page) page {
	for _, suite := range v.suites() {
		if b := v.block(suite); len(b.Rows)+len(b.Tables) > 0 {
			p.Blocks = append(p.Blocks, b)
		}
		for _, row := range v.pictures(suite, true) {
			p.Last = append(p.Last, block{Heading: row.Title, Rows: []figureRow{untitled(row)}})
		}
	}
	p.Examples = v.examples()
	p.Notes = v.notes()
	p.Facts = v.facts()
	return p
}

// suites is every suite that a report has, in the order of the reports.
func (v view) suites() []string {
	var suites []string
	for _, r := range v.reports {
		for _, s := range r.Sections {
			if !slices.Contains(suites, s.Suite) {
				suites = append(suites, s.Suite)
			}
		}
	}
	return suites
}

// block is the figures and tables of a suite. Where it has one row of figures and no table the heading is that row's.
func (v view) block(suite string) block {
	b := block{Heading: suite}
	var titles []string
	for _, r := range v.reports {
		s, _ := r.Section(suite)
		if s.Heading != "" {
			b.Heading = s.Heading
		}
		for _, t := range s.Tables {
			if !slices.Contains(titles, t.Title) {
				titles = append(titles, t.Title)
			}
		}
	}
	b.Rows = v.pictures(suite, false)
	if row, ok := v.profile(suite); ok {
		b.Rows = append(b.Rows, row)
	}
	for _, title := range titles {
		if row, ok := v.trend(title, suite); ok {
			b.Rows = append(b.Rows, row)
		}
		b.Tables = append(b.Tables, v.table(title, suite))
	}
	if len(b.Rows) == 1 && len(b.Tables) == 0 {
		b.Heading, b.Rows[0] = b.Rows[0].Title, untitled(b.Rows[0])
	}
	return b
}

// untitled is a row whose title stands over it already.
func untitled(row figureRow) figureRow {
	row.Title = ""
	return row
}

// pictures are those of a suite that are, or are not, to be last: the same one of all reports side by side, and once where it is the same
// in all of them.
func (v view) pictures(suite string, last bool) []figureRow {
	var rows []figureRow
	for i, r := range v.reports {
		s, _ := r.Section(suite)
		for _, p := range s.pictures() {
			if p.Last != last {
				continue
			}
			f, err := p.Draw(r)
			if err != nil { // it is said in the picture's place: the rest of the page is worth having
				f = &Figure{svg: template.HTML(template.HTMLEscapeString(err.Error())), alt: err.Error()} //nolint:gosec // escaped here
			}
			if f == nil {
				continue
			}
			at := slices.IndexFunc(rows, func(row figureRow) bool { return row.Title == p.Title })
			if at < 0 {
				at = len(rows)
				rows = append(rows, figureRow{Title: p.Title})
			}
			rows[at].add(f, v.captions[i])
		}
	}
	for i := range rows {
		rows[i].joinSame(len(v.reports))
	}
	return rows
}

// add adds a figure, and what its legend has that is new.
func (row *figureRow) add(f *Figure, caption string) {
	shown := shownFigure{Caption: caption, SVG: f.svg, Alt: f.alt}
	if f.png != nil {
		shown.PNG = source(f.png)
	}
	row.Figures = append(row.Figures, shown)
	for _, k := range f.legend {
		if !slices.Contains(row.Legend, k) {
			row.Legend = append(row.Legend, k)
		}
	}
}

// joinSame leaves one of figures that are all the same.
func (row *figureRow) joinSame(reports int) {
	if len(row.Figures) < 2 || len(row.Figures) != reports {
		return
	}
	first := row.Figures[0]
	for _, f := range row.Figures[1:] {
		if f.SVG != first.SVG || f.PNG != first.PNG {
			return
		}
	}
	first.Caption = "the same for all"
	if reports == 2 {
		first.Caption = fmt.Sprintf("%s and %s alike", row.Figures[0].Caption, row.Figures[1].Caption)
	}
	row.Figures = []shownFigure{first}
}

// profile draws the profiles of a suite on one another, where there is more than one report and they differ.
func (v view) profile(suite string) (figureRow, bool) {
	profiles := sameProfiles(v.reports, suite)
	if len(v.reports) < 2 || len(profiles) != len(v.reports) {
		return figureRow{}, false
	}
	if v.compared && slices.Equal(profiles[0].Values, profiles[1].Values) {
		return figureRow{}, false
	}
	f := profileFigure(profiles, v.captions)
	if f == nil {
		return figureRow{}, false
	}
	row := figureRow{Title: profiles[0].Question}
	row.add(f, "")
	return row, true
}

// trend draws a table over what its heads count.
func (v view) trend(title, suite string) (figureRow, bool) {
	figures := trends(title, v.reports, v.captions, suite)
	if len(figures) == 0 {
		return figureRow{}, false
	}
	row := figureRow{Title: sentence(title), Small: true}
	for _, f := range figures {
		row.add(f, "")
	}
	row.Legend = nil
	if len(v.reports) > 1 && !alike(sameTables(title, v.reports, suite)) {
		for i, caption := range v.captions {
			row.Legend = append(row.Legend, lineKey(i, caption))
		}
	} else if len(v.reports) > 1 {
		row.Title += ", the same for all"
		if v.compared {
			row.Title = sentence(title) + ", before and after alike"
		}
	}
	return row, true
}

// table is a table of a suite, each row once for each report; once in all where the reports agree.
func (v view) table(title, suite string) grid {
	tables := sameTables(title, v.reports, suite)
	first := tables[0]
	g := grid{Caption: sentence(title), Corner: first.corner(), Heads: first.heads()}
	if first.unit() == metric.Share {
		g.Caption += " (%)"
	}
	switch {
	case len(v.reports) > 1 && len(tables) == len(v.reports) && alike(tables):
		g.Caption += ", the same for all"
		if v.compared {
			g.Caption = strings.TrimSuffix(g.Caption, ", the same for all") + ", before and after alike"
		}
		tables = tables[:1]
	case len(tables) > 1 && v.compared:
		g.Key = true
	case len(tables) == 1 && len(v.reports) > 1:
		has := slices.IndexFunc(v.reports, func(r Report) bool { _, ok := r.table(title, suite); return ok })
		g.Caption += ", " + v.captions[has]
	}
	if len(tables) == 1 {
		group := rowGroup{}
		for _, row := range first.Rows {
			group.Rows = append(group.Rows, gridRow{Name: first.label(row), Cells: first.shown(row)})
		}
		g.Groups = []rowGroup{group}
		return g
	}

	for _, row := range first.Rows {
		group := rowGroup{Name: first.label(row)}
		for i, r := range v.reports {
			t, ok := r.table(title, suite)
			if !ok {
				continue
			}
			at := slices.IndexFunc(t.Rows, func(other Row) bool { return other.Name == row.Name })
			if at < 0 {
				continue
			}
			own := gridRow{Name: v.captions[i], Cells: t.shown(t.Rows[at])}
			for c := range own.Cells {
				if g.Key && i == 1 && c < len(row.Values) {
					own.Cells[c].Mark = verdict(first.cell(row, c), t.cell(t.Rows[at], c))
				}
			}
			group.Rows = append(group.Rows, own)
		}
		g.Groups = append(g.Groups, group)
	}
	return g
}

// corner is the head over the names of the rows.
func (t Table) corner() string {
	if t.X == "" {
		return ""
	}
	return t.X
}

// shown are the cells of a row on a page. Where all are shares the unit stands over the table; where the columns count something there are
// many, and three digits each are enough to see what they do.
func (t Table) shown(row Row) []cell {
	var cells []cell
	for c, text := range t.cells(row) {
		switch {
		case t.unit() == metric.Share && t.X != "":
			text = fmt.Sprintf("%.1f", 100*row.Values[c])
		case t.unit() == metric.Share:
			text = strings.TrimSuffix(text, " %")
		case t.unit() == "" && t.X != "":
			text = fmt.Sprintf("%.3f", row.Values[c])
		}
		cells = append(cells, cell{Text: text})
	}
	return cells
}

// notes are what all reports and sections note, each once, and what was left out.
func (v view) notes() []string {
	var notes []string
	add := func(note string) {
		if !slices.Contains(notes, note) {
			notes = append(notes, note)
		}
	}
	for _, r := range v.reports {
		for _, note := range r.Notes {
			if len(v.reports) > 1 && !v.compared {
				note = r.Model + ": " + note
			}
			add(note)
		}
	}
	for _, s := range v.reports[0].Sections {
		for _, note := range s.Notes {
			add(s.Suite + ": " + note)
		}
	}
	for _, left := range v.reports[0].LeftOut {
		add("Not asked: " + left.Suite + "; " + left.Why)
	}
	return notes
}

// sentence begins a text with a capital; nothing stays nothing.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}
