// Package metrix is the paper "It Takes Two to Tango: Mixup for Deep Metric Learning": its claims and its recipe.
package metrix

import (
	_ "embed"
	"slices"

	"github.com/ballast-ml/ballast/papers/paper"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/report/figure"
)

//go:embed recipe.yaml
var recipe []byte

// Paper is Venkataramanan, Psomas, Kijak, Amsaleg, Karantzalos, Avrithis, "It Takes Two to Tango: Mixup for Deep Metric Learning",
// arXiv 2106.04990.
//
// At small scale: vectors of 64 numbers from an MLP 256-256, 400 updates of Adam at 1e-3, the multi-similarity loss with and without
// mixed examples at the level of vectors. Classes that are tested on are never trained on, each half in turn.
var Paper = paper.Paper{
	Slug:  "metrix",
	Title: "It Takes Two to Tango: Mixup for Deep Metric Learning",
	Authors: "Shashanka Venkataramanan, Bill Psomas, Ewa Kijak, Laurent Amsaleg, Konstantinos Karantzalos, " +
		"Yannis Avrithis",
	Year:  2022,
	ArXiv: "2106.04990",
	Summary: "mix examples and the labels of their pairs, for any loss that compares pairs, so that vectors of " +
		"classes never seen find their like more often",
	Symbols: []string{
		"train/objective.Contrastive", "data/augment.Pairs", "nn/loss.Pairs", "nn/loss.Contrastive", "nn/loss.ProxyAnchor",
		"metric.Utilization", "metric.Alignment", "metric.Uniformity",
	},
	Recipe: recipe,
	Claims: []paper.Claim{
		{
			Name: "digits",
			Statement: "trained on five digits, mixed pairs make the other five find their like more often, by " +
				"two points of recall@1 or more " +
				"(mean of both halves; utilization is measured beside it and decides nothing)",
			Seeds: 5,
			Arms:  arms([]string{"data.train=first"}, []string{"data.train=second"}),
			After: paper.Pairs,
			Check: func(m paper.Measured) []paper.Inequality {
				return []paper.Inequality{
					paper.AtLeast("recall@1 with Metrix >= without + 0.02",
						both(m, "metrix", "pairs.recall_at_1"), both(m, "base", "pairs.recall_at_1")+0.02),
				}
			},
		},
		{
			Name: "glyphs",
			Statement: "trained on 31 characters in twelve fonts, mixed pairs make the other 31 find their like " +
				"more often, by half a point of recall@1 or " +
				"more, and lie closer to what was trained on (mean of both halves)",
			Seeds: 5,
			Arms:  arms(glyphs("first"), glyphs("second")),
			After: paper.Pairs,
			Check: func(m paper.Measured) []paper.Inequality {
				return []paper.Inequality{
					paper.AtLeast("recall@1 with Metrix >= without + 0.005",
						both(m, "metrix", "pairs.recall_at_1"), both(m, "base", "pairs.recall_at_1")+0.005),
					paper.AtMost("utilization with Metrix <= without",
						both(m, "metrix", "pairs.utilization"), both(m, "base", "pairs.utilization")),
				}
			},
		},
	},
	Figures: []paper.Figure{{Name: "recall", Title: "Recall@1 of classes that were never trained on", Draw: drawRecall}},
	Published: []paper.Published{
		{What: "CUB, contrastive, ResNet-50, recall@1 without / with Metrix", Value: "64.7 / 67.4 %"},
		{What: "CUB, multi-similarity, without / with Metrix", Value: "67.8 / 71.4 %"},
		{What: "CUB, proxy anchor, without / with Metrix", Value: "69.5 / 71.0 %"},
		{What: "Cars, multi-similarity, without / with Metrix", Value: "87.8 / 89.6 %"},
		{What: "SOP, multi-similarity, without / with Metrix", Value: "76.9 / 81.0 %"},
		{What: "In-Shop, multi-similarity, without / with Metrix", Value: "90.1 / 92.2 %"},
	},
}

// arms are the loss alone and with mixed examples, trained on either half of the classes.
func arms(first, second []string) []paper.Arm {
	base := []string{"objective.mix={name:none}"}
	return []paper.Arm{
		{Name: "base-first", Overrides: slices.Concat(first, base)}, {Name: "metrix-first", Overrides: first},
		{Name: "base-second", Overrides: slices.Concat(second, base)}, {Name: "metrix-second", Overrides: second},
	}
}

// glyphs is what trains on a half of the characters.
func glyphs(half string) []string {
	set := "data={name:glyphs,fonts:12,classes:" + half + "}"
	return []string{set, "sampler.classes=16", "sampler.members=6", "batch_size=96"}
}

// both is the mean over both halves.
func both(m paper.Measured, arm, metric string) float64 {
	return (m.Mean(arm+"-first", metric) + m.Mean(arm+"-second", metric)) / 2
}

// drawRecall draws the recall of both arms, half by half.
func drawRecall(e paper.Entry) ([]byte, error) {
	var lines []report.Series
	for _, claim := range []string{"digits", "glyphs"} {
		for _, arm := range []string{"base", "metrix"} {
			line, err := e.Series(claim+", "+arm, claim,
				paper.Point{X: 1, Arm: arm + "-first", Metric: "pairs.recall_at_1"},
				paper.Point{X: 2, Arm: arm + "-second", Metric: "pairs.recall_at_1"})
			if err != nil {
				return nil, err
			}
			lines = append(lines, line)
		}
	}
	return figure.Lines("Recall@1 of classes never trained on", "half that was trained on", "recall@1", false,
		lines...)
}
