package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/report"
)

func example(ece float64) report.Report { return exampleOf(ece, 0.5, [][]int{{1, 1}, {0, 1}}) }

func exampleOf(ece, nll float64, confusion [][]int) report.Report {
	right := confusion[0][0] + confusion[1][1]
	return report.Report{
		SchemaVersion: report.SchemaVersion, Model: "a <b>model</b>", Data: "digits test", Examples: 3,
		Sections: []report.Section{
			report.Clean{Accuracy: float64(right) / 3, Labels: []string{"<i>cat</i>", "dog"}, Confusion: confusion}.Section(),
			report.Calibration{NLL: nll, ECE: ece, Bins: 2, Curve: []metric.Bin{{High: 0.5}, {Low: 0.5, High: 1, Count: 3, Confidence: 0.9, Accuracy: 2.0 / 3}}}.Section(),
			report.Shift{Mean: 0.4, Rows: []report.ShiftRow{
				{Name: "contrast", Severities: []int{1, 2}, Accuracy: []float64{0.5, 0.3}, NLL: []float64{1, 2}, ECE: []float64{0.1, 0.2}},
			}}.Section(),
		},
	}
}

func TestComparisonMarksWhatIsBetter(t *testing.T) {
	c := report.Comparison{What: "temperature scaling", Before: example(0.2), After: exampleOf(0.05, 0.6, [][]int{{1, 1}, {0, 1}})}
	var b bytes.Buffer
	if err := c.Text(&b); err != nil {
		t.Fatal(err)
	}
	verdict := "Better and worse on the data as it is, unchanged under shift: ECE goes from 0.2000 to 0.0500, NLL from 0.5000 to 0.6000; " +
		"accuracy stays at 66.67 %, accuracy under shift at 40.00 %, ECE under shift at 0.1500, NLL under shift at 1.5000.\n"
	text := b.String()
	for _, want := range []string{verdict, "ECE, equal width", "0.2000", "0.0500", "-0.1500", "better", "NLL (nats)", "+0.1000", "worse", "contrast, before", "50.00 %"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	text = strings.Replace(text, verdict, "", 1)
	if strings.Count(text, "better") != 1 || strings.Count(text, "worse") != 1 {
		t.Errorf("what did not change is marked:\n%s", text)
	}
}

// TestWhatGotWorseIsSaid: a change that is good for the data as it is and bad under shift is told as both, in every view.
func TestWhatGotWorseIsSaid(t *testing.T) {
	before, after := example(0.2), example(0.05)
	shifted := report.Shift{Mean: 0.4, Rows: []report.ShiftRow{
		{Name: "contrast", Severities: []int{1, 2}, Accuracy: []float64{0.5, 0.3}, NLL: []float64{3, 4}, ECE: []float64{0.1, 0.45}, Confidence: []float64{0.6, 0.75}},
	}}
	after.Sections[2] = shifted.Section()
	c := report.NewComparison("temperature scaling", before, after)
	c.Why, c.Next = "Label smoothing.", []report.Next{{Why: "look again", Command: "ballast evaluate 'a b'"}}

	if want := "Better on the data as it is, worse under shift: ECE goes from 0.2000 to 0.0500, ECE under shift from 0.1500 to 0.2750"; !strings.HasPrefix(c.Verdict, want) {
		t.Errorf("verdict %q, want %q", c.Verdict, want)
	}
	var text, page bytes.Buffer
	if err := errors.Join(c.Text(&text), c.HTML(&page)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"NLL, mean of shifts (nats)", "+2.0000   worse", "worse in 1 of 2", "Label smoothing.", "next: look again", "ballast evaluate 'a b'"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	for _, want := range []string{`class="card verdict mixed"`, "worse under shift", `✗</span> worse`, "Label smoothing.", "ballast evaluate &#39;a b&#39;"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("no %q on the page", want)
		}
	}

	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var back report.Comparison
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	marks := map[string]string{}
	for _, change := range back.Changes {
		marks[change.Name] = change.Verdict
	}
	for name, want := range map[string]string{"ece": "better", "shift.ece": "worse", "shift.contrast.2.ece": "worse", "shift.contrast.1.ece": "", "acc": ""} {
		if got, ok := marks[name]; !ok || got != want {
			t.Errorf("JSON: %s is %q (%v), want %q", name, got, ok, want)
		}
	}
}

func TestHTMLIsOnePageAndEscapesText(t *testing.T) {
	c := report.Comparison{What: `<script>alert(1)</script>`, Before: example(0.2), After: example(0.1)}
	path := filepath.Join(t.TempDir(), "r.html")
	if err := report.WriteHTML(path, c); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := string(content)
	for _, bad := range []string{"<script", "<b>model", "<i>cat", "http://", "https://", "<link"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	// A reliability curve, a confusion matrix, a heat map, and a panel each for accuracy, NLL and ECE: all are alike before and after.
	if n := strings.Count(page, `role="img"`); n != 6 || !strings.Contains(page, "before and after alike") {
		t.Errorf("%d pictures, want 6", n)
	}
	checkPage(t, page)
	if !strings.Contains(page, "&lt;b&gt;model") {
		t.Error("the model's name is missing")
	}
}

// checkPage holds a page to what every page must be: its tags are closed, it needs nothing from elsewhere and no script, and who cannot see
// its pictures is told what they show.
func checkPage(t *testing.T, page string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var open []string
	ids := map[string]bool{}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the page: %v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			open = append(open, token.Name.Local)
			has := map[string]string{}
			for _, a := range token.Attr {
				has[a.Name.Local] = a.Value
				if strings.HasPrefix(a.Name.Local, "on") || strings.HasPrefix(a.Value, "http") || strings.HasPrefix(a.Value, "javascript:") {
					t.Errorf("<%s %s=%q>", token.Name.Local, a.Name.Local, a.Value)
				}
			}
			switch name := token.Name.Local; {
			case name == "img" && has["alt"] == "", name == "svg" && has["aria-hidden"] == "" && has["aria-label"] == "":
				t.Errorf("a picture without a text: %v", token)
			case name == "th" && has["scope"] == "":
				t.Errorf("a head of a table that does not say of what: %v", token)
			case name == "script" || name == "link" || name == "iframe":
				t.Errorf("the page has a <%s>", name)
			case has["id"] != "" && ids[has["id"]]:
				t.Errorf("two elements have the id %s", has["id"])
			}
			ids[has["id"]] = true
		case xml.EndElement:
			if len(open) == 0 || open[len(open)-1] != token.Name.Local {
				t.Fatalf("</%s> closes %v", token.Name.Local, open)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 || strings.Contains(page, "NaN\"") || strings.Contains(page, "Inf\"") {
		t.Errorf("%v stay open, or a place is not a number", open)
	}
}

// TestPagesOfOddInput: empty bins, no shifts, many classes, long names and values that are not finite make a page all the same.
func TestPagesOfOddInput(t *testing.T) {
	many := make([][]int, 60)
	labels := make([]string, 60)
	for i := range many {
		many[i] = make([]int, 60)
		many[i][i], labels[i] = i, strings.Repeat("long name ", i)
	}
	inf := math.Inf(1)
	for name, section := range map[string]report.Section{
		"no bins":        report.Calibration{}.Section(),
		"empty bins":     report.Calibration{ECE: 0.3, Curve: make([]metric.Bin, 15)}.Section(),
		"no shifts":      report.Shift{}.Section(),
		"many classes":   report.Clean{Labels: labels, Confusion: many}.Section(),
		"many shifts":    report.Shift{Rows: make([]report.ShiftRow, 9)}.Section(),
		"empty rows too": report.Clean{Labels: []string{"a", "b"}, Confusion: [][]int{{0, 0}, {0, 0}}}.Section(),
		"infinite":       report.Shift{Rows: []report.ShiftRow{{Name: "x", Severities: []int{1, 2}, Accuracy: []float64{0, math.NaN()}, NLL: []float64{inf, inf}, ECE: []float64{0, 0}}}}.Section(),
		"odd charts": {Suite: "own", Charts: []report.Chart{
			{Title: "none"}, {Title: "one point", Series: []report.Series{{X: []float64{1}, Y: []float64{1}}}}, {Title: "uneven", Series: []report.Series{{X: []float64{1}}}},
			{Title: "low", Logarithmic: true, Series: []report.Series{{X: []float64{1, 2}, Y: []float64{0, -1}}}},
			{Title: "wide", Logarithmic: true, Series: []report.Series{{X: []float64{1, 2.5}, Y: []float64{1e-30, 1e30}, Spread: []float64{1, 1}}}},
			{Title: "far", Series: []report.Series{{X: []float64{1, inf}, Y: []float64{math.NaN(), inf}}, {X: []float64{-1e300, 1e300}, Y: []float64{-1e300, 1e300}}}},
		}},
		"text in heads": {Suite: "own", Tables: []report.Table{
			{Title: "t", X: "light", Columns: []report.Column{{Head: "dim"}}, Rows: []report.Row{{Name: "r", Values: []float64{1}}}}, {Title: "empty"},
		}},
	} {
		r := report.Report{Model: "m", Data: "d", Sections: []report.Section{section}}
		var one, two, three bytes.Buffer
		for _, err := range []error{
			r.HTML(&one), report.NewComparison("nothing", r, r).HTML(&two), report.NewSeveral([]report.Report{r, r, r}).HTML(&three),
			r.Text(io.Discard), report.NewComparison("nothing", r, r).Text(io.Discard),
		} {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, page := range []string{one.String(), two.String(), three.String()} {
			checkPage(t, page)
			if strings.Contains(page, "\ufffd") {
				t.Errorf("%s: the page has what is no character", name)
			}
		}
	}
}

// TestTablesOfSomeReports: where a model lacks a table, the others' rows keep their names.
func TestTablesOfSomeReports(t *testing.T) {
	of := func(model string, tables ...report.Table) report.Report {
		return report.Report{Model: model, Sections: []report.Section{{Suite: "own", Tables: tables}}}
	}
	table := func(title string, v float64) report.Table {
		return report.Table{Title: title, Columns: []report.Column{{Head: "h"}}, Rows: []report.Row{{Name: "r", Values: []float64{v}}}}
	}
	var page bytes.Buffer
	s := report.NewSeveral([]report.Report{of("one", table("both", 1)), of("two"), of("three", table("both", 3), table("alone", 4))})
	if err := s.HTML(&page); err != nil {
		t.Fatal(err)
	}
	checkPage(t, page.String())
	for _, want := range []string{`<th scope="row">one</th><td>1.0000</td>`, `<th scope="row">three</th><td>3.0000</td>`, "<caption>Alone, three</caption>"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("no %q in\n%s", want, page.String()[strings.Index(page.String(), "<main>"):])
		}
	}
}

// TestWorstExamples: wrong answers are shown once each, as pictures with what every report says of them, or as a table where there are no
// pictures.
func TestWorstExamples(t *testing.T) {
	pixel, err := report.Thumbnail([]float32{0, 1, 0.5, 0.25}, []int{2, 2, 1})
	if err != nil || len(pixel) == 0 {
		t.Fatal(err)
	}
	with := func(worst ...report.Example) report.Report {
		return report.Report{Model: "m", Data: "d", Sections: []report.Section{report.Clean{Labels: []string{"a", "b"}, Worst: worst}.Section()}}
	}
	before := with(report.Example{Index: 7, Label: "4", Predicted: "9", Confidence: 0.625, Picture: pixel}, report.Example{Index: 3, Label: "1", Predicted: "7", Confidence: 0.5, Picture: pixel})
	after := with(report.Example{Index: 7, Label: "4", Predicted: "9", Confidence: 0.9975, Picture: pixel})
	var page bytes.Buffer
	if err := report.NewComparison("x", before, after).HTML(&page); err != nil {
		t.Fatal(err)
	}
	text := page.String()
	checkPage(t, text)
	for want, times := range map[string]int{
		"before: 9, 62.50 %": 1, "after: 9, 99.75 %": 1, "label 4": 1, "label 1<": 0, `alt="Example 7, a 4"`: 1, "data:image/png;base64,": 1,
	} {
		if n := strings.Count(text, want); n != times {
			t.Errorf("%d times %q, want %d", n, want, times)
		}
	}

	page.Reset()
	if err := with(report.Example{Index: 7, Label: "<b>", Predicted: "9", Confidence: 0.9975}).HTML(&page); err != nil {
		t.Fatal(err)
	}
	checkPage(t, page.String())
	if !strings.Contains(page.String(), "<td>9, 99.75 %</td>") || strings.Contains(page.String(), "<img") {
		t.Error("without pictures there is no table")
	}
	for _, shape := range [][]int{{4}, {2, 2, 2}, {2, 1, 4}, {0, 2, 1}} {
		if none, err := report.Thumbnail([]float32{0, 1, 0.5, 0.25}, shape); err != nil || none != nil {
			t.Errorf("%v: %v, %v", shape, none, err)
		}
	}
	large, err := report.Thumbnail(make([]float32, 300*600*3), []int{300, 600, 3})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := png.Decode(bytes.NewReader(large)); err != nil || m.Bounds().Dx() != 192 || m.Bounds().Dy() != 96 {
		t.Errorf("%v, %v", m.Bounds(), err)
	}
	if _, err := report.Thumbnail([]float32{1}, []int{2, 2, 1}); err == nil {
		t.Error("one value became four pixels")
	}
}

// TestFooterSaysWhatItIsOf: version, commit, checksums; a file that is the same before and after once.
func TestFooterSaysWhatItIsOf(t *testing.T) {
	before, after := example(0.2), example(0.1)
	before.Version, before.Commit, before.DataChecksum, before.Engine = "v0.9.0", "abc123", "d47a", "xla:cpu"
	before.Files = []report.File{{Path: "m/ballast.json", SHA256: "aa"}, {Path: "m/model.safetensors", SHA256: "bb"}}
	after.Files = []report.File{{Path: "n/ballast.json", SHA256: "cc"}, {Path: "m/model.safetensors", SHA256: "bb"}}
	var page bytes.Buffer
	if err := report.NewComparison("x", before, after).HTML(&page); err != nil {
		t.Fatal(err)
	}
	for want, times := range map[string]int{"ballast v0.9.0, commit abc123": 1, "d47a": 1, "xla:cpu": 1, "aa m/ballast.json": 1, "cc n/ballast.json": 1, "bb m/model.safetensors": 1} {
		if n := strings.Count(page.String(), want); n != times {
			t.Errorf("%d times %q, want %d", n, want, times)
		}
	}
}

func ExampleReport_Values() {
	for _, v := range example(0.25).Values()[:3] {
		fmt.Printf("%s %.3f\n", v.Name, v.Value)
	}
	// Output:
	// acc 0.667
	// nll 0.500
	// brier 0.000
}

func TestSeveralModels(t *testing.T) {
	other := exampleOf(0.3, 0.5, [][]int{{0, 2}, {1, 0}})
	other.Model = "other"
	s := report.NewSeveral([]report.Report{example(0.2), other})
	var text, html bytes.Buffer
	if err := s.Text(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2 models on digits test, 3 examples", "66.67 %", "0.2000", "0.3000", "right of each class", "50.00 %", "other, accuracy by severity"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	if err := s.HTML(&html); err != nil {
		t.Fatal(err)
	}
	// Two reliability curves that are alike, two confusion matrices and heat maps, the classes, and three panels that are alike.
	if n := strings.Count(html.String(), `role="img"`); n != 1+2+2+1+3 || strings.Contains(html.String(), "<b>model") {
		t.Errorf("%d pictures, want 9", n)
	}
	checkPage(t, html.String())
	if want := "Best in accuracy (66.67 %) and ECE (0.2000): a <b>model</b>; all models are alike in NLL (0.5000)"; !strings.HasPrefix(s.Verdict(), want) {
		t.Errorf("verdict %q, want %q", s.Verdict(), want)
	}
	other.Sections = other.Sections[1:] // nothing to compare by class
	html.Reset()
	if err := report.NewSeveral([]report.Report{example(0.2), other}).HTML(&html); err != nil || strings.Contains(html.String(), "Which classes") {
		t.Errorf("%v; the page has classes of one model", err)
	}
}
