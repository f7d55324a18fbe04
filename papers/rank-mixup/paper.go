// Package rankmixup is the paper "RankMixup: Ranking-Based Mixup Training for Network Calibration": its claims and its recipe.
package rankmixup

import (
	_ "embed"

	"github.com/ballast-ml/ballast/papers/paper"
)

//go:embed recipe.yaml
var recipe []byte

// Paper is Noh, Park, Lee, Ham, "RankMixup: Ranking-Based Mixup Training for Network Calibration", arXiv 2308.11990.
//
// At small scale, an MLP 64-256-256-10 on 300 optdigits with fixed noise. MRL with the paper's margin widens the gaps between logits of such
// a network and does not make it better calibrated: it is measured and decides nothing. The published numbers are recalled.
var Paper = paper.Paper{
	Slug:    "rank-mixup",
	Title:   "RankMixup: Ranking-Based Mixup Training for Network Calibration",
	Authors: "Jongyoun Noh, Hyekang Park, Junghyup Lee, Bumsub Ham",
	Year:    2023,
	ArXiv:   "2308.11990",
	Summary: "train a classifier whose confidence falls as its inputs are mixed, so that it says what it knows, and measure over- and underconfidence apart",
	Symbols: []string{
		"nn/loss.MRL", "nn/loss.MNDCG", "data/augment.MultiMixup", "metric.Scores.OE", "metric.Scores.UE", "metric.Scores.AECE", "metric.ClasswiseECE",
	},
	Recipe: recipe,
	Claims: []paper.Claim{{
		Name: "calibration",
		Statement: "with its full weight M-NDCG makes a small network that knows its training digits by heart better calibrated on others, and with the paper's weight no " +
			"worse (plain Mixup, which is better calibrated still at this size, and MRL, which is not, are measured beside them and decide nothing)",
		Seeds:      5,
		Experiment: paper.NewExperiment(settings{}, run),
		Arms: []paper.Arm{
			{Name: "ce"},
			{Name: "mixup", Overrides: []string{"objective={name:supervised,mix:{name:mixup,alpha:1}}"}},
			{Name: "mndcg_full", Overrides: []string{"objective={name:supervised,extra:[{loss:mndcg,weight:1}]}"}},
			mndcgArm,
			{Name: "mrl", Overrides: []string{"objective={name:supervised,extra:[mrl]}"}},
		},
		Check: func(m paper.Measured) []paper.Inequality {
			return []paper.Inequality{
				paper.AtMost("ECE: M-NDCG of weight 1 <= CE - 0.02", m.Mean("mndcg_full", "ece"), m.Mean("ce", "ece")-0.02),
				paper.AtMost("NLL: M-NDCG of weight 1 <= CE - 0.05", m.Mean("mndcg_full", "nll"), m.Mean("ce", "nll")-0.05),
				paper.AtMost("ECE: M-NDCG of weight 0.1 <= CE + 0.005", m.Mean("mndcg", "ece"), m.Mean("ce", "ece")+0.005),
			}
		},
	}, {
		Name:       "order",
		Statement:  "of mixtures of two other digits of different classes, the less mixed one gets the higher confidence more often after training with M-NDCG",
		Seeds:      5,
		Experiment: paper.NewExperiment(settings{}, run),
		Arms:       []paper.Arm{{Name: "ce"}, mndcgArm},
		Check: func(m paper.Measured) []paper.Inequality {
			return []paper.Inequality{
				paper.Above("pairs in order: M-NDCG of weight 0.1 > CE + 0.005", m.Mean("mndcg", "ordered"), m.Mean("ce", "ordered")+0.005),
			}
		},
	}},
	Published: []paper.Published{
		{What: "CIFAR-10, ResNet-50, ECE: cross-entropy / M-NDCG (recalled)", Value: "about 5.9 / 2.59 %"},
		{What: "Tiny-ImageNet, ResNet-50, ECE: cross-entropy / M-NDCG (recalled)", Value: "about 3.7 / 1.49 %"},
		{What: "Tiny-ImageNet, ResNet-101, ECE: cross-entropy / M-NDCG (recalled)", Value: "about 5.8 / 1.4 %"},
	},
}

var mndcgArm = paper.Arm{Name: "mndcg", Overrides: []string{"objective={name:supervised,extra:[mndcg]}"}}
