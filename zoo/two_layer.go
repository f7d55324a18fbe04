package zoo

import (
	"errors"
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// TwoLayer is the network of grokking: two products and no biases,
//
//	logits = N(f(dropout(x W1))) W2      f = Activation, N = Norm
//
// with W1 [in, Units] under layer_1 and W2 [Units, Classes] under output from N(0, s^2), s = 0.5/(2 Units)^(1/3). The norm, if there is
// one, is under layer_1/norm. Sources: Gromov, "Grokking modular arithmetic", arXiv 2301.02679; Doshi, Das, He, Gromov, "To grok or not to
// grok", arXiv 2310.13061.
type TwoLayer struct {
	Units      int               `json:"units"`      // 500
	Classes    int               `json:"classes"`    // 10
	Norm       norm.Choice       `json:"norm"`       // behind the activation; identity
	Activation linear.Activation `json:"activation"` // square
	Dropout    float64           `json:"dropout"`    // share of the sums before the activation put to 0; 0
}

var _ Featured = TwoLayer{}

// NewTwoLayer returns the network of the papers, for ten classes.
func NewTwoLayer() TwoLayer {
	return TwoLayer{Units: 500, Classes: 10, Norm: norm.Choice{Layer: norm.Identity{}}, Activation: linear.Square}
}

// Validate reports what is wrong with the options.
func (n TwoLayer) Validate() error {
	errs := []error{count("two-layer", "units", n.Units, 1), validate("two-layer", n.Classes, n.Norm, n.Activation)}
	if !(n.Dropout >= 0 && n.Dropout < 1) {
		errs = append(errs, fmt.Errorf("two-layer: dropout is %v; use a share from 0 to below 1", n.Dropout))
	}
	return errors.Join(errs...)
}

// Task is Classify.
func (TwoLayer) Task() Task { return Classify }

// Outputs is the number of classes.
func (n TwoLayer) Outputs() int { return n.Classes }

// WithOutputs returns the same network for another number of classes.
func (n TwoLayer) WithOutputs(classes int) Network { n.Classes = classes; return n }

// WithNorm returns the same network with another norm.
func (n TwoLayer) WithNorm(layer norm.Layer) Network { n.Norm = norm.Choice{Layer: layer}; return n }

// Apply returns logits [batch, classes] for x [batch, ...].
func (n TwoLayer) Apply(scope *model.Scope, x *Node) *Node {
	return n.Head(scope, n.Features(scope, x))
}

// Features are what the neurons give, [batch, Units].
func (n TwoLayer) Features(scope *model.Scope, x *Node) *Node {
	at := scope.In("layer_1")
	batch := x.Shape().Dimensions[0]
	h := linear.Dense{Units: n.Units, NoBias: true, InitOf: n.init}.Apply(at, Reshape(x, batch, x.Shape().Size()/batch))
	h = linear.Dropout{Rate: n.Dropout}.Apply(at, h, ops.RandomIn(x.Graph()))
	return n.Norm.Layer.Apply(at.In("norm"), activate(at, n.Activation, h))
}

// Head is the second product.
func (n TwoLayer) Head(scope *model.Scope, features *Node) *Node {
	features = pass.See(scope, pass.Features, features)
	return linear.Dense{Units: n.Classes, NoBias: true, InitOf: n.init}.Apply(scope.In(param.OutputScope), features)
}

// init draws both kernels with one deviation.
func (n TwoLayer) init(int) param.Init {
	return param.Scaled(0.5/math.Cbrt(2*float64(n.Units)), param.LeCunNormal(1))
}
