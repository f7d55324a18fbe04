package loss

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/ops"
)

// ELR is early-learning regularisation, which keeps a network from memorising wrong labels. It keeps an average q of what the network
// said of each example [examples, classes], from zeros on, and pulls the network to it:
//
//	p = softmax(out)      pc = p limited to [Clamp, 1 - Clamp]
//	q <- Beta q + (1 - Beta) pc / sum(pc)                              first, and then, with q constant,
//	loss = cross-entropy + Lambda log(1 - <q, pc>)
//
// The second term is below 0, and so may the loss be. Where the limit acts it carries no gradient. The table of q is the variable
// "targets". Source: Liu, Niles-Weed, Razavian, Fernandez-Granda, "Early-Learning Regularization Prevents Memorization of Noisy
// Labels", arXiv 2007.00151.
type ELR struct {
	Beta   float64 `json:"beta"`   // how much of the average stays at an update, [0, 1); 0.7, and 0.9 for CIFAR-100 and asymmetric noise
	Lambda float64 `json:"lambda"` // how strong the pull is, from 0; 3, and 7 for CIFAR-100, 1 for asymmetric noise
	Clamp  float64 `json:"clamp"`  // how near to 0 and 1 a probability counts, (0, 0.5); 1e-4
}

var (
	_ Loss     = ELR{}
	_ Believes = ELR{}
)

// NewELR returns the numbers of the paper for CIFAR-10 with symmetric noise.
func NewELR() ELR { return ELR{Beta: 0.7, Lambda: 3, Clamp: 1e-4} }

// Wants is labels.
func (ELR) Wants() []Targets { return []Targets{Labels} }

// Row is a number for each class.
func (ELR) Row(outputs int) int { return outputs }

// Beliefs is the name of the table.
func (ELR) Beliefs() string { return "targets" }

// Apply moves the averages of the examples and returns their losses [n]. Panics where Parts does.
func (e ELR) Apply(s *model.Scope, in In) *Node {
	entropy, pull := e.Parts(s, in)
	return in.hidden(Add(entropy, MulScalar(pull, e.Lambda)))
}

// Parts moves the averages of the examples and returns both terms [n]: the cross-entropy, and log(1 - <q, pc>) without Lambda. It
// needs In.Index and In.Examples. Panics if an option is outside its range or shapes do not fit.
func (e ELR) Parts(s *model.Scope, in In) (entropy, pull *Node) {
	e.check()
	logits, targets := in.classes("ELR")

	p := e.limited(logits)
	p = Div(p, ReduceAndKeep(p, ReduceSum, -1))
	q := e.Remember(s, in, p)
	return ops.SoftmaxCrossEntropy(logits, targets), e.Pull(logits, q)
}

// Remember moves the averages of the examples by probabilities [n, classes] and returns them, as constants. ELR+ remembers what an
// average of the other network says of the unmixed examples. It notes "suspected": whether an example's average says another class than its
// label.
func (e ELR) Remember(s *model.Scope, in In, probabilities *Node) *Node {
	index, examples := in.need("ELR")
	rows := Table(s, e.Beliefs(), tableType(probabilities), examples, param.Constant(0), probabilities.Shape().Dimensions[1])

	q := Add(MulScalar(rows.At(index), e.Beta), MulScalar(StopGradient(probabilities), 1-e.Beta))
	rows.Set(index, q)
	if in.Note != nil && in.Labels != nil {
		in.Note("suspected", ConvertDType(NotEqual(ArgMax(q, -1, in.Labels.DType()), in.Labels), dtypes.Float32))
	}
	return q
}

// Pull is log(1 - <q, pc>) for each example [n], without Lambda; q [n, classes] are constants. Since q sums to 1 at most and pc stays
// below 1, it is never the logarithm of 0.
func (e ELR) Pull(logits, q *Node) *Node {
	pc := e.limited(logits)
	agreement := ReduceSum(Mul(ConvertDType(StopGradient(q), pc.DType()), pc), -1)
	return Log1p(Neg(agreement))
}

func (e ELR) limited(logits *Node) *Node {
	return ops.Clamp(ops.MaskedSoftmax(ops.Widen(logits), nil, -1), e.Clamp, 1-e.Clamp)
}

func (e ELR) check() {
	if !(e.Beta >= 0 && e.Beta < 1) || !(e.Lambda >= 0) || math.IsInf(e.Lambda, 0) || !(e.Clamp > 0 && e.Clamp < 0.5) {
		Panicf("loss.ELR: beta is %v, lambda %v, clamp %v; use beta from 0 to below 1, lambda from 0, clamp above 0 and "+
			"below 0.5", e.Beta, e.Lambda, e.Clamp)
	}
}

// ELRPlus is ELR with two networks, mixup and averaged weights: each network's memory q is what the average of the other says of the
// examples before they are mixed, and is mixed as they are, by weights max(l, 1-l) with l from Beta(1, 1) in the paper:
//
//	q <- Beta q + (1 - Beta) softmax(other)      qm = q mixed
//	loss = cross-entropy(out, mixed shares) + Ramp(update) Lambda log(1 - <qm, pc>)
//
// Where Reweight is set, the shares t in the cross-entropy become t qm / sum(t qm), which the official code does for 100 classes
// alone. Source: that of ELR, and its official code.
type ELRPlus struct {
	ELR
	RampSteps int     `json:"coef_step"`       // updates until Ramp is 1; 0 is 1 at once; 0, and 40000 for CIFAR-100
	Reweight  bool    `json:"reweight_labels"` // false
	Decay     float64 `json:"ema_alpha"`       // of the averaged weights, [0, 1); 0.997
	DecayRamp int     `json:"ema_step"`        // updates until Decay is reached, where RampDecay is set; 40000
	RampDecay bool    `json:"ema_update"`      // whether the decay rises along Ramp's curve; else it is min(1 - 1/(step+1), Decay); false
}

// NewELRPlus returns the numbers of the paper for CIFAR-10 with symmetric noise.
func NewELRPlus() ELRPlus { return ELRPlus{ELR: NewELR(), Decay: 0.997, DecayRamp: 40000} }

// Parts moves the memory and returns the cross-entropy [n], log(1 - <qm, pc>) [n] without ramp and Lambda, and qm. in.Out are the
// logits of the mixed examples, in.Targets their shares; other are logits [n, classes] for the unmixed ones, constants; mix mixes
// rows as the examples were mixed.
func (e ELRPlus) Parts(s *model.Scope, in In, other *Node, mix func(rows *Node) *Node) (entropy, pull, mixed *Node) {
	e.check()
	logits, targets := in.classes("ELRPlus")

	mixed = StopGradient(mix(e.Remember(s, in, ops.MaskedSoftmax(StopGradient(ops.Widen(other)), nil, -1))))
	if e.Reweight {
		weighted := Mul(shares(logits, targets), mixed)
		sum := ReduceAndKeep(weighted, ReduceSum, -1)
		none := Equal(sum, ZerosLike(sum)) // nothing remembered yet: the shares stay as they are
		laid := func(x *Node) *Node { return BroadcastToDims(x, weighted.Shape().Dimensions...) }
		targets = Where(laid(none), shares(logits, targets), Div(weighted, laid(Where(none, OnesLike(sum), sum))))
	}
	return ops.SoftmaxCrossEntropy(logits, targets), e.Pull(logits, mixed), mixed
}

// Ramp is the weight of the second term at an update, counted from 0: exp(-5 (1 - min(update, RampSteps)/RampSteps)^2).
func (e ELRPlus) Ramp(update int) float64 { return ramp(update, e.RampSteps) }

// DecayAt is the decay of the averaged weights at an update, counted from 0.
func (e ELRPlus) DecayAt(update int) float64 {
	if e.RampDecay {
		return e.Decay * ramp(update+1, e.DecayRamp)
	}
	return min(1-1/float64(update+1), e.Decay)
}

func ramp(update, steps int) float64 {
	if steps <= 0 {
		return 1
	}
	left := 1 - float64(min(update, steps))/float64(steps)
	return math.Exp(-5 * left * left)
}
