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
	for _, factor := range []float64{1e-9, 1e-3, 2, 1e6} {
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
	}{
		"all right":     {[]float32{5, 0, 0, 5, 3, 1}, []int{0, 1, 0}, false},
		"worse than no": {[]float32{5, 0, 0, 5}, []int{1, 0}, true},
		"constant rows": {[]float32{1, 1, 2, 2}, []int{1, 0}, false},
	} {
		got, err := calibrate.FitTemperature(calibrate.NewTemperatureScaling(), c.logits, c.labels, 2)
		if err != nil || !got.Saturated || got.NLLAfter > got.NLLBefore || c.above != (got.T > 100) || math.IsNaN(got.T) {
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
