package augment

import (
	"math"

	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/ops"
)

// TransMix is MixupCutMix whose targets in a CutMix update follow where the network looks. With a_t the attention of the class token
// to patch t, mean over the heads of the last block, of the same forward pass, and M_t whether the box covers the patch, the partner's
// share is
//
//	(1 - Ratio) area/(H W) + Ratio sum_t M_t a_t / sum_t a_t
//
// The attention is a constant: no gradient goes to it. Where it is 0 everywhere the share is the area's. An update with Mixup keeps its
// shares.
//
// The paper's main formula is the attention alone, Ratio 1; its experiments and the official code take the mean of both, Ratio 0.5.
//
// Source: Chen et al., "TransMix: Attend to Mix for Vision Transformers", arXiv 2111.09833.
type TransMix struct {
	MixupCutMix
	Ratio float64 `json:"ratio"` // weight of the attention, [0, 1]; 0.5
}

var _ Retargeting = TransMix{}

// NewTransMix returns the official recipe.
func NewTransMix() TransMix { return TransMix{MixupCutMix: NewMixupCutMix(), Ratio: 0.5} }

// Validate errors as MixupCutMix does, and for a ratio outside [0, 1].
func (t TransMix) Validate() error {
	if err := t.valid("transmix"); err != nil {
		return err
	}
	return within("transmix", "ratio", t.Ratio, 0, 1)
}

// Mix mixes images as MixupCutMix does.
func (t TransMix) Mix(d Draws, x *graph.Node) Mixed { return t.mix("transmix", d, x) }

// Retarget is (1 - share) oneHot + share oneHot[partner], [batch, classes].
func (t TransMix) Retarget(m Mixed, oneHot, attention *graph.Node) *graph.Node {
	share := t.Share(m, attention)
	own, partner := m.Parts[0], m.Parts[1]
	return combine(oneHot, []Part{{graph.OneMinus(share), own.From}, {share, partner.From}})
}

// Share is the partner's share of each example's target, [batch]. attention is [batch, tokens] of a square grid of patches, or
// [batch, rows, columns].
func (t TransMix) Share(m Mixed, attention *graph.Node) *graph.Node {
	_, height, width, _ := images("transmix", m.X)
	if m.Box == nil || len(m.Parts) != 2 {
		Panicf("augment: transmix: the batch was not mixed with CutMix; mix it with TransMix")
	}
	attention = grid(attention, m.X.Shape().Dimensions[0])
	d := attention.Shape().Dimensions
	area := m.Parts[1].Weight

	a := graph.StopGradient(ops.Widen(attention))
	mask := graph.Reshape(boxMask(m.Box, height, width, d[1], d[2]), 1, d[1], d[2])
	inside := graph.ReduceSum(graph.Mul(a, graph.ConvertDType(graph.BroadcastToDims(mask, d...), a.DType())), 1, 2)
	whole := graph.ReduceSum(a, 1, 2)
	dark := graph.LessThan(whole, graph.Scalar(a.Graph(), a.DType(), 1e-8))
	looked := graph.ConvertDType(graph.Div(inside, graph.Where(dark, graph.OnesLike(whole), whole)), area.DType())
	looked = graph.Where(dark, area, looked)

	// Mixup has no box, and padding no partner: both keep the share they have.
	rows := graph.Sub(element(m.Box, 1), element(m.Box, 0))
	columns := graph.Sub(element(m.Box, 3), element(m.Box, 2))
	pasted := graph.GreaterThan(graph.Mul(rows, columns), graph.ScalarZero(a.Graph(), m.Box.DType()))
	mixed := graph.LogicalAnd(pasted, graph.GreaterThan(area, graph.ZerosLike(area)))
	share := graph.Add(graph.MulScalar(area, 1-t.Ratio), graph.MulScalar(looked, t.Ratio))
	return graph.Where(mixed, share, area)
}

// TokenMask is which patches of a grid the box covers, [rows, columns] bools.
func (m Mixed) TokenMask(rows, columns int) *graph.Node {
	_, height, width, _ := images("transmix", m.X)
	if m.Box == nil {
		Panicf("augment: there is no box in this mixture")
	}
	return boxMask(m.Box, height, width, rows, columns)
}

// grid is attention as [batch, rows, columns].
func grid(attention *graph.Node, n int) *graph.Node {
	if attention.Rank() < 2 || attention.Rank() > 3 || attention.Shape().Dimensions[0] != n || !attention.DType().IsFloat() {
		Panicf("augment: transmix: attention is %s; want floats [%d, patches] or [%[2]d, rows, columns]",
			attention.Shape(), n)
	}
	if attention.Rank() == 3 {
		return attention
	}
	tokens := attention.Shape().Dimensions[1]
	side := int(math.Round(math.Sqrt(float64(tokens))))
	if side*side != tokens {
		Panicf("augment: transmix: %d patches are not a square; give attention [batch, rows, columns], without the class token",
			tokens)
	}
	return graph.Reshape(attention, n, side, side)
}
