package ops

import (
	"math"

	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// Attention is scaled dot-product attention:
//
//	y = P v      P = softmax(q k^T / sqrt(d)) along the keys
//
// q is [batch, heads, queries, d], k [batch, heads, keys, d], v [batch, heads, keys, e]; y is [batch, heads, queries, e].
// mask, which may be nil, is bool and broadcasts against [batch, heads, queries, keys]; a query that may see no key gets 0.
// The gradient is in closed form: dP = dy v^T, dS = P (dP - rowsum(P dP)).
// Source: Vaswani et al., "Attention Is All You Need", arXiv 1706.03762.
func Attention(q, k, v, mask *graph.Node) *graph.Node {
	scale := 1.0
	if q.Rank() == 4 { // else ScaledAttention refuses it
		scale = 1 / math.Sqrt(float64(q.Shape().Dimensions[3]))
	}
	return ScaledAttention(q, k, v, mask, scale)
}

// ScaledAttention is Attention with P = softmax(scale q k^T).
func ScaledAttention(q, k, v, mask *graph.Node, scale float64) *graph.Node {
	checkAttention(q, k, v)
	q = graph.MulScalar(q, scale)
	batch := []int{0, 1}
	weights := func(q, k *graph.Node) *graph.Node { return MaskedSoftmax(attentionLogits(q, k), mask, 3) }
	y := graph.DotGeneral(weights(graph.StopGradient(q), graph.StopGradient(k)), []int{3}, batch, graph.StopGradient(v), []int{2}, batch)
	return CustomGradient(y, []*graph.Node{q, k, v}, func(dy *graph.Node) []*graph.Node {
		p := weights(q, k)
		dv := graph.DotGeneral(p, []int{2}, batch, dy, []int{2}, batch)
		dp := graph.DotGeneral(dy, []int{3}, batch, v, []int{3}, batch)
		ds := softmaxGradient(p, dp)
		return []*graph.Node{
			graph.DotGeneral(ds, []int{3}, batch, k, []int{2}, batch), graph.DotGeneral(ds, []int{2}, batch, q, []int{2}, batch), dv,
		}
	})
}

func checkAttention(q, k, v *graph.Node) {
	fits := q.Rank() == 4 && k.Rank() == 4 && v.Rank() == 4 && q.DType() == k.DType() && q.DType() == v.DType()
	for i := 0; fits && i < 2; i++ {
		fits = q.Shape().Dimensions[i] == k.Shape().Dimensions[i] && k.Shape().Dimensions[i] == v.Shape().Dimensions[i]
	}
	if !fits || q.Shape().Dimensions[3] != k.Shape().Dimensions[3] || k.Shape().Dimensions[2] != v.Shape().Dimensions[2] {
		Panicf("ops.Attention: q is %s, k %s, v %s; want [batch, heads, queries, d], [batch, heads, keys, d] and [batch, heads, keys, e]", q.Shape(), k.Shape(), v.Shape())
	}
}

// AttentionProbabilities are the P of ScaledAttention, [batch, heads, queries, keys], for what needs to see or to change them:
// y is P v, and the gradient goes through each, by the same formulas. ScaledAttention itself keeps none of them.
func AttentionProbabilities(q, k, mask *graph.Node, scale float64) *graph.Node {
	checkAttention(q, k, k)
	logits := attentionLogits(graph.MulScalar(q, scale), k)
	p := MaskedSoftmax(graph.StopGradient(logits), mask, 3)
	return CustomGradient(p, []*graph.Node{logits}, func(dp *graph.Node) []*graph.Node {
		return []*graph.Node{softmaxGradient(MaskedSoftmax(logits, mask, 3), dp)} // of the logits, for second derivatives
	})
}

// softmaxGradient is P (dP - rowsum(P dP)).
func softmaxGradient(p, dp *graph.Node) *graph.Node {
	own := graph.ReduceAndKeep(graph.Mul(dp, p), graph.ReduceSum, 3)
	return graph.Mul(p, graph.Sub(dp, own))
}

// AttentionSums are the logarithms of what P of ScaledAttention was divided by, log(sum(exp(scale q k^T))), [batch, heads, queries]: with
// them answers over parts of the keys can be joined. A query that may see no key has minus infinity.
func AttentionSums(q, k, mask *graph.Node, scale float64) *graph.Node {
	checkAttention(q, k, k)
	return MaskedLogSumExp(attentionLogits(graph.MulScalar(q, scale), k), mask, 3)
}

// attentionLogits is q k^T, q already scaled.
func attentionLogits(q, k *graph.Node) *graph.Node {
	batch := []int{0, 1}
	return graph.DotGeneral(q, []int{3}, batch, k, []int{3}, batch)
}
