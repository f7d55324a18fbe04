package inpaint

import (
	"errors"
	"fmt"
	"math"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/objective"
	"github.com/ballast-ml/ballast/zoo"
)

// Config says everything about one run but where its images come from. Both networks are moved by Adam in every update, by the objective
// inpaint; without adversarial loss (loss.gan_weight 0) there is no discriminator.
type Config struct {
	Generator     zoo.InpaintGenerator     `json:"generator"`
	Discriminator zoo.InpaintDiscriminator `json:"discriminator"`
	Loss          loss.Inpainting          `json:"loss"`
	Holes         data.Holes               `json:"holes"`
	Side          int                      `json:"side"`           // of a patch, a multiple of 4; 256
	Patches       int                      `json:"patches"`        // cut out to train on; 1024
	Held          int                      `json:"held"`           // cut out of held images to measure on; 64
	Batch         int                      `json:"batch"`          // patches an update; 14
	Steps         int                      `json:"steps"`          // updates; 10,000
	LR            float64                  `json:"lr"`             // of both networks; 1e-4
	Beta1         float64                  `json:"beta1"`          // 0
	Beta2         float64                  `json:"beta2"`          // 0.9
	Every         int                      `json:"evaluate_every"` // updates between two measurements; 100
	Seed          uint64                   `json:"seed"`           // of patches, holes, weights and order; 1
}

// NewConfig returns the official setting, of 11.6 million parameters, and 2.8 million of the discriminator, for patches of 256 pixels.
func NewConfig() Config {
	return Config{
		Generator: zoo.NewInpaintGenerator(), Discriminator: zoo.NewInpaintDiscriminator(), Loss: loss.NewInpainting(), Holes: data.NewHoles(),
		Side: 256, Patches: 1024, Held: 64, Batch: 14, Steps: 10000, LR: 1e-4, Beta1: 0, Beta2: 0.9, Every: 100, Seed: 1,
	}
}

// NewSmallConfig returns a setting that takes minutes on two cores: narrow networks, and patches of 32 pixels.
func NewSmallConfig() Config {
	c := NewConfig()
	c.Generator.Base, c.Generator.Blocks = 8, 2
	c.Discriminator.Base, c.Discriminator.Halves = 16, 2
	c.Side, c.Batch, c.Steps, c.Every, c.LR = 32, 8, 1000, 50, 1e-3
	return c
}

// Validate says what is wrong with the configuration, and how to fix it.
func (c Config) Validate() error {
	errs := []error{c.Generator.Validate()}
	if err := c.Holes.Validate(c.Side); err != nil {
		errs = append(errs, fmt.Errorf("inpaint: %w", err))
	}
	check := func(ok bool, key string, got any, fix string) {
		if !ok {
			errs = append(errs, fmt.Errorf("inpaint: %s is %v; %s", key, got, fix))
		}
	}
	const mostSide, most = 4096, math.MaxInt32 // patches are held in memory; steps are counted in 32 bits
	check(c.Side >= 12 && c.Side%4 == 0 && c.Side <= mostSide, "side", c.Side, "use a multiple of 4, at least 12 and at most 4096")
	check(c.Patches <= most && c.Held <= most && c.Steps <= most && c.Every <= most, "patches, held, steps or evaluate_every", "too large", "use at most 2147483647")
	check(c.Patches >= 1, "patches", c.Patches, "use at least 1")
	check(c.Held >= 1, "held", c.Held, "use at least 1")
	check(c.Batch >= 1 && c.Batch <= c.Patches, "batch", c.Batch, "use at least 1, and not more than patches")
	check(c.Steps >= 1, "steps", c.Steps, "use at least 1")
	check(c.Every >= 1, "evaluate_every", c.Every, "use at least 1")
	check(c.LR > 0, "lr", c.LR, "use a number above 0")
	check(c.Beta1 >= 0 && c.Beta1 < 1, "beta1", c.Beta1, "use a number from 0 to below 1")
	check(c.Beta2 >= 0 && c.Beta2 < 1, "beta2", c.Beta2, "use a number from 0 to below 1")
	check(c.Loss.L1 >= 0 && c.Loss.GAN >= 0 && c.Loss.L1+c.Loss.GAN > 0, "loss", c.Loss, "use weights from 0, not both 0")
	if c.Loss.GAN > 0 {
		check(c.Discriminator.Base >= 1 && c.Discriminator.Halves >= 1, "discriminator", c.Discriminator, "use at least 1 of base and halves")
		if err := c.Discriminator.Validate(); err != nil {
			return errors.Join(append(errs, err)...)
		}
		// Each of the two last convolutions takes a pixel off each side.
		check(c.Side>>c.Discriminator.Halves > 2, "discriminator.halves", c.Discriminator.Halves, "leave more than 2 pixels of a patch, so use fewer halves or larger patches")
	}
	return errors.Join(errs...)
}

// Source is the patches of a run, of images from another source.
func (c Config) Source(from data.Source) data.Holed {
	return data.Holed{Of: data.Choice{Source: from}, Side: c.Side, Patches: c.Patches, Held: c.Held, Holes: c.Holes, Seed: c.Seed}
}

// Recipe is the run as a recipe, which "ballast train" takes too.
func (c Config) Recipe(from data.Source) train.Recipe {
	r := train.NewRecipe()
	r.Name, r.Data.Source, r.Test, r.Preprocess = "inpaint", c.Source(from), "", "none"
	network := zoo.NewInpainter()
	network.InpaintGenerator = c.Generator
	r.Network.Network = network
	r.Objective.Objective = objective.Inpaint{Loss: c.Loss, Discriminator: c.Discriminator}

	r.Seed, r.Steps, r.BatchSize, r.LogEvery, r.EvaluateEvery = c.Seed, c.Steps, c.Batch, c.Every, 0
	adam := optim.NewAdamW()
	adam.LR, adam.Beta1, adam.Beta2, adam.WeightDecay = c.LR, c.Beta1, c.Beta2, 0
	r.Optimizer.Optimizer = adam
	r.Schedule.Name = "constant"
	r.Checkpoint = train.Checkpoint{EverySteps: c.Every, EverySeconds: 300, KeepLast: 1}
	return r
}
