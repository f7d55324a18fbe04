package tcm

import (
	"testing"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/papers/paper"
)

func TestClaims(t *testing.T) {
	free := func(shrinks, gain float64) paper.Measured {
		return paper.Measured{"tcm": {"opis_shrinks": {100, shrinks}, "recall_gain": {0.1, gain}}}
	}
	network := func(recall, opis, close float64) paper.Measured {
		of := func(recall, opis, close float64) map[string][]float64 {
			return map[string][]float64{"pairs.recall_at_1": {recall}, "pairs.opis": {opis}, "tcm_negatives": {close}}
		}
		return paper.Measured{"base": of(0.72, 0.02, 0.08), "tcm": of(recall, opis, close)}
	}
	for _, c := range []struct {
		claim    int
		measured paper.Measured
		held     bool
	}{
		{0, free(20, 0), true},
		{0, free(9, 0.1), false},    // one seed is not ten times better
		{0, free(20, -0.01), false}, // one seed finds less
		{1, network(0.715, 0.021, 0.07), true},
		{1, network(0.705, 0.02, 0.07), false},
		{1, network(0.72, 0.023, 0.07), false},
		{1, network(0.72, 0.02, 0.08), false},
	} {
		if got := paper.Judge(Paper.Claims[c.claim], c.measured); got.MeansHold != c.held {
			t.Errorf("%s, %v: held is %v", Paper.Claims[c.claim].Name, c.measured, got.MeansHold)
		}
	}
}

// TestFreeVectors: the procedure of the claim, for a few updates.
func TestFreeVectors(t *testing.T) {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	f := free{Classes: 5, Members: 6, Dim: 8, Spread: [2]float64{0.4, 1.4}, LR: 0.05, Steps: []int{0, 5, 60}}
	found, err := f.run(t.Context(), paper.Place{Engine: e, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	if found["opis_0"] < 2*found["opis_60"] || found["recall_gain"] != found["recall_60"]-found["recall_0"] {
		t.Errorf("found %v; want an OPIS that halves at least", found)
	}
}
