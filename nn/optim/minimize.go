package optim

import (
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/param"
)

// Minimizer moves variables against the gradient of a loss, in the caller's graph, for procedures that own their loss: it is
// one update of Optimizer a call. Its moments and its count of updates are variables under the scope it is given.
type Minimizer struct {
	Optimizer Optimizer
	ClipNorm  float64                // largest L2 norm of the whole gradient; 0 = no clipping
	Scale     func(done *Node) *Node // factor on the learning rate after done updates, a float32 scalar each; nil = 1
}

// Step computes the gradient of loss, a scalar, in the variables alone, moves them, and returns the norm of the gradient
// before clipping. Kernels that are not among the variables cost no gradient.
func (m Minimizer) Step(scope *model.Scope, loss *Node, variables []*model.Variable) *Node {
	g := loss.Graph()
	values := make([]*Node, len(variables))
	for i, v := range variables {
		values[i] = v.NodeValue(g)
	}
	return m.Move(scope, variables, Gradient(loss, values...))
}

// Move moves the variables by gradients from elsewhere, as Step does.
func (m Minimizer) Move(scope *model.Scope, variables []*model.Variable, gradients []*Node) *Node {
	g := gradients[0].Graph()
	state := m.Declare(scope, variables)
	done := state.count.NodeValue(g)
	state.count.SetNodeValue(OnePlus(done))

	rate := Scalar(g, dtypes.Float32, m.Optimizer.Rate())
	if m.Scale != nil {
		rate = Mul(rate, m.Scale(done))
	}
	norm := GlobalNorm(gradients)
	gradients = ClipNorm{Most: m.ClipNorm}.Before(Update{Scope: scope, Norm: norm, Rate: rate}, variables, gradients)

	columns := m.Optimizer.InGraph(done)
	for i, v := range variables {
		Move(m.Optimizer, v, gradients[i], Moved{Rate: rate, Columns: columns, Slots: state.slots[i]})
	}
	return norm
}

// MinimizerState is what a Minimizer keeps.
type MinimizerState struct {
	count *model.Variable
	slots [][]*model.Variable // of each variable
}

// Variables are the count and the moments.
func (s MinimizerState) Variables() []*model.Variable {
	return append([]*model.Variable{s.count}, slices.Concat(s.slots...)...)
}

// Declare makes the moments and the count under scope, where they are not there yet, so that they can be read from a file.
func (m Minimizer) Declare(scope *model.Scope, variables []*model.Variable) MinimizerState {
	s := MinimizerState{count: param.Variable(scope, "updates", param.Statistic, dtypes.Float32, param.Constant(0))}
	var scopes []*model.Scope
	for _, slot := range m.Optimizer.Slots() {
		scopes = append(scopes, scope.In("%s", slot))
	}
	for _, v := range variables {
		var slots []*model.Variable
		for _, scope := range scopes {
			name := strings.ReplaceAll(strings.Trim(v.Path(), "/"), "/", ".")
			slots = append(slots, param.Variable(scope, name, param.Statistic, v.DType(), param.Constant(0), v.Shape().Dimensions...))
		}
		s.slots = append(s.slots, slots)
	}
	return s
}
