package loss

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/ops"
)

// Contrastive draws pairs of one class together and pushes those of two apart, by the distance d of embeddings of length 1. y is 1 for
// a pair of one class and 0 for one of two, or between for others that were mixed:
//
//	loss = mean of y max(d - Positive, 0) + mean of (1-y) max(Negative - d, 0)
//
// each over the terms above 0 alone. It is the form of the official code; Pairs has one by cosines that adds up for each anchor.
// Sources: Hadsell, Chopra, LeCun, "Dimensionality Reduction by Learning an Invariant Mapping", CVPR 2006; for mixed pairs
// Venkataramanan et al., "It Takes Two to Tango: Mixup for Deep Metric Learning", arXiv 2106.04990.
type Contrastive struct {
	Positive float64 `json:"pos_margin"` // 0
	Negative float64 `json:"neg_margin"` // 0.5
}

var _ Set = Contrastive{}

// NewContrastive returns the margins of the official code.
func NewContrastive() Contrastive { return Contrastive{Positive: 0, Negative: 0.5} }

// OfBatch says that this is a Set.
func (Contrastive) OfBatch() {}

// Wants is labels.
func (Contrastive) Wants() []Targets { return []Targets{Labels} }

// Apply compares Features[0] with each other by Labels; or, where In has Features[1] and Targets, with those by the shares of their
// classes. Panics if shapes do not fit.
func (c Contrastive) Apply(_ *model.Scope, in In) *Node {
	x := in.pairs("Contrastive")
	// The squared distance of two unit vectors.
	return c.Of(distance(MulScalar(OneMinus(x.sim), 2)), x.share, x.valid)
}

// Of is the loss of pairs of any shape: their distances, the constants y, and which of them are valid, bool; nil for all.
func (c Contrastive) Of(distances, share, valid *Node) *Node {
	for _, v := range []float64{c.Positive, c.Negative} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			Panicf("loss.Contrastive: margins are %v and %v; use finite numbers", c.Positive, c.Negative)
		}
	}
	share = StopGradient(share)
	side := func(y, hinge *Node) *Node {
		term := Mul(y, hinge)
		above := GreaterThan(term, ZerosLike(term))
		if valid != nil {
			above = LogicalAnd(above, valid)
		}
		return meanWhere(term, above)
	}
	near := side(share, AddScalar(distances, -c.Positive))
	return Add(near, side(OneMinus(share), Neg(AddScalar(distances, -c.Negative))))
}

// MixedPairs are the distances [k] between anchors and mixed examples, all taken from embeddings [n, d] by places [k]:
//
//	v = weight e[first] + (1 - weight) e[second]      d = || unit(e[anchor]) - unit(v) ||
//
// weight is a scalar, a constant. The gradient goes to anchors and to both that are mixed. Embeddings are mixed as they are, and take
// length 1 afterwards.
func MixedPairs(embeddings, anchor, first, second, weight *Node) *Node {
	wide := ops.Widen(embeddings)
	weight = ConvertDType(StopGradient(weight), wide.DType())
	mixed := Add(Mul(ops.GatherRows(wide, first), weight), Mul(ops.GatherRows(wide, second), OneMinus(weight)))
	return distance(ReduceSum(Square(Sub(Unit(ops.GatherRows(wide, anchor)), Unit(mixed))), -1))
}
