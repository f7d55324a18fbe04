package metrix

import (
	"testing"

	"github.com/ballast-ml/ballast/papers/paper"
)

func TestClaims(t *testing.T) {
	measured := func(baseRecall, recall, baseUse, use float64) paper.Measured {
		m := paper.Measured{}
		for _, half := range []string{"-first", "-second"} {
			m["base"+half] = map[string][]float64{"pairs.recall_at_1": {baseRecall}, "pairs.utilization": {baseUse}}
			m["metrix"+half] = map[string][]float64{"pairs.recall_at_1": {recall}, "pairs.utilization": {use}}
		}
		return m
	}
	for _, c := range []struct {
		claim    int
		measured paper.Measured
		held     bool
	}{
		{0, measured(0.9, 0.93, 0.1, 0.2), true}, // utilization decides nothing here
		{0, measured(0.9, 0.91, 0.1, 0.1), false},
		{1, measured(0.75, 0.76, 0.23, 0.2), true},
		{1, measured(0.75, 0.752, 0.23, 0.2), false},
		{1, measured(0.75, 0.76, 0.2, 0.23), false},
	} {
		if got := paper.Judge(Paper.Claims[c.claim], c.measured); got.MeansHold != c.held {
			t.Errorf("%s, %v: held is %v", Paper.Claims[c.claim].Name, c.measured, got.MeansHold)
		}
	}
}
