package train

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/nn/optim"
)

// sgd is the default optimizer at another rate.
func sgd(lr float64) optim.Choice {
	o := optim.NewSGD()
	o.LR = lr
	return optim.Choice{Optimizer: o}
}

func TestScheduleTables(t *testing.T) {
	at := func(change func(*Recipe), examples int, steps ...int) []float64 {
		r := NewRecipe()
		r.BatchSize, r.Epochs, r.Optimizer = 10, 4, sgd(1)
		change(&r)
		p, err := r.plan(examples)
		if err != nil {
			t.Fatal(err)
		}
		var rates []float64
		for _, s := range steps {
			rates = append(rates, math.Round(1e9*p.course.Rate(s))/1e9)
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
			r.Schedule.LargeBatch = optim.LargeBatch{Rule: optim.ScaleSqrt, SmallBatch: 5, RegimeAdaptation: true}
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
		"regime adaptation": {func(r *Recipe) { r.Schedule.LargeBatch.RegimeAdaptation, r.Schedule.LargeBatch.SmallBatch = true, 3 }, 32, 0, 8, 4},
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

func TestRecipeNamesWhatIsWrong(t *testing.T) {
	for yaml, want := range map[string]string{
		"batchsize: 3":                            "batch_size",
		"optimizer: {momentun: 0.9}":              "momentum",
		"optimizer: {name: adam}":                 `no optimizer "adam" (did you mean adamw?)`,
		"batch_size: 0":                           "batch_size is 0",
		"accumulate: 3":                           "it must divide batch_size 64",
		"average: {decay: 1}":                     "average.decay is 1",
		"average: {statistics: mine}":             "use average, copy or own",
		"rules: [clip-nrom]":                      `no rule "clip-nrom" (did you mean clip-norm?)`,
		"watch: [distence]":                       `no watcher "distence" (did you mean distance?)`,
		"watch: [distance, distance]":             "watch measures distance twice; leave one out",
		"rules: [{name: clip-norm, most: -1}]":    "use 0 for no clipping",
		"schedule: {name: step}":                  "a step schedule needs the epochs of its drops",
		"network: {name: cn}":                     "cnn",
		"norm: ghots":                             "ghost",
		"schedule: {large_batch: {rule: square}}": "use none, sqrt or linear",
		"{drop_last: false, accumulate: 2}":       "use drop_last=true or accumulate=1",
		"optimizer: {decay: [kernels]}":           "use kernel, affine, output or all",
		"checkpoint: {every_steps: 10, k: 1}":     "keep",
	} {
		_, err := DecodeYAML([]byte(yaml))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v; want one that says %q", yaml, err, want)
		}
	}
}

// A key of an earlier version is refused with its new place; so is one beneath it.
func TestMovedKeys(t *testing.T) {
	for yaml, want := range map[string]string{
		"clip_norm: 5":                       "recipe: clip_norm has moved; write rules: [{name: clip-norm, most: NUMBER}]",
		"ema: {decay: 0.9}":                  "recipe: ema has moved; write average: {decay: NUMBER}",
		"example_weights: w.npy":             "recipe: example_weights has moved; write weigh: {examples: FILE.npy}",
		"norm_init: uniform":                 "recipe: norm_init has moved; write init: {norms: NAME}",
		"kernel_init: binary":                "recipe: kernel_init has moved; write init: {kernels: NAME}",
		"large_batch: {gradient_noise: 0.5}": "recipe: large_batch.gradient_noise has moved; write weigh: {gradient_noise: NUMBER}",
		"large_batch: {rule: sqrt}":          "recipe: large_batch has moved; write schedule: {large_batch: {rule: ..., small_batch: ..., regime_adaptation: ...}}",
		"distance: {points: 40}":             "recipe: distance has moved; write watch: [{name: distance, points: 40, from: 5, variables: first}]",
	} {
		if _, err := DecodeYAML([]byte(yaml)); err == nil || err.Error() != want {
			t.Errorf("%q: error is %v; want %q", yaml, err, want)
		}
	}
}

// The options that an optimizer has not, at the values they have elsewhere by default, are what a name changed later leaves behind.
func TestOptimizerOfAnotherName(t *testing.T) {
	r, err := DecodeYAML([]byte("optimizer: {name: adamw, lr: 0.003, momentum: 0.9, nesterov: false}"))
	if err != nil {
		t.Fatal(err)
	}
	if got := mustJSON(t, r.Optimizer); !strings.Contains(got, `"name":"adamw"`) || strings.Contains(got, "momentum") || r.Optimizer.Rate() != 0.003 {
		t.Errorf("the optimizer is %s", got)
	}
	if _, err := DecodeYAML([]byte("optimizer: {name: adamw, momentum: 0.5}")); err == nil || !strings.Contains(err.Error(), "momentum") {
		t.Errorf("momentum of adamw: error is %v", err)
	}
}

func TestRecipeSurvivesYAML(t *testing.T) {
	r, err := DecodeYAML([]byte("network: {name: mlp, hidden: [16]}\nnorm: {name: ghost, ghost_size: 8}\noptimizer: {lr: 1e-3}\n" +
		"streams: {more: {batch: 8}}\n"))
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
