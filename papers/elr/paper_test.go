package elr

import (
	"bytes"
	"image/png"
	"testing"

	"github.com/ballast-ml/ballast/papers/paper"
)

func TestELRClaim(t *testing.T) {
	measured := func(change func(m paper.Measured)) paper.Measured {
		m := paper.Measured{
			"ce":  {"best": {0.94, 0.92}, "final": {0.7, 0.68}, "memorised": {1, 0.98}},
			"elr": {"final": {0.96}, "memorised": {0.1}, "suspect_precision": {0.99}, "suspect_recall": {0.93}},
		}
		change(m)
		return m
	}
	for name, c := range map[string]struct {
		change func(m paper.Measured)
		held   bool
	}{
		"as measured":                        {func(paper.Measured) {}, true},
		"too little is kept":                 {func(m paper.Measured) { m["elr"]["final"] = []float64{0.83} }, false},
		"there is no early learning":         {func(m paper.Measured) { m["ce"]["best"] = []float64{0.8} }, false},
		"cross-entropy does not memorise":    {func(m paper.Measured) { m["ce"]["memorised"] = []float64{0.8} }, false},
		"elr memorises":                      {func(m paper.Measured) { m["elr"]["memorised"] = []float64{0.4} }, false},
		"right labels are suspected":         {func(m paper.Measured) { m["elr"]["suspect_precision"] = []float64{0.8} }, false},
		"too few wrong labels are suspected": {func(m paper.Measured) { m["elr"]["suspect_recall"] = []float64{0.8} }, false},
	} {
		if got := paper.Judge(Paper.Claims[0], measured(c.change)); got.MeansHold != c.held {
			t.Errorf("%s: held is %v: %+v", name, got.MeansHold, got.Inequalities)
		}
	}
}

// TestFigure: what After measures is what the figure is drawn from.
func TestFigure(t *testing.T) {
	claim := paper.ClaimResult{Name: Paper.Claims[0].Name}
	for _, arm := range []string{"ce", "elr", "elr_plus"} {
		metrics := map[string]paper.Summary{}
		for _, epoch := range drawn {
			metrics[afterEpoch(epoch)] = paper.Summary{Mean: 0.9, SD: 0.01}
		}
		claim.Arms = append(claim.Arms, paper.ArmResult{Name: arm, Metrics: metrics})
	}
	picture, err := drawEpochs(paper.Entry{Slug: "elr", Claims: []paper.ClaimResult{claim}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := png.Decode(bytes.NewReader(picture)); err != nil {
		t.Error(err)
	}
	if _, err := drawEpochs(paper.Entry{Slug: "elr"}); err == nil {
		t.Error("a figure of nothing is drawn")
	}
}
