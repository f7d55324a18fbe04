package loss

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/ops"
)

// BalancedSoftmax is the cross-entropy of a softmax that knows how many examples n_k each class has, so that rare classes are not
// learned to be rare. At inference the network's logits are taken as they are:
//
//	loss = -sum over k of t_k log softmax(out + log n)_k
//
// Source: Ren, Yu, Sheng, Ma, Zhao, Yi, Li, "Balanced Meta-Softmax for Long-Tailed Visual Recognition", arXiv 2007.10740.
type BalancedSoftmax struct{}

var _ Loss = BalancedSoftmax{}

// Wants is labels.
func (BalancedSoftmax) Wants() []Targets { return []Targets{Labels} }

// Apply returns the loss of each example [n]; it needs In.Counts. Panics if shapes do not fit or a class has no example.
func (b BalancedSoftmax) Apply(_ *model.Scope, in In) *Node {
	logits, targets := in.classes("BalancedSoftmax")
	return in.hidden(b.Of(targets, logits, in.Counts))
}

// Of returns the loss of each example [n], in float32 or wider: targets are labels [n] or shares [n, classes], counts the examples of
// each class.
func (BalancedSoftmax) Of(targets, logits *Node, counts []int) *Node {
	if len(counts) != logits.Shape().Dimensions[1] {
		Panicf("loss.BalancedSoftmax: counts of %d classes for logits %s; want how many examples each class has",
			len(counts), logits.Shape())
	}
	prior := make([]float64, len(counts))
	for k, n := range counts {
		if n < 1 {
			Panicf("loss.BalancedSoftmax: class %d has %d examples; leave it out, it has no logarithm", k, n)
		}
		prior[k] = math.Log(float64(n))
	}

	wide := ops.Widen(logits)
	shift := ConvertDType(Const(wide.Graph(), prior), wide.DType())
	return ops.SoftmaxCrossEntropy(Add(wide, Reshape(shift, 1, len(prior))), targets)
}
