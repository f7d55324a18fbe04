package report

import (
	"cmp"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/metric"
)

// Section is what one suite found, in a form that the terminal, the page and the JSON show without knowing the suite.
type Section struct {
	Suite   string          // its name, and the section's key in the JSON
	Numbers []metric.Number // the suite's answers in short, listed with those of the other suites
	Main    []Main          // those that a page shows first and a verdict goes by; nil = the first number
	Says    string          // the finding as a clause, "99.16 % of the answers are right"; "" = nothing to say in words
	Where   string          // which inputs the numbers are about, "under shift"; "" = "in " + Suite
	Profile *Profile        // nil where models are not compared value by value
	Heading string          // over the tables on a page; "" = Suite
	Tables  []Table
	Charts  []Chart
	Notes   []string // what a reader has to know besides, a sentence each

	Examples []Example // answered wrong, the worst first
	Pictures []Picture // what a chart does not draw; they are not in the JSON

	// Content, an object, is what the JSON holds beside the numbers, in the place of all that is above. nil = that.
	Content any
}

// Main is a number that matters most of its section.
type Main struct {
	Number string `json:"number"` // its name
	As     string `json:"as"`     // what to call it in short, "ECE under shift"
}

// OnCleanData is Section.Where of suites that ask about the data as it is.
const OnCleanData = "on the data as it is"

// Detail says where a table is shown.
type Detail int

// The details: each is shown in fewer places than the one before.
const (
	Everywhere Detail = iota
	Compared          // before beside after, and on a page
	PageOnly
)

// Table is numbers by row and column.
type Table struct {
	Title   string   `json:"title"` // lower case, "accuracy by severity"
	Columns []Column `json:"columns"`
	Rows    []Row    `json:"rows"`

	// X, if not "", is what the heads of the columns count, "severity": a page draws each row as a line over them. Origin is the name of
	// the number that such a line starts from at 0, as "acc" is the accuracy without a shift; "" = it starts at the first column.
	X      string `json:"x,omitempty"`
	Origin string `json:"origin,omitempty"`

	// Cell makes the names by which requirements call the numbers, "shift.{row}.{column}.acc"; "" = they have none.
	Cell  string `json:"cell,omitempty"`
	Shown Detail `json:"shown,omitempty"`

	Starred []string `json:"starred,omitempty"` // names of rows that are shown with a * behind them, which a note explains
}

// label is the name of a row as it is shown.
func (t Table) label(row Row) string {
	if slices.Contains(t.Starred, row.Name) {
		return row.Name + "*"
	}
	return row.Name
}

// Column is what the numbers of a column are.
type Column struct {
	Head   string        `json:"head"`
	Better metric.Better `json:"better"`
	Unit   string        `json:"unit,omitempty"`
}

// Row is one line of a table, a value for each column.
type Row struct {
	Name   string    `json:"name"`
	Values []float64 `json:"values"`
}

// cell is the number in a column.
func (t Table) cell(row Row, column int) metric.Number {
	c := t.Columns[column]
	n := metric.Number{Value: row.Values[column], Better: c.Better, Unit: c.Unit}
	if t.Cell != "" {
		n.Name = strings.NewReplacer("{row}", row.Name, "{column}", c.Head).Replace(t.Cell)
	}
	return n
}

// cells are the numbers of a row as text.
func (t Table) cells(row Row) []string {
	var texts []string
	for c := range min(len(row.Values), len(t.Columns)) {
		texts = append(texts, t.cell(row, c).Text())
	}
	return texts
}

// heads are the heads of the columns.
func (t Table) heads() []string {
	var heads []string
	for _, c := range t.Columns {
		heads = append(heads, c.Head)
	}
	return heads
}

// Profile is one number for each of several things, such as the share of each class that is right. Where several models have the same
// one they are put side by side, a column and a line each.
type Profile struct {
	Title    string    `json:"title"`    // over the columns: "right of each class"
	Question string    `json:"question"` // over the picture: "Which classes are right?"
	X        string    `json:"x"`        // what the things are: "class"
	Y        string    `json:"y"`        // what the numbers are: "share right"
	Names    []string  `json:"names"`
	Values   []float64 `json:"values"`
	Unit     string    `json:"unit,omitempty"`
}

// mostNames is the longest profile that is worth a look.
const mostNames = 30

// Chart is lines over a number.
type Chart struct {
	Title       string   `json:"title"` // a question: "What do shifted inputs do?"
	X           string   `json:"x"`
	Y           string   `json:"y"`
	Logarithmic bool     `json:"logarithmic,omitempty"` // the values
	Series      []Series `json:"series"`
}

// Picture is an image that a suite draws by itself.
type Picture struct {
	Title string                          // a question: "What is taken for what?"
	Last  bool                            // behind those of all other suites
	Draw  func(r Report) (*Figure, error) // nil = there is nothing to draw. r is the report that the section is in.
}

// pictures are all that a page shows of a section.
func (s Section) pictures() []Picture {
	var all []Picture
	for _, c := range s.Charts {
		all = append(all, Picture{Title: c.Title, Draw: func(Report) (*Figure, error) { return c.figure() }})
	}
	return append(all, s.Pictures...)
}

// where says which inputs the section is about, at the end of a sentence.
func (s Section) where() string {
	if s.Where == "" {
		return "in " + s.Suite
	}
	return s.Where
}

// main are the numbers that matter most, under their short titles.
func (s Section) main() []metric.Number {
	var all []metric.Number
	if s.Main == nil {
		for _, n := range s.Numbers[:min(1, len(s.Numbers))] {
			n.Title = cmp.Or(n.Title, n.Name)
			all = append(all, n)
		}
		return all
	}
	for _, m := range s.Main {
		if n, ok := find(s.values(), m.Number); ok {
			n.Title = m.As
			all = append(all, n)
		}
	}
	return all
}

// values are all numbers that have a name.
func (s Section) values() []metric.Number {
	all := append([]metric.Number(nil), s.Numbers...)
	for _, t := range s.Tables {
		if t.Cell == "" {
			continue
		}
		for _, row := range t.Rows {
			for c := range min(len(row.Values), len(t.Columns)) {
				all = append(all, t.cell(row, c))
			}
		}
	}
	return all
}
