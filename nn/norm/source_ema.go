package norm

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/pass"
)

// EMA moves the running values by each batch, at inference too, and normalises with the moved ones:
//
//	r <- (1-m) r + m stat_t      m = Momentum, stat_t of each channel over batch and positions
//
// The gradient flows through stat_t and not through the running values of before. The running values are the state: they are the layer's own
// variables. With OfBatch the batch is normalised with its own statistics, as a layer in training would, and the running values move beside.
//
// Panics if Momentum is outside (0, 1], if the layer collects nothing, and if a channel has a single value.
type EMA struct {
	Momentum float64 `json:"momentum"` // m, (0, 1]; 0.1
	Unbiased bool    `json:"unbiased"` // move the variance by the batch's with 1/(n-1), as training does; true
	OfBatch  bool    `json:"of_batch"` // normalise with the batch's statistics; false
}

var _ Source = EMA{}

// NewEMA returns a momentum of 0.1, by unbiased variances.
func NewEMA() EMA { return EMA{Momentum: 0.1, Unbiased: true} }

// Validate says what is wrong with the options, and how to fix it.
func (e EMA) Validate() error {
	if !(e.Momentum > 0 && e.Momentum <= 1) {
		return fmt.Errorf("momentum is %v; it is the share of the batch in the running values, in (0, 1]; use 0.1", e.Momentum)
	}
	return nil
}

// Statistics moves the running values and returns them, or those of the batch.
func (e EMA) Statistics(scope *model.Scope, x *graph.Node, running *Running) (mean, variance *graph.Node) {
	const who = "norm.EMA"
	if err := e.Validate(); err != nil {
		Panicf("%s %s: %v", who, scope.Scope(), err)
	}
	if running == nil {
		Panicf("%s %s: the layer keeps no running statistics to move; use FromBatch", who, scope.Scope())
	}
	mean, variance = batchMoments(who, scope, x, running, false)
	toward := variance
	if e.Unbiased {
		_, toward = batchMoments(who, scope, x, running, true)
	}

	move := func(v *model.Variable, batch *graph.Node) *graph.Node {
		old := graph.StopGradient(graph.Reshape(pass.Weight(v, x.Graph()), channelShape(x)...))
		next := graph.Add(graph.MulScalar(old, 1-e.Momentum), graph.MulScalar(batch, e.Momentum))
		keep(v, graph.Reshape(next, v.Shape().Dimensions...))
		return next
	}
	movedMean, movedVariance := mean, move(running.variance, toward)
	if running.mean != nil {
		movedMean = move(running.mean, mean)
	}
	if e.OfBatch {
		return mean, variance
	}
	return movedMean, movedVariance
}

// keep gives a variable that a source moves at inference its next value, without a gradient, unless the pass binds another in its place.
func keep(v *model.Variable, next *graph.Node) {
	g := next.Graph()
	if pass.Weight(v, g) == v.NodeValue(g) {
		v.SetNodeValue(graph.ConvertDType(graph.StopGradient(next), v.DType()))
	}
}
