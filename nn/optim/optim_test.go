package optim

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScaleLR(t *testing.T) {
	for _, c := range []struct {
		rule Scaling
		want float64
	}{{ScaleNone, 0.1}, {ScaleSqrt, 0.565685424949238}, {ScaleLinear, 3.2}} {
		if got, err := ScaleLR(0.1, 4096, 128, c.rule); err != nil || math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: %v, %v; want %v", c.rule, got, err, c.want)
		}
	}
	if _, err := ScaleLR(0.1, 0, 128, ScaleSqrt); err == nil {
		t.Error("a batch of 0 is no error")
	}
	if _, err := ScaleLR(0.1, 1, 1, "square"); err == nil || !strings.Contains(err.Error(), "use none, sqrt or linear") {
		t.Errorf("error is %v", err)
	}
}

func TestAdaptRegime(t *testing.T) {
	regime := []Drop{{0, 0.1}, {10, 0.01}}
	got, epochs, err := AdaptRegime(regime, 50, 4000, 128) // 31.25, rounded up
	if err != nil || epochs != 1600 || !slices.Equal(got, []Drop{{0, 0.1}, {320, 0.01}}) {
		t.Errorf("%v, %d epochs, %v", got, epochs, err)
	}
	if regime[1].Epoch != 10 {
		t.Error("the regime given was changed")
	}
}

func TestFitDistance(t *testing.T) {
	var steps, log, root []float64
	for _, s := range []float64{5, 10, 50, 200, 1000} {
		steps, log, root = append(steps, s), append(log, 2*math.Log(s)+3), append(root, 0.5*math.Sqrt(s))
	}
	f, err := FitDistance(steps, log)
	if err != nil || math.Abs(f.LogSlope-2) > 1e-9 || math.Abs(f.LogIntercept-3) > 1e-9 || math.Abs(f.LogR2-1) > 1e-9 || f.SqrtR2 > 0.95 {
		t.Errorf("a logarithm fits as %+v, %v", f, err)
	}
	f, err = FitDistance(steps, root)
	if err != nil || math.Abs(f.SqrtSlope-0.5) > 1e-9 || math.Abs(f.SqrtR2-1) > 1e-9 || math.Abs(f.PowerExponent-0.5) > 1e-9 {
		t.Errorf("a square root fits as %+v, %v", f, err)
	}
	for name, d := range map[string][]float64{"two points": {1, 2}, "zero": {0, 1, 2}, "NaN": {1, math.NaN(), 2}} {
		if _, err := FitDistance([]float64{1, 2, 3}[:len(d)], d); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestDistanceSteps(t *testing.T) {
	if diff := cmp.Diff([]int{5, 10, 20, 40, 80}, (Distance{From: 5, Points: 5}).At(80, 1)); diff != "" {
		t.Error(diff)
	}
	if got := (Distance{From: 1, Points: 40}).At(3, 1); !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("%v: each step once", got)
	}
}
