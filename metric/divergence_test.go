package metric_test

import (
	"math"
	"testing"

	"github.com/ballast-ml/ballast/metric"
)

func TestFeatureDivergence(t *testing.T) {
	// Channel 0: N(0, 1) against N(1, 1), D = 2 (1 + 1)/2 - 1 = 1. Channel 1: variances 1 and 4, one mean, D = 1/8 + 2 - 1.
	a, b := []float64{-1, -1, 1, 1}, []float64{0, -2, 2, 2}
	mean, each, err := metric.FeatureDivergence(a, b, 2, 0)
	if err != nil || math.Abs(each[0]-1) > 1e-12 || math.Abs(each[1]-1.125) > 1e-12 || math.Abs(mean-1.0625) > 1e-12 {
		t.Errorf("got %v, %v, %v", mean, each, err)
	}
	same, _, err := metric.FeatureDivergence(a, a, 2, 0)
	if err != nil || same != 0 {
		t.Errorf("a domain diverges from itself by %v (%v)", same, err)
	}
	// Two dead channels at other values: the floor decides.
	dead, _, err := metric.FeatureDivergence([]float64{1, 1}, []float64{0, 0}, 1, 1e-4)
	if want := 2*(1e-4+1)/(2e-4) - 1; err != nil || math.Abs(dead-want) > 1e-6 {
		t.Errorf("got %v, want %v (%v)", dead, want, err)
	}
	if _, _, err := metric.FeatureDivergence(a, b, 3, 0); err == nil {
		t.Error("4 features of 3 channels passed")
	}
}
