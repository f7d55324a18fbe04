package objective

import (
	"context"
	"errors"
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/train/update"
	"github.com/ballast-ml/ballast/zoo"
)

// Supervised makes the loss of each example smaller, its answers held against what the data say:
//
//	sum over the batch of share_i loss(network(x_i), target_i)
//
// It takes in most methods: those that change the loss, those that mix examples, those that put a module between features and head, and
// those that add losses of the batch's features. With a mixing, x_i is a mixture and target_i the same mixture of the targets, or what a
// Retargeting mixing makes of where the network looks; loss.CrossEntropy smooths it as it does a label. Each example counts once, however
// many copies of it a mixing or a module makes.
type Supervised struct {
	Loss    loss.Choice          `json:"loss"`    // of each example; cross-entropy
	Mix     augment.MixingChoice `json:"mix"`     // what is made of the examples of a batch; none
	Between BetweenChoice        `json:"between"` // between features and head, in training alone; none
	Extra   []Extra              `json:"extra"`   // losses of the batch, on what goes into the last layer; none
}

// Extra is a loss of the batch beside that of the examples.
type Extra struct {
	Loss   loss.SetChoice `json:"loss"`   // what compares the examples of the batch
	Weight float64        `json:"weight"` // what multiplies it; 1
}

var (
	_ update.Yielding = Supervised{}
	_ update.Warner   = Supervised{}
)

// NewSupervised returns the cross-entropy alone.
func NewSupervised() Supervised {
	return Supervised{
		Loss: loss.Choice{Loss: loss.CrossEntropy{}}, Mix: augment.MixingChoice{Mixing: augment.NoMixing{}},
		Between: BetweenChoice{Nothing{}}, Extra: []Extra{},
	}
}

// Validate refuses targets of a kind that a loss does not compare with, what needs more of a network than it has, and mixings and modules
// where the examples of a batch are not together.
func (o Supervised) Validate(p update.Plan) error {
	if o.Loss.Loss == nil {
		return usage("objective.loss is missing; name one, for example cross-entropy")
	}
	if task := p.Network.Task(); task != zoo.Classify && task != zoo.Regress && task != zoo.Segment {
		return usage("network %s is for the task %s, and objective supervised trains networks that classify, regress or segment, such as cnn or vit; name another objective", zoo.Name(p.Network), task)
	}
	train := p.Streams[update.Train]
	errs := []error{
		checkLoss(loss.Name(o.Loss.Loss), o.Loss.Loss, o.Loss.Wants(), train), o.checkMix(p), o.checkBetween(p), fed("supervised", p, 1),
	}
	if train.Targets == loss.Masks && train.Moves != "" {
		errs = append(errs, usage("views has %s, which moves an image and not the mask that it is held against; use colour, noise, blur or cutout", train.Moves))
	}
	for i, e := range o.Extra {
		if e.Loss.Set == nil {
			return usage("objective.extra.%d is missing its loss; name one, for example {loss: tcm}", i)
		}
		errs = append(errs, checkLoss(loss.SetName(e.Loss.Set), e.Loss.Set, e.Loss.Wants(), train), checkWhole(loss.SetName(e.Loss.Set), p),
			o.checkRanking(e.Loss.Set, p))
	}
	if _, ok := p.Network.(zoo.Featured); !ok && o.looksAtFeatures() {
		errs = append(errs, usage("objective.extra needs a network in two parts, features and head; network %s is not", zoo.Name(p.Network)))
	}
	return errors.Join(errs...)
}

// looksAtFeatures reports whether a loss of the batch compares what goes into the last layer.
func (o Supervised) looksAtFeatures() bool {
	return slices.ContainsFunc(o.Extra, func(e Extra) bool { return mixtures(e.Loss.Set) == nil })
}

// Warning is the module's, or that of a ranking loss.
func (o Supervised) Warning(p update.Plan) string {
	for _, e := range o.Extra {
		if w, ok := e.Loss.Set.(interface{ Warning() string }); ok && mixtures(e.Loss.Set) != nil && w.Warning() != "" {
			return w.Warning()
		}
	}
	if w, ok := o.Between.Between.(interface{ Warning(p update.Plan) string }); ok {
		return w.Warning(p)
	}
	return ""
}

// checkLoss refuses targets of the wrong kind, a table without a row of its own for each example of an update, and one that does not fit.
func checkLoss(name string, l any, wants []loss.Targets, s update.Stream) error {
	if err := loss.Accepts(name, wants, s.Targets); err != nil {
		return err
	}
	if !loss.NeedsIndex(l) {
		return nil
	}
	if !s.Distinct {
		return usage("loss %s keeps a row for each example, and the sampler may draw one twice in an update; use sampler: shuffle", name)
	}
	return loss.Fits(name, l, s.Examples, s.Outputs)
}

// checkWhole refuses a loss of the batch where the batch is cut into parts.
func checkWhole(name string, p update.Plan) error {
	if p.Accumulate > 1 {
		return usage("%s is a loss of a whole batch, which accumulate=%d would cut into parts; use accumulate: 1", name, p.Accumulate)
	}
	return nil
}

// Yield is a list of suspects, where the loss keeps what it believes of each example.
func (o Supervised) Yield(_ context.Context, h update.Host) (update.Yield, error) {
	believes, ok := o.Loss.Loss.(loss.Believes)
	if !ok {
		return update.Yield{}, nil
	}
	return suspects(h, update.Own+"/"+believes.Beliefs())
}

// Phases is one phase of one turn.
func (o Supervised) Phases(p update.Plan) []update.Phase {
	phase := update.Phase{Name: "train", Turns: []update.Turn{{Build: func(s *update.Step) []update.Goal {
		return []update.Goal{{Name: "train", Terms: o.terms(s, p)}}
	}}}}
	if o.mixes() {
		phase.Columns = o.Mix.Columns()
	}
	phase.Columns = append(phase.Columns, o.rankingColumns()...)
	return []update.Phase{phase}
}

func (o Supervised) terms(s *update.Step, p update.Plan) []update.Term {
	b := s.Batch(update.Train)
	in := o.examples(s, p, b)
	if !o.looksAtFeatures() && !o.parts() {
		var out *Node
		targets := in.seen(func(look pass.Pass) { out = s.Apply("/model", p.Network, look, in.x) })
		return append([]update.Term{o.each(s, b, out, targets)}, o.whole(s, p, b, out, nil)...)
	}

	network := p.Network.(zoo.Featured)
	var features, out *Node
	targets := in.seen(func(look pass.Pass) { features = s.Features("/model", network, look, in.x) })
	out = o.Between.or().Apply(Middle{Step: s, Batch: b, Mask: in.mask, Head: func(at string, f *Node) *Node {
		return s.Head(at, network, pass.Pass{}, f)
	}}, features)
	terms := []update.Term{o.each(s, b, out, targets)}

	plain := out
	if o.parts() {
		plain = Slice(out, AxisRange(0, features.Shape().Dimensions[0])) // the first copy
	}
	return append(terms, o.whole(s, p, b, plain, []*Node{features})...)
}

// whole are the losses of the batch, for answers to its examples as they are.
func (o Supervised) whole(s *update.Step, p update.Plan, b update.Batch, out *Node, features []*Node) (terms []update.Term) {
	for i, e := range o.Extra {
		in := s.In(b, out)
		in.Features = features
		ranked(s, p, b, i, e.Loss.Set, &in)
		name := loss.SetName(e.Loss.Set)
		terms = append(terms, update.Whole(name, e.Loss.Apply(s.At(fmt.Sprintf("%s/extra_%d", update.Own, i)), in), e.Weight))
	}
	return terms
}

// each is the loss of the examples for answers [k n, ...]. targets are those of mixtures, nil for what the data say.
func (o Supervised) each(s *update.Step, b update.Batch, out, targets *Node) update.Term {
	in := s.In(b, out)
	if targets != nil {
		in.Targets = targets
	}
	name := loss.Name(o.Loss.Loss)
	perExample := o.Loss.Apply(s.At(update.Own), copied(in, out.Shape().Dimensions[0]))
	if perExample.Rank() != 1 {
		Panicf("objective: loss %s is %s; want one value for each example", name, perExample.Shape())
	}
	return b.Each(name, perExample, 1)
}
