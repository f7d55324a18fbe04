package report_test

import (
	"bytes"
	"fmt"
	"image/png"
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
	for _, want := range []string{"ECE, equal width", "0.2000", "0.0500", "-0.1500", "better", "NLL (nats)", "+0.1000", "worse", "contrast, before", "50.00 %"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.Count(b.String(), "better") != 1 || strings.Count(b.String(), "worse") != 1 {
		t.Errorf("what did not change is marked:\n%s", b.String())
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
	if n := strings.Count(page, `src="data:image/png;base64,`); n != 6 {
		t.Errorf("%d pictures, want 6", n)
	}
	if !strings.Contains(page, "&lt;b&gt;model") {
		t.Error("the model's name is missing")
	}
}

func TestPicturesOfOddInput(t *testing.T) {
	many := make([][]int, 60)
	labels := make([]string, 60)
	for i := range many {
		many[i] = make([]int, 60)
		many[i][i], labels[i] = i, strings.Repeat("long name ", i)
	}
	for name, draw := range map[string]func() ([]byte, error){
		"empty bins":   func() ([]byte, error) { return report.ReliabilityPNG("t", make([]metric.Bin, 15)) },
		"no shifts":    func() ([]byte, error) { return report.SeverityPNG("t", report.Shift{}, math.NaN()) },
		"many classes": func() ([]byte, error) { return report.ConfusionPNG("t", many, labels) },
		"many shifts": func() ([]byte, error) {
			return report.SeverityPNG("t", report.Shift{Rows: make([]report.ShiftRow, 9)}, 0.5)
		},
		"empty rows too": func() ([]byte, error) { return report.ConfusionPNG("", [][]int{{0, 0}, {0, 0}}, []string{"a", "b"}) },
	} {
		content, err := draw()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if img, err := png.Decode(bytes.NewReader(content)); err != nil || img.Bounds().Dx() < 300 {
			t.Errorf("%s: %v", name, err)
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
	if n := strings.Count(html.String(), `src="data:image/png;base64,`); n != 7 || strings.Contains(html.String(), "<b>model") {
		t.Errorf("%d pictures, want 7", n)
	}
	other.Sections = other.Sections[1:] // nothing to compare by class
	html.Reset()
	if err := report.NewSeveral([]report.Report{example(0.2), other}).HTML(&html); err != nil || strings.Contains(html.String(), "Which classes") {
		t.Errorf("%v; the page has classes of one model", err)
	}
}
