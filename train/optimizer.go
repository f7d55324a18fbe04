package train

import (
	"errors"
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/internal/strict"
)

// Optimizer turns gradients into updates. With g the gradient (after clipping), w a variable and lr the scheduled rate:
//
//	sgd     g <- g + WeightDecay w;  v <- Momentum v + g;  w <- w - lr v      (Nesterov: w <- w - lr (g + Momentum v))
//	adamw   m <- Beta1 m + (1-Beta1) g;  v <- Beta2 v + (1-Beta2) g^2
//	        w <- w - lr WeightDecay w;  w <- w - lr m/(1-Beta1^t) / (sqrt(v/(1-Beta2^t)) + Epsilon)
//
// These are the conventions of PyTorch: the first velocity is the gradient itself, the decay of adamw is decoupled from
// the gradient and scaled by the rate. Sources: Sutskever et al. 2013; Loshchilov and Hutter, arXiv 1711.05101.
type Optimizer struct {
	Name        string   `json:"name"`         // sgd or adamw
	LR          float64  `json:"lr"`           // learning rate; 0.1
	Momentum    float64  `json:"momentum"`     // sgd; 0.9
	Nesterov    bool     `json:"nesterov"`     // sgd; false
	WeightDecay float64  `json:"weight_decay"` // 1e-4
	Beta1       float64  `json:"beta1"`        // adamw; 0.9
	Beta2       float64  `json:"beta2"`        // adamw; 0.999
	Epsilon     float64  `json:"eps"`          // adamw; 1e-8
	Decay       []string `json:"decay"`        // roles that decay: kernel, affine, output, or all; [kernel, output]
}

// NewOptimizer returns SGD with momentum.
func NewOptimizer() Optimizer {
	return Optimizer{
		Name: "sgd", LR: 0.1, Momentum: 0.9, WeightDecay: 1e-4, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8,
		Decay: []string{"kernel", "output"},
	}
}

// Validate says what is wrong with the optimizer, and how to fix it.
func (o Optimizer) Validate() error {
	var errs []error
	check := func(ok bool, key string, got any, fix string) {
		if !ok {
			errs = append(errs, fmt.Errorf("recipe: optimizer.%s is %s; %s", key, strict.Short(fmt.Sprint(got)), fix))
		}
	}
	fraction := func(v float64) bool { return v >= 0 && v < 1 }
	check(o.Name == "sgd" || o.Name == "adamw", "name", o.Name, "use sgd or adamw")
	check(finite(o.LR) && o.LR >= 0, "lr", o.LR, "use a finite number, at least 0")
	check(fraction(o.Momentum), "momentum", o.Momentum, "use a number from 0 to below 1")
	check(!o.Nesterov || o.Momentum > 0, "nesterov", o.Nesterov, "it needs a momentum above 0")
	check(finite(o.WeightDecay) && o.WeightDecay >= 0, "weight_decay", o.WeightDecay, "use a finite number, at least 0")
	check(fraction(o.Beta1), "beta1", o.Beta1, "use a number from 0 to below 1")
	check(fraction(o.Beta2), "beta2", o.Beta2, "use a number from 0 to below 1")
	check(finite(o.Epsilon) && o.Epsilon > 0, "eps", o.Epsilon, "use a number above 0, for example 1e-8")
	check(len(o.Decay) <= 4, "decay", o.Decay, "name each role once")
	for _, role := range o.Decay[:min(len(o.Decay), 4)] {
		check(slices.Contains([]string{"kernel", "affine", "output", "all"}, role), "decay", role, "use kernel, affine, output or all")
	}
	return errors.Join(errs...)
}

// move moves a variable by its gradient, where only is true (nil = everywhere). velocity and second are the variables of its
// moments, nil where the optimizer has none.
func (o Optimizer) move(v *model.Variable, gradient *Node, only *tensors.Tensor, rates []*Node, velocity, second *model.Variable) {
	rate := rates[columnRate]
	g := rate.Graph()
	w := v.NodeValue(g)
	decay := o.WeightDecay > 0 && o.decays(v)
	var direction *Node
	switch o.Name {
	case "adamw":
		m := Add(MulScalar(velocity.NodeValue(g), o.Beta1), MulScalar(gradient, 1-o.Beta1))
		u := Add(MulScalar(second.NodeValue(g), o.Beta2), MulScalar(Square(gradient), 1-o.Beta2))
		velocity.SetNodeValue(m)
		second.SetNodeValue(u)
		direction = Div(Mul(m, rates[columnFirst]), AddScalar(Sqrt(Mul(u, rates[columnSecond])), o.Epsilon))
		if decay {
			w = Sub(w, Mul(MulScalar(w, o.WeightDecay), rate))
		}
	default:
		if decay {
			gradient = Add(gradient, MulScalar(w, o.WeightDecay))
		}
		direction = gradient
		if o.Momentum > 0 {
			direction = Add(MulScalar(velocity.NodeValue(g), o.Momentum), gradient)
			velocity.SetNodeValue(direction)
			if o.Nesterov {
				direction = Add(gradient, MulScalar(direction, o.Momentum))
			}
		}
	}
	w = Sub(w, Mul(direction, rate))
	if only != nil {
		w = Where(ConstTensor(g, only), w, v.NodeValue(g))
	}
	v.SetNodeValue(w)
}
