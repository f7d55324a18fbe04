package shrinkmatch

import (
	"maps"
	"testing"

	"github.com/ballast-ml/ballast/lab"
	"github.com/ballast-ml/ballast/papers/paper"
)

func TestShrinkMatchClaim(t *testing.T) {
	measured := func(fixmatch, used, shrunk, certain, falls, unsure float64) paper.Measured {
		return paper.Measured{"labels": {}, "fixmatch": {"used_1": {fixmatch}}, "shrinkmatch": {
			"used_1": {used}, "shrunk_labels": {shrunk}, "certain_labels": {certain}, "falls": {falls}, "unsure": {unsure},
		}}
	}
	for _, c := range []struct {
		measured paper.Measured
		held     bool
	}{
		{measured(0.01, 0.5, 0.56, 0.95, 0, 0), true},
		{measured(0.3, 0.5, 0.56, 0.95, 0, 0), false},    // FixMatch uses nearly as many
		{measured(0.01, 0.5, 0.1, 0.95, 0, 0), false},    // no better than chance
		{measured(0.01, 0.5, 0.96, 0.95, 0, 0), false},   // better than what is certain
		{measured(0.01, 0.5, 0.56, 0.95, 0.2, 0), false}, // one digit keeps more classes in one seed of five
		{measured(0.01, 0.5, 0.56, 0.95, 0, 0.2), false}, // one is shrunk too little
	} {
		if got := paper.Judge(Paper.Claims[0], c.measured); got.MeansHold != c.held {
			t.Errorf("%v: held is %v", c.measured, got.MeansHold)
		}
	}
}

func TestQuarters(t *testing.T) {
	values := func(certain, used, right, shrunk float64) map[string]float64 {
		return map[string]float64{"loss": 1, "certain": certain, "used": used, "certain_right": right, "shrunk_right": shrunk}
	}
	got := quarters([]lab.Logged{
		{Step: 10, Values: values(0, 0.5, 0, 0.25)}, {Step: 20, Values: values(0.25, 1, 0.25, 0.5)},
		{Step: 30, Values: values(0.25, 0.75, 0, 0.25)}, {Step: 40, Values: values(0.5, 0.75, 0.5, 0)},
	})
	want := map[string]float64{
		"used_1": 0.5, "used_2": 1, "used_3": 0.75, "used_4": 0.75, "used": 0.75, "certain": 0.25, "certain_labels": 0.75, "shrunk_labels": 0.5,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := quarters([]lab.Logged{{Step: 40, Values: map[string]float64{"loss": 1}}}); len(got) != 0 {
		t.Errorf("a run without unlabeled examples has %v", got)
	}
}
