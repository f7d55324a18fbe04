// Package temperatureoverlap is the paper "On the Limitations of Temperature Scaling for Distributions with Overlaps": its claims and its
// recipe.
package temperatureoverlap

import (
	_ "embed"

	"github.com/ballast-ml/ballast/papers/paper"
)

//go:embed recipe.yaml
var recipe []byte

// Paper is Chidambaram, Ge, "On the Limitations of Temperature Scaling for Distributions with Overlaps", arXiv 2306.00740.
//
// At small scale, twenty Gaussian classes, half of which have a double, and temperatures that are fitted exactly: the published ones come
// from a search that ends near 1. The form of the theorem and the values of the table are those of published reviews.
var Paper = paper.Paper{
	Slug:    "temperature-overlap",
	Title:   "On the Limitations of Temperature Scaling for Distributions with Overlaps",
	Authors: "Muthu Chidambaram, Rong Ge",
	Year:    2023,
	ArXiv:   "2306.00740",
	Summary: "know when a temperature cannot mend confidences: where classes overlap, with classes whose posteriors are known, and train with mixtures of several examples instead",
	Symbols: []string{
		"calibrate.FitTemperature", "data/augment.Mixup", "data.GaussianPair", "data.PairedIntervals", "data.PairedGaussians", "data.PairedLabelNoise", "metric.OracleTS",
	},
	Recipe: recipe,
	Claims: []paper.Claim{interpolator, overlap, twoClasses},
	Published: []paper.Published{
		{What: "Gaussians, D = 300, mu from 0.25 to 0.01, NLL: ERM and a temperature", Value: "0.26 to 4.30"},
		{What: "the same: 4-Mixup without a temperature", Value: "0.27 to 0.74"},
		{What: "expected KL of any regular interpolator at its best temperature, k classes, overlap 1 - alpha", Value: "at least of order (1 - alpha - 1/k) log k"},
	},
}

// interpolator is the negative result for the most regular interpolator there is.
var interpolator = paper.Claim{
	Name: "interpolator",
	Statement: "the nearest neighbour, which answers its label with one confidence, is at the NLL of the closed form even at its best temperature; with more classes " +
		"this grows, and that of the true posterior does not",
	Seeds:      5,
	Experiment: paper.NewExperiment(settings{}, run),
	Arms: []paper.Arm{
		{Name: "k4", Overrides: []string{"classes=4"}},
		{Name: "k20"},
		{Name: "k100", Overrides: []string{"classes=100"}},
		{Name: "all", Overrides: []string{"overlap=1"}},
	},
	Check: func(m paper.Measured) []paper.Inequality {
		off := func(arm string) float64 { return abs(m.Mean(arm, "nll_ts") - m.Mean(arm, "oracle")) }
		return []paper.Inequality{
			paper.AtMost("k = 20: |NLL at the best temperature - closed form| <= 0.15", off("k20"), 0.15),
			paper.AtMost("k = 20, all pairs overlap: the same <= 0.15", off("all"), 0.15),
			paper.Above("NLL at the best temperature: k = 20 > k = 4", m.Mean("k20", "nll_ts"), m.Mean("k4", "nll_ts")),
			paper.Above("NLL at the best temperature: k = 100 > k = 20", m.Mean("k100", "nll_ts"), m.Mean("k20", "nll_ts")),
			paper.AtMost("NLL of the true posterior: k = 100 <= k = 4 + 0.02", m.Mean("k100", "bayes"), m.Mean("k4", "bayes")+0.02),
		}
	},
}

// overlap is the positive result for mixtures.
var overlap = paper.Claim{
	Name: "overlap",
	Statement: "where half of the classes have a double, a network trained on mixtures has a better NLL than one trained on the examples, without a temperature, and " +
		"better than that one at its best temperature; answers are as right",
	Seeds:      5,
	Experiment: paper.NewExperiment(settings{}, run),
	Arms: []paper.Arm{
		{Name: "neighbour", Overrides: []string{"method=nearest"}},
		{Name: "erm", Overrides: []string{"method=network"}},
		{Name: "mixup", Overrides: []string{"method=network", "parts=2"}},
		{Name: "mixup3", Overrides: []string{"method=network", "parts=3"}},
	},
	Check: func(m paper.Measured) []paper.Inequality {
		mixup, erm := m.Mean("mixup", "nll"), m.Mean("erm", "nll")
		low, high := m.Mean("erm", "accuracy"), m.Mean("erm", "accuracy")
		for _, arm := range []string{"neighbour", "mixup", "mixup3"} {
			low, high = min(low, m.Mean(arm, "accuracy")), max(high, m.Mean(arm, "accuracy"))
		}
		return []paper.Inequality{
			paper.AtMost("NLL: Mixup <= ERM - 0.2, both without a temperature", mixup, erm-0.2),
			paper.AtMost("NLL: Mixup without a temperature <= ERM at its best - 0.01", mixup, m.Mean("erm", "nll_ts")-0.01),
			paper.AtMost("accuracy of all within 0.02", high-low, 0.02),
		}
	},
}

// twoClasses is what the paper's Gaussians show once the temperature is fitted to the end.
var twoClasses = paper.Claim{
	Name: "two-classes",
	Statement: "the paper's two Gaussians are no evidence against a temperature that is fitted exactly: it mends the network trained on the examples, which is then better " +
		"than one trained on mixtures (the paper's fits end near 1, and show the reverse)",
	Seeds:      5,
	Experiment: paper.NewExperiment(settings{}, run),
	Arms:       []paper.Arm{{Name: "erm"}, {Name: "mixup", Overrides: []string{"parts=2"}}},
	Check: func(m paper.Measured) []paper.Inequality {
		return []paper.Inequality{
			paper.AtMost("NLL: ERM at its best temperature <= ERM - 0.2", m.Mean("erm", "nll_ts"), m.Mean("erm", "nll")-0.2),
			paper.AtMost("ECE: ERM at its best temperature <= ERM / 2", m.Mean("erm", "ece_ts"), m.Mean("erm", "ece")/2),
			paper.Above("NLL: Mixup without a temperature > ERM at its best", m.Mean("mixup", "nll"), m.Mean("erm", "nll_ts")),
		}
	},
}

func abs(v float64) float64 { return max(v, -v) }
