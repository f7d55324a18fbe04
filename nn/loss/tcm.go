package loss

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// TCM is the threshold-consistent margin, which is added to a loss of embeddings so that one threshold serves all classes. Of the
// cosines s of a batch it takes the pairs of one class with s <= Positive and those of two with s >= Negative, and no others:
//
//	loss = WeightPositive mean of (Positive - s) + WeightNegative mean of (s - Negative)
//
// A mean over no pair is 0. Source: Zhang et al., "Threshold-Consistent Margin Loss for
// Open-World Deep Metric Learning", arXiv 2307.04047.
type TCM struct {
	Positive       float64 `json:"margin_pos"` // 0.9
	Negative       float64 `json:"margin_neg"` // 0.5
	WeightPositive float64 `json:"lambda_pos"` // from 0; 1
	WeightNegative float64 `json:"lambda_neg"` // from 0; 1
}

var _ Set = TCM{}

// NewTCM returns the numbers of the paper.
func NewTCM() TCM { return TCM{Positive: 0.9, Negative: 0.5, WeightPositive: 1, WeightNegative: 1} }

// OfBatch says that this is a Set.
func (TCM) OfBatch() {}

// Wants is labels.
func (TCM) Wants() []Targets { return []Targets{Labels} }

// Apply returns the loss of the batch, of Features[0] and Labels. Panics where Parts does.
func (t TCM) Apply(_ *model.Scope, in In) *Node {
	p := t.Parts(in)
	return Add(MulScalar(p.Positive, t.WeightPositive), MulScalar(p.Negative, t.WeightNegative))
}

// TCMParts are both means, without their weights, and how many pairs they are over, constants; a pair counts in both its orders.
type TCMParts struct{ Positive, Negative, Positives, Negatives *Node }

// Parts returns the terms. Panics if a margin is outside the range of a cosine, a weight is below 0, or shapes do not fit.
func (t TCM) Parts(in In) TCMParts {
	cosine := func(v float64) bool { return v >= -1 && v <= 1 }
	weight := func(v float64) bool { return v >= 0 && !math.IsInf(v, 0) }
	if !cosine(t.Positive) || !cosine(t.Negative) || !weight(t.WeightPositive) || !weight(t.WeightNegative) {
		Panicf("loss.TCM: margins are %v and %v, weights %v and %v; use margins from -1 to 1 and weights from "+
			"0", t.Positive,
			t.Negative, t.WeightPositive, t.WeightNegative)
	}
	x := t.pairs(in)
	same := NotEqual(x.share, ZerosLike(x.share))
	far := AddScalar(Neg(x.sim), t.Positive)
	near := AddScalar(x.sim, -t.Negative)
	violated := func(kind, gap *Node) *Node {
		return LogicalAnd(LogicalAnd(x.valid, kind), GreaterOrEqual(gap, ZerosLike(gap)))
	}
	positives, negatives := violated(same, far), violated(LogicalNot(same), near)
	return TCMParts{meanWhere(far, positives), meanWhere(near, negatives), count(positives, dtypes.Float32),
		count(negatives, dtypes.Float32)}
}

// Active are the pairs that Parts counts, as shares of all of their kind. Panics where Parts does.
func (t TCM) Active(in In) (positives, negatives *Node) {
	p, x := t.Parts(in), t.pairs(in)
	same := NotEqual(x.share, ZerosLike(x.share))
	share := func(active, kind *Node) *Node {
		return StopGradient(Div(active, MaxScalar(count(LogicalAnd(x.valid, kind), dtypes.Float32), 1.0)))
	}
	return share(p.Positives, same), share(p.Negatives, LogicalNot(same))
}

// pairs are those of the batch.
func (TCM) pairs(in In) paired {
	x := in.pairs("TCM")
	if len(in.Features) != 1 {
		Panicf("loss.TCM: mixed examples; it takes the pairs of a batch alone")
	}
	return x
}

// Warning says what is odd about the margins.
func (t TCM) Warning() string {
	if t.Negative < t.Positive {
		return ""
	}
	return fmt.Sprintf("loss tcm: margin_neg is %v and margin_pos %v, so pairs of two classes may be closer "+
		"than those of one; use a smaller margin_neg",
		t.Negative, t.Positive)
}
