package loss

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/ops"
)

// SupCon is the supervised contrastive loss: each embedding a of a batch is to pick those of its class P(a) among all others, by the
// cosines s over a temperature T:
//
//	loss of a = mean over p in P(a) of -log( exp(s_ap/T) / sum over others i of exp(s_ai/T) )
//
// and the mean over the anchors that have a P(a). Several views of a batch are one batch. Source: Khosla et al., "Supervised Contrastive
// Learning", arXiv 2004.11362, L_out.
type SupCon struct {
	Temperature float64 `json:"temperature"` // above 0; 0.1
}

// NTXent is SupCon of two views or more without labels: an embedding is to pick the other views of its own example. Source: Chen,
// Kornblith, Norouzi, Hinton, "A Simple Framework for Contrastive Learning of Visual Representations", arXiv 2002.05709.
type NTXent struct {
	Temperature float64 `json:"temperature"` // above 0; 0.5
}

var (
	_ Set = SupCon{}
	_ Set = NTXent{}
)

// NewSupCon returns the temperature of the paper.
func NewSupCon() SupCon { return SupCon{Temperature: 0.1} }

// NewNTXent returns the temperature of the paper for small images.
func NewNTXent() NTXent { return NTXent{Temperature: 0.5} }

// OfBatch says that this is a Set.
func (SupCon) OfBatch() {}

// OfBatch says that this is a Set.
func (NTXent) OfBatch() {}

// Wants is labels.
func (SupCon) Wants() []Targets { return []Targets{Labels} }

// Wants is nothing: the views are enough.
func (NTXent) Wants() []Targets { return []Targets{Alone} }

// Apply returns the mean over the anchors, of all Features and the Labels. Panics if shapes do not fit.
func (c SupCon) Apply(_ *model.Scope, in In) *Node {
	n := in.views("SupCon", 1)
	in.checkLabels("SupCon", n)
	return picked("SupCon", in, in.Labels, c.Temperature)
}

// Apply returns the mean over the anchors, of all Features. Panics if there are fewer than two, or shapes do not fit.
func (c NTXent) Apply(_ *model.Scope, in In) *Node {
	n := in.views("NTXent", 2)
	return picked("NTXent", in, Iota(in.Features[0].Graph(), shapes.Make(dtypes.Int32, n), 0), c.Temperature)
}

// views returns the size of the batch of which there are least views or more, all of one shape. Panics for the Set named who if not.
func (in In) views(who string, least int) int {
	in.unweighted(who)
	if len(in.Features) < least {
		Panicf("loss.%s: %d views; want the embeddings of %d or more", who, len(in.Features), least)
	}
	for _, f := range in.Features {
		if f.Rank() != 2 || !f.Shape().Equal(in.Features[0].Shape()) {
			Panicf("loss.%s: views are %s and %s; want embeddings [batch, d], all of one shape", who, in.Features[0].Shape(),
				f.Shape())
		}
	}
	return in.Features[0].Shape().Dimensions[0]
}

// picked is the loss of all views, each example in the group of a number [n].
func picked(who string, in In, group *Node, temperature float64) *Node {
	if !(temperature > 0) || math.IsInf(temperature, 0) {
		Panicf("loss.%s: temperature is %v; use a number above 0", who, temperature)
	}
	k := len(in.Features)
	u := Unit(Concatenate(in.Features, 0))
	m := u.Shape().Dimensions[0]
	repeat := func(x *Node) *Node { // once for each view
		n := x.Shape().Dimensions[0]
		return Reshape(BroadcastToDims(Reshape(x, 1, n), k, n), m)
	}

	valid := others(u.Graph(), m)
	if in.Mask != nil {
		valid = LogicalAnd(valid, both(repeat(in.Mask), repeat(in.Mask)))
	}
	group = repeat(group)
	same := Equal(BroadcastToDims(Reshape(group, m, 1), m, m), BroadcastToDims(Reshape(group, 1, m), m, m))
	positive := ConvertDType(LogicalAnd(valid, same), u.DType())

	logp := ops.MaskedLogSoftmax(DivScalar(dots(u, u), temperature), valid, -1)
	positives := ReduceSum(positive, -1)
	each := Div(Neg(ReduceSum(Mul(positive, logp), -1)), MaxScalar(positives, 1.0))
	return meanWhere(each, GreaterThan(positives, ZerosLike(positives)))
}
