package attention

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// Softmax is scaled dot-product attention:
//
//	y = P v      P = softmax(Scale q k^T) along the keys that the mask shows      lse = log(sum(exp(Scale q k^T)))
//
// It has no variables. Source: Vaswani et al., "Attention Is All You Need", arXiv 1706.03762.
type Softmax struct{}

var _ Kernel = Softmax{}

// Attend answers each query. See ops.ScaledAttention for the gradient.
func (Softmax) Attend(scope *model.Scope, h Heads) (y, lse *graph.Node) {
	if h.Sums {
		lse = ops.AttentionSums(h.Q, h.K, h.Mask, h.Scale)
	}
	if !pass.Tapped(h.Q.Graph()) {
		return ops.ScaledAttention(h.Q, h.K, h.V, h.Mask, h.Scale), lse
	}

	p := pass.See(scope, pass.Probabilities, ops.AttentionProbabilities(h.Q, h.K, h.Mask, h.Scale))
	return graph.DotGeneral(p, []int{3}, []int{0, 1}, h.V, []int{2}, []int{0, 1}), lse
}
