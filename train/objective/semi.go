package objective

import (
	"errors"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas

	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/nn/stack"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/train/update"
	"github.com/ballast-ml/ballast/zoo"
)

// Semi learns from the labeled examples of the stream train and from the stream unlabeled, whose labels it does not look at. That
// stream has two views of each example: the network labels the weak one, and is to give the strong one the same label. An update
// makes smaller
//
//	L = L_supervised + lambda (L_certain + e L_shrink)
//
//	L_supervised   mean over the labeled examples of the loss
//	L_certain      FixMatch: mean over the unlabeled ones of [max p >= t] cross-entropy(strong, p); p = softmax(weak), a constant
//	L_shrink       ShrinkMatch: the others, without the classes that keep them below t; loss.Shrink has the formula
//	e              running share of certain examples: e <- Decay e + (1 - Decay) (that of the batch); the first batch's at first
//
// L_shrink is learned by an auxiliary head, a quarter as wide as the features,
//
//	features -> twice [dense, batch norm, leaky ReLU 0.1] -> dense to the classes
//
// so that a wrong choice of classes does not reach the head that labels; the saved model does not have it. All three views go through
// the network in one pass: its norms see them as one batch.
//
// The paper evaluates an average of the weights: average: {decay: 0.999, statistics: copy}. Where its scripts differ from the paper,
// or from each other, there are options: the script for CIFAR forgets e at every epoch (Restart: 1024); that for STL and SVHN takes
// the largest class as the target (Targets: hard), and aligns p by a running mean (Align), in which case classes are ordered by p as
// it was before.
//
// It notes certain and used: the shares of the unlabeled examples that L_certain learns from, and that either loss does. Where that
// stream has the classes of train it also notes certain_right and shrunk_right: the shares that L_certain and L_shrink learn from with
// the right label. certain_right / certain is the accuracy of certain labels, shrunk_right / (used - certain) that of shrunk ones.
//
// Sources: Sohn et al., "FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence", arXiv 2001.07685; Yang et
// al., "Shrinking Class Space for Enhanced Certainty in Semi-Supervised Learning", arXiv 2308.06777.
type Semi struct {
	Loss      loss.Choice    `json:"loss"`      // of the labeled examples; cross-entropy
	Weight    float64        `json:"weight"`    // lambda, at least 0; 1
	Threshold float64        `json:"threshold"` // t, (0, 1]; 0.95, and 0.7 for ImageNet
	Targets   string         `json:"targets"`   // of certain examples: soft (p) or hard (its largest class); soft
	Align     loss.Alignment `json:"align"`     // of p, so that all classes are as frequent; none
	Shrink    bool           `json:"shrink"`    // ShrinkMatch; false is FixMatch
	Decay     float64        `json:"decay"`     // of e, [0, 1); 0.999
	Restart   int            `json:"restart"`   // updates after which e begins anew; 0 = never
}

// Unlabeled is the stream of the examples without labels.
const Unlabeled = "unlabeled"

// The views of the stream unlabeled.
const (
	weakView = iota
	strongView
	semiViews
)

// leastClasses to have one that can be left out.
const leastClasses = 3

var (
	_ update.Objective = Semi{}
	_ update.Warner    = Semi{}
)

// NewSemi returns FixMatch as ShrinkMatch's paper uses it on CIFAR.
func NewSemi() Semi {
	return Semi{
		Loss: loss.Choice{Loss: loss.CrossEntropy{}}, Weight: 1, Threshold: loss.NewShrink().Threshold, Targets: "soft",
		Align: loss.NewAlignment(), Decay: 0.999,
	}
}

// Validate refuses options outside their ranges, a recipe without the stream or its views, examples of two shapes, targets that are
// not classes, and batches in parts where a number of the whole batch is needed.
func (o Semi) Validate(p update.Plan) error {
	unlabeled, err := p.Need("semi", Unlabeled)
	if err != nil {
		return err
	}
	if o.Loss.Loss == nil {
		return usage("objective.loss is missing; name one, for example cross-entropy")
	}
	train := p.Streams[update.Train]
	errs := []error{o.options(), checkLoss(loss.Name(o.Loss.Loss), o.Loss.Loss, o.Loss.Wants(), train), fed("semi", p, 1, Unlabeled)}
	refuse := func(when bool, format string, args ...any) {
		if when {
			errs = append(errs, usage(format, args...))
		}
	}

	refuse(train.Targets != loss.Labels,
		"objective semi labels unlabeled examples, and the data has %s; use data with classes", train.Targets)
	refuse(unlabeled.Batch < 1 || unlabeled.Examples < 1,
		"streams.unlabeled has %d examples, %d in an update; use at least 1 of each", unlabeled.Examples, unlabeled.Batch)
	refuse(unlabeled.Views != semiViews, "streams.unlabeled has %d views; objective semi takes 2, the weak one first: "+
		"views: [[flip, shift], [flip, shift, colour, cutout]]", unlabeled.Views)
	refuse(!slices.Equal(unlabeled.Shape, train.Shape),
		"an example of streams.unlabeled is %v, one of data is %v; use examples of one shape", unlabeled.Shape, train.Shape)

	if _, ok := p.Network.(zoo.Featured); !ok {
		refuse(o.Shrink, "objective.shrink needs a network in two parts, features and head; network %s is not",
			zoo.Name(p.Network))
	}
	refuse(p.Accumulate > 1 && (o.Shrink || o.Align.Kind != "none"),
		"objective semi weighs by numbers of a whole batch, which accumulate=%d would cut into parts; use accumulate: 1",
		p.Accumulate)
	return errors.Join(errs...)
}

// options are the errors of numbers and names outside their ranges.
func (o Semi) options() error {
	var errs []error
	check := func(ok bool, key string, got any, fix string) {
		if !ok {
			errs = append(errs, usage("objective.%s is %v; %s", key, got, fix))
		}
	}
	check(o.Weight >= 0 && !math.IsInf(o.Weight, 1), "weight", o.Weight, "use a finite number from 0 on")
	check(o.Threshold > 0 && o.Threshold <= 1, "threshold", o.Threshold, "use a number above 0, up to 1")
	check(o.Targets == "soft" || o.Targets == "hard", "targets", o.Targets, "use soft or hard")
	check(o.Decay >= 0 && o.Decay < 1, "decay", o.Decay, "use a number from 0 to below 1")
	check(o.Restart >= 0, "restart", o.Restart, "use 0 for never")
	if err := o.Align.Validate(); err != nil {
		errs = append(errs, usage("objective.align: %w", err))
	}
	return errors.Join(errs...)
}

// Warning says that two classes leave nothing to shrink, and what else has no effect.
func (o Semi) Warning(p update.Plan) string {
	usual := NewSemi()
	switch a := o.Align; {
	case !o.Shrink && (o.Decay != usual.Decay || o.Restart != usual.Restart):
		return "objective.decay and objective.restart have no effect: they are of the share that shrink: true takes"
	case a.Kind != "queue" && a.Length != usual.Align.Length:
		return "objective.align.length has no effect: it is of kind: queue, and kind is " + a.Kind
	case a.Kind != "ema" && a.Decay != usual.Align.Decay:
		return "objective.align.decay has no effect: it is of kind: ema, and kind is " + a.Kind
	}
	if o.Shrink && p.Network.Outputs() < leastClasses {
		return "objective.shrink has no effect: with fewer than 3 classes no class can be left out"
	}
	return ""
}

// Phases is one phase of one turn.
func (o Semi) Phases(p update.Plan) []update.Phase {
	return []update.Phase{{Name: "train", Turns: []update.Turn{{Build: func(s *update.Step) []update.Goal {
		return []update.Goal{{Name: "train", Terms: o.terms(s, p)}}
	}}}}}
}

// answers are what the heads give for the three views.
type answers struct {
	labeled, weak, strong *Node
	auxiliary             *Node // of the strong view; nil without shrinking
}

func (o Semi) terms(s *update.Step, p update.Plan) []update.Term {
	l, u := s.Batch(update.Train), s.Batch(Unlabeled)
	out := o.answers(s, p, l, u)
	terms := []update.Term{l.Each("supervised", o.Loss.Apply(s.At(update.Own), s.In(l, out.labeled)), 1)}

	raw := ops.MaskedSoftmax(out.weak, nil, -1)
	aligned := o.Align.Apply(s.At(update.Own+"/align"), raw, u.Mask)
	order := aligned
	if o.Align.Kind == "ema" {
		order = raw
	}
	method := loss.Shrink{Threshold: o.Threshold, Hard: o.Targets == "hard"}
	plan := method.Plan(aligned, order, u.Mask)
	o.note(s, p, u, plan)

	terms = append(terms, u.Each("certain", method.Certain(out.strong, plan), o.Weight))
	if out.auxiliary == nil {
		return terms
	}
	each := Mul(plan.Weight, method.Shrunk(out.auxiliary, plan))
	return append(terms, u.Each("shrink", Mul(o.certain(s, u, plan), each), o.Weight))
}

// answers goes through the network once, with labeled, weak and strong one behind the other.
func (o Semi) answers(s *update.Step, p update.Plan, l, u update.Batch) answers {
	x := Concatenate([]*Node{l.Views[0], u.Views[weakView], u.Views[strongView]}, 0)
	nl, nu := l.X.Shape().Dimensions[0], u.X.Shape().Dimensions[0]
	rows := func(y *Node, from, n int) *Node { return Slice(y, AxisRange(from, from+n)) }

	var y, auxiliary *Node
	if o.shrinks(p) {
		network := p.Network.(zoo.Featured)
		features := s.Features("/model", network, pass.Pass{}, x)
		y = s.Head("/model", network, pass.Pass{}, features)
		auxiliary = head(s, rows(features, nl+nu, nu), p.Network.Outputs())
	} else {
		y = s.Apply("/model", p.Network, pass.Pass{}, x)
	}
	return answers{labeled: rows(y, 0, nl), weak: rows(y, nl, nu), strong: rows(y, nl+nu, nu), auxiliary: auxiliary}
}

func (o Semi) shrinks(p update.Plan) bool { return o.Shrink && p.Network.Outputs() >= leastClasses }

// head is the auxiliary head on features [n, d].
func head(s *update.Step, features *Node, classes int) *Node {
	width := max(1, features.Shape().Dimensions[1]/4)
	var items []stack.Item
	for _, layer := range []string{"layer_1", "layer_2"} {
		items = append(items, stack.Item{Scope: layer, Layer: linear.Dense{Units: width}})
		items = append(items, stack.Normed(layer, norm.NewBatch(), linear.LeakyReLU)...)
	}
	items = append(items, stack.Item{Scope: "output", Layer: linear.Dense{Units: classes}})
	return stack.Run(s.At(update.Own+"/auxiliary"), items, features)
}

// certain moves e and returns it.
func (o Semi) certain(s *update.Step, u update.Batch, plan loss.ShrinkPlan) *Node {
	certain := ConvertDType(plan.Certain, dtypes.Float32)
	examples := OnesLike(certain)
	if u.Mask != nil {
		examples = ConvertDType(u.Mask, dtypes.Float32)
	}
	of := ops.SumAcross(ReduceAllSum(certain), ReduceAllSum(examples))
	share := Div(of[0], MaxScalar(of[1], 1.0))

	var anew *Node
	if o.Restart > 0 {
		anew = Equal(ModScalar(s.Update, int32(o.Restart)), ScalarZero(s.Update.Graph(), dtypes.Int32))
	}
	return ConvertDType(loss.CertainShare(s.At(update.Own), share, anew, o.Decay), plan.Weight.DType())
}

// note has logged how many unlabeled examples are used, and how many of them with the right label.
func (o Semi) note(s *update.Step, p update.Plan, u update.Batch, plan loss.ShrinkPlan) {
	share := func(name string, of *Node) { s.Note(name, u.Mean(ConvertDType(of, dtypes.Float32))) }
	shrunk := LogicalAnd(GreaterThan(plan.Weight, ZerosLike(plan.Weight)), Const(plan.Weight.Graph(), o.shrinks(p)))
	share("certain", plan.Certain)
	share("used", LogicalOr(plan.Certain, shrunk))

	known := p.Streams[Unlabeled]
	if known.Targets != loss.Labels || known.Outputs != p.Network.Outputs() {
		return
	}
	share("certain_right", LogicalAnd(plan.Certain, Equal(ArgMax(plan.Targets, -1, dtypes.Int32), u.Labels)))
	if o.shrinks(p) {
		share("shrunk_right", LogicalAnd(shrunk, Equal(plan.Top, u.Labels)))
	}
}
