package norm

import (
	"fmt"
	"math"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// IABN is instance-aware batch normalisation: each example is normalised with reference statistics, which give way where its own statistics
// differ from them by more than chance would,
//
//	mean = m_r + shrink(m_i - m_r; K sqrt((v_r + Epsilon)/L))
//	var  = max(0, v_r + shrink(v_i - v_r; K (v_r + Epsilon) sqrt(2/(L-1))))      shrink(d; t) = sign(d) max(|d| - t, 0)
//
// m_i, v_i are those of the example over its L positions, v_i with 1/(L-1). The reference m_r, v_r are the running values, or with OfBatch the
// batch's, its variance with 1/(n-1); the running values then move by Momentum times the way to it. K = 0 is instance normalisation with an
// unbiased variance, K = infinity the reference alone. Where an example has one position, as behind a dense layer, it is the reference.
//
// Panics if K, Epsilon or Momentum is outside its range, if the layer collects no mean, and with OfBatch if a channel has a single value.
// Source: Gong et al., "NOTE: Robust Continual Test-time Adaptation Against Temporal Correlation", arXiv 2208.05117.
type IABN struct {
	K        float64 `json:"k"`        // how many standard errors are chance, at least 0; 4
	Epsilon  float64 `json:"eps"`      // added to the reference variance in the thresholds; 1e-5
	OfBatch  bool    `json:"of_batch"` // the reference is the batch's; false
	Momentum float64 `json:"momentum"` // with OfBatch, share of the batch in the running values, [0, 1]; 0.01
}

var _ Source = IABN{}

// NewIABN returns the authors' four standard errors and momentum.
func NewIABN() IABN { return IABN{K: 4, Epsilon: 1e-5, Momentum: 0.01} }

// Validate says what is wrong with the options, and how to fix it.
func (n IABN) Validate() error {
	switch {
	case !(n.K >= 0) || math.IsInf(n.K, 0):
		return fmt.Errorf("k is %v; it is a number of standard errors, finite and at least 0; use 4", n.K)
	case !(n.Epsilon > 0) || math.IsInf(n.Epsilon, 0):
		return fmt.Errorf("eps is %v; use a number above 0, for example 1e-5", n.Epsilon)
	case !(n.Momentum >= 0 && n.Momentum <= 1):
		return fmt.Errorf("momentum is %v; it is the share of the batch in the running values, in [0, 1]; use 0.01", n.Momentum)
	}
	return nil
}

// Statistics are those of each example.
func (n IABN) Statistics(scope *model.Scope, x *graph.Node, running *Running) (mean, variance *graph.Node) {
	const who = "norm.IABN"
	if err := n.Validate(); err != nil {
		Panicf("%s %s: %v", who, scope.Scope(), err)
	}
	if running == nil || running.mean == nil {
		Panicf("%s %s: the layer collects no mean to compare examples with; use a network with batch normalisation", who, scope.Scope())
	}
	mean, variance = running.values(x)
	if n.OfBatch {
		mean, variance = n.batch(who, scope, x, running)
	}

	d := x.Shape().Dimensions
	l := float64(x.Shape().Size() / max(1, d[0]*d[len(d)-1]))
	if l < 2 {
		return mean, variance
	}
	own, ownVariance := ops.Moments(ops.Widen(x), positions(x), nil)
	ownVariance = graph.MulScalar(ownVariance, l/(l-1))

	spread := graph.AddScalar(variance, n.Epsilon)
	shift := shrink(graph.Sub(own, mean), graph.MulScalar(graph.Sqrt(graph.DivScalar(spread, l)), n.K))
	widen := shrink(graph.Sub(ownVariance, variance), graph.MulScalar(spread, n.K*math.Sqrt(2/(l-1))))
	return graph.Add(mean, shift), graph.MaxScalar(graph.Add(variance, widen), 0.0)
}

// batch is the reference of the batch, by which the running values move.
func (n IABN) batch(who string, scope *model.Scope, x *graph.Node, running *Running) (mean, variance *graph.Node) {
	mean, variance = batchMoments(who, scope, x, running, true)
	if n.Momentum == 0 {
		return mean, variance
	}
	g := x.Graph()
	move := func(v *model.Variable, toward *graph.Node) {
		old := graph.StopGradient(pass.Weight(v, g))
		toward = graph.Reshape(toward, v.Shape().Dimensions...)
		keep(v, graph.Add(graph.MulScalar(old, 1-n.Momentum), graph.MulScalar(toward, n.Momentum)))
	}
	move(running.mean, mean)
	move(running.variance, variance)
	return mean, variance
}

// shrink takes what is up to t from d's absolute value.
func shrink(d, t *graph.Node) *graph.Node {
	t = graph.BroadcastToDims(t, d.Shape().Dimensions...)
	return graph.Sub(graph.MaxScalar(graph.Sub(d, t), 0.0), graph.MaxScalar(graph.Neg(graph.Add(d, t)), 0.0))
}
