package optim_test

import (
	"math"
	"testing"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/nn/optim"
)

// TestMinimizer compares five updates of (w - 3)^2 with the formulas of Optimizer in a plain loop.
func TestMinimizer(t *testing.T) {
	adam := optim.NewAdamW()
	adam.LR, adam.WeightDecay, adam.Decay, adam.Beta2 = 0.1, 2, []string{"all"}, 0.98
	sgd := optim.NewSGD()
	sgd.LR, sgd.WeightDecay, sgd.Decay = 0.05, 0.3, []string{"all"}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, o := range []optim.Optimizer{adam, sgd} {
			store := model.NewStore()
			w := store.RootScope().In("net").VariableWithValue("kernel", []float32{1})
			m := optim.Minimizer{Optimizer: o, ClipNorm: 2, Scale: func(done *Node) *Node { return Reciprocal(OnePlus(done)) }}
			exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, g *Graph) *Node {
				loss := ReduceAllSum(Square(AddScalar(w.NodeValue(g), -3)))
				m.Step(scope.In("optimizer"), loss, []*model.Variable{w})
				return loss
			})
			want, first, second := 1.0, 0.0, 0.0
			for step := 1; step <= 5; step++ {
				loss := tensors.ToScalar[float32](exec.MustCall()[0])
				if math.Abs(float64(loss)-(want-3)*(want-3)) > 1e-4 {
					t.Errorf("%s: loss before update %d is %v, want %v", optim.Name(o), step, loss, (want-3)*(want-3))
				}
				g := 2 * (want - 3)
				if norm := math.Abs(g); norm > 2 {
					g *= 2 / (norm + 1e-6)
				}
				rate := o.Rate() / float64(step)
				switch o := o.(type) {
				case optim.AdamW:
					first, second = o.Beta1*first+(1-o.Beta1)*g, o.Beta2*second+(1-o.Beta2)*g*g
					want -= rate * o.WeightDecay * want
					want -= rate * first / (1 - math.Pow(o.Beta1, float64(step))) / (math.Sqrt(second/(1-math.Pow(o.Beta2, float64(step)))) + o.Epsilon)
				case optim.SGD:
					first = o.Momentum*first + g + o.WeightDecay*want
					want -= rate * first
				}
				if got := float64(tensors.MustCopyFlatData[float32](w.MustValue())[0]); math.Abs(got-want) > 1e-5 {
					t.Errorf("%s: w after update %d is %v, want %v", optim.Name(o), step, got, want)
				}
			}
		}
	})
}
