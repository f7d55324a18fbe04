package calibrate_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/metric"
)

// skewed draws labels from softmax(z) and returns logits that are too large, unevenly over the classes.
func skewed(n, classes int, seed uint64) calibrate.Examples {
	r := rand.New(rand.NewPCG(seed, 1))
	x := calibrate.Examples{Classes: classes}
	for range n {
		row := make([]float64, classes)
		for k := range row {
			row[k] = 1.5 * r.NormFloat64()
		}
		p, _ := metric.Softmax(row, classes)
		label, u := 0, r.Float64()
		for u -= p[0]; u > 0 && label < classes-1; u -= p[label] {
			label++
		}
		for k := range row {
			row[k] = (2+0.5*float64(k))*row[k] + 0.4*float64(k)
		}
		x.Logits, x.Labels = append(x.Logits, row...), append(x.Labels, int32(label))
	}
	return x
}

func fitted(t *testing.T, m calibrate.Method, x calibrate.Examples) calibrate.Result {
	t.Helper()
	r, err := m.Fit(x)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestEveryMethodMends fits each method and judges it on other examples: all must gain, and none may make a probability that is none.
func TestEveryMethodMends(t *testing.T) {
	x, other := skewed(4000, 4, 1), skewed(4000, 4, 2)
	for _, kind := range calibrate.All() {
		t.Run(kind.Name, func(t *testing.T) {
			r := fitted(t, kind.New(), x)
			if r.Saturated || !(r.NLLAfter < r.NLLBefore) {
				t.Fatalf("%+v", r)
			}
			before, err := calibrate.Measured("", calibrate.TemperatureMap{T: 1}, other)
			if err != nil {
				t.Fatal(err)
			}
			after, err := calibrate.Measured("", r.Fitted, other)
			if err != nil {
				t.Fatal(err)
			}
			if !(after.NLL < before.NLL-0.1 && after.ECE < before.ECE/3) {
				t.Errorf("before %+v, after %+v", before, after)
			}
		})
	}
}

// TestSlopeIsNone holds the optimum of the scaling methods against the likelihood around it.
func TestSlopeIsNone(t *testing.T) {
	x := skewed(700, 3, 3)
	nll := func(f calibrate.Fitted) float64 {
		row, err := calibrate.Measured("", f, x)
		if err != nil {
			t.Fatal(err)
		}
		return row.NLL
	}
	v := fitted(t, calibrate.NewVectorScaling(), x)
	best := v.Fitted.Fitted.(calibrate.VectorMap)
	for c := range 3 {
		for _, list := range [][]float64{best.Weights, best.Bias} {
			old, h := list[c], 1e-4
			list[c] = old + h
			up := nll(best)
			list[c] = old - h
			down := nll(best)
			list[c] = old
			if slope := (up - down) / (2 * h); math.Abs(slope) > 1e-7 || v.Gradient > 1e-10 {
				t.Errorf("slope of class %d is %v, gradient %v", c, slope, v.Gradient)
			}
		}
	}
	m := calibrate.NewMatrixScaling()
	m.Penalty = calibrate.NoPenalty
	free := fitted(t, m, x)
	if free.Gradient > 1e-10 || free.NLLAfter > v.NLLAfter || v.NLLAfter > fitted(t, calibrate.NewTemperatureScaling(), x).NLLAfter {
		t.Errorf("matrix %+v, vector %+v: more numbers must fit better", free, v)
	}
	for _, penalty := range []string{calibrate.ODIR, calibrate.L2} {
		m.Penalty, m.Lambda, m.Mu = penalty, 0.1, 0.1
		if held := fitted(t, m, x); held.Gradient > 1e-10 || held.NLLAfter < free.NLLAfter {
			t.Errorf("%s: %+v", penalty, held)
		}
	}
	m.Penalty, m.Lambda, m.Mu = calibrate.ODIR, 1e6, 1e6
	strict := fitted(t, m, x).Fitted.Fitted.(calibrate.MatrixMap)
	if math.Abs(strict.Weights[0][1]) > 1e-5 || strict.Weights[0][0] < 0.1 {
		t.Errorf("a large lambda leaves %v", strict)
	}
}

// TestNoOptimum says why there is none, and leaves the outputs as they are.
func TestNoOptimum(t *testing.T) {
	right := calibrate.Examples{Logits: []float64{2, 0, 0, 0, 1, 0, 0, 0, 3}, Labels: []int32{0, 1, 2}, Classes: 3}
	missing := skewed(200, 3, 4)
	missing.Labels = slices.Clone(missing.Labels)
	for i, l := range missing.Labels {
		missing.Labels[i] = l % 2
	}
	constant := calibrate.Examples{Logits: make([]float64, 9), Labels: []int32{0, 1, 1}, Classes: 3}
	separable := calibrate.Examples{Classes: 2, Logits: []float64{1, 0, 2, 0, 3, 0, 4, 0}, Labels: []int32{1, 1, 0, 0}} // by the bias alone
	free := calibrate.NewMatrixScaling()
	free.Penalty = calibrate.NoPenalty
	for name, c := range map[string]struct {
		m    calibrate.Method
		x    calibrate.Examples
		want calibrate.Without
	}{
		"vector right":     {calibrate.NewVectorScaling(), right, calibrate.AllRight},
		"matrix right":     {calibrate.NewMatrixScaling(), right, calibrate.AllRight},
		"vector missing":   {calibrate.NewVectorScaling(), missing, calibrate.MissingClass},
		"matrix missing":   {free, missing, calibrate.MissingClass},
		"vector constant":  {calibrate.NewVectorScaling(), constant, calibrate.Constant},
		"vector separable": {calibrate.NewVectorScaling(), separable, calibrate.AllRight},
		"matrix separable": {free, separable, calibrate.AllRight},
		"platt separable":  {calibrate.PlattScaling{MaxIterations: 100, Tolerance: 1e-10, Limit: 1000}, separable, calibrate.Separable},
	} {
		r := fitted(t, c.m, c.x)
		if !r.Saturated || r.Why != c.want || r.NLLAfter != r.NLLBefore && name[:5] != "platt" {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r := fitted(t, calibrate.NewPlattScaling(), separable); r.Saturated || !(r.NLLAfter < r.NLLBefore) {
		t.Errorf("smooth targets have an optimum: %+v", r)
	}
}

// TestStored reads back what was written, to the bit.
func TestStored(t *testing.T) {
	x := skewed(300, 3, 5)
	for _, kind := range calibrate.All() {
		r := fitted(t, kind.New(), x)
		text, err := json.Marshal(r.Fitted)
		if err != nil {
			t.Fatal(err)
		}
		var back calibrate.FittedChoice
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if err := back.Validate(3); err != nil || !reflect.DeepEqual(back, r.Fitted) || calibrate.FittedName(back.Fitted) != kind.Name {
			t.Errorf("%s: %v", text, err)
		}
		if kind.Name != "temperature" && back.Validate(4) == nil {
			t.Errorf("%s of 3 classes is taken for 4", kind.Name)
		}
	}
	var back calibrate.FittedChoice
	if err := json.Unmarshal([]byte(`"vektor"`), &back); err == nil || !strings.Contains(err.Error(), "vector") {
		t.Errorf("%v", err)
	}
}

// TestLaws are those of any logits: probabilities sum to one, ruled-out classes stay out, and isotonic maps keep the order of log-odds.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, k := rapid.IntRange(1, 30).Draw(t, "n"), rapid.IntRange(2, 5).Draw(t, "k")
		scale := math.Pow(10, rapid.Float64Range(-3, 3).Draw(t, "scale"))
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		x := calibrate.Examples{Classes: k}
		for range n {
			label := r.IntN(k)
			for c := range k {
				z := scale * r.NormFloat64()
				if c != label && r.IntN(9) == 0 {
					z = math.Inf(-1)
				}
				x.Logits = append(x.Logits, z)
			}
			x.Labels = append(x.Labels, int32(label))
		}
		for _, kind := range calibrate.All() {
			result, err := kind.New().Fit(x)
			if err != nil {
				t.Fatal(err)
			}
			after := slices.Clone(x.Logits)
			if err := result.Fitted.Apply(after); err != nil {
				t.Fatal(err)
			}
			if err := result.Fitted.Validate(k); err != nil {
				t.Fatalf("%s: %v", kind.Name, err)
			}
			if _, err := metric.Score(after, x.Labels, k); err != nil {
				t.Fatalf("%s: %v", kind.Name, err)
			}
			for i, z := range after {
				if math.IsInf(x.Logits[i], -1) && !math.IsInf(z, -1) {
					t.Fatalf("%s: a class that is ruled out is back: %v", kind.Name, z)
				}
			}
		}
	})
}

// TestSetsCover holds the promise of conformal sets: over many draws of examples, coverage is at least what was asked for.
func TestSetsCover(t *testing.T) {
	for _, c := range []calibrate.Conformal{
		{Score: calibrate.LAC, Coverage: 0.8, AllowEmpty: true}, {Score: calibrate.APS, Coverage: 0.9},
		{Score: calibrate.APS, Coverage: 0.9, Randomised: true, AllowEmpty: true}, calibrate.NewConformal(),
		{Score: calibrate.RAPS, Coverage: 0.7, Penalty: 0.1, Rank: 1, Randomised: true, Seed: 7, AllowEmpty: true},
	} {
		mean := 0.0
		const times = 40
		for seed := range uint64(times) {
			sets, err := c.FitSets(skewed(300, 5, 10+seed))
			if err != nil {
				t.Fatal(err)
			}
			got, err := sets.Measure(skewed(500, 5, 500+seed))
			if err != nil {
				t.Fatal(err)
			}
			mean += got.Coverage / times
		}
		exact := c.AllowEmpty
		if mean < c.Coverage-0.01 || exact && mean > c.Coverage+0.012 {
			t.Errorf("%+v covers %.4f", c, mean)
		}
	}
}

// TestSetsAreNotEmpty: a model that is always sure has sets of one class, and none without.
func TestSetsAreNotEmpty(t *testing.T) {
	x := skewed(400, 3, 9)
	for i := range x.Logits {
		x.Logits[i] *= 20
	}
	for _, score := range []string{calibrate.LAC, calibrate.APS, calibrate.RAPS} {
		for _, randomised := range []bool{true, false} {
			c := calibrate.NewConformal()
			c.Score, c.Coverage, c.Randomised = score, 0.5, randomised
			covered, err := c.CrossMeasure(x, calibrate.Folds, 1)
			if err != nil || covered.Empty > 0 || covered.Coverage < 0.45 {
				t.Errorf("%+v: %+v %v", c, covered, err)
			}
		}
	}
}

// TestSetsOfFew: nine examples promise nine in ten by their largest score, eight by all classes.
func TestSetsOfFew(t *testing.T) {
	c := calibrate.Conformal{Score: calibrate.LAC, Coverage: 0.9}
	nine, err := c.FitSets(skewed(9, 3, 6))
	if err != nil || nine.Everything {
		t.Fatalf("%+v %v", nine, err)
	}
	eight, err := c.FitSets(skewed(8, 3, 6))
	if err != nil || !eight.Everything {
		t.Fatalf("%+v %v", eight, err)
	}
	if set, err := eight.Of([]float64{0, 9, 3}, 0); err != nil || !slices.Equal(set, []int{1, 2, 0}) {
		t.Errorf("%v %v", set, err)
	}
}

// TestCompare judges the temperature as CrossFit does.
func TestCompare(t *testing.T) {
	x := skewed(400, 3, 8)
	var methods []calibrate.Method
	for _, k := range calibrate.All() {
		methods = append(methods, k.New())
	}
	rows, err := calibrate.Compare(methods, x, calibrate.Folds, 1)
	if err != nil {
		t.Fatal(err)
	}
	judged, err := calibrate.CrossFit(calibrate.NewTemperatureScaling(), x.Logits, x.Labels, 3, calibrate.Folds, 1)
	if err != nil {
		t.Fatal(err)
	}
	if rows[0].NLL != judged.NLLBefore || math.Abs(rows[1].NLL-judged.NLLAfter) > 1e-12 || rows[1].Accuracy != rows[0].Accuracy || len(rows) != 7 {
		t.Errorf("%+v, CrossFit %+v", rows[:2], judged)
	}
}

func TestRefusals(t *testing.T) {
	for want, c := range map[string][2]any{
		"did you mean vector":       {"vectr", nil},
		"did you mean lambda":       {"matrix", map[string]any{"lamda": 1}},
		"use at least 1":            {"vector", map[string]any{"max_iterations": 0}},
		"use 1 to":                  {"histogram", map[string]any{"bins": 0}},
		"no penalty \"odor\"":       {"matrix", map[string]any{"penalty": "odor"}},
		"no binning \"equal-mess\"": {"histogram", map[string]any{"binning": "equal-mess"}},
	} {
		settings, _ := c[1].(map[string]any)
		if _, err := calibrate.Named(c[0].(string), settings); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", c, err, want)
		}
	}
	bad := calibrate.Examples{Logits: []float64{1, 2}, Labels: []int32{2}, Classes: 2}
	for _, k := range calibrate.All() {
		if _, err := k.New().Fit(bad); err == nil || !strings.Contains(err.Error(), "example 0 is 2") {
			t.Errorf("%s: %v", k.Name, err)
		}
	}
	if _, err := (calibrate.Conformal{Score: "raps", Coverage: 1}).FitSets(bad); err == nil {
		t.Error("coverage of 1")
	}
}
