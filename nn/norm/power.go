package norm

import (
	"errors"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// Power is power normalisation, batch normalisation for sequence models: each channel is divided by a root mean square over the
// batch, without centring. x is [batch, ..., channels]; y has its shape and dtype; scale and offset (start 1, 0) are [channels]. With
// psi_b^2 the mean of x^2 over batch and positions that are not padding, e = Epsilon, z = x / sqrt(denominator + e) and
// y = scale z + offset:
//
//	variant   denominator in training                                     gradient
//	running   psi_b^2 for Warmup steps, then phi as it was before it      approximate, below
//	paper     phi as it was before the step                               approximate, below
//	v         psi_b^2                                                     exact
//
// At inference the denominator is always phi, the running psi^2, which starts at 1. "running" is the layer as the authors
// released it and the default; "paper" is the algorithm as printed; "v" is the printed PN-V, with a running phi. State moves
// with a = AlphaForward, b = AlphaBackward, t the number of the step, g = dy scale and means over all positions:
//
//	running   phi <- phi (t-1)/t + psi_b^2/t                       while t < Warmup, and then, at every step,
//	          phi <- a phi + (1-a) psi_b^2
//	          dx = (g - (1-b) nu z) / sqrt(psi_b^2 + e)            nu <- nu + mean((g - (1-b) nu z) z)
//	paper     phi <- a phi + (1-a) psi_b^2
//	          dx = (g - nu z) / sqrt(phi + e)                      nu <- nu (1 - (1-a) mean(z^2)) + (1-a) mean(g z)
//
// The exact gradient through phi would need every past batch; nu (ema_gz, start 0) stands in for it. nu moves while the
// gradient is computed: a forward pass alone leaves it. All devices move one state by all of the batch.
//
// GroupScaling first divides each position by the root mean square of each of Groups blocks of its channels, with the exact
// gradient: part of the released code, named in passing in the paper, and much of what keeps training steady. nu grows without
// bound where mean(z^2) stays above 2/(1-b), as when phi lags far behind the data; MaxRatio raises the denominator to at least
// psi_b^2 / MaxRatio.
//
// Panics if Groups does not divide the channels, on a mask of another shape, an unknown Variant, and factors outside (0, 1].
// Source: Shen, Yao, Gholami, Mahoney, Keutzer, "PowerNorm", arXiv 2003.07845.
type Power struct {
	Variant       string  `json:"variant"`       // running, paper or v
	GroupScaling  bool    `json:"group_scaling"` // true for running, false for paper and v
	Groups        int     `json:"groups"`        // blocks of channels of the group scaling; 1, in transformers the number of heads
	AlphaForward  float64 `json:"alpha_fwd"`     // a, (0,1]; 0.9
	AlphaBackward float64 `json:"alpha_bkw"`     // b, (0,1]; 0.9
	Warmup        int     `json:"warmup_iters"`  // steps of warm-up; 10000, the authors' recipes take that of the learning rate
	Epsilon       float64 `json:"eps"`           // 1e-5
	MaxRatio      float64 `json:"max_ratio"`     // largest psi_b^2 / denominator; 0 = no bound, as published
}

var (
	_ Layer  = Power{}
	_ Masked = Power{}
)

// NewPower returns the defaults of a variant: running, paper or v.
func NewPower(variant string) Power {
	return Power{Variant: variant, GroupScaling: variant == "running", Groups: 1, AlphaForward: 0.9, AlphaBackward: 0.9, Warmup: 10000, Epsilon: 1e-5}
}

// Apply normalises x, without padding.
func (p Power) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	return p.ApplyMasked(scope, x, nil)
}

// ApplyMasked normalises x; padding [batch, ...], x's shape without the channels, is true where a position does not count for
// the statistics. It is normalised all the same.
func (p Power) ApplyMasked(scope *model.Scope, x, padding *graph.Node) *graph.Node {
	const who = "norm.Power"
	x = entering(who, scope, x)
	p.check(who, scope)
	g := x.Graph()
	counts := counted(who, scope, x, padding)
	wide := ops.Widen(x)
	if p.GroupScaling {
		groups := groupsOf(who, scope, x, p.Groups, false)
		grouped := split(wide, groups)
		wide = graph.Reshape(ops.NormalizeRMS(grouped, nil, []int{-1}, p.Epsilon), x.Shape().Dimensions...)
	}

	shape := channelShape(x)
	scale, offset := affine(scope, x, channelsOf(x), shape)
	phi := state(scope, "variance", x, 1, channelsOf(x)...)
	running := graph.Reshape(pass.Weight(phi, g), shape...)
	var nu, iterations *model.Variable // declared at inference too, so that every graph has the same variables
	if p.Variant != "v" {
		nu = state(scope, "ema_gz", x, 0, channelsOf(x)...)
	}

	if p.Variant == "running" {
		iterations = counter(scope, "iterations")
	}

	inverse := func(square *graph.Node) *graph.Node {
		return graph.Reciprocal(graph.Sqrt(graph.AddScalar(square, p.Epsilon)))
	}

	if !pass.Training(scope, g) {
		return graph.ConvertDType(scaled(graph.Mul(wide, inverse(squareFrom(scope, wide, phi))), scale, offset), x.DType())
	}

	if p.Variant == "v" {
		batch := ops.MeanSquare(wide, leading(x), counts)
		pass.Move(scope, phi, graph.Reshape(p.moved(running, overDevices(graph.StopGradient(batch))), channelsOf(x)...))
		return graph.ConvertDType(scaled(graph.Mul(wide, inverse(batch)), scale, offset), x.DType())
	}

	batch := squareOfAll(graph.StopGradient(wide), counts)
	denominator := running
	next := running
	backward := inverse(running)
	if p.Variant == "running" {
		before := pass.Weight(iterations, g)
		pass.Move(scope, iterations, graph.OnePlus(before))
		step := graph.ConvertDType(before, running.DType())
		warming := graph.LessThan(step, graph.Scalar(g, step.DType(), float64(p.Warmup)))   // this step is number step+1 <= Warmup
		average := graph.LessThan(step, graph.Scalar(g, step.DType(), float64(p.Warmup-1))) // step+1 < Warmup
		cumulative := graph.Div(graph.Add(graph.Mul(running, step), batch), graph.OnePlus(step))
		next = selected(average, cumulative, running)
		denominator = selected(warming, batch, running)
		backward = inverse(batch)
	}

	if p.MaxRatio > 0 {
		denominator = graph.Max(denominator, graph.MulScalar(batch, 1/p.MaxRatio))
		if p.Variant == "paper" {
			backward = inverse(denominator)
		}
	}

	pass.Move(scope, phi, graph.Reshape(p.moved(next, batch), channelsOf(x)...))
	now := pass.Of(g) // the gradient is built when this pass is over
	z := graph.StopGradient(graph.Mul(wide, inverse(denominator)))
	y := ops.CustomGradient(graph.StopGradient(scaled(z, scale, offset)), []*graph.Node{wide, scale, offset}, func(dy *graph.Node) []*graph.Node {
		grad := graph.Mul(dy, scale)
		old := graph.Reshape(now.Weight(nu), shape...)
		mean := func(v *graph.Node) *graph.Node {
			return overDevices(graph.ReduceAndKeep(v, graph.ReduceMean, leading(x)...))
		}
		var dx, moved *graph.Node
		if p.Variant == "paper" {
			dx = graph.Mul(graph.Sub(grad, graph.Mul(old, z)), backward)
			kept := graph.OneMinus(graph.MulScalar(mean(graph.Square(z)), 1-p.AlphaForward))
			moved = graph.Add(graph.Mul(old, kept), graph.MulScalar(mean(graph.Mul(grad, z)), 1-p.AlphaForward))
		} else {
			a := graph.Sub(grad, graph.MulScalar(graph.Mul(old, z), 1-p.AlphaBackward))
			dx = graph.Mul(a, backward)
			moved = graph.Add(old, mean(graph.Mul(a, z)))
		}
		now.Move(scope, nu, graph.Reshape(moved, channelsOf(x)...))
		return []*graph.Node{dx, sumOver(graph.Mul(dy, z), leading(x)), sumOver(dy, leading(x))}
	})

	return graph.ConvertDType(y, x.DType())
}

// moved is the running value after a step.
func (p Power) moved(phi, batch *graph.Node) *graph.Node {
	return graph.Add(graph.MulScalar(phi, p.AlphaForward), graph.MulScalar(batch, 1-p.AlphaForward))
}

func (p Power) check(who string, scope *model.Scope) {
	if p.Variant != "running" && p.Variant != "paper" && p.Variant != "v" {
		Panicf("%s %s: Variant is %q; use running, paper or v", who, scope.Scope(), p.Variant)
	}
	for i, alpha := range []float64{p.AlphaForward, p.AlphaBackward} {
		if !(alpha > 0 && alpha <= 1) {
			name := []string{"AlphaForward", "AlphaBackward"}[i]
			Panicf("%s %s: %s is %v; it is a share of the old value, in (0, 1]; use 0.9", who, scope.Scope(), name, alpha)
		}
	}
	if p.Warmup < 0 || p.MaxRatio < 0 {
		Panicf("%s %s: Warmup is %d and MaxRatio %v; neither can be negative", who, scope.Scope(), p.Warmup, p.MaxRatio)
	}
}

// Masked is a layer whose statistics can leave out padding.
type Masked interface {
	Layer
	ApplyMasked(scope *model.Scope, x, padding *graph.Node) *graph.Node
}

// CheckPadding says what is wrong with a padding mask, true where a position is padding: where every position is, there is
// nothing to take statistics from. A graph cannot see that, so check a mask before it goes in.
func CheckPadding(padding []bool) error {
	for _, pad := range padding {
		if !pad {
			return nil
		}
	}
	return errors.New("norm: every position is masked as padding; drop the batch, or turn the mask around: true means padding")
}

// counted turns padding into the mask of what counts, laid against x; nil stays nil.
func counted(who string, scope *model.Scope, x, padding *graph.Node) *graph.Node {
	if padding == nil {
		return nil
	}
	d := x.Shape().Dimensions
	want := d[:len(d)-1]
	if !slices.Equal(padding.Shape().Dimensions, want) {
		Panicf("%s %s: the padding mask is %s; want %v, one value for each position of x %s", who, scope.Scope(), padding.Shape(), want, x.Shape())
	}
	if padding.DType() != dtypes.Bool {
		padding = graph.NotEqual(padding, graph.ScalarZero(padding.Graph(), padding.DType()))
	}
	return graph.ExpandAxes(graph.LogicalNot(padding), -1)
}

// squareOfAll is the mean of x^2 of each channel over what counts, on all devices together.
func squareOfAll(x, counts *graph.Node) *graph.Node {
	mean := ops.MeanSquare(x, leading(x), counts)
	if counts == nil || ops.DevicesOf(x.Graph()).Count < 2 {
		return overDevices(mean)
	}
	n := graph.ReduceAndKeep(graph.ConvertDType(counts, x.DType()), graph.ReduceSum, leading(x)...)
	sums := ops.SumAcross(graph.Mul(mean, n), n)
	return graph.Div(sums[0], graph.MaxScalar(sums[1], 1.0))
}

// squareFrom is the mean of squares that a norm which does not centre divides by at inference: that of the source that With gives, else phi's.
func squareFrom(scope *model.Scope, x *graph.Node, phi *model.Variable) *graph.Node {
	source := sourceOr(x.Graph(), FromRunning{})
	_, square := source.Statistics(scope, x, &Running{scope: scope, variance: phi, uncentred: true})
	return square
}

// counter is a variable that counts, from 0.
func counter(scope *model.Scope, name string) *model.Variable {
	return param.Variable(scope, name, param.Statistic, dtypes.Int32, param.Constant(0))
}

// selected is a where condition, a scalar, holds, else b.
func selected(condition, a, b *graph.Node) *graph.Node {
	return graph.Where(graph.BroadcastToDims(condition, a.Shape().Dimensions...), a, b)
}
