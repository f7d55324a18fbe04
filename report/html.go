package report

import (
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/metric"
)

//go:embed report.html
var pageText string

var pageTemplate = template.Must(template.New("report").Parse(pageText))

// HTML writes a report as one page that needs nothing else: its pictures are in it, and it needs no script.
func (r Report) HTML(w io.Writer) error {
	p := page{
		Title: r.Model, Subtitle: fmt.Sprintf("audited on %s, %d examples", r.Data, r.Examples), Next: r.Next,
		Numbers: grid{Corner: "number", Heads: []string{"value", "better is"}},
	}
	p.Headline, p.Details = headAndRest(r.Verdict())
	for _, n := range r.main() {
		p.Tiles = append(p.Tiles, tile{Title: sentence(n.Label()), Value: n.Text(), Note: direction(n), Means: n.Means})
	}
	group := rowGroup{}
	for _, n := range r.headline() {
		group.Rows = append(group.Rows, gridRow{Name: n.Label(), Means: n.Means, Cells: []cell{{Text: n.Text()}, {Text: way(n)}}})
	}
	p.Numbers.Groups = []rowGroup{group}
	return view{reports: []Report{r}, captions: []string{""}}.page(p).write(w)
}

// headAndRest parts a verdict behind its first clause.
func headAndRest(verdict string) (head, rest string) {
	head, rest, _ = strings.Cut(strings.TrimSuffix(verdict, "."), "; ")
	return head, sentence(rest)
}

// way is the better end of a number.
func way(n metric.Number) string {
	if direction(n) == "" {
		return "neither"
	}
	return string(n.Better)
}

// direction says which way is better; "" = neither.
func direction(n metric.Number) string {
	if n.Better == metric.Higher || n.Better == metric.Lower {
		return string(n.Better) + " is better"
	}
	return ""
}

// HTML writes before beside after as one page that needs nothing else.
func (c Comparison) HTML(w io.Writer) error {
	p := page{
		Title: c.Before.Model + ": " + c.What, Subtitle: fmt.Sprintf("before and after, on %s, %d examples", c.Before.Data, c.Before.Examples),
		Headline: c.headline(), Details: sentence(c.details()), Grade: c.grade(), Why: c.Why, Next: c.Next,
		Numbers: grid{Corner: "number", Heads: []string{"before", "after", "change"}, Changes: true},
	}
	after := c.After.main()
	for _, b := range c.Before.main() {
		a, ok := find(after, b.Name)
		if !ok {
			continue
		}
		t := tile{Title: sentence(b.Label()), Value: a.Text(), Before: b.Text(), Verdict: verdict(b, a), Note: direction(b), Means: b.Means}
		p.Tiles = append(p.Tiles, t)
	}
	group := rowGroup{}
	for _, b := range c.Before.headline() {
		if a, ok := find(c.After.Values(), b.Name); ok {
			group.Rows = append(group.Rows, gridRow{Name: b.Label(), Means: b.Means, Cells: []cell{
				{Text: b.Text()}, {Text: a.Text()}, {Text: a.Change(b), Mark: verdict(b, a), Word: true},
			}})
		}
	}
	p.Numbers.Groups = []rowGroup{group}
	return view{reports: []Report{c.Before, c.After}, captions: []string{"before", "after"}, compared: true}.page(p).write(w)
}

// HTML writes all models side by side as one page that needs nothing else.
func (s Several) HTML(w io.Writer) error {
	first := s.Reports[0]
	p := page{
		Title: fmt.Sprintf("%d models side by side", len(s.Reports)), Subtitle: fmt.Sprintf("on %s, %d examples", first.Data, first.Examples),
		Next: s.next(), Numbers: grid{Corner: "number"},
	}
	p.Headline, p.Details = headAndRest(s.Verdict())
	v := view{reports: s.Reports}
	for _, r := range s.Reports {
		p.Numbers.Heads = append(p.Numbers.Heads, r.Model)
		v.captions = append(v.captions, r.Model)
	}
	for _, n := range first.main() {
		if names, text := s.best(n); len(names) > 0 {
			p.Tiles = append(p.Tiles, tile{Title: sentence(n.Label()), Value: text, Note: "best: " + list(names), Means: n.Means})
		}
	}
	group := rowGroup{}
	for _, n := range first.headline() {
		row := gridRow{Name: n.Label(), Means: n.Means}
		_, best := s.best(n)
		for _, r := range s.Reports {
			own := cell{}
			if other, ok := find(r.headline(), n.Name); ok {
				own.Text = other.Text()
			}
			if best != "" && own.Text == best {
				own.Mark = "best"
			}
			row.Cells = append(row.Cells, own)
		}
		group.Rows = append(group.Rows, row)
	}
	p.Numbers.Groups = []rowGroup{group}
	return v.page(p).write(w)
}

// WriteHTML writes a page to a file, whole or not at all.
func WriteHTML(path string, page interface{ HTML(io.Writer) error }) error {
	return durable.WriteFile(path, page.HTML)
}

// source is a picture as the address of itself.
func source(png []byte) template.URL {
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(png)) //nolint:gosec // our own bytes
}

// escaped is a text as HTML shows it on one line: a name with a line break in it begins none.
func escaped(text string) string { return template.HTMLEscapeString(printable.Line(text)) }

// oneLine puts printable.Line in the place of every text below v. What is HTML already, and the addresses of pictures, stay.
func oneLine(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if v.Type() == reflect.TypeFor[string]() && v.CanSet() {
			v.SetString(printable.Line(v.String()))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			oneLine(v.Field(i))
		}
	case reflect.Slice:
		own := reflect.MakeSlice(v.Type(), v.Len(), v.Len()) // the report that the texts came from keeps them
		reflect.Copy(own, v)
		for i := range own.Len() {
			oneLine(own.Index(i))
		}
		if v.CanSet() && !v.IsNil() {
			v.Set(own)
		}
	default:
	}
}

// write fills in the page. What text from strangers may hold besides letters is escaped: a browser obeys marks of direction, and a page is
// looked at in terminals too. The template escapes what HTML gives a meaning.
func (p page) write(w io.Writer) error {
	oneLine(reflect.ValueOf(&p).Elem())

	// A number stays on a line with its unit.
	for _, text := range []*string{&p.Headline, &p.Details, &p.Why} {
		*text = strings.ReplaceAll(*text, " %", "\u00a0%")
	}
	p.Next = slices.Clone(p.Next)
	var b strings.Builder
	for i, n := range p.Next {
		p.Next[i].Why = sentence(n.Why)
	}
	if err := pageTemplate.Execute(&b, p); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err := io.WriteString(w, printable.Text(b.String()))
	return err
}
