// Package batchnormonly is the paper "Training BatchNorm and Only BatchNorm: On the Expressive Power of Random
// Features in CNNs": its claims and its recipe.
package batchnormonly

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/papers/paper"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/report/figure"
	"github.com/ballast-ml/ballast/train"
)

//go:embed recipe.yaml
var recipe []byte

// Paper is Frankle, Schwab, Morcos, "Training BatchNorm and Only BatchNorm: On the Expressive Power of Random Features in CNNs",
// arXiv 2003.00152.
//
// At small scale, residual networks of depth 8 and 14 with 8, 16 and 32 filters on optdigits, 250 updates. That a third of the features are
// turned off needs long training; the share is measured and not claimed.
var Paper = paper.Paper{
	Slug:    "batchnorm-only",
	Title:   "Training BatchNorm and Only BatchNorm: On the Expressive Power of Random Features in CNNs",
	Authors: "Jonathan Frankle, David J. Schwab, Ari S. Morcos",
	Year:    2020,
	ArXiv:   "2003.00152",
	Summary: "freeze every random weight and train the scales and offsets of batch normalisation alone: how far it gets, and what it turns off",
	Symbols: []string{"train.Freeze", "train.CountParams", "train.ClampScales", "metric.Gammas", "metric.DeadChannels"},
	Recipe:  recipe,
	Claims: []paper.Claim{{
		Name: "only-bn",
		Statement: "training the norms alone gets far further than as many weights chosen at random, further in a deeper network, and less far than training " +
			"everything",
		Seeds: 3,
		Arms: []paper.Arm{
			{Name: "all-8"}, {Name: "bn-8", Overrides: []string{"freeze.train=[bn]"}},
			{Name: "rand2-8", Overrides: []string{"freeze.train=[]", "freeze.random_per_channel=2"}}, {Name: "output-8", Overrides: []string{"freeze.train=[output]"}},
			{Name: "all-14", Overrides: []string{"network.depth=14"}}, {Name: "bn-14", Overrides: []string{"network.depth=14", "freeze.train=[bn]"}},
			{Name: "rand2-14", Overrides: []string{"network.depth=14", "freeze.train=[]", "freeze.random_per_channel=2"}},
			{Name: "output-14", Overrides: []string{"network.depth=14", "freeze.train=[output]"}},
		},
		After: gammasOf,
		Check: func(m paper.Measured) []paper.Inequality {
			accuracy := func(arm string) float64 { return m.Mean(arm, "accuracy") }
			return []paper.Inequality{
				paper.AtLeast("depth 8: BN >= random weights + 0.25", accuracy("bn-8"), accuracy("rand2-8")+0.25),
				paper.AtLeast("depth 14: BN >= random weights + 0.25", accuracy("bn-14"), accuracy("rand2-14")+0.25),
				paper.AtLeast("BN: depth 14 >= depth 8 + 0.02", accuracy("bn-14"), accuracy("bn-8")+0.02),
				paper.AtLeast("depth 8: all >= BN + 0.1", accuracy("all-8"), accuracy("bn-8")+0.1),
				paper.AtLeast("depth 14: all >= BN + 0.1", accuracy("all-14"), accuracy("bn-14")+0.1),
			}
		},
	}},
	Published: []paper.Published{
		{What: "CIFAR-10, ResNet-866, BN alone, test accuracy", Value: "82 %"},
		{What: "CIFAR-10, ResNet-110: BN alone / everything", Value: "about 69.5 / 93 to 94 %"},
		{What: "ImageNet, ResNet-200, BN alone, top-5", Value: "32 %"},
		{What: "share of |gamma| < 0.01 when BN alone is trained", Value: "about a third"},
	},
	Figures: []paper.Figure{{Name: "gamma", Title: "How large the scales of the norms end: everything trained, the norms alone, two weights a channel", Draw: drawGammas}},
}

// gammasOf describes the scales of the trained norms.
func gammasOf(_ context.Context, _ paper.Place, trained *train.Result) (map[string]float64, error) {
	var scales []float64
	for _, v := range trained.Bundle.Variables() {
		if train.GroupOf(v) == train.GroupNorm && v.Name() == "scale" {
			for _, s := range tensors.MustCopyFlatData[float32](v.MustValue()) {
				scales = append(scales, float64(s))
			}
		}
	}
	s, err := metric.Gammas(scales, gammaThresholds)
	if err != nil {
		return nil, err
	}
	metrics := map[string]float64{"gamma_mean_abs": s.MeanAbs, "gamma_negative": s.Negative}
	for i, t := range gammaThresholds {
		metrics[gammaBelow(t)] = s.Below[i]
	}
	return metrics, nil
}

// gammaThresholds are where the shares of |gamma| are measured: close together where a feature is turned off.
var gammaThresholds = []float64{0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.5}

func gammaBelow(threshold float64) string { return fmt.Sprintf("gamma_below_%g", threshold) }

// drawGammas draws the sizes of the trained scales of the deeper network as a histogram.
func drawGammas(e paper.Entry) ([]byte, error) {
	var lines []report.Series
	for _, arm := range []string{"all-14", "bn-14", "rand2-14"} {
		line := report.Series{Name: arm}
		before := 0.0
		for _, t := range gammaThresholds {
			m, err := e.Summary("only-bn", arm, gammaBelow(t))
			if err != nil {
				return nil, err
			}
			line.Y, before = append(line.Y, m.Mean-before), m.Mean
		}
		lines = append(lines, line)
	}
	return figure.Histogram("Scales of the norms, depth 14", "|gamma|", append([]float64{0}, gammaThresholds...), lines...)
}
