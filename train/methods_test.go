package train

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScheduleTables(t *testing.T) {
	at := func(change func(*Recipe), examples int, steps ...int) []float64 {
		r := NewRecipe()
		r.BatchSize, r.Epochs, r.Optimizer.LR = 10, 4, 1
		change(&r)
		p, err := r.plan(examples)
		if err != nil {
			t.Fatal(err)
		}
		var rates []float64
		for _, s := range steps {
			rates = append(rates, math.Round(1e9*p.rate(s))/1e9)
		}
		return rates
	}
	for name, c := range map[string]struct{ got, want []float64 }{
		"constant": {at(func(r *Recipe) { r.Schedule.Name = "constant" }, 100, 0, 39), []float64{1, 1}},
		"step": {at(func(r *Recipe) { r.Schedule.Name, r.Schedule.Milestones = "step", []float64{1, 2.5} }, 100, 0, 9, 10, 24, 25, 39),
			[]float64{1, 1, 0.1, 0.1, 0.01, 0.01}},
		"cosine":                         {at(func(*Recipe) {}, 100, 0, 10, 20, 30), []float64{1, 0.853553391, 0.5, 0.146446609}},
		"cosine with a floor":            {at(func(r *Recipe) { r.Schedule.Final = 0.2 }, 100, 0, 20), []float64{1, 0.6}},
		"warm-up in steps":               {at(func(r *Recipe) { r.Schedule.Name, r.Schedule.WarmupSteps = "constant", 4 }, 100, 0, 1, 3, 4), []float64{0.25, 0.5, 1, 1}},
		"warm-up in epochs, then cosine": {at(func(r *Recipe) { r.Schedule.WarmupEpochs = 2 }, 100, 0, 19, 20, 30), []float64{0.05, 1, 1, 0.5}},
		"regime adaptation and sqrt": {at(func(r *Recipe) {
			r.Schedule.Name, r.Schedule.Milestones = "step", []float64{2}
			r.LargeBatch = LargeBatch{Rule: RuleSqrt, SmallBatch: 5, RegimeAdaptation: true}
		}, 100, 0, 39, 40, 79), []float64{1.414213562, 1.414213562, 0.141421356, 0.141421356}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
}

func TestPlanCounts(t *testing.T) {
	for name, c := range map[string]struct {
		change       func(*Recipe)
		steps, last  int
		epochs, each int
	}{
		"drop last":         {func(*Recipe) {}, 8, 0, 2, 4},
		"keep last":         {func(r *Recipe) { r.DropLast = false }, 10, 5, 2, 5},
		"steps":             {func(r *Recipe) { r.Steps = 6 }, 6, 0, 2, 4},
		"regime adaptation": {func(r *Recipe) { r.LargeBatch.RegimeAdaptation, r.LargeBatch.SmallBatch = true, 3 }, 32, 0, 8, 4},
	} {
		r := NewRecipe()
		r.BatchSize, r.Epochs = 10, 2
		c.change(&r)
		p, err := r.plan(45)
		if err != nil {
			t.Fatal(err)
		}
		if p.steps != c.steps || p.last != c.last || p.epochs != c.epochs || p.stepsPerEpoch != c.each {
			t.Errorf("%s: %+v; want %d steps, last %d, %d epochs of %d", name, p, c.steps, c.last, c.epochs, c.each)
		}
	}
	r := NewRecipe()
	if _, err := r.plan(10); err == nil || !strings.Contains(err.Error(), "batch_size is 64, the training set has 10 examples") {
		t.Errorf("error is %v", err)
	}
}

func TestScaleLR(t *testing.T) {
	for _, c := range []struct {
		rule Rule
		want float64
	}{{RuleNone, 0.1}, {RuleSqrt, 0.565685424949238}, {RuleLinear, 3.2}} {
		if got, err := ScaleLR(0.1, 4096, 128, c.rule); err != nil || math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: %v, %v; want %v", c.rule, got, err, c.want)
		}
	}
	if _, err := ScaleLR(0.1, 0, 128, RuleSqrt); err == nil {
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

func TestGradNoiseWeights(t *testing.T) {
	got, err := GradNoiseWeights([]float64{-0.5, 0, 1}, 4)
	if err != nil || !slices.Equal(got, []float64{0, 1, 3}) {
		t.Errorf("%v, %v", got, err)
	}
	if got, _ := GradNoiseWeights([]float64{-3, 9}, 0); !slices.Equal(got, []float64{1, 1}) {
		t.Errorf("without sigma: %v; want exactly 1", got)
	}
	if _, err := GradNoiseWeights(nil, -1); err == nil {
		t.Error("a negative variance is no error")
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
	if diff := cmp.Diff([]int{5, 10, 20, 40, 80}, distanceSteps(5, 80, 5)); diff != "" {
		t.Error(diff)
	}
	if got := distanceSteps(1, 3, 40); !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("%v: each step once", got)
	}
}

func TestRecipeNamesWhatIsWrong(t *testing.T) {
	for yaml, want := range map[string]string{
		"batchsize: 3":                        "batch_size",
		"optimizer: {momentun: 0.9}":          "momentum",
		"optimizer: {name: adam}":             "optimizer.name is adam; use sgd or adamw",
		"batch_size: 0":                       "batch_size is 0",
		"accumulate: 3":                       "it must divide batch_size 64",
		"ema: {decay: 1}":                     "ema.decay is 1",
		"schedule: {name: step}":              "a step schedule needs the epochs of its drops",
		"network: {name: cn}":                 "cnn",
		"norm: ghots":                         "ghost",
		"large_batch: {rule: square}":         "use none, sqrt or linear",
		"{drop_last: false, accumulate: 2}":   "use drop_last=true or accumulate=1",
		"optimizer: {decay: [kernels]}":       "use kernel, affine, output or all",
		"checkpoint: {every_steps: 10, k: 1}": "keep",
	} {
		_, err := DecodeYAML([]byte(yaml))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v; want one that says %q", yaml, err, want)
		}
	}
}

func TestRecipeSurvivesYAML(t *testing.T) {
	r, err := DecodeYAML([]byte("network: {name: mlp, hidden: [16]}\nnorm: {name: ghost, ghost_size: 8}\noptimizer: {lr: 1e-3}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.network(); err != nil || !strings.Contains(mustJSON(t, n), `"ghost_size":8`) {
		t.Errorf("the norm is not in the network: %v %v", n, err)
	}
	again, err := DecodeYAML([]byte(mustJSON(t, r))) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	if a, b := mustJSON(t, r), mustJSON(t, again); a != b {
		t.Errorf("%s\nbecame\n%s", a, b)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
