package calibrate_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/optimize"

	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/metric"
)

// calibrated draws labels from the softmax of the logits themselves, so that T = 1 is right but for chance.
func calibrated(n, classes int, seed uint64) (logits []float64, labels []int) {
	r := rand.New(rand.NewPCG(seed, 3))
	for range n {
		row := make([]float64, classes)
		sum := 0.0
		for c := range row {
			row[c] = 2 * r.NormFloat64()
			sum += math.Exp(row[c])
		}
		u, label := r.Float64()*sum, 0
		for u -= math.Exp(row[0]); u > 0 && label < classes-1; u -= math.Exp(row[label]) {
			label++
		}
		logits, labels = append(logits, row...), append(labels, label)
	}
	return logits, labels
}

func TestTemperatureIsTheMinimum(t *testing.T) {
	for seed := range uint64(6) {
		classes := 2 + int(seed)*3
		logits, labels := calibrated(400, classes, seed)
		got, err := calibrate.FitTemperature(calibrate.NewTemperatureScaling(), logits, labels, classes)
		if err != nil {
			t.Fatal(err)
		}
		nll := func(x []float64) float64 {
			scaled := append([]float64(nil), logits...)
			calibrate.Apply(scaled, math.Exp(x[0]))
			s, err := metric.Score(scaled, labels, classes)
			if err != nil {
				t.Fatal(err)
			}
			return s.MeanNLL()
		}
		best, err := optimize.Minimize(optimize.Problem{Func: nll}, []float64{0.5}, nil, &optimize.NelderMead{})
		if err != nil {
			t.Fatal(err)
		}
		if want := math.Exp(best.X[0]); math.Abs(got.T-want) > 1e-4*want || got.NLLAfter > best.F+1e-12 || got.Saturated {
			t.Errorf("seed %d: got %+v, another minimiser T %v NLL %v", seed, got, want, best.F)
		}
	}
}

func TestTemperatureFollowsTheScaleOfTheLogits(t *testing.T) {
	logits, labels := calibrated(2000, 10, 1)
	one, err := calibrate.FitTemperature(calibrate.NewTemperatureScaling(), logits, labels, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, factor := range []float64{1e-300, 1e-160, 1e-9, 1e-3, 2, 1e6, 1e120, 1e200, 1e306} {
		scaled := make([]float64, len(logits))
		for i, z := range logits {
			scaled[i] = z * factor
		}
		got, err := calibrate.FitTemperature(calibrate.NewTemperatureScaling(), scaled, labels, 10)
		if err != nil || math.Abs(got.T-one.T*factor) > 1e-9*one.T*factor || got.Iterations > 15 {
			t.Errorf("logits x %v: got %+v, %v; want T = %v", factor, got, err, one.T*factor)
		}
	}
}

func TestTemperatureWithoutAnOptimum(t *testing.T) {
	for name, c := range map[string]struct {
		logits []float32
		labels []int
		above  bool // T above the logits' scale
		why    calibrate.Without
	}{
		"all right":     {[]float32{5, 0, 0, 5, 3, 1}, []int{0, 1, 0}, false, calibrate.AllRight},
		"worse than no": {[]float32{5, 0, 0, 5}, []int{1, 0}, true, calibrate.NoUse},
		"constant rows": {[]float32{1, 1, 2, 2}, []int{1, 0}, false, calibrate.Constant},
	} {
		got, err := calibrate.FitTemperature(calibrate.NewTemperatureScaling(), c.logits, c.labels, 2)
		if err != nil || !got.Saturated || got.Why != c.why || got.NLLAfter > got.NLLBefore || c.above != (got.T > 100) || math.IsNaN(got.T) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestTemperatureRefuses(t *testing.T) {
	for _, c := range []struct {
		logits []float64
		labels []int
		want   string
	}{
		{nil, nil, "no examples"},
		{[]float64{1, 2, 3}, []int{0}, "3 logits for 1 labels and 2 classes"},
		{[]float64{1, 2}, []int{2}, "label of example 0 is 2, outside 0 to 1"},
		{[]float64{1, 2, math.NaN(), 1}, []int{0, 1}, "the logit of class 0 of example 1 is NaN"},
	} {
		if _, err := calibrate.FitTemperature(calibrate.NewTemperatureScaling(), c.logits, c.labels, 2); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

// TestRuledOutClasses: a class of -Inf takes no part, whatever its place.
func TestRuledOutClasses(t *testing.T) {
	logits, labels := calibrated(500, 4, 7)
	want, err := calibrate.FitTemperature(calibrate.NewTemperatureScaling(), logits, labels, 4)
	if err != nil {
		t.Fatal(err)
	}
	var more []float64
	for i := 0; i < len(logits); i += 4 {
		more = append(append(more, logits[i:i+4]...), math.Inf(-1))
	}
	got, err := calibrate.FitTemperature(calibrate.NewTemperatureScaling(), more, labels, 5)
	if err != nil || math.Abs(got.T-want.T) > 1e-9 || math.Abs(got.NLLAfter-want.NLLAfter) > 1e-12 {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

// TestCrossFit: what is judged was not fitted to: on few examples of noise a fitted temperature flatters itself, a judged one does not.
func TestCrossFit(t *testing.T) {
	logits, labels := calibrated(4000, 10, 2)
	method := calibrate.NewTemperatureScaling()
	fit, err := calibrate.FitTemperature(method, logits, labels, 10)
	if err != nil {
		t.Fatal(err)
	}
	j, err := calibrate.CrossFit(method, logits, labels, 10, calibrate.Folds, 1)
	if err != nil || j.Examples != 4000 || math.Abs(j.NLLBefore-fit.NLLBefore) > 1e-12 || j.NLLAfter < fit.NLLAfter || j.NLLAfter > fit.NLLAfter+1e-3 || !(j.ECEAfter < j.ECEBefore) {
		t.Errorf("got %+v, %v; the fit %+v", j, err, fit)
	}
	again, err := calibrate.CrossFit(method, logits, labels, 10, calibrate.Folds, 1)
	if err != nil || again != j {
		t.Errorf("the same seed gives %+v and %+v (%v)", j, again, err)
	}
	if other, err := calibrate.CrossFit(method, logits, labels, 10, calibrate.Folds, 2); err != nil || other == j {
		t.Errorf("another seed gives the same (%v)", err)
	}
	if _, err := calibrate.CrossFit(method, logits[:30], labels[:3], 10, calibrate.Folds, 1); err == nil {
		t.Error("3 examples in 5 parts")
	}

	// Few examples: the fit's own NLL is below what others get.
	few, fewLabels := logits[:200], labels[:20]
	fit, err = calibrate.FitTemperature(method, few, fewLabels, 10)
	if err != nil {
		t.Fatal(err)
	}
	if j, err = calibrate.CrossFit(method, few, fewLabels, 10, calibrate.Folds, 1); err != nil || j.NLLAfter <= fit.NLLAfter {
		t.Errorf("judged %v, fitted %v (%v)", j.NLLAfter, fit.NLLAfter, err)
	}
	on, err := calibrate.JudgeOn(fit.T, few, fewLabels, 10)
	if err != nil || math.Abs(on.NLLAfter-fit.NLLAfter) > 1e-12 {
		t.Errorf("judged on the same examples: %+v, %v; want %v", on, err, fit.NLLAfter)
	}
}

func ExampleFitTemperature() {
	// Three answers of four are right, all with the same confidence: it ought to be 3/4, not 0.98.
	logits := []float64{4, 0, 4, 0, 4, 0, 4, 0}
	fit, err := calibrate.FitTemperature(calibrate.NewTemperatureScaling(), logits, []int{0, 0, 0, 1}, 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("T = %.4f, confidence %.4f\n", fit.T, 1/(1+math.Exp(-4/fit.T)))
	// Output: T = 3.6410, confidence 0.7500
}
