package rankmixup

import (
	"context"
	"math/rand/v2"
	"slices"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/papers/paper"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/objective"
	"github.com/ballast-ml/ballast/zoo"
)

// settings are those of one arm: see the recipe.
type settings struct {
	Train       int              `json:"train"`
	Test        int              `json:"test"`
	Noise       float64          `json:"noise"`
	Hidden      []int            `json:"hidden"`
	LR          float64          `json:"lr"`
	Momentum    float64          `json:"momentum"`
	WeightDecay float64          `json:"weight_decay"`
	Clip        float64          `json:"clip"`
	Batch       int              `json:"batch"`
	Epochs      int              `json:"epochs"`
	Objective   objective.Choice `json:"objective"`
}

// noisy is a set with N(0, sigma^2) on every value, the same at each reading.
type noisy struct {
	data.Dataset
	sigma float64
	seed  uint64
}

// Read adds the noise of the example.
func (n noisy) Read(i int, dst []float32) error {
	if err := n.Dataset.Read(i, dst); err != nil {
		return err
	}
	paper.AddNoise(dst, n.sigma, rand.New(rand.NewPCG(n.seed, uint64(i))))
	return nil
}

// Info says that values have left [0,1].
func (n noisy) Info() data.Info {
	info := n.Dataset.Info()
	info.Images = false
	return info
}

// run trains on some digits and measures on others.
func run(ctx context.Context, at paper.Place, s settings) (map[string]float64, error) {
	all, err := data.Open("optdigits", "all")
	if err != nil {
		return nil, err
	}
	order := paper.Shuffled(all.Len(), rand.New(rand.NewPCG(at.Seed, 0xd161)))
	set := noisy{data.Subset(all, order[:s.Train]), s.Noise, at.Seed}
	test := noisy{data.Subset(all, order[s.Train:s.Train+s.Test]), s.Noise, at.Seed + 1<<32}

	trained, err := train.Run(ctx, s.recipe(at.Seed), train.Options{Engine: at.Engine, Data: set})
	if err != nil {
		return nil, err
	}
	forward, err := trained.Bundle.NewForward(at.Engine, s.Test)
	if err != nil {
		return nil, err
	}
	defer forward.Close()
	x, err := values(test)
	if err != nil {
		return nil, err
	}
	metrics, err := measured(forward, x, data.Labels(test))
	if err != nil {
		return nil, err
	}
	metrics["ordered"], err = ordered(forward, x, data.Labels(test), rand.New(rand.NewPCG(at.Seed, 0x0de2)))
	return metrics, err
}

// recipe is that of a seed.
func (s settings) recipe(seed uint64) train.Recipe {
	mlp := zoo.NewMLP()
	mlp.Hidden, mlp.Classes, mlp.Norm = s.Hidden, 10, norm.Choice{Layer: norm.Identity{}}
	sgd, clip := optim.NewSGD(), optim.NewClipNorm()
	sgd.LR, sgd.Momentum, sgd.WeightDecay, sgd.Decay, clip.Most = s.LR, s.Momentum, s.WeightDecay, []string{"all"}, s.Clip
	r := paper.TuneRecipe("optdigits", mlp, sgd, s.Batch)
	r.Seed, r.Steps, r.Epochs, r.Objective = seed, 0, s.Epochs, s.Objective
	r.Init.Kernels = "pytorch" // as the paper's networks begin
	r.Rules = []optim.RuleChoice{{Rule: clip}}
	return r
}

// values are all examples of a set, one after the other.
func values(set data.Dataset) ([]float32, error) {
	size := set.Info().Size()
	x := make([]float32, set.Len()*size)
	for i := range set.Len() {
		if err := set.Read(i, x[i*size:(i+1)*size]); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// measured are the calibration errors of answers to examples.
func measured(forward *bundle.Forward, x []float32, labels []int32) (map[string]float64, error) {
	logits, err := forward.Logits(x, len(labels))
	if err != nil {
		return nil, err
	}
	s, err := metric.Score(logits, labels, 10)
	if err != nil {
		return nil, err
	}
	metrics := map[string]float64{"accuracy": s.Accuracy(), "nll": s.MeanNLL(), "confidence": s.MeanConfidence()}
	for name, of := range map[string]func(bins int) (float64, error){
		"oe": s.OE, "ue": s.UE,
		"ece":  func(bins int) (float64, error) { return s.ECE(metric.EqualWidth, bins) },
		"aece": func(bins int) (float64, error) { return s.AECE(metric.EqualGroups, bins) },
		"cece": func(bins int) (float64, error) { return metric.ClasswiseECE(logits, labels, 10, bins) },
	} {
		if metrics[name], err = of(metric.DefaultBins); err != nil {
			return nil, err
		}
	}
	return metrics, nil
}

// ordered is the share of pairs of mixtures of two examples, of different classes and mixed as lambdas say, whose less mixed one has the
// higher confidence.
func ordered(forward *bundle.Forward, x []float32, labels []int32, r *rand.Rand) (float64, error) {
	lambdas := []float32{1, 0.85, 0.7, 0.55}
	n, size := len(labels), len(x)/len(labels)
	partner := make([]int, n)
	for i := range partner {
		for partner[i] = r.IntN(n); labels[partner[i]] == labels[i]; {
			partner[i] = r.IntN(n)
		}
	}
	confidence := make([][]float64, len(lambdas))
	for k, lambda := range lambdas {
		mixed := make([]float32, len(x))
		for i := range n {
			for j := range size {
				mixed[i*size+j] = lambda*x[i*size+j] + (1-lambda)*x[partner[i]*size+j]
			}
		}
		logits, err := forward.Logits(mixed, n)
		if err != nil {
			return 0, err
		}
		p, err := metric.Softmax(logits, 10)
		if err != nil {
			return 0, err
		}
		for row := range slices.Chunk(p, 10) {
			confidence[k] = append(confidence[k], slices.Max(row))
		}
	}
	right, pairs := 0.0, 0.0
	for i := range n {
		for k := range lambdas {
			for other := range k {
				if pairs++; confidence[other][i] > confidence[k][i] {
					right++
				}
			}
		}
	}
	return right / pairs, nil
}
