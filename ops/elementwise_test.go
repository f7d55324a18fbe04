package ops_test

import (
	"math"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/ops"
)

// twice checks the gradient of f, and the gradient of its gradient.
func twice(t *testing.T, e *engine.Engine, f func(in []*Node) *Node, in ...gradcheck.Input) {
	t.Helper()
	gradcheck.Check(t, e, f, in...)
	for i := range in {
		gradcheck.Check(t, e, func(x []*Node) *Node { return Gradient(ReduceAllSum(Sin(f(x))), x[i])[0] }, in...)
	}
}

func list(values ...float64) gradcheck.Input {
	return gradcheck.Input{Shape: []int{len(values)}, Data: values}
}

func TestElementwise(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	smooth := list(-3.2, -1.1, -0.4, 0.3, 0.8, 2.7)
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, c := range []struct {
			name   string
			f      func(x *Node) *Node
			want   func(x float64) float64
			values gradcheck.Input
			smooth gradcheck.Input // where gradients of both orders are checked
		}{
			{"Rsqrt", ops.Rsqrt, func(x float64) float64 { return 1 / math.Sqrt(x) }, list(1e-8, 0.3, 1, 7, 1e8), list(0.4, 1.3, 2.5)},
			{"Expm1", ops.Expm1, math.Expm1, list(-40, -1, -1e-12, 0, 1e-12, 1, 20, -inf, nan), smooth},
			{"Log1p", Log1p, math.Log1p, list(-0.9, -1e-12, 0, 1e-12, 3, 1e9), list(-0.5, 0.2, 2)},
			{"Softplus", ops.Softplus, func(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }, list(-800, -30, -1, 0, 1, 30, 800, inf, -inf), smooth},
			{"Floor", ops.Floor, math.Floor, list(-2.5, -2, -0.1, 0, 0.9, 3, inf, nan), smooth},
			{"Ceil", ops.Ceil, math.Ceil, list(-2.5, -2, -0.1, 0, 0.9, 3, -inf, nan), smooth},
			{"Round", ops.Round, math.RoundToEven, list(-3.5, -2.5, -1.5, -0.5, -0.4, 0, 0.5, 1.5, 2.5, 2.4999, 1e15+1, inf, -inf, nan), smooth},
			{"Clamp", func(x *Node) *Node { return ops.Clamp(x, -1, 2) }, func(x float64) float64 { return math.Min(math.Max(x, -1), 2) }, list(-inf, -3, -1, 0, 2, 9, nan), smooth},
		} {
			t.Run(c.name, func(t *testing.T) {
				f := func(in []*Node) *Node { return c.f(in[0]) }
				got, _ := gradcheck.Eval(t, e, f, c.values)
				for i, x := range c.values.Data {
					if w := c.want(x); !(math.Abs(got[i]-w) <= 2e-15*math.Abs(w) || got[i] == w || w != w && got[i] != got[i]) {
						t.Errorf("%v gives %v, want %v", x, got[i], w)
					}
				}
				twice(t, e, f, c.smooth)
			})
		}
		at := func(f func(x *Node) *Node, x ...float64) []float64 {
			g, _ := gradcheck.Eval(t, e, func(in []*Node) *Node { return Gradient(ReduceAllSum(f(in[0])), in[0])[0] }, list(x...))
			return g
		}
		near(t, at(func(x *Node) *Node { return ops.Clamp(x, -1, 2) }, -2, -1, 0, 2, 3), []float64{0, 1, 1, 1, 0}, 0)
		near(t, at(ops.RoundStraightThrough, -1.5, 0.2, 0.5), []float64{1, 1, 1}, 0)
		near(t, at(ops.Softplus, -800, 800), []float64{0, 1}, 0)
		got, _ := gradcheck.Eval(t, e, func(in []*Node) *Node { return ops.RoundStraightThrough(in[0]) }, list(-1.5, 0.2))
		near(t, got, []float64{-2, 0}, 0)

		y, x := list(3.5, -3.5, 3.5, -3.5), list(2, 2, -2, -2)
		got, _ = gradcheck.Eval(t, e, func(in []*Node) *Node { return ops.Mod(in[0], in[1]) }, y, x)
		near(t, got, []float64{1.5, 0.5, -0.5, -1.5}, 1e-15)
		got, _ = gradcheck.Eval(t, e, func(in []*Node) *Node { return ops.Rem(in[0], in[1]) }, y, x)
		near(t, got, []float64{1.5, -1.5, 1.5, -1.5}, 1e-15)
		got, _ = gradcheck.Eval(t, e, func(in []*Node) *Node { return ops.Atan2(in[0], in[1]) }, y, x)
		near(t, got, []float64{math.Atan2(3.5, 2), math.Atan2(-3.5, 2), math.Atan2(3.5, -2), math.Atan2(-3.5, -2)}, 1e-15)
		for _, f := range []func(a, b *Node) *Node{ops.Mod, ops.Rem, ops.Atan2} {
			twice(t, e, func(in []*Node) *Node { return f(in[0], in[1]) }, y, x)
		}
		if got := gradcheck.Panics(e, func(in []*Node) *Node { return ops.Clamp(in[0], 2, 1) }, x); !strings.Contains(got, "is empty") {
			t.Errorf("got %q", got)
		}
	})
}
