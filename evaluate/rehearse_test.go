package evaluate_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/metric"
)

// TestMeasures: the numbers are named before anything is measured, all that suites are documented to give among them.
func TestMeasures(t *testing.T) {
	var names []string
	for _, n := range evaluate.Measures() {
		names = append(names, n.Name)
	}
	for _, want := range []string{
		"acc", "top5", "ece", "nll", "brier", "shift.contrast.3.acc", "shots.acc", "shots.many.acc", "shots.few.acc", "pairs.recall_at_1", "pairs.opis", "pairs.utilization",
	} {
		if !slices.Contains(names, want) {
			t.Errorf("no %s in %v", want, names)
		}
	}
	if n := evaluate.Measures(evaluate.Clean{}); len(n) == 0 || slices.ContainsFunc(n, func(m metric.Number) bool { return m.Name == "ece" }) {
		t.Errorf("clean measures %v", n)
	}
}

// TestCheckRequirements refuses what no suite that is run measures.
func TestCheckRequirements(t *testing.T) {
	for text, want := range map[string]string{
		"acc>=0.5": "", "shift.contrast.3.acc>=0.5,ece<=1": "", "pairs.map_at_r>=0": "", "accc>=0": `did you mean "acc"?`, "shots.acc>=0.5": "measured by the suite shots, which is not run",
		"quality>=1": `the report has no "quality"; it has acc, top5`, "shift.fog.3.acc>=0": "the table imagenet-c has it", "shift.fgo.3.acc>=0": "the report has no", "accurac>=1": `did you mean "acc"?`,
	} {
		r, err := evaluate.ParseRequirements(text)
		if err != nil {
			t.Fatal(err)
		}
		err = evaluate.CheckRequirements(r, nil)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	r, err := evaluate.ParseRequirements("ece<=0.1")
	if err != nil {
		t.Fatal(err)
	}
	if err := evaluate.CheckRequirements(r, []evaluate.Suite{evaluate.Clean{}}); err == nil {
		t.Error("the suite clean measures no ece")
	}
}
