// Package shrinkmatch is the paper "Shrinking Class Space for Enhanced Certainty in Semi-Supervised Learning": its claim and
// its recipe.
package shrinkmatch

import (
	"context"
	_ "embed"
	"fmt"
	"maps"

	"github.com/ballast-ml/ballast/lab"
	"github.com/ballast-ml/ballast/papers/paper"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/report/figure"
	"github.com/ballast-ml/ballast/train"
)

//go:embed recipe.yaml
var recipe []byte

// Paper is Yang, Zhao, Qi, Qiao, Shi, Zhao, "Shrinking Class Space for Enhanced Certainty in Semi-Supervised Learning", arXiv 2308.06777.
//
// At small scale it is its premise that is measured: optdigits, three labels a class, 1,280 digits without, an MLP 64-256-128, 700
// updates. A gain in accuracy is not claimed: a shallow network that learns for so short a time shows none beyond chance. Accuracies
// stand beside.
var Paper = paper.Paper{
	Slug:    "shrinkmatch",
	Title:   "Shrinking Class Space for Enhanced Certainty in Semi-Supervised Learning",
	Authors: "Lihe Yang, Zhen Zhao, Lei Qi, Yu Qiao, Yinghuan Shi, Hengshuang Zhao",
	Year:    2023,
	ArXiv:   "2308.06777",
	Summary: "FixMatch, and a second loss that also learns from the unlabeled examples which FixMatch is not certain of, by " +
		"leaving out the classes in doubt",
	Symbols: []string{"train/objective.Semi", "nn/loss.Shrink", "nn/loss.CertainShare", "nn/loss.Alignment"},
	Recipe:  recipe,
	Claims: []paper.Claim{{
		Name: "unlabeled-used",
		Statement: "in the first quarter of training ShrinkMatch learns from many more unlabeled examples than FixMatch; " +
			"their labels are better than chance and worse than the certain ones; and a higher threshold never keeps more " +
			"classes",
		Seeds: 5,
		Arms: []paper.Arm{
			{Name: "labels", Overrides: []string{"objective=supervised"}},
			{Name: "fixmatch", Overrides: []string{"objective.shrink=false"}},
			{Name: "shrinkmatch"},
		},
		After: func(_ context.Context, at paper.Place, trained *train.Result) (map[string]float64, error) {
			logged, err := lab.ReadLog(at.Dir)
			if err != nil {
				return nil, err
			}
			metrics, err := rising(at, trained)
			if err != nil {
				return nil, err
			}
			maps.Copy(metrics, quarters(logged))
			return metrics, nil
		},
		Check: func(m paper.Measured) []paper.Inequality {
			first, fixmatch := m.Mean("shrinkmatch", "used_1"), m.Mean("fixmatch", "used_1")
			shrunk, certain := m.Mean("shrinkmatch", "shrunk_labels"), m.Mean("shrinkmatch", "certain_labels")
			return []paper.Inequality{
				paper.AtLeast("used in the first quarter: ShrinkMatch >= FixMatch + 0.3", first, fixmatch+0.3),
				paper.Above("accuracy of shrunk labels > chance, 0.1", shrunk, 0.1),
				paper.AtMost("accuracy of shrunk labels <= that of certain ones", shrunk, certain),
				paper.AtMost("digits of which a higher threshold keeps more classes", m.Mean("shrinkmatch", "falls"), 0),
				paper.AtMost("digits that are shrunk and still below the threshold", m.Mean("shrinkmatch", "unsure"), 0),
			}
		},
	}},
	Published: []paper.Published{
		{What: "CIFAR-10, 40 labels: SimMatch / ShrinkMatch", Value: "94.39 / 94.92 %"},
		{What: "CIFAR-100, 400 labels: SimMatch / ShrinkMatch", Value: "62.19 / 64.64 %"},
		{What: "STL-10, 40 labels: FlexMatch / ShrinkMatch", Value: "70.85 / 85.98 %"},
		{What: "SVHN, 40 labels: FixMatch / FlexMatch / ShrinkMatch", Value: "96.19 / 91.81 / 97.49 %"},
		{What: "ImageNet, 1 % / 10 % of the labels, top-1: SimMatch", Value: "67.0 / 74.1 %"},
		{What: "ImageNet, 1 % / 10 % of the labels, top-1: ShrinkMatch", Value: "67.5 / 74.5 %"},
	},
	Figures: []paper.Figure{{
		Name: "used", Title: "Share of the unlabeled digits that are learned from, by quarter of the run", Draw: drawUsed,
	}},
}

// parts of a run that are looked at apart.
const parts = 4

// quarters are the shares of unlabeled examples that are used in each quarter of a run, used_1 to used_4, and over all of it the
// accuracies of the labels that the network makes, of certain and of shrunk examples. The run logs once a quarter.
func quarters(log []lab.Logged) map[string]float64 {
	last, logged := 0, map[int]map[string]float64{}
	for _, at := range log {
		last = max(last, at.Step)
		if _, noted := at.Values["used"]; noted {
			logged[at.Step] = at.Values
		}
	}
	metrics, sum := map[string]float64{}, map[string]float64{}
	for quarter := 1; quarter <= parts; quarter++ {
		values := logged[quarter*last/parts]
		if _, noted := values["used"]; !noted {
			return nil // an arm without unlabeled examples
		}
		metrics[fmt.Sprintf("used_%d", quarter)] = values["used"]
		for _, name := range []string{"used", "certain", "certain_right", "shrunk_right"} {
			sum[name] += values[name] / parts
		}
	}
	metrics["used"], metrics["certain"] = sum["used"], sum["certain"]
	if sum["certain"] > 0 {
		metrics["certain_labels"] = sum["certain_right"] / sum["certain"]
	}
	if shrunk := sum["used"] - sum["certain"]; shrunk > 0 {
		metrics["shrunk_labels"] = sum["shrunk_right"] / shrunk
	}
	return metrics
}

// drawUsed draws what share of the unlabeled digits is used as the run goes on.
func drawUsed(e paper.Entry) ([]byte, error) {
	var lines []report.Series
	for _, arm := range []string{"fixmatch", "shrinkmatch"} {
		var at []paper.Point
		for quarter := 1; quarter <= parts; quarter++ {
			at = append(at, paper.Point{X: float64(quarter), Arm: arm, Metric: fmt.Sprintf("used_%d", quarter)})
		}
		line, err := e.Series(arm, "unlabeled-used", at...)
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return figure.Lines("Unlabeled digits learned from", "quarter of the run", "share", false, lines...)
}
