// Package grokking is the paper "To grok or not to grok: Disentangling generalization and memorization on corrupted
// algorithmic datasets": its claims and its recipe.
package grokking

import (
	"context"
	_ "embed"
	"math"

	"gonum.org/v1/gonum/stat"

	"github.com/ballast-ml/ballast/papers/paper"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/report/figure"
	"github.com/ballast-ml/ballast/train/grok"
)

//go:embed recipe.yaml
var recipe []byte

// Paper is Doshi, Das, He, Gromov, "To grok or not to grok: Disentangling generalization and memorization on corrupted algorithmic
// datasets", arXiv 2310.13061. It is measured at the paper's own size: addition modulo 97, 500 neurons, 35 % wrong labels.
var Paper = paper.Paper{
	Slug:    "grokking",
	Title:   "To grok or not to grok: Disentangling generalization and memorization on corrupted algorithmic datasets",
	Authors: "Darshil Doshi, Aritra Das, Tianyu He, Andrey Gromov",
	Year:    2023,
	ArXiv:   "2310.13061",
	Summary: "a testbed where a network generalises and memorises wrong labels at once: which neurons do which, and how decay, pruning and norms undo the memory",
	Symbols: []string{"train/grok.Run", "zoo.TwoLayer", "train/grok.NeuronIPR", "train/grok.Prune", "train/grok.PhaseOf", "train/grok.Sweep"},
	Recipe:  recipe,
	Claims: []paper.Claim{
		{
			Name: "weight-decay",
			Statement: "without weight decay the network generalises and knows the wrong labels, with 5 it gives up some, with 15 all of them; neurons get more " +
				"periodic the larger the decay; taking out the least periodic ones takes out the memory, the most periodic ones the insight",
			Seeds: 3,
			Experiment: paper.NewExperiment(grokRun{Config: grok.NewConfig()}, func(ctx context.Context, at paper.Place, g grokRun) (map[string]float64, error) {
				return g.run(ctx, at)
			}),
			Arms: []paper.Arm{
				{Name: "wd-15", Overrides: []string{"wd=15"}}, {Name: "wd-5", Overrides: []string{"wd=5"}}, {Name: "wd-0", Overrides: []string{"wd=0", "steps=400"}},
			},
			Check: func(m paper.Measured) []paper.Inequality {
				get := m.Mean
				return []paper.Inequality{
					paper.AtLeast("wd 15: test >= 0.99", get("wd-15", "test"), 0.99),
					paper.AtMost("wd 15: memorised <= 0.08", get("wd-15", "memorised"), 0.08),
					paper.AtLeast("wd 5: test >= 0.99", get("wd-5", "test"), 0.99),
					paper.AtLeast("wd 5: memorised >= 0.1", get("wd-5", "memorised"), 0.1),
					paper.AtMost("wd 5: memorised <= 0.8", get("wd-5", "memorised"), 0.8),
					paper.AtLeast("wd 0: test >= 0.9", get("wd-0", "test"), 0.9),
					paper.AtLeast("wd 0: memorised >= 0.9", get("wd-0", "memorised"), 0.9),
					paper.Above("mean IPR: wd 5 > wd 0", get("wd-5", "mean_ipr"), get("wd-0", "mean_ipr")),
					paper.Above("mean IPR: wd 15 > wd 5", get("wd-15", "mean_ipr"), get("wd-5", "mean_ipr")),
					paper.AtMost("without the lowest 50 %: memorised <= 0.3", get("wd-0", "low_memorised"), 0.3),
					paper.AtLeast("without the lowest 50 %: test >= 0.9", get("wd-0", "low_test"), 0.9),
					paper.AtLeast("without the highest 20 %: memorised >= 0.85", get("wd-0", "high_memorised"), 0.85),
					paper.AtMost("without the highest 20 %: test <= 0.3", get("wd-0", "high_test"), 0.3),
				}
			},
		},
		{
			Name:      "batch-norm",
			Statement: "a batch normalisation behind the activation learns large scales for periodic neurons and small ones for the others",
			Seeds:     3,
			Experiment: paper.NewExperiment(grokRun{Config: grok.NewConfig()}, func(ctx context.Context, at paper.Place, g grokRun) (map[string]float64, error) {
				return g.run(ctx, at)
			}),
			Arms: []paper.Arm{{Name: "bn"}},
			Check: func(m paper.Measured) []paper.Inequality {
				return []paper.Inequality{
					paper.AtLeast("correlation of |gamma| and IPR >= 0.5", m.Mean("bn", "gamma_ipr"), 0.5),
					paper.AtLeast("test >= 0.99", m.Mean("bn", "test"), 0.99),
				}
			},
		},
	},
	Published: []paper.Published{
		{What: "weight decay 0", Value: "coexistence: 100 % train and about 100 % test"},
		{What: "weight decay 5", Value: "partial inversion"},
		{What: "weight decay 15", Value: "full inversion: train 65 %, test 100 %"},
		{What: "dropout, BN", Value: "also ignore corrupted labels"},
		{What: "pruning low-IPR neurons of the coexistence network", Value: "accuracy on corrupted data falls, on clean data rises"},
	},
	Figures: []paper.Figure{{Name: "ipr", Title: "The larger the decay, the more periodic the neurons (mean IPR), and the less of the wrong labels is memorised", Draw: drawIPR}},
}

// drawIPR draws what weight decay does to the periodicity of the neurons, to insight and to memory.
func drawIPR(e paper.Entry) ([]byte, error) {
	var lines []report.Series
	for _, metric := range []string{"mean_ipr", "test", "memorised"} {
		line, err := e.Series(metric, "weight-decay", paper.Point{X: 0, Arm: "wd-0", Metric: metric}, paper.Point{X: 5, Arm: "wd-5", Metric: metric}, paper.Point{X: 15, Arm: "wd-15", Metric: metric})
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return figure.Lines("Modular addition, 35 % wrong labels", "weight decay", "", false, lines...)
}

// grokRun is one run and what can be said of its neurons.
type grokRun struct {
	grok.Config
}

func (g grokRun) run(ctx context.Context, at paper.Place) (map[string]float64, error) {
	g.Seed, g.Labels = at.Seed, at.Seed
	r, err := grok.Run(ctx, g.Config, grok.Options{Engine: at.Engine, Dir: at.Dir})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	low, err := r.Curve([]float64{0.5}, false)
	if err != nil {
		return nil, err
	}
	high, err := r.Curve([]float64{0.2}, true)
	if err != nil {
		return nil, err
	}
	metrics := map[string]float64{
		"train": r.Final.Train, "memorised": r.Final.Memorised, "corrected": r.Final.Corrected, "test": r.Final.Test, "mean_ipr": r.MeanIPR,
		"low_memorised": low[0].Memorised, "low_test": low[0].Test, "high_memorised": high[0].Memorised, "high_test": high[0].Test,
	}
	if r.Gamma != nil {
		size := make([]float64, len(r.Gamma))
		for i, v := range r.Gamma {
			size[i] = math.Abs(v)
		}
		metrics["gamma_ipr"] = stat.Correlation(size, r.IPR.Mean, nil)
	}
	return metrics, nil
}
