package loss

import (
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/ops"
)

// Ranking is a Set that holds the network's confidence in the examples of a batch against that in mixtures of them: In.Mixed and
// In.MixedTargets.
type Ranking interface {
	Set

	// Mixtures says how many mixtures of each example there are, each copy of the batch with one weight drawn from Beta(alpha, alpha).
	Mixtures() (copies int, alpha float64)
}

// Suggested is a Set with a weight of its own beside the loss of the examples, where a recipe gives none.
type Suggested interface{ SuggestedWeight() float64 }

var (
	_ Ranking   = MRL{}
	_ Ranking   = MNDCG{}
	_ Suggested = MRL{}
	_ Suggested = MNDCG{}
)

// MRL is the mixup-based ranking loss: a mixture must be less confident than its example, by a margin:
//
//	mean over i of mask_i max(0, c(mixed_i) - c(raw_i) + Margin)
//
// c is the largest logit, or the largest probability. mask_i is 0 where the mixture is of one class alone, as with a partner of the same
// class. Source: Noh et al., "RankMixup: Ranking-Based Mixup Training for Network Calibration", ICCV 2023, arXiv 2308.11990. The authors'
// code multiplies a mask [n] with hinges [n, 1], and so computes mean(mask) mean(hinge): Broadcast does.
type MRL struct {
	Margin     float64 `json:"margin"`     // in units of c; 2
	Confidence string  `json:"confidence"` // c: logit or prob; logit
	Broadcast  bool    `json:"broadcast"`  // what the authors' code computes; false
	Copies     int     `json:"num_mixup"`  // mixtures of each example, 1 to 64; 1
	Alpha      float64 `json:"beta"`       // weights are drawn from Beta(this, this), above 0; 2
}

// NewMRL returns the paper's numbers for CIFAR. For Tiny-ImageNet they are a margin of 1 and Beta(1, 1).
func NewMRL() MRL { return MRL{Margin: 2, Confidence: "logit", Copies: 1, Alpha: 2} }

// OfBatch says that this is a Set.
func (MRL) OfBatch() {}

// Wants is labels.
func (MRL) Wants() []Targets { return []Targets{Labels} }

// Mixtures are those of each example.
func (m MRL) Mixtures() (copies int, alpha float64) { return m.Copies, m.Alpha }

// SuggestedWeight is that of the authors' configurations.
func (MRL) SuggestedWeight() float64 { return 0.1 }

// Validate refuses options that mean nothing.
func (m MRL) Validate() error {
	if m.Confidence != "logit" && m.Confidence != "prob" {
		return fmt.Errorf("loss mrl: confidence is %q; use logit or prob", m.Confidence)
	}
	if math.IsNaN(m.Margin) || math.IsInf(m.Margin, 0) {
		return fmt.Errorf("loss mrl: margin is %v; use a finite number", m.Margin)
	}
	return checkMixtures("mrl", m.Copies, m.Alpha)
}

// Warning says what is odd about the margin.
func (m MRL) Warning() string {
	if m.Confidence != "prob" || m.Margin < 1 {
		return ""
	}
	return fmt.Sprintf("loss mrl: margin is %v, and probabilities differ by less than 1, so every pair counts at all times; use a smaller margin", m.Margin)
}

// Apply returns the loss of the batch, of Out, Mixed and MixedTargets. Panics if shapes do not fit or an option is wrong.
func (m MRL) Apply(_ *model.Scope, in In) *Node {
	raw, mixed, shares := in.mixtures("MRL", m.Copies, m.Validate())
	c := confidence
	if m.Confidence == "logit" {
		c = func(z *Node) *Node { return ReduceMax(z, -1) }
	}
	hinge := MaxScalar(AddScalar(Sub(c(mixed), ExpandDims(c(raw), 0)), m.Margin), 0) // [copies, n]
	mask := counts(shares, hinge)
	if m.Broadcast {
		return Mul(in.liveMean(mask), in.liveMean(hinge))
	}
	return in.liveMean(Mul(mask, hinge))
}

// Counts is mask [copies, n]: 1 for each mixture that counts.
func (m MRL) Counts(in In) *Node {
	raw, _, shares := in.mixtures("MRL", m.Copies, m.Validate())
	return counts(shares, raw)
}

// counts is 1 for each mixture of two classes or more, in the dtype of like.
func counts(shares, like *Node) *Node {
	pure := purity(shares)
	return ConvertDType(LessThan(pure, OnesLike(pure)), like.DType())
}

// MNDCG is the mixup-based ranking loss over several mixtures: 1 - NDCG of the order in which the network is confident in an example and its
// mixtures, the example first and then the mixtures from the least mixed to the most:
//
//	mean over i of 1 - NDCG_i, DCG_i = sum over j of g_(j)/log2(j+1), IDCG_i = sum over j of r_(j)/log2(j+1)
//
// g is the largest probability, r the relevance: 1 of the example, and the largest share of a class of a mixture. NDCG is DCG/IDCG, or its
// inverse where DCG is larger, so that too much confidence costs too. Gradients go through g alone. Source: Noh et al., "RankMixup:
// Ranking-Based Mixup Training for Network Calibration", ICCV 2023, arXiv 2308.11990.
type MNDCG struct {
	Copies int     `json:"num_mixup"` // mixtures of each example, 1 to 64; 3
	Alpha  float64 `json:"beta"`      // weights are drawn from Beta(this, this), above 0; 2
}

// NewMNDCG returns the paper's numbers for CIFAR. For Tiny-ImageNet it is Beta(1, 1).
func NewMNDCG() MNDCG { return MNDCG{Copies: 3, Alpha: 2} }

// OfBatch says that this is a Set.
func (MNDCG) OfBatch() {}

// Wants is labels.
func (MNDCG) Wants() []Targets { return []Targets{Labels} }

// Mixtures are those of each example.
func (m MNDCG) Mixtures() (copies int, alpha float64) { return m.Copies, m.Alpha }

// SuggestedWeight is that of the authors' configurations.
func (MNDCG) SuggestedWeight() float64 { return 0.1 }

// Validate refuses options that mean nothing.
func (m MNDCG) Validate() error { return checkMixtures("mndcg", m.Copies, m.Alpha) }

// Apply returns the loss of the batch, of Out, Mixed and MixedTargets. Panics if shapes do not fit or an option is wrong.
func (m MNDCG) Apply(_ *model.Scope, in In) *Node {
	return in.liveMean(ExpandDims(OneMinus(m.Each(in)), 0))
}

// Each is the NDCG of each example, [n].
func (m MNDCG) Each(in In) *Node {
	raw, mixed, shares := in.mixtures("MNDCG", m.Copies, m.Validate())
	gains, relevance := confidence(mixed), purity(shares) // [copies, n]

	// A mixture's place is how many stand before it: those of more relevance, and of as much with a smaller number.
	g, copies := raw.Graph(), mixed.Shape().Dimensions[0]
	mine, other := ExpandDims(relevance, 1), ExpandDims(relevance, 0) // [copies, copies, n]
	earlier := make([]bool, copies*copies)
	for i := range copies {
		for j := range i {
			earlier[i*copies+j] = true
		}
	}
	first := BroadcastToDims(Reshape(Const(g, earlier), copies, copies, 1), copies, copies, raw.Shape().Dimensions[0])
	before := LogicalOr(GreaterThan(BroadcastToDims(other, first.Shape().Dimensions...), BroadcastToDims(mine, first.Shape().Dimensions...)),
		LogicalAnd(Equal(BroadcastToDims(other, first.Shape().Dimensions...), BroadcastToDims(mine, first.Shape().Dimensions...)), first))
	place := ReduceSum(ConvertDType(before, gains.DType()), 1)
	discount := MulScalar(Log(AddScalar(place, 3)), 1/math.Ln2) // log2(j+1), the example's own j = 1

	dcg := Add(confidence(raw), ReduceSum(Div(gains, discount), 0))
	ideal := AddScalar(ReduceSum(Div(relevance, discount), 0), 1)
	return Where(GreaterThan(ideal, dcg), Div(dcg, ideal), Div(ideal, dcg))
}

func checkMixtures(who string, copies int, alpha float64) error {
	switch {
	case copies < 1 || copies > 64:
		return fmt.Errorf("loss %s: num_mixup is %d; use 1 to 64", who, copies)
	case !(alpha > 0) || math.IsInf(alpha, 0):
		return fmt.Errorf("loss %s: beta is %v; use a finite number above 0", who, alpha)
	}
	return nil
}

// mixtures are the logits of the examples [n, classes], of their mixtures [copies, n, classes], and the mixtures' shares of classes, constant.
func (in In) mixtures(who string, copies int, wrong error) (raw, mixed, shares *Node) {
	if wrong != nil {
		Panicf("%v", wrong)
	}
	if in.Out == nil || in.Out.Rank() != 2 {
		Panicf("loss.%s: the network gave %s; want logits [batch, classes]", who, shapeOf(in.Out))
	}
	n, k := in.Out.Shape().Dimensions[0], in.Out.Shape().Dimensions[1]
	for what, x := range map[string]*Node{"logits of mixtures": in.Mixed, "shares of mixtures": in.MixedTargets} {
		if x == nil || !x.DType().IsFloat() || x.Rank() != 2 || x.Shape().Dimensions[0] != copies*n || x.Shape().Dimensions[1] != k {
			Panicf("loss.%s: %s are %s for logits %s; want [%d batch, classes], copy after copy of the batch", who, what, shapeOf(x), in.Out.Shape(), copies)
		}
	}
	raw = ops.Widen(in.Out)
	shape := func(x *Node) *Node { return Reshape(ConvertDType(x, raw.DType()), copies, n, k) }
	return raw, shape(in.Mixed), StopGradient(shape(in.MixedTargets))
}

// confidence is the largest probability of logits [..., classes].
func confidence(logits *Node) *Node { return ReduceMax(Softmax(logits, -1), -1) }

// purity is the largest share of a class, exactly 1 where rounding alone is between them: lambda + (1 - lambda) is not always 1.
func purity(shares *Node) *Node {
	most := ReduceMax(shares, -1)
	return Where(GreaterThan(most, Scalar(most.Graph(), most.DType(), 1-1e-6)), OnesLike(most), most)
}

// liveMean is the mean of values [copies, n] over the examples that are no padding.
func (in In) liveMean(x *Node) *Node {
	if in.Mask == nil {
		return ReduceAllMean(x)
	}
	copies := x.Shape().Dimensions[0]
	live := BroadcastToDims(ExpandDims(in.Mask, 0), x.Shape().Dimensions...)
	return Div(ReduceAllSum(Where(live, x, ZerosLike(x))), MaxScalar(ReduceAllSum(ConvertDType(live, x.DType())), float64(copies)))
}
