package linear

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/own"
)

// Function is an elementwise nonlinearity.
type Function interface {
	Apply(x *graph.Node) *graph.Node
}

// Activation is a Function chosen by name: one of those below, or one of a program's own (see package own). Values of one name are equal.
type Activation struct{ Function }

// The activations.
var (
	ReLU      = Named("relu")       // max(x, 0)
	ReLU6     = Named("relu6")      // min(max(x, 0), 6) (arXiv 1704.04861)
	LeakyReLU = Named("leaky-relu") // max(x, 0.1 x), the slope of the wide networks of semi-supervised learning (arXiv 2001.07685)
	GELU      = Named("gelu")       // x Phi(x) with the exact normal distribution (arXiv 1606.08415)
	SiLU      = Named("silu")       // x / (1 + exp(-x)) (arXiv 1702.03118)
	Tanh      = Named("tanh")       // tanh(x)
	Square    = Named("square")     // x^2, which solves sums modulo a number in closed form (arXiv 2301.02679)
	Identity  = Named("identity")   // x
)

// Named is the activation of a name; Validate says whether there is one.
func Named(name string) Activation { return Activation{builtin(name)} }

// builtin is an activation of Ballast's.
type builtin string

var activations = []string{"relu", "relu6", "leaky-relu", "gelu", "silu", "tanh", "square", "identity"}

// Activations are the names of all activations.
func Activations() []string { return slices.Clone(activations) }

// Apply computes the activation. Panics on an unknown name.
func (a builtin) Apply(x *graph.Node) *graph.Node {
	switch a {
	case "relu":
		// Where, not Max: the gradient is one selection, and 0 at 0. A NaN stays one, so that training sees it.
		return graph.Where(graph.LessOrEqual(x, graph.ScalarZero(x.Graph(), x.DType())), graph.ZerosLike(x), x)
	case "relu6":
		y := builtin("relu").Apply(x)
		six := graph.MulScalar(graph.OnesLike(x), 6)
		return graph.Where(graph.GreaterOrEqual(x, six), six, y)
	case "leaky-relu":
		return graph.Where(graph.LessOrEqual(x, graph.ScalarZero(x.Graph(), x.DType())), graph.MulScalar(x, 0.1), x)
	case "gelu":
		return graph.Mul(graph.MulScalar(x, 0.5), graph.OnePlus(graph.Erf(graph.MulScalar(x, math.Sqrt2/2))))
	case "silu":
		return graph.Mul(x, graph.Logistic(x))
	case "tanh":
		return graph.Tanh(x)
	case "square":
		return graph.Square(x)
	case "identity":
		return x
	}
	Panicf("linear: %v", a.unknown())
	return nil
}

func (a builtin) unknown() error { return choice.NewUnknown("activation", string(a), activations) }

// String is the name.
func (a Activation) String() string {
	if name, ok := a.Function.(builtin); ok || a.Function == nil {
		return string(name)
	}
	return choice.NameOf(ours(), a.Function)
}

// Validate says whether the name is known.
func (a Activation) Validate() error {
	if name, ok := a.Function.(builtin); a.Function == nil || ok && !slices.Contains(activations, string(name)) {
		return name.unknown()
	}
	return nil
}

// MarshalJSON writes the name, and the options of a program's own.
func (a Activation) MarshalJSON() ([]byte, error) {
	if name, ok := a.Function.(builtin); ok || a.Function == nil {
		return json.Marshal(string(name))
	}
	return choice.Encode("activation", ours(), a.Function)
}

// UnmarshalJSON reads a name and refuses an unknown one.
func (a *Activation) UnmarshalJSON(data []byte) error { return a.UnmarshalOwn(data, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own, with options or without.
func (a *Activation) UnmarshalOwn(data []byte, r own.Registry) (err error) {
	var name string
	var object map[string]json.RawMessage
	switch err := json.Unmarshal(data, &name); {
	case err != nil && json.Unmarshal(data, &object) != nil:
		return fmt.Errorf("want the name of an activation, got %s", strict.Short(string(data)))
	case err == nil && (name == "" || slices.Contains(activations, name)):
		*a = Named(name)
		return a.Validate()
	}
	a.Function, err = choice.Decode("activation", ours(), data, r)
	return err
}

// ours are the activations of Ballast's, for their names.
func ours() []choice.Kind[Function] {
	var kinds []choice.Kind[Function]
	for _, name := range activations {
		kinds = append(kinds, choice.Kind[Function]{Name: name, New: func() Function { return builtin(name) }})
	}
	return kinds
}
