// Package loss has the losses. A loss returns one value per example, [batch]; mean and weights are applied once, by Mean.
//
//	loss           targets                                        formula
//	CrossEntropy   labels [batch] or probabilities [batch, k]     -sum over k of t'_k log softmax(logits)_k
package loss

import (
	. "github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/ops"
)

// CrossEntropy is the cross-entropy of the softmax with smoothed labels:
//
//	t' = (1 - Smoothing) t + Smoothing / classes      loss = -sum over k of t'_k log softmax(logits)_k      in nats
//
// The zero value is the plain cross-entropy. Source of the smoothing: Szegedy et al., "Rethinking the Inception
// Architecture for Computer Vision", arXiv 1512.00567, section 7.
type CrossEntropy struct {
	Smoothing float64 `json:"label_smoothing"` // share of the target spread evenly over all classes, [0, 1); 0
}

// Apply returns the loss of each example [batch], in float32 or wider. targets are integer labels [batch] or probabilities
// [batch, classes]; logits are [batch, classes]. Panics if shapes do not fit or Smoothing is outside [0, 1).
func (c CrossEntropy) Apply(targets, logits *Node) *Node {
	if !(c.Smoothing >= 0 && c.Smoothing < 1) {
		Panicf("loss.CrossEntropy: Smoothing is %v; use a number from 0 to below 1", c.Smoothing)
	}
	hard := ops.SoftmaxCrossEntropy(logits, targets)
	if c.Smoothing == 0 {
		return hard
	}
	uniform := MulScalar(OnesLike(ops.Widen(logits)), 1/float64(logits.Shape().Dimensions[1]))
	return Add(MulScalar(hard, 1-c.Smoothing), MulScalar(ops.SoftmaxCrossEntropy(logits, uniform), c.Smoothing))
}

// Mean is the weighted mean over the batch, (1/batch) sum of w_n loss_n; weights [batch] may be nil (all 1) and carry no
// gradient. It divides by the batch and not by the sum of the weights, so that a weight scales its example's gradient
// whatever the others are.
func Mean(perExample, weights *Node) *Node {
	if perExample.Rank() != 1 {
		Panicf("loss.Mean: losses are %s; want one per example, [batch]", perExample.Shape())
	}
	if weights != nil {
		if !weights.Shape().EqualDimensions(perExample.Shape()) {
			Panicf("loss.Mean: weights are %s for losses %s; want one per example", weights.Shape(), perExample.Shape())
		}
		perExample = Mul(perExample, ConvertDType(StopGradient(weights), perExample.DType()))
	}
	return ReduceAllMean(perExample)
}
