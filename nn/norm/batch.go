package norm

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// Batch is batch normalisation:
//
//	y = scale (x - mean) / sqrt(var + Epsilon) + offset      mean, var of each channel over batch and positions, var biased (1/n)
//
// x is [batch, ..., channels]; y has its shape and dtype; scale, offset, mean, variance are [channels], in float32 for
// narrower x. Training normalises with the batch and moves the running values once, by default with the unbiased variance
// (1/(n-1)), as the common frameworks do; inference takes its statistics from Inference, by default the running values, and
// accepts any batch. Panics in training if a channel has fewer than two values, and if Momentum is outside (0, 1].
// Source: Ioffe, Szegedy, "Batch Normalization", arXiv 1502.03167.
type Batch struct {
	Momentum float64 `json:"momentum"`             // share of the new value in the running one, (0,1]; 0.1
	Epsilon  float64 `json:"eps"`                  // added to the variance; 1e-5
	Unbiased bool    `json:"running_var_unbiased"` // collect the unbiased variance; true

	// Inference is where statistics come from when not training; nil = the running values.
	Inference Source `json:"-"`
}

var _ Layer = Batch{}

// NewBatch returns the defaults.
func NewBatch() Batch { return Batch{Momentum: 0.1, Epsilon: 1e-5, Unbiased: true} }

// Apply normalises x.
func (b Batch) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	batch := max(1, x.Shape().Dimensions[0]) * ops.DevicesOf(x.Graph()).Count
	return Ghost{GroupSize: batch, Momentum: b.Momentum, Epsilon: b.Epsilon, Unbiased: b.Unbiased, Inference: b.Inference}.apply("norm.Batch", scope, x)
}

// entering is x as a normalisation gets it: checked, and seen.
func entering(who string, scope *model.Scope, x *graph.Node) *graph.Node {
	checkActivations(who, scope, x)
	return pass.See(scope, pass.Norm, x)
}

// checkActivations panics unless x is [batch, ..., channels].
func checkActivations(who string, scope *model.Scope, x *graph.Node) {
	if x.Rank() < 2 || !x.DType().IsFloat() {
		Panicf("%s %s: x is %s; want floats [batch, ..., channels]", who, scope.Scope(), x.Shape())
	}
}
