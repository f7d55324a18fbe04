package temperatureoverlap

import (
	"context"
	"fmt"
	"math"

	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/papers/paper"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/objective"
	"github.com/ballast-ml/ballast/zoo"
)

// settings are those of one arm: see the recipe.
type settings struct {
	Method      string  `json:"method"`
	Data        string  `json:"data"`
	Classes     int     `json:"classes"`
	Dim         int     `json:"dim"`
	Overlap     float64 `json:"overlap"`
	Mu          float64 `json:"mu"`
	Train       int     `json:"train"`
	Calibration int     `json:"calibration"`
	Test        int     `json:"test"`
	Parts       int     `json:"parts"`
	Hidden      []int   `json:"hidden"`
	LR          float64 `json:"lr"`
	Batch       int     `json:"batch"`
	Epochs      int     `json:"epochs"`
}

// The seeds of what is drawn beside the training examples, apart from those of any run.
const (
	seedCalibration = 1 << 32
	seedTest        = 1 << 33
)

// distribution is that of a seed.
func (s settings) distribution(seed uint64) (data.Overlap, error) {
	drawn := data.Drawn{Train: s.Train, Test: s.Test, Seed: seed}
	switch s.Data {
	case "paired-gaussians":
		return data.PairedGaussians{K: s.Classes, Dim: s.Dim, Overlap: s.Overlap, Spread: 2, Centres: seed, Drawn: drawn}, nil
	case "gaussian-pair":
		return data.GaussianPair{Dim: s.Dim, Mu: s.Mu, Std: 1, Drawn: drawn}, nil
	}
	return nil, fmt.Errorf("there is no distribution %q", s.Data)
}

// run measures one arm: NLL and ECE as they are and at the best temperature, beside the NLL of the true posterior and the closed form.
func run(ctx context.Context, at paper.Place, s settings) (map[string]float64, error) {
	d, err := s.distribution(at.Seed)
	if err != nil {
		return nil, err
	}
	held, heldLabels, err := d.Sample(s.Calibration, seedCalibration+at.Seed)
	if err != nil {
		return nil, err
	}
	test, labels, err := d.Sample(s.Test, seedTest+at.Seed)
	if err != nil {
		return nil, err
	}
	set, err := d.Open("train")
	if err != nil {
		return nil, err
	}

	answer := nearest(set, s.Classes)
	if s.Method == "network" {
		var done func()
		if answer, done, err = s.network(ctx, at, set); err != nil {
			return nil, err
		}
		defer done()
	}
	first, err := answer(held)
	if err != nil {
		return nil, err
	}
	logits, err := answer(test)
	if err != nil {
		return nil, err
	}
	metrics, err := measured(first, heldLabels, logits, labels, s.Classes)
	if err != nil {
		return nil, err
	}
	return metrics, s.truth(d, test, labels, metrics)
}

// truth adds the NLL of the true posterior, and the oracle's of paired Gaussians.
func (s settings) truth(d data.Overlap, test []float64, labels []int32, metrics map[string]float64) error {
	p, err := d.Posterior(test)
	if err != nil {
		return err
	}
	for i, label := range labels {
		metrics["bayes"] -= math.Log(p[i*s.Classes+int(label)]) / float64(len(labels))
	}
	if g, ok := d.(data.PairedGaussians); ok {
		oracle, err := metric.OracleTS(s.Classes, g.OverlapMass())
		metrics["oracle"] = oracle.NLL
		return err
	}
	return nil
}

// measured are the numbers of logits as they are and at the temperature that is best for those that were held out.
func measured(held []float64, heldLabels []int32, logits []float64, labels []int32, classes int) (map[string]float64, error) {
	fit, err := calibrate.FitTemperature(calibrate.NewTemperatureScaling(), held, heldLabels, classes)
	if err != nil {
		return nil, err
	}
	if fit.Saturated {
		return nil, fmt.Errorf("no temperature is best: %s", fit.Why)
	}
	metrics := map[string]float64{"temperature": fit.T}
	for suffix, t := range map[string]float64{"": 1, "_ts": fit.T} {
		after := append([]float64(nil), logits...)
		calibrate.Apply(after, t)
		scores, err := metric.Score(after, labels, classes)
		if err != nil {
			return nil, err
		}
		metrics["accuracy"], metrics["nll"+suffix] = scores.Accuracy(), scores.MeanNLL()
		if metrics["ece"+suffix], err = scores.ECE(metric.EqualWidth, metric.DefaultBins); err != nil {
			return nil, err
		}
	}
	return metrics, nil
}

// nearest answers with a logit of 10 for the label of the nearest training example.
func nearest(set data.Dataset, classes int) func(x []float64) ([]float64, error) {
	const logit = 10
	return func(x []float64) ([]float64, error) {
		size := set.Info().Size()
		all := make([]float32, set.Len()*size)
		for i := range set.Len() {
			if err := set.Read(i, all[i*size:(i+1)*size]); err != nil {
				return nil, err
			}
		}
		logits := make([]float64, len(x)/size*classes)
		err := metric.Blocks(len(x)/size, func(from, to int) error {
			for i := from; i < to; i++ {
				best, least := 0, math.Inf(1)
				for j := range set.Len() {
					d := 0.0
					for c, v := range all[j*size : (j+1)*size] {
						gap := x[i*size+c] - float64(v)
						d += gap * gap
					}
					if d < least {
						best, least = j, d
					}
				}
				logits[i*classes+int(set.Label(best))] = logit
			}
			return nil
		})
		return logits, err
	}
}

// network trains an MLP, and answers with its logits until done is called.
func (s settings) network(ctx context.Context, at paper.Place, set data.Dataset) (answer func(x []float64) ([]float64, error), done func(), err error) {
	mlp := zoo.NewMLP()
	mlp.Hidden, mlp.Classes, mlp.Norm = s.Hidden, s.Classes, norm.Choice{Layer: norm.Identity{}}
	r := paper.TuneRecipe("drawn", mlp, paper.PlainAdamW(s.LR, 0), s.Batch)
	r.Seed, r.Steps, r.Epochs = at.Seed, 0, s.Epochs
	r.Init.Kernels = "pytorch" // as the paper's networks begin; larger first weights leave a network trained on mixtures less sure
	if s.Parts > 1 {
		o, mixup := objective.NewSupervised(), augment.NewMixup()
		mixup.Parts = s.Parts
		o.Mix = augment.MixingChoice{Mixing: mixup}
		r.Objective = objective.Choice{Objective: o}
	}
	trained, err := train.Run(ctx, r, train.Options{Engine: at.Engine, Data: set})
	if err != nil {
		return nil, nil, err
	}

	const batch = 200
	forward, err := trained.Bundle.NewForward(at.Engine, batch)
	if err != nil {
		return nil, nil, err
	}
	return func(x []float64) ([]float64, error) {
		narrow := make([]float32, len(x))
		for i, v := range x {
			narrow[i] = float32(v)
		}
		out, err := forward.Logits(narrow, len(x)/s.Dim)
		wide := make([]float64, len(out))
		for i, v := range out {
			wide[i] = float64(v)
		}
		return wide, err
	}, forward.Close, nil
}
