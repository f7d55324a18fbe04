package unmixtns

import (
	"testing"

	"github.com/ballast-ml/ballast/papers/paper"
)

// TestClaim: what the claim holds for, and what it does not.
func TestClaim(t *testing.T) {
	for name, c := range map[string]struct {
		change func(m map[string][]float64)
		held   bool
	}{
		"as the card has it":                  {func(map[string][]float64) {}, true},
		"sorting costs more than half":        {func(m map[string][]float64) { m["unmix_sorted_shifts"] = []float64{0.9} }, false},
		"clean digits suffer":                 {func(m map[string][]float64) { m["unmix_iid_clean"] = []float64{0.99} }, false},
		"it does not help":                    {func(m map[string][]float64) { m["source_shifts"] = []float64{0.9} }, false},
		"the batch's are as good when sorted": {func(m map[string][]float64) { m["batch_sorted_clean"] = []float64{0.955} }, false},
	} {
		m := map[string][]float64{
			"source_clean": {0.969}, "source_shifts": {0.879}, "batch_iid_clean": {0.968}, "batch_iid_shifts": {0.959}, "batch_sorted_clean": {0.939},
			"batch_sorted_shifts": {0.919}, "unmix_iid_clean": {0.964}, "unmix_iid_shifts": {0.922}, "unmix_sorted_clean": {0.963}, "unmix_sorted_shifts": {0.91},
		}
		c.change(m)
		if got := paper.Judge(Paper.Claims[0], paper.Measured{"network": m}); got.MeansHold != c.held {
			t.Errorf("%s: held is %v: %+v", name, got.MeansHold, got.Inequalities)
		}
	}
}
