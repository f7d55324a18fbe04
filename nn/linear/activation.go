package linear

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/internal/strict"
)

// Activation is an elementwise nonlinearity, chosen by name.
type Activation string

// The activations.
const (
	ReLU      Activation = "relu"       // max(x, 0)
	ReLU6     Activation = "relu6"      // min(max(x, 0), 6) (arXiv 1704.04861)
	LeakyReLU Activation = "leaky-relu" // max(x, 0.1 x), the slope of the wide networks of semi-supervised learning (arXiv 2001.07685)
	GELU      Activation = "gelu"       // x Phi(x) with the exact normal distribution (arXiv 1606.08415)
	SiLU      Activation = "silu"       // x / (1 + exp(-x)) (arXiv 1702.03118)
	Tanh      Activation = "tanh"       // tanh(x)
	Square    Activation = "square"     // x^2, which solves sums modulo a number in closed form (arXiv 2301.02679)
	Identity  Activation = "identity"   // x
)

var activations = []string{string(ReLU), string(ReLU6), string(LeakyReLU), string(GELU), string(SiLU), string(Tanh), string(Square), string(Identity)}

// Activations are the names of all activations.
func Activations() []string { return slices.Clone(activations) }

// Apply computes the activation. Panics on an unknown name.
func (a Activation) Apply(x *graph.Node) *graph.Node {
	switch a {
	case ReLU:
		// Where, not Max: the gradient is one selection, and 0 at 0. A NaN stays one, so that training sees it.
		return graph.Where(graph.LessOrEqual(x, graph.ScalarZero(x.Graph(), x.DType())), graph.ZerosLike(x), x)
	case ReLU6:
		y := ReLU.Apply(x)
		six := graph.MulScalar(graph.OnesLike(x), 6)
		return graph.Where(graph.GreaterOrEqual(x, six), six, y)
	case LeakyReLU:
		return graph.Where(graph.LessOrEqual(x, graph.ScalarZero(x.Graph(), x.DType())), graph.MulScalar(x, 0.1), x)
	case GELU:
		return graph.Mul(graph.MulScalar(x, 0.5), graph.OnePlus(graph.Erf(graph.MulScalar(x, math.Sqrt2/2))))
	case SiLU:
		return graph.Mul(x, graph.Logistic(x))
	case Tanh:
		return graph.Tanh(x)
	case Square:
		return graph.Square(x)
	case Identity:
		return x
	}
	Panicf("linear: %v", a.Validate())
	return nil
}

// Validate says whether the name is known.
func (a Activation) Validate() error {
	for _, known := range activations {
		if string(a) == known {
			return nil
		}
	}
	if near, ok := strict.Nearest(string(a), activations); ok {
		return fmt.Errorf("no activation %q (did you mean %s?)", string(a), near)
	}
	return fmt.Errorf("no activation %q; there are %s", string(a), strings.Join(activations, ", "))
}

// UnmarshalJSON reads a name and refuses an unknown one.
func (a *Activation) UnmarshalJSON(data []byte) error {
	var name string
	if err := json.Unmarshal(data, &name); err != nil {
		return fmt.Errorf("want the name of an activation, got %s", data)
	}
	*a = Activation(name)
	return a.Validate()
}
