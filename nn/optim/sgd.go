package optim

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"
)

// SGD is stochastic gradient descent with momentum. With g the gradient, w a variable and lr the scheduled rate:
//
//	g <- g + WeightDecay w;  v <- Momentum v + g;  w <- w - lr v      (Nesterov: w <- w - lr (g + Momentum v))
//
// The convention is PyTorch's: the first velocity is the gradient itself. Source: Sutskever, Martens, Dahl, Hinton, "On the importance of
// initialization and momentum in deep learning", ICML 2013.
type SGD struct {
	LR          float64  `json:"lr"`           // learning rate; 0.1
	Momentum    float64  `json:"momentum"`     // [0, 1); 0.9
	Nesterov    bool     `json:"nesterov"`     // false
	WeightDecay float64  `json:"weight_decay"` // 1e-4
	Decay       []string `json:"decay"`        // roles that decay: kernel, affine, output, or all; [kernel, output]
}

// NewSGD returns a rate of 0.1, momentum 0.9 and a decay of 1e-4.
func NewSGD() SGD {
	return SGD{LR: 0.1, Momentum: 0.9, WeightDecay: 1e-4, Decay: []string{"kernel", "output"}}
}

// Validate says what is wrong with the options, and how to fix it.
func (o SGD) Validate() error {
	c := checks{key: "optimizer"}
	c.that(finite(o.LR) && o.LR >= 0, "lr", o.LR, "use a finite number, at least 0")
	c.that(o.Momentum >= 0 && o.Momentum < 1, "momentum", o.Momentum, "use a number from 0 to below 1")
	c.that(!o.Nesterov || o.Momentum > 0, "nesterov", o.Nesterov, "it needs a momentum above 0")
	c.decay(o.WeightDecay, o.Decay)
	return c.err()
}

// Rate is LR.
func (o SGD) Rate() float64 { return o.LR }

// Slots is the velocity; without momentum there is none.
func (o SGD) Slots() []string {
	if o.Momentum == 0 {
		return nil
	}
	return []string{"velocity"}
}

// Columns are none.
func (o SGD) Columns() []Column { return nil }

// InGraph is empty.
func (o SGD) InGraph(*Node) []*Node { return nil }

// Move is one update.
func (o SGD) Move(v *model.Variable, w, gradient *Node, at Moved) *Node {
	if o.WeightDecay > 0 && decays(v, o.Decay) {
		gradient = Add(gradient, MulScalar(w, o.WeightDecay))
	}
	direction := gradient
	if o.Momentum > 0 {
		velocity := at.Slots[0]
		direction = Add(MulScalar(velocity.NodeValue(w.Graph()), o.Momentum), gradient)
		velocity.SetNodeValue(direction)
		if o.Nesterov {
			direction = Add(gradient, MulScalar(direction, o.Momentum))
		}
	}
	return Sub(w, Mul(direction, at.Rate))
}
