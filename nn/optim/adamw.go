package optim

import (
	"math"
	"math/rand/v2"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/ops"
)

// AdamW is Adam with decoupled weight decay. With g the gradient, w a variable, lr the scheduled rate and t the update, from 1:
//
//	m <- Beta1 m + (1-Beta1) g;  v <- Beta2 v + (1-Beta2) g^2
//	w <- w - lr WeightDecay w;  w <- w - lr m/(1-Beta1^t) / (sqrt(v/(1-Beta2^t)) + Epsilon)
//
// The decay is scaled by the rate, as in PyTorch. Source: Loshchilov, Hutter, "Decoupled Weight Decay Regularization", arXiv 1711.05101.
type AdamW struct {
	LR          float64  `json:"lr"`           // learning rate; 0.1, which SGD takes: give one, for example 1e-3
	WeightDecay float64  `json:"weight_decay"` // 1e-4
	Beta1       float64  `json:"beta1"`        // [0, 1); 0.9
	Beta2       float64  `json:"beta2"`        // [0, 1); 0.999
	Epsilon     float64  `json:"eps"`          // 1e-8
	Decay       []string `json:"decay"`        // roles that decay: kernel, affine, output, or all; [kernel, output]
}

// NewAdamW returns the paper's betas, a decay of 1e-4, and the rate of NewSGD.
func NewAdamW() AdamW {
	return AdamW{LR: 0.1, WeightDecay: 1e-4, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, Decay: []string{"kernel", "output"}}
}

// Validate says what is wrong with the options, and how to fix it.
func (o AdamW) Validate() error {
	c := checks{key: "optimizer"}
	c.that(finite(o.LR) && o.LR >= 0, "lr", o.LR, "use a finite number, at least 0")
	c.decay(o.WeightDecay, o.Decay)
	c.that(o.Beta1 >= 0 && o.Beta1 < 1, "beta1", o.Beta1, "use a number from 0 to below 1")
	c.that(o.Beta2 >= 0 && o.Beta2 < 1, "beta2", o.Beta2, "use a number from 0 to below 1")
	c.that(finite(o.Epsilon) && o.Epsilon > 0, "eps", o.Epsilon, "use a number above 0, for example 1e-8")
	return c.err()
}

// Rate is LR.
func (o AdamW) Rate() float64 { return o.LR }

// Slots are the first and the second moment. The first is called velocity, as SGD's is.
func (o AdamW) Slots() []string { return []string{"velocity", "second"} }

// Columns are the corrections 1/(1-Beta1^t) and 1/(1-Beta2^t).
func (o AdamW) Columns() []Column {
	correction := func(beta float64) func(int, int, *rand.Rand) float64 {
		return func(update, _ int, _ *rand.Rand) float64 { return 1 / (1 - math.Pow(beta, float64(update+1))) }
	}
	return []Column{{Name: "adamw.first", At: correction(o.Beta1)}, {Name: "adamw.second", At: correction(o.Beta2)}}
}

// InGraph are the corrections, without the loss of digits at small t.
func (o AdamW) InGraph(done *Node) []*Node {
	correction := func(beta float64) *Node {
		if beta == 0 {
			return ScalarOne(done.Graph(), dtypes.Float32)
		}
		return Reciprocal(Neg(ops.Expm1(MulScalar(OnePlus(done), math.Log(beta)))))
	}
	return []*Node{correction(o.Beta1), correction(o.Beta2)}
}

// Move is one update.
func (o AdamW) Move(v *model.Variable, w, gradient *Node, at Moved) *Node {
	g := w.Graph()
	first, second := at.Slots[0], at.Slots[1]
	m := Add(MulScalar(first.NodeValue(g), o.Beta1), MulScalar(gradient, 1-o.Beta1))
	u := Add(MulScalar(second.NodeValue(g), o.Beta2), MulScalar(Square(gradient), 1-o.Beta2))
	first.SetNodeValue(m)
	second.SetNodeValue(u)

	direction := Div(Mul(m, at.Columns[0]), AddScalar(Sqrt(Mul(u, at.Columns[1])), o.Epsilon))
	if o.WeightDecay > 0 && decays(v, o.Decay) {
		w = Sub(w, Mul(MulScalar(w, o.WeightDecay), at.Rate))
	}
	return Sub(w, Mul(direction, at.Rate))
}
