// Package descent optimises a few scalars on the host by the gradient of a loss of a model's weights, for example the shares of a soup
// or a position between models. Networks are trained by nn/optim.
package descent

import (
	"fmt"
	"math"

	"github.com/ballast-ml/ballast/format/weights"
)

// CheckLoss refuses a loss that is NaN or infinite, and a gradient that is not finite or does not have the layout of the weights. who begins
// the error of a loss.
func CheckLoss(who string, step int, value float64, w, gradient weights.Set) error {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return fmt.Errorf("%s: the loss of step %d is %v; lower the learning rate", who, step, value)
	}
	if err := w.SameLayout("the weights", gradient, "the gradient"); err != nil {
		return err
	}
	return gradient.Finite("the gradient")
}

// Adam is AdamW over a few scalars: decoupled decay, moments corrected for their start. A copy that has not moved is an Adam of its own.
type Adam struct {
	Rate, Decay, Beta1, Beta2, Epsilon float64

	first, second []float64
	steps         int
}

// Step moves x by its gradient.
func (a *Adam) Step(x, gradient []float64) {
	if a.first == nil {
		a.first, a.second = make([]float64, len(x)), make([]float64, len(x))
	}

	a.steps++
	c1, c2 := 1-math.Pow(a.Beta1, float64(a.steps)), 1-math.Pow(a.Beta2, float64(a.steps))
	for i, g := range gradient {
		x[i] -= a.Rate * a.Decay * x[i]
		a.first[i] = a.Beta1*a.first[i] + (1-a.Beta1)*g
		a.second[i] = a.Beta2*a.second[i] + (1-a.Beta2)*g*g
		x[i] -= a.Rate * (a.first[i] / c1) / (math.Sqrt(a.second[i]/c2) + a.Epsilon)
	}
}
