package norm

import (
	"math"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// Source says where a normalisation takes its statistics from at inference. The mean and the biased variance it returns broadcast against
// x [batch, ..., channels]; they may differ from example to example. scope is that of the layer: a source that keeps something of its own
// keeps it under a scope made of this one, see UnMix. running is nil where the layer collects nothing.
//
// Give a layer another source to run a trained network with other statistics, or a whole network by With.
type Source interface {
	Statistics(scope *model.Scope, x *graph.Node, running *Running) (mean, variance *graph.Node)
}

// FromBatch takes the statistics of the batch itself, over batch and positions, for each channel.
type FromBatch struct{}

var _ Source = FromBatch{}

// Statistics of the batch.
func (FromBatch) Statistics(_ *model.Scope, x *graph.Node, running *Running) (mean, variance *graph.Node) {
	return running.moments(x, leading(x))
}

// FromRunning takes the statistics that training collected.
type FromRunning struct{}

var _ Source = FromRunning{}

// Statistics that training collected. Panics if the layer collects none.
func (FromRunning) Statistics(_ *model.Scope, x *graph.Node, running *Running) (mean, variance *graph.Node) {
	if running == nil {
		Panicf("norm.FromRunning: the layer keeps no running statistics; use FromBatch or FromAxes")
	}
	return running.values(x)
}

// FromAxes takes the statistics of each example over the given axes: all but the first one is layer normalisation, the
// positions alone instance normalisation.
type FromAxes struct{ Axes []int }

var _ Source = FromAxes{}

// Statistics of each example.
func (s FromAxes) Statistics(_ *model.Scope, x *graph.Node, running *Running) (mean, variance *graph.Node) {
	return running.moments(x, s.Axes)
}

// Running is the mean and variance that training collects, one of each per channel, in non-trainable variables named mean and
// variance; they start at 0 and 1. Of a norm that does not centre (Power, Unified) the variance is a mean of squares and there is no mean.
type Running struct {
	Momentum float64 // share of the new value, (0, 1]
	Unbiased bool    // collect the variance with 1/(n-1)

	scope          *model.Scope
	mean, variance *model.Variable // mean is nil where the layer collects none
	uncentred      bool            // the variance is a mean of squares
}

// moments are statistics of x over axes of the kind that the layer collects. r may be nil.
func (r *Running) moments(x *graph.Node, axes []int) (mean, variance *graph.Node) {
	if r == nil || !r.uncentred {
		return ops.Moments(x, axes, liveMask(x, axes))
	}
	square := ops.MeanSquare(x, axes, liveMask(x, axes))
	return graph.ZerosLike(square), square
}

func newRunning(who string, scope *model.Scope, x *graph.Node, channels int, momentum float64, unbiased bool) *Running {
	if !(momentum > 0 && momentum <= 1) {
		Panicf("%s %s: Momentum is %v; it is the share of the new value, in (0, 1]; use 0.1", who, scope.Scope(), momentum)
	}
	return &Running{
		Momentum: momentum, Unbiased: unbiased, scope: scope,
		mean:     state(scope, "mean", x, 0, channels),
		variance: state(scope, "variance", x, 1, channels),
	}
}

// state is a variable that training moves without a gradient.
func state(scope *model.Scope, name string, x *graph.Node, first float64, dims ...int) *model.Variable {
	return param.Variable(scope, name, param.Statistic, stateType(x), param.Constant(first), dims...)
}

// overDevices is the mean over the devices of a statistic that each has of its part of the batch.
func overDevices(statistic *graph.Node) *graph.Node {
	devices := ops.DevicesOf(statistic.Graph())
	if devices.Count < 2 {
		return statistic
	}
	return graph.DivScalar(ops.SumAcross(statistic)[0], float64(devices.Count))
}

// values returns the running values, shaped to broadcast against x.
func (r *Running) values(x *graph.Node) (mean, variance *graph.Node) {
	g, broadcast := x.Graph(), channelShape(x)
	variance = graph.Reshape(pass.Weight(r.variance, g), broadcast...)
	if r.mean == nil {
		return graph.ZerosLike(variance), variance
	}
	return graph.Reshape(pass.Weight(r.mean, g), broadcast...), variance
}

// collect moves the running values by the statistics of groups of count values a channel each: means and biased variances
// [groups, channels], in the order in which the groups come. No gradient flows through it.
func (r *Running) collect(means, variances *graph.Node, count int) {
	if r.Unbiased {
		variances = graph.MulScalar(variances, float64(count)/float64(count-1))
	}
	g := means.Graph()
	pass.Move(r.scope, r.mean, RunningUpdate(r.Momentum, pass.Weight(r.mean, g), means))
	pass.Move(r.scope, r.variance, RunningUpdate(r.Momentum, pass.Weight(r.variance, g), variances))
}

// RunningUpdate moves running values [channels] by the statistics of n groups [n, channels], one after the other:
//
//	r <- (1-m) r + m stat_l,  l = 0..n-1          together: (1-m)^n r + sum over l of m (1-m)^(n-1-l) stat_l
//
// without a loop. No gradient flows through it.
func RunningUpdate(momentum float64, running, stats *graph.Node) *graph.Node {
	stats = graph.ConvertDType(graph.StopGradient(stats), running.DType())
	n := stats.Shape().Dimensions[0]
	weights := make([]float64, n)
	for l := range weights {
		weights[l] = momentum * math.Pow(1-momentum, float64(n-1-l))
	}
	w := graph.ConvertDType(graph.ConstTensor(running.Graph(), tensors.FromFlatDataAndDimensions(weights, n, 1)), running.DType())
	return graph.Add(graph.MulScalar(graph.StopGradient(running), math.Pow(1-momentum, float64(n))), graph.ReduceSum(graph.Mul(w, stats), 0))
}

// leading is every axis but the last.
func leading(x *graph.Node) []int {
	axes := make([]int, x.Rank()-1)
	for i := range axes {
		axes[i] = i
	}
	return axes
}

// channelShape is [1, ..., 1, channels].
func channelShape(x *graph.Node) []int {
	shape := make([]int, x.Rank())
	for i := range shape {
		shape[i] = 1
	}
	shape[len(shape)-1] = x.Shape().Dimensions[x.Rank()-1]
	return shape
}
