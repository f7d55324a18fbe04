package train_test

import (
	"math"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/objective"
	"github.com/ballast-ml/ballast/zoo"
)

// softmaxLoop is the reference: logistic regression in float64 with plain loops, w [64, 10] and bias [10] in one slice.
type softmaxLoop struct {
	recipe  train.Recipe
	w       []float64
	first   []float64 // velocity or first moment
	second  []float64
	average []float64
}

func (l *softmaxLoop) step(t int, x [][]float32, labels []int32, weights []float64) {
	const in, out = 64, 10
	g := make([]float64, len(l.w))
	smoothing := l.recipe.Objective.Objective.(objective.Supervised).Loss.Loss.(loss.CrossEntropy).Smoothing
	for n := range x {
		var logits [out]float64
		var sum float64
		for c := range out {
			logits[c] = l.w[in*out+c]
			for i, v := range x[n] {
				logits[c] += float64(v) * l.w[i*out+c]
			}
			logits[c] = math.Exp(logits[c])
			sum += logits[c]
		}
		for c := range out {
			d := logits[c]/sum - smoothing/out
			if int32(c) == labels[n] {
				d -= 1 - smoothing
			}
			d *= weights[n] / float64(len(x))
			g[in*out+c] += d
			for i, v := range x[n] {
				g[i*out+c] += d * float64(v)
			}
		}
	}
	for _, rule := range l.recipe.Rules {
		clip := rule.Rule.(optim.ClipNorm).Most
		var squares float64
		for _, v := range g {
			squares += v * v
		}
		if scale := clip / (math.Sqrt(squares) + 1e-6); scale < 1 {
			for i := range g {
				g[i] *= scale
			}
		}
	}
	decayOf := func(i int, decay float64, roles []string) float64 {
		if i >= in*out && !slices.Contains(roles, "all") { // the bias
			return 0
		}
		return decay
	}
	for i := range g {
		switch o := l.recipe.Optimizer.Optimizer.(type) {
		case optim.AdamW:
			decay := decayOf(i, o.WeightDecay, o.Decay)
			l.first[i] = o.Beta1*l.first[i] + (1-o.Beta1)*g[i]
			l.second[i] = o.Beta2*l.second[i] + (1-o.Beta2)*g[i]*g[i]
			l.w[i] -= o.LR * decay * l.w[i]
			m := l.first[i] / (1 - math.Pow(o.Beta1, float64(t)))
			v := l.second[i] / (1 - math.Pow(o.Beta2, float64(t)))
			l.w[i] -= o.LR * m / (math.Sqrt(v) + o.Epsilon)
		case optim.SGD:
			d := g[i] + decayOf(i, o.WeightDecay, o.Decay)*l.w[i]
			l.first[i] = o.Momentum*l.first[i] + d
			switch {
			case o.Nesterov:
				d += o.Momentum * l.first[i]
			default:
				d = l.first[i]
			}
			l.w[i] -= o.LR * d
		}
		l.average[i] = l.recipe.Average.Decay*l.average[i] + (1-l.recipe.Average.Decay)*l.w[i]
	}
}

func TestOptimizersAgainstPlainLoops(t *testing.T) {
	const steps = 7
	base := small(steps)
	network := zoo.NewMLP()
	network.Hidden = []int{}
	base.Network = zoo.Choice{Network: network}
	base.Preprocess, base.Schedule.Name, base.BatchSize = "none", "constant", 32
	plain := optim.SGD{LR: 0.1, Momentum: 0.9, WeightDecay: 0.01, Decay: []string{"kernel", "output"}}
	base.Optimizer = optim.Choice{Optimizer: plain}
	with := func(change func(*optim.SGD)) func(*train.Recipe) {
		return func(r *train.Recipe) {
			o := plain
			change(&o)
			r.Optimizer = optim.Choice{Optimizer: o}
		}
	}
	cases := map[string]func(*train.Recipe){
		"sgd":       func(*train.Recipe) {},
		"plain sgd": with(func(o *optim.SGD) { o.Momentum = 0 }),
		"nesterov":  with(func(o *optim.SGD) { o.Nesterov = true }),
		"decay all": with(func(o *optim.SGD) { o.Decay = []string{"all"} }),
		"adamw": func(r *train.Recipe) {
			o := optim.NewAdamW()
			o.LR, o.WeightDecay = 0.01, 0.01
			r.Optimizer = optim.Choice{Optimizer: o}
		},
		"clipped":  func(r *train.Recipe) { r.Rules = []optim.RuleChoice{{Rule: optim.ClipNorm{Most: 0.05}}} },
		"smoothed": func(r *train.Recipe) { r.Objective = smoothed(0.1) },
		"average":  func(r *train.Recipe) { r.Average.Decay = 0.8 },
		"weighted": func(r *train.Recipe) { r.Weigh.Examples = "given" },
	}
	set, err := data.Open("optdigits", "train")
	if err != nil {
		t.Fatal(err)
	}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for name, change := range cases {
			t.Run(name, func(t *testing.T) {
				r := base
				change(&r)
				options := train.Options{Engine: e}
				weightOf := func(int32) float64 { return 1 }
				if r.Weigh.Examples != "" {
					r.Weigh.Examples = ""
					options.Data, options.Weights = set, make([]float32, set.Len())
					for i := range options.Weights {
						options.Weights[i] = float32(i%3) / 2
					}
					weightOf = func(i int32) float64 { return float64(options.Weights[i]) }
				}
				loop := softmaxLoop{recipe: r, w: firstWeights(t, e, r)}
				loop.first, loop.second, loop.average = make([]float64, len(loop.w)), make([]float64, len(loop.w)), slices.Clone(loop.w)
				order := data.Order(set.Len(), r.Seed, 0)
				for s := range steps {
					var x [][]float32
					var labels []int32
					var weights []float64
					for _, i := range order[s*32 : s*32+32] {
						row := make([]float32, 64)
						if err := set.Read(int(i), row); err != nil {
							t.Fatal(err)
						}
						x, labels, weights = append(x, row), append(labels, set.Label(int(i))), append(weights, weightOf(i))
					}
					loop.step(s+1, x, labels, weights)
				}
				want := loop.w
				if r.Average.Decay > 0 {
					want = loop.average
				}
				got := flat(run(t, r, options).Bundle)
				for i := range want {
					if math.Abs(got[i]-want[i]) > 2e-6*max(1, math.Abs(want[i])) {
						t.Fatalf("weight %d is %v after %d steps, the loop has %v", i, got[i], steps, want[i])
					}
				}
			})
		}
	})
}

// firstWeights are those a run of the recipe begins with.
func firstWeights(t *testing.T, e *engine.Engine, r train.Recipe) []float64 {
	t.Helper()
	b := &bundle.Bundle{Store: model.NewStore(), Manifest: bundle.NewManifest(r.Network, []int{8, 8, 1}, make([]string, 10))}
	param.Seed(b.Store, r.Seed)
	if err := b.Declare(e.Backend); err != nil {
		t.Fatal(err)
	}
	return flat(b)
}

// flat is kernel then bias.
func flat(b *bundle.Bundle) []float64 {
	var all []float64
	for _, name := range []string{"kernel", "bias"} {
		for _, v := range tensors.MustCopyFlatData[float32](b.Store.GetVariable("/model/output/" + name).MustValue()) {
			all = append(all, float64(v))
		}
	}
	return all
}
