// Package unifiednorm is the paper "Unified Normalization for Accelerating and Stabilizing Transformers": its claims
// and its recipe.
package unifiednorm

import (
	"context"
	_ "embed"
	"math"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/convert"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/papers/paper"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/zoo"
)

//go:embed recipe.yaml
var recipe []byte

// Paper is Yang et al., "Unified Normalization for Accelerating and Stabilizing Transformers", arXiv 2208.01313.
//
// Parity in training at small scale, where the ratio r never comes into play (runs are shorter than 1,000 steps); what the filter does to an
// outlier; and that folding leaves the outputs as they are.
var Paper = paper.Paper{
	Slug:    "unified-norm",
	Title:   "Unified Normalization for Accelerating and Stabilizing Transformers",
	Authors: "Qiming Yang, Kai Zhang, Chaoxiang Lan, Zhi Yang, Zheyang Li, Wenming Tan, Jun Xiao, Shiliang Pu",
	Year:    2022,
	ArXiv:   "2208.01313",
	Summary: "normalisation for transformers that folds into the next linear layer: no statistics at inference, and outlier batches kept out in training",
	Symbols: []string{"nn/norm.Unified", "nn/norm.SkipCount", "nn/norm.ResetIterations", "convert.FoldDecoder", "convert.FoldIntoNext", "convert.FoldIntoPrevious"},
	Recipe:  recipe,
	Claims: []paper.Claim{
		{
			Name:      "language-model",
			Statement: "in a pre-norm transformer unified normalisation trains no worse than batch normalisation, and nearly as well as layer normalisation",
			Seeds:     3,
			Parity:    true,
			Arms: []paper.Arm{
				{Name: "layer"},
				{Name: "batch", Overrides: []string{"norm={name:batch}"}},
				{Name: "unified", Overrides: []string{"norm={name:unified,warmup_iters:60}"}},
			},
			Check: func(m paper.Measured) []paper.Inequality {
				unified := m.Mean("unified", "nll")
				return []paper.Inequality{
					paper.AtMost("UN <= BN + 0.01", unified, m.Mean("batch", "nll")+0.01),
					paper.AtMost("UN <= LN + 0.1", unified, m.Mean("layer", "nll")+0.1),
				}
			},
		},
		{
			Name: "outlier",
			Statement: "one batch with activations 5 or 30 times as large spoils the divisor of the next batches, unless the filter keeps it out; the running value " +
				"is spoiled too, as in the official code, unless it is protected (an option of ours)",
			Seeds:      3,
			Experiment: paper.NewExperiment(outlier{Window: 4, Warmup: 8, At: 30}, func(_ context.Context, at paper.Place, o outlier) (map[string]float64, error) { return o.run(at) }),
			Arms: []paper.Arm{
				{Name: "off-5", Overrides: []string{"factor=5", "filter=false"}}, {Name: "on-5", Overrides: []string{"factor=5"}},
				{Name: "off-30", Overrides: []string{"factor=30", "filter=false"}}, {Name: "on-30", Overrides: []string{"factor=30"}},
				{Name: "protected-30", Overrides: []string{"factor=30", "protect_running=true"}},
			},
			Check: func(m paper.Measured) []paper.Inequality {
				return []paper.Inequality{
					paper.AtMost("x5: filter on, contamination <= 1.2", m.Mean("on-5", "contamination"), 1.2),
					paper.AtLeast("x5: filter off, contamination >= 2", m.Mean("off-5", "contamination"), 2),
					paper.AtMost("x30: filter on, contamination <= 1.2", m.Mean("on-30", "contamination"), 1.2),
					paper.AtLeast("x30: filter off, contamination >= 2", m.Mean("off-30", "contamination"), 2),
					paper.AtMost("x30: false skips before <= 0", m.Mean("on-30", "false_skips"), 0),
					paper.AtLeast("x30: outliers caught >= 1", m.Mean("on-30", "caught"), 1),
					paper.AtMost("x30: running value, protected <= 1.3", m.Mean("protected-30", "running"), 1.3),
				}
			},
		},
		{
			Name:      "folding",
			Statement: "a transformer with its norms folded into the dense layers behind them computes the same, without a norm",
			Seeds:     3,
			Arms:      []paper.Arm{{Name: "folded", Overrides: []string{"norm={name:unified,warmup_iters:20}", "steps=40", "schedule.warmup_steps=20"}}},
			After:     folded,
			Check: func(m paper.Measured) []paper.Inequality {
				return []paper.Inequality{paper.AtMost("largest relative difference <= 1e-5", m.Mean("folded", "difference"), 1e-5)}
			},
		},
	},
	Published: []paper.Published{
		{What: "IWSLT14 De-En, BLEU: LN / BN / UN", Value: "35.3 / 31.1 / 35.4"},
		{What: "ImageNet T2T-ViT-14, top-1: LN / BN / UN", Value: "81.5 / 79.8 / 80.9 %"},
		{What: "CIFAR-10 and -100, fine-tuned: LN / UN", Value: "98.3, 88.4 / 98.3, 88.9 %"},
		{What: "inference on a GPU, UN against LN", Value: "about 31 % faster, 18 % less memory"},
	},
}

// outlier sends a stream of activations through a layer, one batch of which is too large.
type outlier struct {
	Window  int     `json:"window"`
	Warmup  int     `json:"warmup_iters"`
	At      int     `json:"at"`     // the step of the outlier
	Factor  float64 `json:"factor"` // how much larger it is
	Filter  bool    `json:"filter"`
	Protect bool    `json:"protect_running"`
}

// run returns the contamination, the largest ratio in the three batches after the outlier of the second moment used to the batch's own, mean over
// channels; how many batches were skipped before and at the outlier; and the running value ten batches after it to that before.
func (o outlier) run(at paper.Place) (map[string]float64, error) {
	const batch, positions, channels = 4, 64, 16
	layer := norm.NewUnified()
	layer.Window, layer.GradientWindow, layer.Warmup, layer.Filter, layer.ProtectRunning = o.Window, o.Window, o.Warmup, o.Filter, o.Protect
	store := model.NewStore()
	defer store.Finalize()
	exec, err := model.NewExec(at.Engine.Backend, store, func(scope *model.Scope, x *graph.Node) *graph.Node {
		store.SetTraining(x.Graph(), true)
		return layer.Apply(scope, x)
	})
	if err != nil {
		return nil, err
	}
	defer exec.Finalize()
	r := rand.New(rand.NewPCG(at.Seed, 5))
	scales := make([]float64, channels)
	for c := range scales {
		scales[c] = math.Exp(0.3 * r.NormFloat64())
	}
	running := func() float64 {
		sum := 0.0
		for c, v := range tensors.MustCopyFlatData[float32](store.GetVariable("/variance").MustValue()) {
			sum += float64(v) / (scales[c] * scales[c]) / channels
		}
		return sum
	}
	metrics := map[string]float64{}
	before := 0.0
	for step := 1; step <= o.At+10; step++ {
		factor := 1 + 0.05*r.NormFloat64()
		if step == o.At {
			factor = o.Factor
		}
		x := make([]float32, batch*positions*channels)
		for i := range x {
			x[i] = float32(factor * scales[i%channels] * r.NormFloat64())
		}
		skipped := norm.SkipCount(store)
		out, err := exec.Call(tensors.FromFlatDataAndDimensions(x, batch, positions, channels))
		if err != nil {
			return nil, err
		}
		switch now := norm.SkipCount(store) - skipped; {
		case step < o.At:
			metrics["false_skips"] += float64(now)
			before = running()
		case step == o.At:
			metrics["caught"] = float64(now)
		case step <= o.At+3:
			metrics["contamination"] = max(metrics["contamination"], contamination(x, tensors.MustCopyFlatData[float32](out[0]), channels))
		}
	}
	metrics["running"] = running() / before
	return metrics, nil
}

// contamination is the mean over channels of the second moment that x was divided by, to its own.
func contamination(x, y []float32, channels int) float64 {
	sum := 0.0
	for c := range channels {
		var xx, yy float64
		n := 0.0
		for i := c; i < len(x); i += channels {
			xx, yy, n = xx+float64(x[i])*float64(x[i]), yy+float64(y[i])*float64(y[i]), n+1
		}
		// y = x / sqrt(used): used / own = (xx/yy) / (xx/n).
		sum += n / yy / float64(channels)
	}
	return sum
}

// folded compares the logits of a model that was trained for a moment, so that its statistics are its own, with those of the folded one.
func folded(_ context.Context, at paper.Place, trained *train.Result) (map[string]float64, error) {
	store, before := trained.Bundle.Store, trained.Bundle.Manifest.Network.Network.(zoo.Decoder)
	text, err := data.NewGoSource().Open("test")
	if err != nil {
		return nil, err
	}
	tokens := text.(data.Tokens)
	const examples = 8
	windows := tensors.FromFlatDataAndDimensions(tokens.Stream()[:examples*tokens.Window()], examples, tokens.Window())
	logits := func(m zoo.Decoder) ([]float32, error) {
		exec, err := model.NewExec(at.Engine.Backend, store, func(scope *model.Scope, tokens *graph.Node) *graph.Node {
			store.SetTraining(tokens.Graph(), false)
			return m.Apply(scope.In("model"), tokens)
		})
		if err != nil {
			return nil, err
		}
		defer exec.Finalize()
		out, err := exec.Call(windows)
		if err != nil {
			return nil, err
		}
		return tensors.MustCopyFlatData[float32](out[0]), nil
	}
	want, err := logits(before)
	if err != nil {
		return nil, err
	}
	after, err := convert.FoldDecoder(store, "/model", before)
	if err != nil {
		return nil, err
	}
	got, err := logits(after)
	if err != nil {
		return nil, err
	}

	var largest, difference float64
	for i, v := range want {
		largest = max(largest, math.Abs(float64(v)))
		difference = max(difference, math.Abs(float64(v-got[i])))
	}
	return map[string]float64{"difference": difference / largest}, nil
}
