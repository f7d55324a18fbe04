package norm

import (
	"fmt"
	"math"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// Prior takes the running values for what Strength examples have shown, and adds the batch to them:
//
//	mean = (N mean_s + n mean_t) / (N + n)      var = (N var_s + n var_t) / (N + n)      N = Strength, n = examples of the batch
//
// It is Mixed with a source weight of N/(N+n), so that a small batch moves the statistics less than a large one. Strength 0 is the batch
// alone. Panics if Strength is negative, and where Mixed does. Source: Schneider et al., "Improving robustness against common corruptions by
// covariate shift adaptation", arXiv 2006.16971.
type Prior struct {
	Strength float64 `json:"strength"` // N, at least 0; 16
}

var _ Source = Prior{}

// NewPrior returns a strength of 16 examples.
func NewPrior() Prior { return Prior{Strength: 16} }

// Validate says what is wrong with the options, and how to fix it.
func (p Prior) Validate() error {
	if !(p.Strength >= 0) || math.IsInf(p.Strength, 0) {
		return fmt.Errorf("strength is %v; it is the number of examples that the running values stand for, at least 0", p.Strength)
	}
	return nil
}

// Statistics are the mixture.
func (p Prior) Statistics(scope *model.Scope, x *graph.Node, running *Running) (mean, variance *graph.Node) {
	if err := p.Validate(); err != nil {
		Panicf("norm.Prior %s: %v", scope.Scope(), err)
	}
	n := float64(x.Shape().Dimensions[0])
	return Mixed{SourceWeight: p.Strength / (p.Strength + n)}.Statistics(scope, x, running)
}
