package ops

import (
	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// Rsqrt is 1/sqrt(x).
func Rsqrt(x *graph.Node) *graph.Node { return graph.Reciprocal(graph.Sqrt(x)) }

// Expm1 is exp(x) - 1, exact to the last digits near 0.
func Expm1(x *graph.Node) *graph.Node {
	return CustomGradient(graph.Expm1(graph.StopGradient(x)), []*graph.Node{x}, func(v *graph.Node) []*graph.Node { return []*graph.Node{graph.Mul(v, graph.Exp(x))} })
}

// Softplus is log(1 + exp(x)), computed as max(x, 0) + log1p(exp(-|x|)), which neither overflows nor loses digits. Its
// gradient is the logistic function.
func Softplus(x *graph.Node) *graph.Node {
	s := graph.StopGradient(x)
	y := graph.Add(graph.Max(s, graph.ZerosLike(s)), graph.Log1p(graph.Exp(graph.Neg(graph.Abs(s)))))
	return CustomGradient(y, []*graph.Node{x}, func(v *graph.Node) []*graph.Node { return []*graph.Node{graph.Mul(v, graph.Logistic(x))} })
}

// Floor is the largest integer at most x. Its gradient is 0.
func Floor(x *graph.Node) *graph.Node { return graph.StopGradient(graph.Floor(graph.StopGradient(x))) }

// Ceil is the smallest integer at least x. Its gradient is 0.
func Ceil(x *graph.Node) *graph.Node { return graph.Neg(Floor(graph.Neg(x))) }

// Round is the integer nearest to x, the even one of two. Its gradient is 0.
func Round(x *graph.Node) *graph.Node {
	floor := Floor(x)
	rest := graph.Sub(graph.StopGradient(x), floor)
	half := graph.Scalar(x.Graph(), x.DType(), 0.5)
	odd := graph.NotEqual(floor, graph.MulScalar(Floor(graph.MulScalar(floor, 0.5)), 2))
	up := graph.LogicalOr(graph.GreaterThan(rest, half), graph.LogicalAnd(graph.Equal(rest, half), odd))
	// Where, not a sum with a converted bool: infinities stay, and -0.4 becomes 0.
	return graph.StopGradient(graph.Where(up, graph.AddScalar(floor, 1), floor))
}

// RoundStraightThrough is Round with the gradient of the identity. Source: Bengio, Léonard, Courville, "Estimating or
// Propagating Gradients Through Stochastic Neurons", arXiv 1308.3432.
func RoundStraightThrough(x *graph.Node) *graph.Node {
	return CustomGradient(Round(x), []*graph.Node{x}, func(v *graph.Node) []*graph.Node { return []*graph.Node{v} })
}

// Mod is x - y floor(x/y), which has the sign of y. Its gradient is 1 for x and -floor(x/y) for y.
func Mod(x, y *graph.Node) *graph.Node { return graph.Sub(x, graph.Mul(y, Floor(graph.Div(x, y)))) }

// Rem is x - y trunc(x/y), which has the sign of x. Its gradient is 1 for x and -trunc(x/y) for y.
func Rem(x, y *graph.Node) *graph.Node {
	q := graph.Div(x, y)
	negative := graph.LessThan(q, graph.ScalarZero(q.Graph(), q.DType()))
	return graph.Sub(x, graph.Mul(y, graph.Where(negative, Ceil(q), Floor(q))))
}

// Clamp limits x to [low, high]. Its gradient is 1 inside, the ends included, and 0 outside; a NaN stays one. Panics if low
// is above high.
func Clamp(x *graph.Node, low, high float64) *graph.Node {
	if !(low <= high) {
		Panicf("ops.Clamp: [%v, %v] is empty", low, high)
	}
	l, h := graph.Scalar(x.Graph(), x.DType(), low), graph.Scalar(x.Graph(), x.DType(), high)
	full := func(s *graph.Node) *graph.Node { return graph.BroadcastToDims(s, x.Shape().Dimensions...) }
	return graph.Where(graph.LessThan(x, l), full(l), graph.Where(graph.GreaterThan(x, h), full(h), x))
}

// Atan2 is the angle of the point (x, y), in (-pi, pi]. Its gradient is x/(x^2+y^2) for y and -y/(x^2+y^2) for x. Panics
// unless the shapes are the same.
func Atan2(y, x *graph.Node) *graph.Node {
	if !y.Shape().Equal(x.Shape()) {
		Panicf("ops.Atan2: y is %s, x %s; give both one shape", y.Shape(), x.Shape())
	}
	return CustomGradient(graph.Atan2(graph.StopGradient(y), graph.StopGradient(x)), []*graph.Node{y, x}, func(v *graph.Node) []*graph.Node {
		w := graph.Div(v, graph.Add(graph.Square(x), graph.Square(y)))
		return []*graph.Node{graph.Mul(w, x), graph.Neg(graph.Mul(w, y))}
	})
}
