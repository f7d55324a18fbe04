package papers

import (
	"context"
	_ "embed"
	"math"

	"gonum.org/v1/gonum/stat"

	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/train/grok"
)

//go:embed grokking.yaml
var grokkingRecipe []byte

// grokking is Doshi, Das, He, Gromov, "To grok or not to grok: Disentangling generalization and memorization on corrupted algorithmic
// datasets", arXiv 2310.13061. It is measured at the paper's own size: addition modulo 97, 500 neurons, 35 % wrong labels.
var grokking = Paper{
	Slug:    "grokking",
	Title:   "To grok or not to grok: Disentangling generalization and memorization on corrupted algorithmic datasets",
	Authors: "Darshil Doshi, Aritra Das, Tianyu He, Andrey Gromov",
	Year:    2023,
	ArXiv:   "2310.13061",
	Summary: "a testbed where a network generalises and memorises wrong labels at once: which neurons do which, and how decay, pruning and norms undo the memory",
	Symbols: []string{"train/grok.Run", "train/grok.NeuronIPR", "train/grok.Prune", "train/grok.PhaseOf", "train/grok.Sweep"},
	Recipe:  grokkingRecipe,
	Claims: []Claim{
		{
			Name: "weight-decay",
			Statement: "without weight decay the network generalises and knows the wrong labels, with 5 it gives up some, with 15 all of them; neurons get more " +
				"periodic the larger the decay; taking out the least periodic ones takes out the memory, the most periodic ones the insight",
			Seeds:      3,
			Experiment: experiment(grokRun{Config: grok.NewConfig()}, func(ctx context.Context, at Place, g grokRun) (map[string]float64, error) { return g.run(ctx, at) }),
			Arms: []Arm{
				{Name: "wd-15", Overrides: []string{"wd=15"}}, {Name: "wd-5", Overrides: []string{"wd=5"}}, {Name: "wd-0", Overrides: []string{"wd=0", "steps=400"}},
			},
			Check: func(m Measured) []Inequality {
				get := m.Mean
				return []Inequality{
					AtLeast("wd 15: test >= 0.99", get("wd-15", "test"), 0.99),
					AtMost("wd 15: memorised <= 0.08", get("wd-15", "memorised"), 0.08),
					AtLeast("wd 5: test >= 0.99", get("wd-5", "test"), 0.99),
					AtLeast("wd 5: memorised >= 0.1", get("wd-5", "memorised"), 0.1),
					AtMost("wd 5: memorised <= 0.8", get("wd-5", "memorised"), 0.8),
					AtLeast("wd 0: test >= 0.9", get("wd-0", "test"), 0.9),
					AtLeast("wd 0: memorised >= 0.9", get("wd-0", "memorised"), 0.9),
					Above("mean IPR: wd 5 > wd 0", get("wd-5", "mean_ipr"), get("wd-0", "mean_ipr")),
					Above("mean IPR: wd 15 > wd 5", get("wd-15", "mean_ipr"), get("wd-5", "mean_ipr")),
					AtMost("without the lowest 50 %: memorised <= 0.3", get("wd-0", "low_memorised"), 0.3),
					AtLeast("without the lowest 50 %: test >= 0.9", get("wd-0", "low_test"), 0.9),
					AtLeast("without the highest 20 %: memorised >= 0.85", get("wd-0", "high_memorised"), 0.85),
					AtMost("without the highest 20 %: test <= 0.3", get("wd-0", "high_test"), 0.3),
				}
			},
		},
		{
			Name:       "batch-norm",
			Statement:  "a batch normalisation behind the activation learns large scales for periodic neurons and small ones for the others",
			Seeds:      3,
			Experiment: experiment(grokRun{Config: grok.NewConfig()}, func(ctx context.Context, at Place, g grokRun) (map[string]float64, error) { return g.run(ctx, at) }),
			Arms:       []Arm{{Name: "bn"}},
			Check: func(m Measured) []Inequality {
				return []Inequality{
					AtLeast("correlation of |gamma| and IPR >= 0.5", m.Mean("bn", "gamma_ipr"), 0.5),
					AtLeast("test >= 0.99", m.Mean("bn", "test"), 0.99),
				}
			},
		},
	},
	Published: []Published{
		{"weight decay 0", "coexistence: 100 % train and about 100 % test"},
		{"weight decay 5", "partial inversion"},
		{"weight decay 15", "full inversion: train 65 %, test 100 %"},
		{"dropout, BN", "also ignore corrupted labels"},
		{"pruning low-IPR neurons of the coexistence network", "accuracy on corrupted data falls, on clean data rises"},
	},
	Figures: []Figure{{Name: "ipr", Title: "The larger the decay, the more periodic the neurons (mean IPR), and the less of the wrong labels is memorised", Draw: drawIPR}},
}

// drawIPR draws what weight decay does to the periodicity of the neurons, to insight and to memory.
func drawIPR(e Entry) ([]byte, error) {
	var lines []report.Series
	for _, metric := range []string{"mean_ipr", "test", "memorised"} {
		line, err := e.series(metric, "weight-decay", point{0, "wd-0", metric}, point{5, "wd-5", metric}, point{15, "wd-15", metric})
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return report.LinesPNG("Modular addition, 35 % wrong labels", "weight decay", "", false, lines...)
}

// grokRun is one run and what can be said of its neurons.
type grokRun struct {
	grok.Config
}

func (g grokRun) run(ctx context.Context, at Place) (map[string]float64, error) {
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
