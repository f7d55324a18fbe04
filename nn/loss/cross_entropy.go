package loss

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/ops"
)

// CrossEntropy is the cross-entropy of the softmax with smoothed labels:
//
//	t' = (1 - Smoothing) t + Smoothing / classes      loss = -sum over k of t'_k log softmax(logits)_k      in nats
//
// t is the label, or the shares of classes that In.Targets has. The zero value is the plain cross-entropy. Source of the
// smoothing: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", arXiv 1512.00567, section 7.
type CrossEntropy struct {
	Smoothing float64 `json:"label_smoothing"` // share of the target spread evenly over all classes, [0, 1); 0
}

var _ Loss = CrossEntropy{}

// Apply returns the loss of each example [n]. Panics if shapes do not fit or Smoothing is outside [0, 1).
func (c CrossEntropy) Apply(_ *model.Scope, in In) *Node {
	logits, targets := in.classes("CrossEntropy")
	return in.hidden(c.Of(targets, logits))
}

// Wants is labels.
func (CrossEntropy) Wants() []Targets { return []Targets{Labels} }

// Of returns the loss of each example [batch], in float32 or wider. targets are integer labels [batch] or probabilities
// [batch, classes]; logits are [batch, classes]. Panics if shapes do not fit or Smoothing is outside [0, 1).
func (c CrossEntropy) Of(targets, logits *Node) *Node {
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
