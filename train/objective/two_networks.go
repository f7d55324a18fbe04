package objective

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas

	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/train/update"
	"github.com/ballast-ml/ballast/zoo"
)

// TwoNetworks is ELR+: two networks that learn in turn, a pass over the examples each, from mixed examples, and each from what an average
// of the other's weights has said of the examples before they are mixed:
//
//	l = max(u, 1-u), u ~ Beta(MixupAlpha, MixupAlpha)      x~ = l x + (1-l) x[perm]      t~ alike
//	q_1 <- Beta q_1 + (1-Beta) softmax(average of network 2 (x))      qm = l q_1 + (1-l) q_1[perm]
//	loss = cross-entropy(network 1 (x~), t~) + ramp Lambda log(1 - <qm, pc>)
//
// It makes of the recipe's network an ensemble of two, which is what is trained, measured and saved: it answers with the mean of the
// networks' logits. An update counts for the ramp and for the decay of the averages among those of its network alone, from 1 on. The
// averages take the batch's statistics where they have norms, and collect running ones of their own. The second pass of the recipe is the
// first one of the second network, so epochs, and milestones of the schedule, are twice those of the paper.
//
// Source: Liu, Niles-Weed, Razavian, Fernandez-Granda, "Early-Learning Regularization Prevents Memorization of Noisy Labels",
// arXiv 2007.00151; what the paper leaves open is as in its official code.
type TwoNetworks struct {
	loss.ELRPlus
	MixupAlpha float64 `json:"mixup_alpha"` // of the beta distribution, from 0; 1, and 1.5 for WebVision; 0 = examples are not mixed
}

var (
	_ update.Shaped   = TwoNetworks{}
	_ update.Yielding = TwoNetworks{}
	_ update.Warner   = TwoNetworks{}
)

// NewTwoNetworks returns the numbers of the paper for CIFAR-10 with symmetric noise.
func NewTwoNetworks() TwoNetworks { return TwoNetworks{ELRPlus: loss.NewELRPlus(), MixupAlpha: 1} }

// members of the ensemble.
const members = 2

// Row is what is kept of each example: a number for each class and network.
func (TwoNetworks) Row(outputs int) int { return members * outputs }

// Network is an ensemble of two; one that the recipe names stays as it is.
func (TwoNetworks) Network(n zoo.Network, classes int) zoo.Network {
	if e, ok := n.(zoo.Ensemble); ok {
		return e.WithOutputs(classes)
	}
	return zoo.Ensemble{Of: zoo.Choice{Network: n.WithOutputs(classes)}, Members: members}
}

// Validate refuses options outside their ranges, networks that do not classify, data without classes, samplers that may draw an example
// twice in an update, memories that do not fit, and runs that end before the second network has learned.
func (o TwoNetworks) Validate(p update.Plan) error {
	const name = "two-networks"
	var errs []error
	check := func(ok bool, key string, got any, fix string) {
		if !ok {
			errs = append(errs, usage("objective.%s is %v; %s", key, got, fix))
		}
	}
	check(o.Beta >= 0 && o.Beta < 1, "beta", o.Beta, "use a share from 0 to below 1")
	check(o.Lambda >= 0 && !math.IsInf(o.Lambda, 0), "lambda", o.Lambda, "use a finite number from 0 on")
	check(o.Clamp > 0 && o.Clamp < 0.5, "clamp", o.Clamp, "use a number above 0 and below 0.5")
	check(o.RampSteps >= 0, "coef_step", o.RampSteps, "use 0 for no ramp, or its updates")
	check(o.Decay >= 0 && o.Decay < 1, "ema_alpha", o.Decay, "use a share from 0 to below 1")
	check(o.DecayRamp >= 0, "ema_step", o.DecayRamp, "use 0 for no ramp, or its updates")
	check(o.MixupAlpha >= 0 && !math.IsInf(o.MixupAlpha, 0), "mixup_alpha", o.MixupAlpha,
		"use 0 for no mixing, or a finite number above 0")

	switch e, ok := p.Network.(zoo.Ensemble); {
	case !ok:
		errs = append(errs, usage("network is %s, and objective %s trains an ensemble of %d", zoo.Name(p.Network), name,
			members))
	case e.Members != members:
		errs = append(errs, usage("network is an ensemble of %d, and objective %s trains one of %d; name the network of one "+
			"member", e.Members, name, members))
	case e.Task() != zoo.Classify:
		errs = append(errs, usage("network %s is for the task %s, and objective %s trains networks that classify; name "+
			"another", zoo.Name(e.Of.Network), e.Task(), name))
	}
	if p.Updates <= p.PerPass {
		errs = append(errs, usage("the run has %d updates, and objective %s trains a network for a pass of %d before the "+
			"other; use more epochs, an even number", p.Updates, name, p.PerPass))
	}
	errs = append(errs, fed(name, p, 1))
	return errors.Join(append(errs, checkLoss("elr of objective "+name, o, o.Wants(), p.Streams[update.Train]))...)
}

// Warning says what has no effect.
func (o TwoNetworks) Warning(update.Plan) string {
	if o.DecayRamp != NewTwoNetworks().DecayRamp && !o.RampDecay {
		return "objective.ema_step has no effect without ema_update: true"
	}
	return ""
}

// The columns of an update, beside those of mixup.
const columnRamp = "elr.ramp"

func columnDecay(network int) string { return fmt.Sprintf("elr.decay.%d", network+1) }

// Phases is one phase, in which the networks take turns of a pass.
func (o TwoNetworks) Phases(p update.Plan) []update.Phase {
	// own is which network an update is for, and the number of the update among its own, from 1.
	own := func(u int) (network, number int) {
		pass := u / p.PerPass
		return pass % members, pass/members*p.PerPass + u%p.PerPass + 1
	}
	phase := update.Phase{Name: "train"}
	column := func(name string, at func(u, updates int, r *rand.Rand) float64) {
		phase.Columns = append(phase.Columns, optim.Column{Name: name, At: at})
	}
	column(columnRamp, func(u, _ int, _ *rand.Rand) float64 {
		_, number := own(u)
		return o.Ramp(number)
	})
	for _, c := range o.mixing().Columns() {
		column(c.Name, func(u, updates int, r *rand.Rand) float64 {
			l := c.At(u, updates, r)
			return max(l, 1-l) // a mixed example is more itself than its partner
		})
	}

	e := p.Network.(zoo.Ensemble)
	for i := range members {
		column(columnDecay(i), func(u, _ int, _ *rand.Rand) float64 {
			network, number := own(u)
			if network != i {
				return 1 // its network stands still, and so does the average
			}
			return o.DecayAt(number)
		})
		phase.Averages = append(phase.Averages, update.Average{
			Of: "/model/" + e.Member(i), Column: columnDecay(i), Statistics: update.StatisticsOwn,
		})
		phase.Turns = append(phase.Turns, update.Turn{Build: func(s *update.Step) []update.Goal {
			return o.goals(s, e, i)
		}})
	}
	return []update.Phase{phase}
}

// mixing is how examples are mixed.
func (o TwoNetworks) mixing() augment.Mixing {
	if o.MixupAlpha == 0 {
		return augment.NoMixing{}
	}
	m := augment.NewMixup()
	m.Alpha = o.MixupAlpha
	return m
}

// goals is that of one network.
func (o TwoNetworks) goals(s *update.Step, e zoo.Ensemble, network int) []update.Goal {
	b := s.Batch(update.Train)
	x := b.Views[0]
	mine, other := e.Member(network), e.Member(1-network)

	draws := augment.Draws{Column: s.Column, Live: b.Mask}
	if o.MixupAlpha > 0 {
		draws.Random = s.Random("mixup")
	}
	mixed := o.mixing().Mix(draws, x)
	out := s.Apply("/model/"+mine, e.Of.Network, pass.Pass{}, mixed.X)
	said := s.Apply(update.AverageScope+"/model/"+other, e.Of.Network, pass.Pass{Mode: pass.Train}, x)

	in := s.In(b, out)
	in.Targets = mixed.Targets(OneHot(b.Labels, e.Outputs(), dtypes.Float32))
	entropy, pull, _ := o.Parts(s.At(update.Own+"/"+mine), in, said, mixed.Targets)
	perExample := Add(entropy, Mul(MulScalar(pull, o.Lambda), ConvertDType(s.Column(columnRamp), pull.DType())))
	return []update.Goal{{Name: mine, Terms: []update.Term{b.Each("elr", perExample, 1)}, Moves: "/model/" + mine}}
}

// Yield is a list of suspects, by the memories of both networks together.
func (o TwoNetworks) Yield(_ context.Context, h update.Host) (update.Yield, error) {
	var paths []string
	for i := range members {
		paths = append(paths, update.Own+"/"+zoo.Ensemble{}.Member(i)+"/"+o.Beliefs())
	}
	return suspects(h, paths...)
}
