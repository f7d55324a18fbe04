package objective

import (
	"context"
	"errors"
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/train/update"
	"github.com/ballast-ml/ballast/zoo"
)

// Supervised makes the loss of each example smaller, its answers held against what the data say:
//
//	sum over the batch of share_i loss(network(x_i), target_i)
//
// It takes in most methods: those that change the loss, and those that add losses of the batch's features.
type Supervised struct {
	Loss  loss.Choice `json:"loss"`  // of each example; cross-entropy
	Extra []Extra     `json:"extra"` // losses of the batch, on what goes into the last layer; none
}

// Extra is a loss of the batch beside that of the examples.
type Extra struct {
	Loss   loss.SetChoice `json:"loss"`   // what compares the examples of the batch
	Weight float64        `json:"weight"` // what multiplies it; 1
}

var _ update.Yielding = Supervised{}

// NewSupervised returns the cross-entropy alone.
func NewSupervised() Supervised {
	return Supervised{Loss: loss.Choice{Loss: loss.CrossEntropy{}}, Extra: []Extra{}}
}

// Validate refuses targets of a kind that a loss does not compare with, and what needs more of a network than it has.
func (o Supervised) Validate(p update.Plan) error {
	if o.Loss.Loss == nil {
		return usage("objective.loss is missing; name one, for example cross-entropy")
	}
	if task := p.Network.Task(); task != zoo.Classify && task != zoo.Regress && task != zoo.Segment {
		return usage("network %s is for the task %s, and objective supervised trains networks that classify, regress or segment, such as cnn or vit; name another objective", zoo.Name(p.Network), task)
	}
	train := p.Streams[update.Train]
	errs := []error{checkLoss(loss.Name(o.Loss.Loss), o.Loss.Loss, o.Loss.Wants(), train)}
	for i, e := range o.Extra {
		if e.Loss.Set == nil {
			return usage("objective.extra.%d is missing its loss; name one, for example {loss: tcm}", i)
		}
		errs = append(errs, checkLoss(loss.SetName(e.Loss.Set), e.Loss.Set, e.Loss.Wants(), train), checkWhole(loss.SetName(e.Loss.Set), p))
	}
	if _, ok := p.Network.(zoo.Featured); !ok && len(o.Extra) > 0 {
		errs = append(errs, usage("objective.extra needs a network in two parts, features and head; network %s is not", zoo.Name(p.Network)))
	}
	return errors.Join(errs...)
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
	return []update.Phase{{Name: "train", Turns: []update.Turn{{Build: func(s *update.Step) []update.Goal {
		return []update.Goal{{Name: "train", Terms: o.terms(s, p)}}
	}}}}}
}

func (o Supervised) terms(s *update.Step, p update.Plan) []update.Term {
	b := s.Batch(update.Train)
	if len(o.Extra) == 0 {
		out := s.Apply("/model", p.Network, pass.Pass{}, b.Views[0])
		return []update.Term{o.each(s, b, out)}
	}

	network := p.Network.(zoo.Featured)
	features := s.Features("/model", network, pass.Pass{}, b.Views[0])
	out := s.Head("/model", network, pass.Pass{}, features)
	terms := []update.Term{o.each(s, b, out)}
	for i, e := range o.Extra {
		in := s.In(b, out)
		in.Features = []*Node{features}
		name := loss.SetName(e.Loss.Set)
		terms = append(terms, update.Whole(name, e.Loss.Apply(s.At(fmt.Sprintf("%s/extra_%d", update.Own, i)), in), e.Weight))
	}
	return terms
}

// each is the loss of the examples.
func (o Supervised) each(s *update.Step, b update.Batch, out *Node) update.Term {
	name := loss.Name(o.Loss.Loss)
	perExample := o.Loss.Apply(s.At(update.Own), s.In(b, out))
	if perExample.Rank() != 1 {
		Panicf("objective: loss %s is %s; want one value for each example", name, perExample.Shape())
	}
	return b.Each(name, perExample, 1)
}
