// Package transmix is the paper "TransMix: Attend to Mix for Vision Transformers": its claims and its recipe.
package transmix

import (
	_ "embed"

	"github.com/ballast-ml/ballast/papers/paper"
	"github.com/ballast-ml/ballast/report/figure"
)

//go:embed recipe.yaml
var recipe []byte

// Paper is Chen, Sun, He, Torr, Yuille, Bai, "TransMix: Attend to Mix for Vision Transformers", arXiv 2111.09833.
//
// At small scale, optdigits at one of nine places of an empty 16x16 canvas, 1,000 training images, and a vision transformer of 16 patches.
// What the paper builds on is measured directly: how much of the ink of a mixed image lies in the pasted box, which area and attention both
// guess. Digits that fill their image would show nothing, there the area is the better guess. The gain of about 1 % on ImageNet is not to
// be seen at this size, and not claimed.
var Paper = paper.Paper{
	Slug:    "transmix",
	Title:   "TransMix: Attend to Mix for Vision Transformers",
	Authors: "Jie-Neng Chen, Shuyang Sun, Ju He, Philip Torr, Alan Yuille, Song Bai",
	Year:    2021,
	ArXiv:   "2111.09833",
	Summary: "CutMix for vision transformers whose labels are shared out by where the class token looks, at no cost",
	Symbols: []string{
		"data/augment.TransMix", "data/augment.MixupCutMix", "data/augment.CutMix", "data/augment.Mixup", "zoo.ViT.ClassAttention",
		"train/objective.Supervised",
	},
	Recipe: recipe,
	Claims: []paper.Claim{
		{
			Name: "share",
			Statement: "where the class token of a network trained without mixing looks says something about how much of the ink of a CutMix image lies in the pasted box that " +
				"the area of the box does not say, and the mean of both is the better guess",
			Seeds: 5,
			Arms:  []paper.Arm{{Name: "plain", Overrides: []string{"objective.mix={name:none}"}}},
			After: sharesOf,
			Check: func(m paper.Measured) []paper.Inequality {
				get := func(metric string) float64 { return m.Mean("plain", metric) }
				return []paper.Inequality{
					paper.Above("correlation of (ink - area) with (attention - area) > 0.05", get("residual_correlation"), 0.05),
					paper.Above("mean error of the area > mean error of the mean of area and attention", get("area_error"), get("mean_error")),
				}
			},
		},
		{
			Name:      "training",
			Statement: "trained with TransMix, a network is no worse than with the same mixing and labels by area",
			Seeds:     5,
			Parity:    true,
			Arms:      []paper.Arm{{Name: "area", Overrides: []string{"objective.mix={name:mixup-cutmix}"}}, {Name: "transmix"}},
			Check: func(m paper.Measured) []paper.Inequality {
				return []paper.Inequality{
					paper.AtLeast("accuracy: TransMix >= labels by area - 0.003", m.Mean("transmix", "accuracy"), m.Mean("area", "accuracy")-0.003),
				}
			},
		},
	},
	Published: []paper.Published{
		{What: "DeiT-S, ImageNet-1k, top-1: without / with TransMix", Value: "79.8 / 80.7 %"},
		{What: "DeiT-B, ImageNet-1k, top-1: without / with TransMix", Value: "81.8 / 82.4 %"},
		{What: "PVT-S, CaiT-XXS with TransMix (without)", Value: "80.5 (79.8), 78.3 (77.6) %"},
	},
	Figures: []paper.Figure{{Name: "share", Title: "How far the guessed share of the pasted image is from that of its ink, by the weight of the attention", Draw: drawShares}},
}

// drawShares draws the error of the guessed share against the weight of the attention in it.
func drawShares(e paper.Entry) ([]byte, error) {
	line, err := e.Series("mean of 4,000 mixed images", "share",
		paper.Point{X: 0, Arm: "plain", Metric: "area_error"},
		paper.Point{X: 0.5, Arm: "plain", Metric: "mean_error"},
		paper.Point{X: 1, Arm: "plain", Metric: "attention_error"},
	)
	if err != nil {
		return nil, err
	}
	return figure.Lines("Share of the pasted image", "weight of the attention (0 is the area alone)", "mean error against the ink", false, line)
}
