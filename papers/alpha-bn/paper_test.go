package alphabn

import (
	"testing"

	"github.com/ballast-ml/ballast/papers/paper"
)

// TestClaims: what the claims hold for, and what they do not.
func TestClaims(t *testing.T) {
	card := func() map[string][]float64 {
		m := map[string][]float64{}
		for name, values := range map[string][]float64{
			"sorted_shifts": {0.879, 0.905, 0.931, 0.934, 0.919}, "sorted_clean": {0.969, 0.966, 0.96, 0.954, 0.939}, "iid_shifts": {0.879, 0.919, 0.951, 0.955, 0.959},
		} {
			for i, t := range targets {
				m[named(name, t)] = []float64{values[i]}
			}
		}
		return m
	}
	for name, c := range map[string]struct {
		change func(m map[string][]float64)
		held   bool
	}{
		"as the card has it":     {func(map[string][]float64) {}, true},
		"no gain over the model": {func(m map[string][]float64) { m["sorted_shifts_t0"] = []float64{0.91} }, false},
		"the batch alone is it":  {func(m map[string][]float64) { m["sorted_shifts_t1"] = []float64{0.93} }, false},
		"on clean digits too":    {func(m map[string][]float64) { m["sorted_clean_t1"] = []float64{0.95} }, false},
		"not in random order":    {func(m map[string][]float64) { m["iid_shifts_t0.5"] = []float64{0.94} }, false},
	} {
		m := card()
		c.change(m)
		if got := paper.Judge(Paper.Claims[0], paper.Measured{"network": m}); got.MeansHold != c.held {
			t.Errorf("%s: held is %v: %+v", name, got.MeansHold, got.Inequalities)
		}
	}

	for _, c := range []struct {
		alone, entropy, core float64
		held                 bool
	}{{0.401, 0.369, 0.437, true}, {0.401, 0.369, 0.4, false}, {0.401, 0.44, 0.437, false}} {
		m := paper.Measured{"alpha-bn": {"shifts": {c.alone}}, "entropy": {"shifts": {c.entropy}}, "core": {"shifts": {c.core}}}
		if got := paper.Judge(Paper.Claims[1], m); got.MeansHold != c.held {
			t.Errorf("%+v: held is %v", c, got.MeansHold)
		}
	}
}
