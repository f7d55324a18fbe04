package loss

import (
	"math"
	"slices"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/ops"
)

// Pairs compares each anchor a of a batch with the others by their cosines s; y is 1 for a pair of one class and 0 for one of two. It
// adds up over pairs before anything is bent, so that y may lie between, for others that were mixed:
//
//	loss of a = tau( up( sum over others of y p(s) ) + un( sum over others of (1-y) q(s) ) )      and the mean over the anchors
//
//	Form                tau         up              un               p(s)                       q(s)
//	contrastive         x           x               x                -s                         max(s - Negative, 0)
//	lifted_structure    max(x, 0)   log x           log x            exp(-s)                    exp(s - Negative)
//	binomial_deviance   x           x               x                log(1+exp(-Beta(s - m)))   log(1+exp(Gamma(s - Negative)))
//	multi_similarity    x           log(1+x)/Beta   log(1+x)/Gamma   exp(-Beta(s - m))          exp(Gamma(s - Negative))
//
// m is Margin. An anchor that has no pair on one side of lifted_structure has no loss. With Negative = -Margin, multi_similarity with
// proxies as anchors is the sum in ProxyAnchor. Sources: Venkataramanan et al., "It Takes Two to Tango: Mixup for Deep Metric Learning", arXiv
// 2106.04990; Wang et al., "Multi-Similarity Loss", arXiv 1904.06627; Song et al., "Deep Metric Learning via Lifted Structured Feature
// Embedding", arXiv 1511.06452; Yi et al., "Deep Metric Learning for Person Re-Identification", arXiv 1407.4979 (deviance).
type Pairs struct {
	Form     string  `json:"kind"`  // contrastive, lifted_structure, binomial_deviance, multi_similarity
	Beta     float64 `json:"beta"`  // above 0, where the form has it
	Gamma    float64 `json:"gamma"` // above 0, where the form has it
	Margin   float64 `json:"m"`     // of pairs of one class, where the form has it
	Negative float64 `json:"m_neg"` // of pairs of two classes
}

var _ Set = Pairs{}

// pairForms are the forms of Pairs.
var pairForms = []string{"contrastive", "lifted_structure", "binomial_deviance", "multi_similarity"}

// NewPairs returns a form with its usual numbers: contrastive and lifted_structure 0.5; binomial_deviance 2, 40 and 0.5; multi_similarity
// 18, 75 and 0.77.
func NewPairs(form string) Pairs {
	switch form {
	case "binomial_deviance":
		return Pairs{Form: form, Beta: 2, Gamma: 40, Margin: 0.5, Negative: 0.5}
	case "multi_similarity":
		return Pairs{Form: form, Beta: 18, Gamma: 75, Margin: 0.77, Negative: 0.77}
	}
	return Pairs{Form: form, Negative: 0.5}
}

// OfBatch says that this is a Set.
func (Pairs) OfBatch() {}

// Wants is labels.
func (Pairs) Wants() []Targets { return []Targets{Labels} }

// Apply returns the mean over the anchors. It compares Features[0] with each other by Labels; or, where In has Features[1] and
// Targets, with those by the shares of their classes. Panics where Each does, or if shapes do not fit.
func (p Pairs) Apply(_ *model.Scope, in In) *Node {
	x := in.pairs("Pairs")
	return meanWhere(p.Each(x.sim, x.share, x.valid), x.anchor)
}

// Each returns the loss of each anchor [anchors]: sim, cosines or any number that is larger for what is closer, and share, the
// constants y, are [anchors, others]; of a pair where valid, bool, is false nothing is taken. Panics if Form or a number of it is none.
func (p Pairs) Each(sim, share, valid *Node) *Node {
	p.check()
	if !sim.Shape().Equal(share.Shape()) || sim.Rank() != 2 || !valid.Shape().EqualDimensions(sim.Shape()) {
		Panicf("loss.Pairs: similarities are %s, shares %s, which are valid %s; want all [anchors, others]", sim.Shape(),
			share.Shape(), valid.Shape())
	}
	share = StopGradient(share)
	sim = Where(valid, sim, ZerosLike(sim))
	zero := ZerosLike(sim)
	up, un := Where(valid, share, zero), Where(valid, OneMinus(share), zero)
	plus, minus := AddScalar(sim, -p.Margin), AddScalar(sim, -p.Negative)

	switch p.Form {
	case "contrastive":
		return ReduceSum(Add(Mul(up, Neg(sim)), Mul(un, Where(GreaterThan(minus, zero), minus, zero))), -1)
	case "lifted_structure":
		near, hasNear := logSum(Neg(sim), up, false)
		far, hasFar := logSum(minus, un, false)
		x := Add(near, far)
		return Where(LogicalAnd(LogicalAnd(hasNear, hasFar), GreaterThan(x, ZerosLike(x))), x, ZerosLike(x))
	case "binomial_deviance":
		return ReduceSum(Add(Mul(up, ops.Softplus(MulScalar(plus, -p.Beta))),
			Mul(un, ops.Softplus(MulScalar(minus, p.Gamma)))), -1)
	}
	near, _ := logSum(MulScalar(plus, -p.Beta), up, true)
	far, _ := logSum(MulScalar(minus, p.Gamma), un, true)
	return Add(DivScalar(near, p.Beta), DivScalar(far, p.Gamma))
}

func (p Pairs) check() {
	if !slices.Contains(pairForms, p.Form) {
		Panicf("loss.Pairs: form %q; use contrastive, lifted_structure, binomial_deviance or multi_similarity", p.Form)
	}
	scaled := p.Form == "binomial_deviance" || p.Form == "multi_similarity"
	for _, v := range []float64{p.Beta, p.Gamma, p.Margin, p.Negative} {
		if math.IsNaN(v) || math.IsInf(v, 0) || scaled && !(p.Beta > 0 && p.Gamma > 0) {
			Panicf("loss.Pairs: beta is %v, gamma %v, margins %v and %v; use finite numbers, beta and gamma above 0", p.Beta,
				p.Gamma, p.Margin, p.Negative)
		}
	}
	if !scaled && (p.Beta != 0 || p.Gamma != 0 || p.Margin != 0) {
		Panicf("loss.Pairs: beta is %v, gamma %v, m %v, which form %s has no place for; leave them 0", p.Beta, p.Gamma,
			p.Margin, p.Form)
	}
}
