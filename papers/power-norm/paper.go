// Package powernorm is the paper "PowerNorm: Rethinking Batch Normalization in Transformers": its claims and its
// recipe.
package powernorm

import (
	"context"
	_ "embed"
	"math"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/papers/paper"
)

//go:embed recipe.yaml
var recipe []byte

// Paper is Shen, Yao, Gholami, Mahoney, Keutzer, "PowerNorm: Rethinking Batch Normalization in Transformers", arXiv 2003.07845.
//
// At small scale, where power normalisation is not expected to beat layer normalisation: a language model of bytes, and what the method
// argues from, that its divisor moves less than one taken from each batch.
var Paper = paper.Paper{
	Slug:    "power-norm",
	Title:   "PowerNorm: Rethinking Batch Normalization in Transformers",
	Authors: "Sheng Shen, Zhewei Yao, Amir Gholami, Michael W. Mahoney, Kurt Keutzer",
	Year:    2020,
	ArXiv:   "2003.07845",
	Summary: "batch statistics for transformers: a running root mean square in place of each batch's mean and variance, a scale alone at inference",
	Symbols: []string{"nn/norm.Power", "nn/norm.ResetIterations", "zoo.Decoder"},
	Recipe:  recipe,
	Claims: []paper.Claim{
		{
			Name:      "language-model",
			Statement: "in a pre-norm transformer power normalisation trains better than batch normalisation, and nearly as well as layer normalisation",
			Seeds:     3,
			Arms: []paper.Arm{
				{Name: "layer"},
				{Name: "batch", Overrides: []string{"norm={name:batch}"}},
				{Name: "power", Overrides: []string{"norm={name:power,groups:4,warmup_iters:60}"}},
			},
			Check: func(m paper.Measured) []paper.Inequality {
				power := m.Mean("power", "nll")
				return []paper.Inequality{
					paper.AtMost("PN <= BN - 0.02", power, m.Mean("batch", "nll")-0.02),
					paper.AtMost("PN <= LN + 0.06", power, m.Mean("layer", "nll")+0.06),
				}
			},
		},
		{
			Name:      "steady-divisor",
			Statement: "after the warm-up the divisor of power normalisation varies less from step to step than the batch's own, as the running mean of independent batches must",
			Seeds:     3,
			Experiment: paper.NewExperiment(divisors{Steps: 200, Batch: 8, Positions: 32, Channels: 64, Spread: 0.5, Warmup: 40}, func(ctx context.Context, at paper.Place, d divisors) (map[string]float64, error) {
				return d.run(ctx, at)
			}),
			Arms: []paper.Arm{{Name: "power"}},
			Check: func(m paper.Measured) []paper.Inequality {
				return []paper.Inequality{paper.AtMost("std of PN's divisor <= 0.3 std of PN-V's", m.Mean("power", "running_sd"), 0.3*m.Mean("power", "batch_sd"))}
			},
		},
	},
	Published: []paper.Published{
		{What: "IWSLT14 De-En, BLEU: LN / BN / PN-V / PN", Value: "35.5 / 34.4 / 35.5 / 35.9"},
		{What: "WMT14 En-De, BLEU: LN / BN / PN-V / PN", Value: "29.5 / 28.2 / 28.5 / 30.1"},
		{What: "PTB, test perplexity: LN / BN / PN-V / PN", Value: "53.2 / 60.7 / 55.3 / 47.6"},
		{What: "WikiText-103, test perplexity: LN / BN / PN-V / PN", Value: "20.9 / 27.2 / 21.3 / 17.9"},
	},
}

// divisors watches what power normalisation divides by on a stream of activations whose scale differs from batch to batch.
type divisors struct {
	Steps     int     `json:"steps"`
	Batch     int     `json:"batch"`
	Positions int     `json:"positions"`
	Channels  int     `json:"channels"`
	Spread    float64 `json:"spread"` // standard deviation of the logarithm of a batch's scale
	Warmup    int     `json:"warmup_iters"`
}

func (d divisors) run(_ context.Context, at paper.Place) (map[string]float64, error) {
	layer := norm.NewPower("running")
	layer.GroupScaling, layer.Warmup = false, d.Warmup
	store := model.NewStore()
	defer store.Finalize()
	// The divisor is what x is divided by: read off where x is known.
	exec, err := model.NewExec(at.Engine.Backend, store, func(scope *model.Scope, x *graph.Node) []*graph.Node {
		store.SetTraining(x.Graph(), true)
		y := layer.Apply(scope, x)
		own := graph.Sqrt(graph.ReduceMean(graph.Square(x), 0, 1))
		return []*graph.Node{graph.Div(graph.ReduceMax(graph.Abs(x), 0, 1), graph.ReduceMax(graph.Abs(y), 0, 1)), own}
	})
	if err != nil {
		return nil, err
	}
	defer exec.Finalize()
	r := rand.New(rand.NewPCG(at.Seed, 3))
	sums := map[int][2][]float64{} // after the warm-up: divisors of channel 0, 1, ...
	for step := range d.Steps {
		flat := make([]float32, d.Batch*d.Positions*d.Channels)
		scale := math.Exp(d.Spread * r.NormFloat64())
		for i := range flat {
			flat[i] = float32(scale * r.NormFloat64())
		}
		out, err := exec.Call(tensors.FromFlatDataAndDimensions(flat, d.Batch, d.Positions, d.Channels))
		if err != nil {
			return nil, err
		}
		if step < 2*d.Warmup {
			continue
		}
		for k, o := range out {
			for c, v := range tensors.MustCopyFlatData[float32](o) {
				s := sums[c]
				s[k] = append(s[k], float64(v))
				sums[c] = s
			}
		}
	}
	var running, batch float64
	for _, s := range sums {
		running += paper.Summarise(s[0]).SD / float64(len(sums))
		batch += paper.Summarise(s[1]).SD / float64(len(sums))
	}
	return map[string]float64{"running_sd": running, "batch_sd": batch}, nil
}
