package norm

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// Estimated is batch normalisation for batches of one or two examples: it normalises with estimates of the mean and the
// variance of each channel, in training too. A training step moves the estimates first, then uses them:
//
//	variance <- variance + r (mean_b((x - mean)^2) - variance)      with the mean of before this step
//	mean     <- mean + r (mean_b(x) - mean)
//	y = scale (x - mean) / sqrt(variance + Epsilon) + offset
//
// x is [batch, ..., channels]; y has its shape and dtype; scale, offset, mean, variance are [channels] and start at 1, 0, 0, 1;
// mean_b runs over batch and positions, and over all devices. The estimates are constants for the gradient,
// dx = dy scale / sqrt(variance + Epsilon). Inference uses them as they are.
//
// The rate r starts at Rate and lives in the variable rate, so that SetRates can change it while a compiled network trains:
// large at first, since the estimates start far from the data, then small. Panics if Rate is outside [0, 1]. With a rate of 0
// the estimates stay at 0 and 1; Warning says so.
// Source: Qiao, Wang, Liu, Shen, Yuille, "Micro-Batch Training with Batch-Channel Normalization", arXiv 1903.10520.
type Estimated struct {
	Rate    float64 `json:"update_rate"` // first value of r, [0,1]; 0.02
	Epsilon float64 `json:"eps"`         // added to the variance; 1e-5
}

var _ Layer = Estimated{}

// NewEstimated returns the defaults.
func NewEstimated() Estimated { return Estimated{Rate: 0.02, Epsilon: 1e-5} }

// Apply normalises x.
func (e Estimated) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	x = entering("norm.Estimated", scope, x)
	if !(e.Rate >= 0 && e.Rate <= 1) {
		Panicf("norm.Estimated %s: Rate is %v; it is the share of the new value in the estimate, in [0, 1]; use 0.02", scope.Scope(), e.Rate)
	}
	mean := state(scope, "mean", x, 0, channelsOf(x)...)
	variance := state(scope, "variance", x, 1, channelsOf(x)...)
	rate := state(scope, "rate", x, e.Rate)
	scale, offset := affine(scope, x, channelsOf(x), channelShape(x))

	g, shape := x.Graph(), channelShape(x)
	m, v := pass.Weight(mean, g), pass.Weight(variance, g)
	if pass.Training(scope, g) {
		wide := graph.StopGradient(ops.Widen(x))
		r := pass.Weight(rate, g)
		toward := func(before, batch *graph.Node) *graph.Node {
			batch = overDevices(graph.Reshape(batch, before.Shape().Dimensions...))
			return graph.Add(before, graph.Mul(r, graph.Sub(batch, before)))
		}
		v = toward(v, ops.MeanSquare(graph.Sub(wide, graph.Reshape(m, shape...)), leading(x), nil))
		first, _ := ops.Moments(wide, leading(x), nil)
		m = toward(m, first)
		pass.Move(scope, variance, v)
		pass.Move(scope, mean, m)
	}

	if !pass.Training(scope, g) && givenIn(g) != nil {
		first, second := Collected(scope, x, mean, variance)
		return graph.ConvertDType(normalise(x, scale, offset, first, second, e.Epsilon), x.DType())
	}

	current := func(v *graph.Node) *graph.Node { return graph.StopGradient(graph.Reshape(v, shape...)) }
	return graph.ConvertDType(normalise(x, scale, offset, current(m), current(v), e.Epsilon), x.DType())
}

// Warning says what is odd about the options, or "".
func (e Estimated) Warning() string {
	if e.Rate == 0 {
		return "norm.Estimated: update_rate is 0, so the estimates stay at mean 0 and variance 1; set it, or call norm.SetRates"
	}
	return ""
}

// SetRates sets the update rate of every Estimated layer of a store, and returns how many there are.
func SetRates(store *model.Store, rate float64) (int, error) {
	n := 0
	for v := range store.IterVariables() {
		if v.Name() != "rate" || param.Of(v) != param.Statistic || v.Shape().Rank() != 0 {
			continue
		}
		value := tensors.FromScalar(float32(rate))
		if v.DType() != value.DType() {
			value = tensors.FromScalar(rate)
		}
		if err := v.SetValue(value); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
