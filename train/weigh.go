package train

import (
	"fmt"
	"math"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/train/update"
)

// checkWeighed panics with a *fault.Usage where examples have weights, or the gradient noise that acts as such, and a loss of a whole
// batch would not see them.
func (s step) checkWeighed(goals []update.Goal) {
	key := ""
	switch {
	case s.recipe.Weigh.GradientNoise != 0:
		key = "weigh.gradient_noise"
	case s.streams[0].examples.Weights == nil:
		return
	case s.recipe.Weigh.Examples != "":
		key = "weigh.examples"
	default:
		key = "Options.Weights"
	}
	for _, g := range goals {
		for _, t := range g.Terms {
			if t.Whole {
				panic(&fault.Usage{Err: fmt.Errorf("recipe: %s weighs each example, and %s is a loss of a whole batch, in which all count the same; "+
					"leave %[1]s out, or train with losses of each example alone", key, t.Name)})
			}
		}
	}
}

// GradNoiseWeights turns standard normal draws into the per-example weights of multiplicative gradient noise:
//
//	z_n = 1 + sigma draws_n        noisy gradient = (1/batch) sum_n z_n g_n
//
// Since z_n is a constant for the gradient, weighting the per-example losses by z_n does it in one backward pass. The noise
// takes the place of a larger learning rate: sigma^2 = batch/small restores the covariance of small batches. Without sigma
// (sigma2 = 0) every weight is exactly 1. Errors if sigma2 is negative or not finite.
// Source: Hoffer, Hubara, Soudry, "Train longer, generalize better", arXiv 1705.08741, section 4.
func GradNoiseWeights(draws []float64, sigma2 float64) ([]float64, error) {
	if !(sigma2 >= 0) || math.IsInf(sigma2, 0) {
		return nil, fmt.Errorf("train: GradNoiseWeights: sigma^2 is %v; it must be finite and at least 0", sigma2)
	}
	sigma := math.Sqrt(sigma2)
	z := make([]float64, len(draws))
	for i, e := range draws {
		z[i] = 1 + sigma*e
	}
	return z, nil
}
