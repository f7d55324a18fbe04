package train

import (
	"math"
	"strings"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/ops"
)

// Minimizer moves variables against the gradient of a loss, in the caller's graph, for procedures that own their loss: it is
// one update of Optimizer a call. Its moments and its count of updates are variables under the scope it is given.
type Minimizer struct {
	Optimizer Optimizer
	ClipNorm  float64                // largest L2 norm of the whole gradient; 0 = no clipping
	Rate      func(done *Node) *Node // factor on Optimizer.LR after done updates, a float32 scalar each; nil = 1
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
	rates := make([]*Node, columnsOfRate)
	rates[columnRate] = Scalar(g, dtypes.Float32, m.Optimizer.LR)
	if m.Rate != nil {
		rates[columnRate] = Mul(rates[columnRate], m.Rate(done))
	}
	// 1 - beta^t without the loss of digits at small t.
	correction := func(beta float64) *Node {
		return Reciprocal(Neg(ops.Expm1(MulScalar(OnePlus(done), math.Log(beta)))))
	}
	rates[columnFirst], rates[columnSecond] = ScalarOne(g, dtypes.Float32), ScalarOne(g, dtypes.Float32)
	if m.Optimizer.Beta1 > 0 {
		rates[columnFirst] = correction(m.Optimizer.Beta1)
	}
	if m.Optimizer.Beta2 > 0 {
		rates[columnSecond] = correction(m.Optimizer.Beta2)
	}
	norm := globalNorm(gradients)
	if m.ClipNorm > 0 {
		scale := MinScalar(Div(Scalar(g, norm.DType(), m.ClipNorm), AddScalar(norm, 1e-6)), 1.0)
		for i, gradient := range gradients {
			gradients[i] = Mul(gradient, ConvertDType(scale, gradient.DType()))
		}
	}
	for i, v := range variables {
		m.Optimizer.move(v, gradients[i], nil, rates, state.velocity[i], state.second[i])
	}
	return norm
}

// MinimizerState is what a Minimizer keeps.
type MinimizerState struct {
	count            *model.Variable
	velocity, second []*model.Variable // of each variable; nil where the optimizer has none
}

// Declare makes the moments and the count under scope, where they are not there yet, so that they can be read from a file.
func (m Minimizer) Declare(scope *model.Scope, variables []*model.Variable) MinimizerState {
	s := MinimizerState{count: param.Variable(scope, "updates", param.Statistic, dtypes.Float32, param.Constant(0))}
	velocities, seconds := scope.In("velocity"), scope.In("second")
	beside := func(scope *model.Scope, v *model.Variable) *model.Variable {
		name := strings.ReplaceAll(strings.Trim(v.Path(), "/"), "/", ".")
		return param.Variable(scope, name, param.Statistic, v.DType(), param.Constant(0), v.Shape().Dimensions...)
	}
	for _, v := range variables {
		var velocity, second *model.Variable
		if m.Optimizer.Name == "adamw" || m.Optimizer.Momentum > 0 {
			velocity = beside(velocities, v)
		}
		if m.Optimizer.Name == "adamw" {
			second = beside(seconds, v)
		}
		s.velocity, s.second = append(s.velocity, velocity), append(s.second, second)
	}
	return s
}
