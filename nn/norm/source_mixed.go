package norm

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// Mixed mixes the running values with the statistics of the batch (alpha-BN):
//
//	mean = a mean_s + (1-a) mean_t      var = a var_s + (1-a) var_t      a = SourceWeight
//
// _s are the running values, _t those of each channel over batch and positions, var_t biased (1/n). a = 1 is normalisation as trained, a = 0
// with the batch alone. Variances are mixed, and not deviations or normalised values, which are other functions. The variance of the mixture
// of both distributions has a term more, which the method leaves out and MomentMatch adds.
//
// The paper and its followers disagree about what alpha weighs; SourceWeight is the share of the running values, and the target weight of
// the benchmarks is 1-a. Two options are the benchmarks' and not the paper's: UnbiasedBatchVar and StopGradStats.
//
// Panics if SourceWeight is outside [0, 1], if the layer collects nothing, and for a < 1 if a channel has a single value, of which there is
// no variance. Source: You, Li, Zhao, "Test-time Batch Statistics Calibration for Covariate Shift", arXiv 2110.04065; its value of alpha is
// recalled from the text.
type Mixed struct {
	SourceWeight     float64 `json:"source_weight"`             // a, [0, 1]; 0.9
	UnbiasedBatchVar bool    `json:"unbiased_batch_var"`        // var_t with 1/(n-1); false
	StopGradStats    bool    `json:"stop_gradient_batch_stats"` // no gradient through mean_t and var_t; false
	MomentMatch      bool    `json:"moment_match"`              // add a (1-a) (mean_s - mean_t)^2 to the variance; false
}

var _ Source = Mixed{}

// NewMixed returns a source weight of 0.9.
func NewMixed() Mixed { return Mixed{SourceWeight: 0.9} }

// Validate says what is wrong with the options, and how to fix it.
func (m Mixed) Validate() error {
	if !(m.SourceWeight >= 0 && m.SourceWeight <= 1) {
		return fmt.Errorf("source_weight is %v; it is the share of the running values, in [0, 1]: 1 is the model as trained, 0 the batch alone", m.SourceWeight)
	}
	return nil
}

// Statistics are the mixture.
func (m Mixed) Statistics(scope *model.Scope, x *graph.Node, running *Running) (mean, variance *graph.Node) {
	if err := m.Validate(); err != nil {
		Panicf("norm.Mixed %s: %v", scope.Scope(), err)
	}
	if running == nil {
		Panicf("norm.Mixed %s: the layer keeps no running statistics to mix with; use FromBatch", scope.Scope())
	}
	if m.SourceWeight == 1 {
		return running.values(x)
	}

	mean, variance = batchMoments("norm.Mixed", scope, x, running, m.UnbiasedBatchVar)
	if m.StopGradStats {
		mean, variance = graph.StopGradient(mean), graph.StopGradient(variance)
	}
	if m.SourceWeight == 0 {
		return mean, variance
	}
	a := m.SourceWeight
	mix := func(source, target *graph.Node) *graph.Node {
		return graph.Add(graph.MulScalar(source, a), graph.MulScalar(target, 1-a))
	}
	sourceMean, sourceVariance := running.values(x)
	mixed := mix(sourceVariance, variance)
	if m.MomentMatch {
		mixed = graph.Add(mixed, graph.MulScalar(graph.Square(graph.Sub(sourceMean, mean)), a*(1-a)))
	}
	return mix(sourceMean, mean), mixed
}

// batchMoments are the moments of each channel over batch and positions, of the kind that the layer collects. Panics if a channel has one
// value.
func batchMoments(who string, scope *model.Scope, x *graph.Node, running *Running, unbiased bool) (mean, variance *graph.Node) {
	channels := channelsOf(x)[0]
	count := x.Shape().Size() / max(1, channels)
	if count < 2 {
		Panicf("%s %s: a channel of x %s has one value, and one value has no variance; give batches of two examples or more, "+
			"or take the source's statistics alone", who, scope.Scope(), x.Shape())
	}
	mean, variance = running.moments(x, leading(x))
	if unbiased {
		variance = unbias(x, variance)
	}
	return mean, variance
}
