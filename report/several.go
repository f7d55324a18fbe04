package report

import (
	"encoding/json"
	"io"
	"iter"
	"strings"

	"github.com/ballast-ml/ballast/internal/anynumber"
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
	t.verdict(s.Verdict())
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

// rows are the numbers in short, a column a model; one that a model lacks is empty.
func (s Several) rows() []textRow {
	var rows []textRow
	for _, n := range s.Reports[0].headline() {
		row := textRow{Name: n.Label()}
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

// profiles are the suites with a profile that all models have, of the same length, and short enough; one for each model.
func (s Several) profiles() iter.Seq2[string, []Profile] {
	return func(yield func(string, []Profile) bool) {
		for _, section := range s.Reports[0].Sections {
			all := sameProfiles(s.Reports, section.Suite)
			if len(all) == len(s.Reports) && !yield(section.Suite, all) {
				return
			}
		}
	}
}

// sameProfiles are the profiles of a suite, one for each report, up to the first that has none to put beside the others.
func sameProfiles(reports []Report, suite string) []Profile {
	var all []Profile
	for _, r := range reports {
		section, _ := r.Section(suite)
		p := section.Profile
		if p == nil || len(p.Names) == 0 || len(p.Names) > mostNames || len(p.Values) != len(p.Names) {
			break
		}
		if len(all) > 0 && len(p.Names) != len(all[0].Names) {
			break
		}
		all = append(all, *p)
	}
	return all
}

// MarshalJSON writes the reports, and the verdict on them.
func (s Several) MarshalJSON() ([]byte, error) {
	type plain Several // without this method
	text, err := anynumber.Marshal(plain(s))
	if err != nil {
		return nil, err
	}
	verdict, err := json.Marshal(map[string]string{"verdict": s.Verdict()})
	if err != nil {
		return nil, err
	}
	return joined(text, verdict), nil
}
