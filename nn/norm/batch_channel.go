package norm

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/ops"
)

// BatchChannel is batch-channel normalisation: each channel is normalised over the batch, then each example over groups of
// channels,
//
//	z = batch(x)                                            Batch, or Estimated for batches of one or two examples
//	y = scale_g (z - mean_g) / sqrt(var_g + Epsilon) + offset_g      g = example and group, var_g biased (1/n)
//
// x is [batch, ..., channels]; y has its shape and dtype. The first step has a scale and an offset for each channel, the
// second one of each group. The first step keeps channels from being crushed by stronger ones of their group, the second
// makes up for the noise of the first. It belongs behind convolutions with standardised kernels (linear.Standardize).
//
// Panics where Batch or Estimated and Group do.
// Source: Qiao, Wang, Liu, Shen, Yuille, "Micro-Batch Training with Batch-Channel Normalization", arXiv 1903.10520.
type BatchChannel struct {
	Groups   int     `json:"groups"`      // 32
	Fallback bool    `json:"fallback"`    // take the next smaller number that divides the channels and leaves two or more per group; true
	Estimate bool    `json:"estimate"`    // first step by Estimated instead of Batch; true
	Rate     float64 `json:"update_rate"` // of Estimated; 0.02
	Momentum float64 `json:"momentum"`    // of Batch; 0.1
	Epsilon  float64 `json:"eps"`         // added to each variance; 1e-5
}

var _ Layer = BatchChannel{}

// NewBatchChannel returns the paper's defaults for micro-batches.
func NewBatchChannel() BatchChannel {
	return BatchChannel{Groups: 32, Fallback: true, Estimate: true, Rate: 0.02, Momentum: 0.1, Epsilon: 1e-5}
}

// Apply normalises x.
func (b BatchChannel) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	checkActivations("norm.BatchChannel", scope, x)
	groups := pairedGroups("norm.BatchChannel", scope, x, b.Groups, b.Fallback)
	var first Layer = Batch{Momentum: b.Momentum, Epsilon: b.Epsilon, Unbiased: true}
	if b.Estimate {
		first = Estimated{Rate: b.Rate, Epsilon: b.Epsilon}
	}
	z := ops.Widen(first.Apply(scope.In("batch"), x))
	// One scale and one offset for all channels of a group.
	scale, offset := affine(scope.In("group"), x, []int{groups}, []int{groups, 1})
	each := func(v *graph.Node) *graph.Node {
		return graph.Reshape(graph.BroadcastToDims(v, groups, channelsOf(x)[0]/groups), channelShape(x)...)
	}
	return graph.ConvertDType(inGroups(z, each(scale), each(offset), groups, b.Epsilon), x.DType())
}

// Warning says what is odd about the options, or "".
func (b BatchChannel) Warning() string {
	if b.Estimate {
		return Estimated{Rate: b.Rate}.Warning()
	}
	return ""
}
