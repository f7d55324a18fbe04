package loss

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/ops"
)

// BCE is the binary cross-entropy of the sigmoid of logits with targets in [0, 1], the mean over the places of an example:
//
//	loss = mean of log(1 + exp(out)) - t out      in nats
type BCE struct{}

// Dice is one minus the soft Dice overlap of the sigmoid p of logits [n, ..., channels] with masks t, for each channel over all
// places of an example, and the mean over the channels:
//
//	loss = 1 - (2 sum(p t) + Smooth) / (sum(p) + sum(t) + Smooth)
//
// Source: Milletari, Navab, Ahmadi, "V-Net", arXiv 1606.04797, with the sums of the masks instead of their squares.
type Dice struct {
	Smooth float64 `json:"smooth"` // keeps an empty mask from dividing by 0, above 0; 1e-5
}

var (
	_ Loss = BCE{}
	_ Loss = Dice{}
)

// NewDice returns Dice with the usual smoothing.
func NewDice() Dice { return Dice{Smooth: 1e-5} }

// Wants is masks, or values in [0, 1].
func (BCE) Wants() []Targets { return []Targets{Masks, Values} }

// Wants is masks.
func (Dice) Wants() []Targets { return []Targets{Masks} }

// Apply returns the loss of each example [n]. Panics if targets are not of the logits' shape.
func (BCE) Apply(_ *model.Scope, in In) *Node {
	out, targets := in.values("BCE")
	return in.hidden(meanOfExample(Sub(ops.Softplus(out), Mul(targets, out))))
}

// Apply returns the loss of each example [n]. Panics if targets are not of the logits' shape or Smooth is not above 0.
func (d Dice) Apply(_ *model.Scope, in In) *Node {
	if !(d.Smooth > 0) {
		Panicf("loss.Dice: smooth is %v; use a number above 0", d.Smooth)
	}
	out, targets := in.values("Dice")
	if out.Rank() < 2 {
		Panicf("loss.Dice: the network gave %s; want [batch, ..., channels]", out.Shape())
	}

	dims := out.Shape().Dimensions
	n, channels := dims[0], dims[len(dims)-1]
	laid := func(x *Node) *Node { return Reshape(x, n, x.Shape().Size()/max(n*channels, 1), channels) }
	p, t := laid(Sigmoid(out)), laid(targets)
	overlap := AddScalar(MulScalar(ReduceSum(Mul(p, t), 1), 2), d.Smooth)
	size := AddScalar(Add(ReduceSum(p, 1), ReduceSum(t, 1)), d.Smooth)
	return in.hidden(OneMinus(ReduceMean(Div(overlap, size), -1)))
}
