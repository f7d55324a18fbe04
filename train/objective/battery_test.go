package objective_test

import (
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/data/sample"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/objective"
	"github.com/ballast-ml/ballast/train/objective/objectivetest"
	"github.com/ballast-ml/ballast/train/update"
	"github.com/ballast-ml/ballast/zoo"
)

// tiny is a network of eight units on 112 digits, seven updates a pass.
func tiny(o update.Objective, layer norm.Layer) train.Recipe {
	r := train.NewRecipe()
	network := zoo.NewMLP()
	network.Hidden, network.Norm = []int{8}, norm.Choice{Layer: layer}
	r.Network, r.Objective = zoo.Choice{Network: network}, objective.Choice{Objective: o}
	r.Prepare, r.BatchSize = data.Steps{{Preparation: data.Keep{Examples: 112}}}, 16
	rate := optim.NewSGD()
	rate.LR = 0.02
	r.Optimizer = optim.Choice{Optimizer: rate}
	return r
}

// reads is a decoder of eight units on 112 pieces of Go's package sort.
func reads() train.Recipe {
	r := tiny(objective.NewLanguage(), norm.Identity{})
	r.Data = data.Choice{Source: data.GoSource{Packages: []string{"sort"}, Context: 8, Stride: 16}}
	r.Preprocess = "none"
	n := zoo.NewDecoder()
	n.Context, n.Layers, n.Dim = 8, 1, 8
	r.Network = zoo.Choice{Network: n}
	return r
}

// more is a stream of other digits with so many views.
func more(views ...augment.View) train.Stream {
	s := train.NewStream()
	s.Prepare, s.Batch, s.Views = data.Steps{{Preparation: data.Keep{Examples: 100}}}, 8, views
	s.Sampler = sample.Choice{Sampler: sample.NewShuffle()}
	return s
}

// moved is a view that shifts the image by up to so many pixels.
func moved(pixels int) augment.View {
	shift := augment.NewShift()
	shift.Pixels = pixels
	return augment.View{{Transform: shift}}
}

// ready is a recipe for each objective of All, and what is claimed for it.
var ready = map[string]struct {
	recipe func() train.Recipe
	claims []objectivetest.Claim
}{
	"supervised": {func() train.Recipe { return tiny(objective.NewSupervised(), norm.Identity{}) }, []objectivetest.Claim{objectivetest.Parts()}},
	"language":   {reads, []objectivetest.Claim{objectivetest.Parts()}},
	"semi": {func() train.Recipe {
		o := objective.NewSemi()
		o.Shrink, o.Threshold, o.Align.Kind = true, 0.15, "ema"
		r := tiny(o, norm.NewBatch())
		r.Streams = map[string]train.Stream{objective.Unlabeled: more(moved(1), moved(2))}
		r.Average = train.Average{Decay: 0.9, Statistics: update.StatisticsCopy}
		return r
	}, nil},
	"two-networks": {func() train.Recipe {
		o := objective.NewTwoNetworks()
		o.RampSteps, o.Reweight = 5, true
		return tiny(o, norm.NewBatch())
	}, nil},
	"distil-heads": {func() train.Recipe {
		r := tiny(objective.NewDistilHeads(), norm.NewBatch())
		r.Views = []augment.View{moved(1)}
		return r
	}, nil},
	"contrastive": {vectors, nil},
	"inpaint":     {paints, []objectivetest.Claim{objectivetest.Slow()}},
}

// paints is a recipe of inpaint: small patches of digits with holes, seven updates a pass.
func paints() train.Recipe {
	o := objective.NewInpaint()
	o.Discriminator.Base, o.Discriminator.Halves = 2, 1
	r := tiny(o, norm.Identity{})
	holes := data.NewHoled()
	holes.Side, holes.Patches, holes.Held = 12, 28, 4
	r.Data, r.Prepare, r.BatchSize, r.Preprocess = data.Choice{Source: holes}, data.Steps{}, 4, "none"
	n := zoo.NewInpainter()
	n.Base, n.Blocks, n.Norm = 2, 1, "instance" // XLA takes half as long as for region
	r.Network = zoo.Choice{Network: n}
	adam := optim.NewAdamW()
	adam.Beta1, adam.Beta2, adam.WeightDecay = 0, 0.9, 0
	r.Optimizer = optim.Choice{Optimizer: adam}
	return r
}

// vectors is a recipe of contrastive with proxies of its own: four classes with four examples an update.
func vectors() train.Recipe {
	o := objective.NewContrastive()
	o.Loss, o.Dim = loss.SetChoice{Set: loss.NewProxyAnchor()}, 6
	o.Extra = []objective.Extra{{Loss: loss.SetChoice{Set: loss.NewTCM()}, Weight: 0.5}}
	r := tiny(o, norm.NewBatch())
	r.Sampler = sample.Choice{Sampler: sample.PK{Classes: 4, Members: 4}}
	rate := optim.NewSGD()
	rate.LR = 2e-4 // the gradient of proxies is 32 times as steep, and rounding must not grow
	r.Optimizer = optim.Choice{Optimizer: rate}
	return r
}

// TestBattery holds every objective against what all of them must keep; supervised also with what has state or looks at the batch.
func TestBattery(t *testing.T) {
	for _, kind := range objective.All() {
		one, ok := ready[kind.Name]
		if !ok {
			t.Errorf("objective %s has no recipe here", kind.Name)
			continue
		}
		t.Run(kind.Name, func(t *testing.T) { objectivetest.Run(t, one.recipe, one.claims...) })
	}
	t.Run("contrastive with mixed examples and views", func(t *testing.T) {
		objectivetest.Run(t, func() train.Recipe {
			r := vectors()
			o := r.Objective.Objective.(objective.Contrastive)
			o.Mix, o.Level = augment.MixingChoice{Mixing: augment.NewPairs()}, "feature"
			r.Objective.Objective, r.Views = o, []augment.View{{}, moved(1)}
			return r
		})
	})
	t.Run("supervised with a table and averages", func(t *testing.T) {
		objectivetest.Run(t, func() train.Recipe {
			o := objective.NewSupervised()
			o.Loss = loss.Choice{Loss: loss.NewELR()}
			r := tiny(o, norm.NewBatch())
			r.Optimizer = optim.Choice{Optimizer: optim.NewAdamW()}
			r.Average = train.Average{Decay: 0.9, Statistics: update.StatisticsAverage}
			r.Views = []augment.View{moved(1)}
			return r
		})
	})
	t.Run("supervised with a loss of the batch", func(t *testing.T) {
		objectivetest.Run(t, func() train.Recipe {
			o := objective.NewSupervised()
			o.Extra = []objective.Extra{{Loss: loss.SetChoice{Set: loss.NewTCM()}, Weight: 0.5}}
			r := tiny(o, norm.Identity{})
			r.Sampler = sample.Choice{Sampler: sample.PK{Classes: 4, Members: 4}}
			return r
		})
	})
	t.Run("supervised with a ranking of mixtures", func(t *testing.T) {
		objectivetest.Run(t, func() train.Recipe {
			o := objective.NewSupervised()
			ranking := loss.NewMNDCG()
			ranking.Copies = 2
			o.Extra = []objective.Extra{{Loss: loss.SetChoice{Set: ranking}, Weight: 0.5}}
			return tiny(o, norm.Identity{})
		})
	})
	t.Run("supervised with mixed examples", func(t *testing.T) {
		objectivetest.Run(t, func() train.Recipe {
			o := objective.NewSupervised()
			mixing := augment.NewMixupCutMix()
			mixing.CutMix, mixing.Partner.Partner = 0.5, "permutation"
			o.Mix = augment.MixingChoice{Mixing: mixing}
			return tiny(o, norm.Identity{})
		})
	})
	t.Run("supervised with a module between", func(t *testing.T) {
		objectivetest.Run(t, func() train.Recipe {
			o := objective.NewSupervised()
			o.Between = objective.BetweenChoice{Between: objective.NewBatchFormer()}
			return tiny(o, norm.Identity{})
		})
	})
}

// TestDevices: two devices give what one gives, tables, averages and the objective's own state among it, where nothing in an update is
// random. With views and mixings, which the battery's other recipes have, they are refused.
func TestDevices(t *testing.T) {
	for name, recipe := range map[string]func() train.Recipe{
		"a table, and an average": func() train.Recipe {
			o := objective.NewSupervised()
			o.Loss = loss.Choice{Loss: loss.NewELR()}
			r := tiny(o, norm.NewBatch())
			r.Average = train.Average{Decay: 0.9, Statistics: update.StatisticsAverage}
			return r
		},
		"streams, and a teacher": func() train.Recipe {
			o := objective.NewSemi()
			o.Shrink, o.Threshold, o.Align.Kind = true, 0.15, "ema"
			r := tiny(o, norm.NewBatch())
			r.Streams = map[string]train.Stream{objective.Unlabeled: more(augment.View{}, augment.View{})}
			r.Average = train.Average{Decay: 0.9, Statistics: update.StatisticsCopy}
			return r
		},
		"turns, tables, and teachers of each other": func() train.Recipe {
			o := objective.NewTwoNetworks()
			o.RampSteps, o.Reweight, o.MixupAlpha = 5, true, 0
			return tiny(o, norm.NewBatch())
		},
	} {
		t.Run(name, func(t *testing.T) { objectivetest.Devices(t, recipe) })
	}
}
