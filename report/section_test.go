package report_test

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/report"
)

// colours is a section of a suite that this package has never heard of.
func colours(share float64) report.Section {
	return report.Section{
		Suite: "colours", Heading: "Colour by colour",
		Numbers: []metric.Number{
			{Name: "colours.right", Title: "colours seen right", Value: share, Better: metric.Higher, Unit: metric.Share},
			{Name: "colours.kinds", Title: "kinds of <colour>", Value: 12, Better: metric.Neither, Unit: metric.Count},
			{Name: "colours.gap", Title: "gap", Value: 0.25, Better: metric.Lower, Unit: "nm"},
		},
		Profile: &report.Profile{
			Title: "right of each colour", Question: "Which colours are right?", X: "colour", Y: "share", Unit: metric.Share,
			Names: []string{"red", "blue"}, Values: []float64{share, 1},
		},
		Tables: []report.Table{
			{
				Title: "by light", Cell: "colours.{row}.{column}", Columns: []report.Column{{"day", metric.Higher, metric.Share}, {"seen", metric.Neither, metric.Count}},
				Rows: []report.Row{{"red", []float64{share, 7}}, {"blue", []float64{1, 5}}},
			},
			{Title: "by lamp", Shown: report.PageOnly, Columns: []report.Column{{"warm", metric.Lower, ""}}, Rows: []report.Row{{"red", []float64{0.125}}}},
		},
		Notes:  []string{"the light was dim"},
		Charts: []report.Chart{{Title: "How fast does it fade?", X: "year", Y: "share", Series: []report.Series{{Name: "red", X: []float64{0, 1}, Y: []float64{1, share}}}}},
	}
}

func withColours(share float64) report.Report {
	r := example(0.2)
	r.Model = "painter"
	r.Sections = append(r.Sections, colours(share))
	return r
}

// TestASuiteOfOnesOwn: numbers, tables, charts and profiles of any suite are shown in every view.
func TestASuiteOfOnesOwn(t *testing.T) {
	one, other := withColours(0.5), withColours(0.75)
	other.Model = "second"
	var text, page, both, compared, several, severalPage bytes.Buffer
	for _, err := range []error{
		one.Text(&text), one.HTML(&page),
		report.Comparison{What: "glasses", Before: one, After: other}.Text(&both), report.Comparison{What: "glasses", Before: one, After: other}.HTML(&compared),
		report.NewSeveral([]report.Report{one, other}).Text(&several), report.NewSeveral([]report.Report{one, other}).HTML(&severalPage),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		got  *bytes.Buffer
		want []string
	}{
		"text":          {&text, []string{"colours seen right", "50.00 %", "12\n", "gap (nm)", "0.2500", "by light", "day", "red", "7", "colours: the light was dim"}},
		"page":          {&page, []string{"<h2>Colour by colour</h2>", "<caption>By lamp</caption>", "0.1250", "How fast does it fade?", "the light was dim", "kinds of &lt;colour&gt;"}},
		"before, after": {&both, []string{"75.00 %", "+25.00", "better", "red, before", "red, after", "by light"}},
		"its page":      {&compared, []string{"<caption>By lamp, before and after alike</caption>", "How fast does it fade?", "<figcaption>after</figcaption>"}},
		"several":       {&several, []string{"right of each colour", "painter, by light", "second, by light", "100.00 %"}},
		"their page":    {&severalPage, []string{"Which colours are right?", "Which classes are right?", "By lamp, the same for all"}},
	} {
		for _, want := range c.want {
			if !strings.Contains(c.got.String(), want) {
				t.Errorf("%s: no %q in\n%.4000s", name, want, c.got.String())
			}
		}
	}
	if strings.Contains(text.String(), "by lamp") || strings.Contains(both.String(), "by lamp") {
		t.Error("a table for pages is in the terminal")
	}

	for name, want := range map[string]float64{"colours.gap": 0.25, "colours.red.day": 0.5, "colours.blue.seen": 5, "shift.contrast.2.ece": 0.2, "acc": 2.0 / 3} {
		if n, ok := one.Number(name); !ok || n.Value != want {
			t.Errorf("%s is %v, %v; want %v", name, n, ok, want)
		}
	}
}

// TestJSONRoundTrip: what is written is read, sections of unknown suites among them, and written again is the same bytes.
func TestJSONRoundTrip(t *testing.T) {
	one := withColours(0.5)
	one.LeftOut = []report.LeftOut{{"tides", "there is no sea"}}
	first, err := json.Marshal(one)
	if err != nil {
		t.Fatal(err)
	}
	var back report.Report
	if err := json.Unmarshal(first, &back); err != nil {
		t.Fatal(err)
	}
	second, err := json.Marshal(back)
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("%v\n%s\n%s", err, first, second)
	}
	if diff := cmp.Diff(one, back, cmpopts.IgnoreFields(report.Section{}, "Pictures")); diff != "" {
		t.Error(diff)
	}
	var page bytes.Buffer
	if err := back.HTML(&page); err != nil || strings.Count(page.String(), `role="img"`) != 7 {
		t.Errorf("a report that was read has lost its pictures (%v)", err)
	}

	content := report.Section{Suite: "own", Numbers: []metric.Number{{Name: "own.a", Value: 1, Better: metric.Lower}}, Content: map[string]int{"inner": 3}}
	text, err := json.Marshal(report.Report{Sections: []report.Section{content}})
	if err != nil || !strings.Contains(string(text), `"own":{"inner":3,"numbers":[{"name":"own.a","value":1,"better":"lower"}]}`) {
		t.Errorf("%s, %v", text, err)
	}
}

// stored is a report of the time before sections.
const stored = `{"schema_version": 1, "model": "m", "data": "d test", "examples": 4, "seed": 7, "created": "2026-11-01T10:00:00Z", "seconds": 1.5,
 "clean": {"accuracy": 0.75, "top_k": 0, "top_k_accuracy": 0, "labels": ["a", "b"], "confusion": [[1, 1], [0, 2]]},
 "calibration": {"nll": 0.5, "brier": 0.25, "ece": 0.1, "ece_equal_mass": 0.2, "classwise_ece": 0.3, "mce": 0.4, "bins": 1, "mean_confidence": 0.9,
  "curve": [{"low": 0, "high": 1, "count": 4, "confidence": 0.9, "accuracy": 0.75}]},
 "shift": {"rows": [{"name": "contrast", "severities": [1, 2], "accuracy": [0.5, 0.25], "nll": [1, 2], "ece": [0.1, 0.2]}], "mean_accuracy": 0.375}}`

// TestAStoredReportIsRead: its numbers have their names, directions and units.
func TestAStoredReportIsRead(t *testing.T) {
	var r report.Report
	if err := json.Unmarshal([]byte(stored), &r); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"acc": 0.75, "nll": 0.5, "ece_mass": 0.2, "shift.acc": 0.375, "shift.contrast.2.nll": 2} {
		if n, ok := r.Number(name); !ok || n.Value != want || n.Better == "" {
			t.Errorf("%s is %+v, %v; want %v", name, n, ok, want)
		}
	}
	if r.Seed != 7 || r.Created.Day() != 1 || len(r.Sections) != 3 {
		t.Errorf("%+v", r)
	}
	var text, page bytes.Buffer
	if err := r.Text(&text); err != nil || !strings.Contains(text.String(), "75.00 %") {
		t.Errorf("%v\n%s", err, text.String())
	}
	if err := r.HTML(&page); err != nil || strings.Count(page.String(), `role="img"`) != 6 {
		t.Errorf("%v; pictures are missing", err)
	}
	for _, bad := range []string{`{"clean": {"accuracy": "high"}}`, `[1]`, `{"own": {"numbers": 3}}`, `{"own": {`} {
		if err := json.Unmarshal([]byte(bad), &r); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
	if err := json.Unmarshal([]byte(`{"later": 3, "note": "text", "list": [{}]}`), &r); err != nil || len(r.Sections) != 0 {
		t.Errorf("%v, %+v", err, r.Sections)
	}
}

// TestWhatIsNotANumber: a value that JSON has no number for is a string; one that it cannot hold at all is an error that names the suite, not
// half a file.
func TestWhatIsNotANumber(t *testing.T) {
	s := report.Section{Suite: "own", Content: map[string]float64{"x": math.NaN(), "y": math.Inf(1)}}
	if text, err := json.Marshal(report.Report{Sections: []report.Section{s}}); err != nil || !strings.Contains(string(text), `"x":"NaN","y":"Infinity"`) {
		t.Errorf("got %s, %v", text, err)
	}
	s.Content = map[string]any{"x": func() {}}
	if _, err := json.Marshal(report.Report{Sections: []report.Section{s}}); err == nil || !strings.Contains(err.Error(), "suite own") {
		t.Errorf("got %v", err)
	}
}
