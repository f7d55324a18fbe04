package loss

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/ops"
)

// Shrink learns from unlabeled examples. p are the probabilities [n, classes] that a network gives a weakly changed view; the network
// is to give the same for a strongly changed one. FixMatch takes the examples whose p is certain, max p >= Threshold:
//
//	certain loss = mean over all n of [certain] cross-entropy(strong, p), or its largest class where Hard is set
//
// ShrinkMatch takes the others too, by leaving out the classes that stand in the way: with p in descending order p_0, p_1, ..., those
// of rank 1 to c-1 go, where c is the first of 2, ..., classes-1 with p_0 / (p_0 + sum of p_j from j = c) >= Threshold:
//
//	shrunk loss = mean over all n of w (-log softmax(auxiliary over the classes kept) at rank 0)      w = p_0, or 0 without such a c
//
// and weighs it by the running share of certain examples. Everything from p is a constant. Sources: Sohn et al., "FixMatch", arXiv
// 2001.07685; Yang et al., "Shrinking Class Space for Enhanced Certainty in Semi-Supervised Learning", arXiv 2308.06777.
type Shrink struct {
	Threshold float64 `json:"threshold"` // (0, 1]; 0.95, and 0.7 for ImageNet
	Hard      bool    `json:"hard"`      // false
}

// NewShrink returns the numbers of the paper for CIFAR.
func NewShrink() Shrink { return Shrink{Threshold: 0.95} }

// ShrinkPlan is what Plan makes of unlabeled examples, all constants.
type ShrinkPlan struct {
	Certain *Node // bool [n]
	Targets *Node // p [n, classes]
	First   *Node // int32 [n]: c, the first rank kept after the class of rank 0; 0 where certain
	Kept    *Node // bool [n, classes], in the order of the classes
	Top     *Node // int32 [n]: the class of rank 0
	Weight  *Node // [n]: w, 0 where certain or where no c passes
}

// Plan looks at p and at the probabilities raw [n, classes] that give the order of the classes and the search for c; they are p itself
// unless p was aligned by the rules of STL and SVHN. mask, bool [n], is false for padding, which is neither certain nor has a weight;
// nil is none. Panics if Threshold is outside its range or shapes do not fit.
func (s Shrink) Plan(p, raw, mask *Node) ShrinkPlan {
	if !(s.Threshold > 0 && s.Threshold <= 1) {
		Panicf("loss.Shrink: threshold is %v; use a number above 0, up to 1", s.Threshold)
	}
	if p.Rank() != 2 || !p.DType().IsFloat() || !p.Shape().Equal(raw.Shape()) {
		Panicf("loss.Shrink: probabilities are %s and %s; want both [batch, classes]", p.Shape(), raw.Shape())
	}
	p, raw = StopGradient(ops.Widen(p)), StopGradient(ops.Widen(raw))
	n, k := p.Shape().Dimensions[0], p.Shape().Dimensions[1]
	g := p.Graph()
	top := ReduceMax(p, -1)
	certain := GreaterOrEqual(top, Scalar(g, top.DType(), s.Threshold))
	uncertain := LogicalNot(certain)
	if mask != nil {
		certain, uncertain = LogicalAnd(certain, mask), LogicalAnd(uncertain, mask)
	}

	order := ops.ArgSort(raw, -1, true)
	sorted := ops.TakeAlongAxis(raw, order, -1)
	first := Slice(sorted, AxisRange(), AxisElem(0)) // [n, 1]
	tail := ops.Cumulative{Axis: -1, Reverse: true}.Sum(sorted)
	sure := Div(first, Add(first, tail))

	// The share rises with c, so the first that passes is found by counting those that do not.
	rank := Iota(g, shapes.Make(dtypes.Int32, n, k), 1)
	tried := GreaterThan(rank, Scalar(g, dtypes.Int32, 1))
	failed := LogicalAnd(tried, LessThan(sure, Scalar(g, sure.DType(), s.Threshold)))
	failures := ReduceSum(ConvertDType(failed, dtypes.Int32), -1)
	passed := LessThan(failures, FillScalar(g, failures.Shape(), float64(max(k-2, 0))))
	c := MinScalar(AddScalar(failures, 2), int32(max(k-1, 0)))
	c = Where(uncertain, c, ZerosLike(c))

	place := ops.ArgSort(order, -1, false) // rank of each class
	kept := LogicalOr(Equal(place, ZerosLike(place)), GreaterOrEqual(place, BroadcastToDims(Reshape(c, n, 1), n, k)))
	return ShrinkPlan{
		Certain: certain, Targets: p, First: c, Kept: kept,
		Top:    Reshape(Slice(order, AxisRange(), AxisElem(0)), n),
		Weight: Where(LogicalAnd(uncertain, passed), top, ZerosLike(top)),
	}
}

// Certain is FixMatch's loss of each example [n], 0 for those that are not certain; strong are logits [n, classes].
func (s Shrink) Certain(strong *Node, plan ShrinkPlan) *Node {
	targets := plan.Targets
	if s.Hard {
		targets = ArgMax(targets, -1, dtypes.Int32)
	}
	y := ops.SoftmaxCrossEntropy(strong, targets)
	return Where(plan.Certain, y, ZerosLike(y))
}

// Shrunk is the cross-entropy of each example [n] over the classes kept, without its weight, and 0 for those that are certain;
// auxiliary are logits [n, classes] of a head of its own.
func (s Shrink) Shrunk(auxiliary *Node, plan ShrinkPlan) *Node {
	if !auxiliary.Shape().EqualDimensions(plan.Kept.Shape()) {
		Panicf("loss.Shrink: auxiliary logits are %s for a plan of %s; want the same shape", auxiliary.Shape(),
			plan.Kept.Shape())
	}
	y := Neg(ops.GatherOneHot(ops.MaskedLogSoftmax(ops.Widen(auxiliary), plan.Kept, -1), plan.Top))
	return Where(GreaterThan(plan.First, ZerosLike(plan.First)), y, ZerosLike(y))
}

// CertainShare moves the running share of certain examples, the variable "certain_share", and returns it: share of the first batch,
// then decay of the last and 1-decay of the present one. share is a scalar, of all devices. anew, a bool scalar, makes the present
// batch a first one again; nil is never.
func CertainShare(s *model.Scope, share, anew *Node, decay float64) *Node {
	v := param.Variable(s, "certain_share", param.Statistic, tableType(share), param.Constant(-1)) // below 0: none yet
	last := v.NodeValue(share.Graph())
	share = ConvertDType(StopGradient(share), v.DType())

	first := LessThan(last, ZerosLike(last))
	if anew != nil {
		first = LogicalOr(first, anew)
	}
	now := Where(first, share, Add(MulScalar(last, decay), MulScalar(share, 1-decay)))
	v.SetNodeValue(now)
	return now
}

// Alignment moves probabilities so that, over time, every class is as frequent as every other: p_i / m_i, brought to sum 1, with m the
// mean of p over batches. queue takes the last Length of them, zeros where there are fewer; ema a running mean that starts with the
// first batch; none leaves p as it is.
type Alignment struct {
	Kind   string  `json:"kind"`   // none, queue (CIFAR), ema (STL, SVHN); none
	Length int     `json:"length"` // queue: batches; 32
	Decay  float64 `json:"decay"`  // ema: [0, 1); 0.999
}

// NewAlignment returns no alignment, with the paper's numbers for the others.
func NewAlignment() Alignment { return Alignment{Kind: "none", Length: 32, Decay: 0.999} }

// Validate says which option is none of those that there are.
func (a Alignment) Validate() error {
	if a.Kind == "none" || a.Kind == "queue" && a.Length > 0 || a.Kind == "ema" && a.Decay >= 0 && a.Decay < 1 {
		return nil
	}
	return fmt.Errorf("loss.Alignment: kind %q, length %d, decay %v; use none, queue with a length above 0, or ema with a decay "+
		"from 0 to below 1", a.Kind, a.Length, a.Decay)
}

// Apply moves the means by p [n, classes], constants, and returns what is aligned. mask, bool [n], is false for padding; nil is none.
// The state are the variables "means" and, for queue, "batches". Panics if an option is none.
func (a Alignment) Apply(s *model.Scope, p, mask *Node) *Node {
	if p.Rank() != 2 || !p.DType().IsFloat() {
		Panicf("loss.Alignment: p is %s; want probabilities [batch, classes]", p.Shape())
	}
	if err := a.Validate(); err != nil {
		panic(err)
	}
	p = StopGradient(ops.Widen(p))
	switch a.Kind {
	case "queue":
		return aligned(p, a.queue(s, batchMean(p, mask)))
	case "ema":
		return aligned(p, a.running(s, batchMean(p, mask)))
	}
	return p
}

// queue writes the mean into a ring and returns the mean over the ring.
func (a Alignment) queue(s *model.Scope, mean *Node) *Node {
	g, k := mean.Graph(), mean.Shape().Dimensions[0]
	ring := param.Variable(s, "means", param.Statistic, tableType(mean), param.Constant(0), a.Length, k)
	batches := param.Variable(s, "batches", param.Statistic, dtypes.Int32, param.Constant(0))

	place := ModScalar(batches.NodeValue(g), int32(a.Length))
	here := Equal(Iota(g, ring.Shape().Clone(), 0), ConvertDType(place, ring.DType()))
	means := Where(here, BroadcastToDims(Reshape(ConvertDType(mean, ring.DType()), 1, k), a.Length, k), ring.NodeValue(g))
	ring.SetNodeValue(means)
	batches.SetNodeValue(AddScalar(batches.NodeValue(g), 1))
	return ReduceMean(means, 0)
}

// running moves the running mean and returns it.
func (a Alignment) running(s *model.Scope, mean *Node) *Node {
	none := param.Constant(-1) // below 0: none yet
	v := param.Variable(s, "means", param.Statistic, tableType(mean), none, mean.Shape().Dimensions[0])
	last := v.NodeValue(mean.Graph())
	mean = ConvertDType(mean, v.DType())

	now := Add(MulScalar(last, a.Decay), MulScalar(mean, 1-a.Decay))
	now = Where(LessThan(last, ZerosLike(last)), mean, now)
	v.SetNodeValue(now)
	return now
}

// batchMean is the mean [classes] of p over the examples of all devices that mask keeps.
func batchMean(p, mask *Node) *Node {
	n := Scalar(p.Graph(), p.DType(), float64(p.Shape().Dimensions[0]))
	if mask != nil {
		n = count(mask, p.DType())
		p = Where(BroadcastToDims(Reshape(mask, p.Shape().Dimensions[0], 1), p.Shape().Dimensions...), p, ZerosLike(p))
	}
	all := ops.SumAcross(ReduceSum(p, 0), n)
	return Div(all[0], MaxScalar(all[1], 1.0))
}

// aligned is p over the means, brought to sum 1. A class that was never given a probability keeps none.
func aligned(p, mean *Node) *Node {
	mean = ConvertDType(mean, p.DType())
	never := Equal(mean, ZerosLike(mean))
	factor := Where(never, ZerosLike(mean), Reciprocal(Where(never, OnesLike(mean), mean)))
	q := Mul(p, ExpandAxes(factor, 0))
	return Div(q, ReduceAndKeep(q, ReduceSum, -1))
}
