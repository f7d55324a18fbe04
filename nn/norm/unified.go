package norm

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// Unified is unified normalisation: like Power it divides each channel by a root mean square without centring and needs no
// statistics at inference, so that it can be folded into the neighbouring linear layer; in training the denominator is the
// geometric mean over the last batches, and outlier batches can be kept out of it.
//
// x is [batch, ..., channels]; y has its shape and dtype; scale and offset (start 1, 0) are [channels]. With e = Epsilon, M and N the
// windows, a = Momentum, t the number of the step, x2 the mean of x^2 over batch and positions that are not padding, and running the
// variable variance (start 1), a training step is
//
//	window2[t mod M] <- x2
//	outlier = Filter and t >= Warmup and, in any channel, arithmetic - geometric mean of window2 > M Var_{n-1}(sqrt(window2 of before))
//	if outlier: window2[t mod M] <- running, the step is skipped (so it is at every step where M is 1)
//	var = x2 if t <= M, t < Warmup or skipped, else the geometric mean of window2
//	r   = 1 if t <= max(Floor, Warmup) or skipped, else sqrt((var + e)/(running + e)) within [1/5, 5]
//	z = x / sqrt(var + e)      y = scale z + offset      running <- a running + (1-a) var
//
// and its gradient, which does not follow var, with g = r scale dy and means over all positions,
//
//	gz = mean(g z)      windowg[t mod N] <- ema if skipped else gz
//	m  = gz if t <= N, t < Warmup or skipped, else the mean of windowg          ema <- a ema + (1-a) m
//	dx = (g - q z) / sqrt(var + e), q = m if skipped else ema      dscale = sum(r dy z)      doffset = sum(dy)
//
// At inference y = scale x / sqrt(running + e) + offset. The part of the state that belongs to the gradient moves while the
// gradient is computed. All devices move one state by all of the batch.
//
// This is the official code's order, counters and all. Two options are not in it: Floor, there fixed at 1000, and
// ProtectRunning, which keeps the running value too from a skipped step: the official one swallows the outlier, and
// inference suffers. Panics on a window below 1, on factors outside (0, 1) and on a mask of another shape. Warning names a
// warm-up shorter than the window, with which the filter skips every step until the window is full.
// Source: Yang et al., "Unified Normalization for Accelerating and Stabilizing Transformers", arXiv 2208.01313.
type Unified struct {
	Window         int     `json:"window_fwd"`         // M, batches of the forward statistic; 4
	GradientWindow int     `json:"window_bwd"`         // N, batches of the gradient's; 4
	Warmup         int     `json:"warmup_iters"`       // 4000
	Filter         bool    `json:"outlier_filtration"` // keep outlier batches out of the window; false, the authors turn it on for images
	Momentum       float64 `json:"momentum"`           // a, share of the OLD value, (0,1); 0.9
	Epsilon        float64 `json:"eps"`                // 1e-5
	Floor          int     `json:"r_floor"`            // steps before r counts; 1000
	ProtectRunning bool    `json:"protect_running"`    // false
}

var (
	_ Layer  = Unified{}
	_ Masked = Unified{}
)

// NewUnified returns the official defaults.
func NewUnified() Unified {
	return Unified{Window: 4, GradientWindow: 4, Warmup: 4000, Momentum: 0.9, Epsilon: 1e-5, Floor: 1000}
}

// Warning says what is odd about the options, or "".
func (u Unified) Warning() string {
	if u.Filter && u.Warmup < u.Window {
		return fmt.Sprintf("norm.Unified: warmup_iters %d is below window_fwd %d, so with outlier_filtration every step is skipped until the window is full; use at least %d",
			u.Warmup, u.Window, u.Window)
	}
	return ""
}

// Apply normalises x, without padding.
func (u Unified) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	return u.ApplyMasked(scope, x, nil)
}

// ApplyMasked normalises x; padding [batch, ...], x's shape without the channels, is true where a position does not count for
// the statistics. It is normalised all the same.
func (u Unified) ApplyMasked(scope *model.Scope, x, padding *graph.Node) *graph.Node {
	const who = "norm.Unified"
	x = entering(who, scope, x)
	if u.Window < 1 || u.GradientWindow < 1 {
		Panicf("%s %s: windows are %d and %d; use at least 1", who, scope.Scope(), u.Window, u.GradientWindow)
	}
	// Steps are counted in 32 bits.
	if outside := func(n int) bool { return n < math.MinInt32+1 || n > math.MaxInt32 }; outside(u.Window) || outside(u.GradientWindow) || outside(u.Warmup) || outside(u.Floor) {
		Panicf("%s %s: window_fwd %d, window_bwd %d, warmup_iters %d, r_floor %d; use at most %d",
			who, scope.Scope(), u.Window, u.GradientWindow, u.Warmup, u.Floor, math.MaxInt32)
	}
	if !(u.Momentum > 0 && u.Momentum < 1) {
		Panicf("%s %s: Momentum is %v; it is the share of the old value, in (0, 1); use 0.9", who, scope.Scope(), u.Momentum)
	}
	counts := counted(who, scope, x, padding)
	g := x.Graph()
	wide := ops.Widen(x)
	shape := channelShape(x)
	scale, offset := affine(scope, x, channelsOf(x), shape)
	v := u.state(scope, x)
	root := func(square *graph.Node) *graph.Node { return graph.Sqrt(graph.AddScalar(square, u.Epsilon)) }
	if !pass.Training(scope, g) {
		y := graph.Mul(wide, graph.Reciprocal(root(squareFrom(scope, wide, v.running))))
		return graph.ConvertDType(scaled(y, scale, offset), x.DType())
	}
	now := pass.Of(g) // the gradient is built when this pass is over
	s := u.forward(scope, v, graph.Reshape(squareOfAll(graph.StopGradient(wide), counts), channelsOf(x)...))
	inverse := graph.Reshape(graph.Reciprocal(root(s.variance)), shape...)
	z := graph.StopGradient(graph.Mul(wide, inverse))
	ratio := graph.Reshape(s.ratio, shape...)
	y := ops.CustomGradient(graph.StopGradient(scaled(z, scale, offset)), []*graph.Node{wide, scale, offset}, func(dy *graph.Node) []*graph.Node {
		scaledDy := graph.Mul(dy, ratio)
		grad := graph.Mul(scaledDy, scale)
		gz := overDevices(graph.ReduceAndKeep(graph.Mul(grad, z), graph.ReduceMean, leading(x)...))
		q := u.backward(now, scope, v, s, graph.Reshape(gz, channelsOf(x)...))
		dx := graph.Mul(graph.Sub(grad, graph.Mul(graph.Reshape(q, shape...), z)), inverse)
		return []*graph.Node{dx, sumOver(graph.Mul(scaledDy, z), leading(x)), sumOver(dy, leading(x))}
	})
	return graph.ConvertDType(y, x.DType())
}

// unifiedState are the variables that training moves.
type unifiedState struct {
	running, window, ema, gradientWindow *model.Variable
	iterations, skips                    *model.Variable // int32
	ratio, skipped                       *model.Variable // r of the last step and whether it was skipped, for whoever watches
}

func (u Unified) state(scope *model.Scope, x *graph.Node) unifiedState {
	channels := channelsOf(x)[0]
	return unifiedState{
		running:        state(scope, "variance", x, 1, channels),
		window:         state(scope, "window", x, 0, u.Window, channels),
		ema:            state(scope, "ema_gz", x, 0, channels),
		gradientWindow: state(scope, "gradient_window", x, 0, u.GradientWindow, channels),
		iterations:     counter(scope, "iterations"),
		skips:          counter(scope, "skips"),
		ratio:          state(scope, "ratio", x, 1, channels),
		skipped:        counter(scope, "skipped"),
	}
}

// unifiedStep is what the gradient of a step needs of its forward pass.
type unifiedStep struct {
	variance, ratio *graph.Node // [channels]
	number, skip    *graph.Node // [] int32, counted from 1; [] bool
}

// forward moves the forward part of the state by the batch's mean square x2 [channels].
func (u Unified) forward(scope *model.Scope, v unifiedState, x2 *graph.Node) unifiedStep {
	g := x2.Graph()
	number := graph.OnePlus(pass.Weight(v.iterations, g))
	pass.Move(scope, v.iterations, number)
	s := unifiedStep{number: number}
	old := pass.Weight(v.running, g)
	atMost := func(limit int) *graph.Node { return graph.LessOrEqual(number, graph.Const(g, int32(limit))) }
	s.skip = graph.Const(g, u.Window <= 1)
	before := pass.Weight(v.window, g)
	squares := inSlot(before, number, x2)
	geometric := func(w *graph.Node) *graph.Node { return graph.Exp(graph.ReduceMean(graph.Log(w), 0)) }
	if u.Filter {
		roots := graph.Sqrt(before)
		n := float64(before.Shape().Size())
		spread := graph.ReduceAllSum(graph.Square(graph.Sub(roots, graph.ReduceAllMean(roots))))
		bound := graph.MulScalar(spread, float64(u.Window)/max(1, n-1))
		gap := graph.ReduceAllMax(graph.Sub(graph.ReduceMean(squares, 0), geometric(squares)))
		outlier := graph.LogicalAnd(graph.GreaterThan(gap, bound), graph.LogicalNot(atMost(u.Warmup-1)))
		squares = selected(outlier, inSlot(before, number, old), squares)
		pass.Move(scope, v.skips, graph.Add(pass.Weight(v.skips, g), graph.ConvertDType(outlier, dtypes.Int32)))
		s.skip = graph.LogicalOr(s.skip, outlier)
	}
	pass.Move(scope, v.window, squares)
	pass.Move(scope, v.skipped, graph.ConvertDType(s.skip, dtypes.Int32))
	plain := graph.LogicalOr(graph.LogicalOr(atMost(u.Window), atMost(u.Warmup-1)), s.skip)
	s.variance = selected(plain, x2, geometric(squares))
	ratio := graph.Sqrt(graph.Div(graph.AddScalar(s.variance, u.Epsilon), graph.AddScalar(old, u.Epsilon)))
	ratio = graph.MinScalar(graph.MaxScalar(ratio, 0.2), 5.0)
	s.ratio = selected(graph.LogicalOr(atMost(max(u.Floor, u.Warmup)), s.skip), graph.OnesLike(ratio), ratio)
	pass.Move(scope, v.ratio, s.ratio)
	moved := graph.Add(graph.MulScalar(old, u.Momentum), graph.MulScalar(s.variance, 1-u.Momentum))
	if u.ProtectRunning {
		moved = selected(s.skip, old, moved)
	}
	pass.Move(scope, v.running, moved)
	return s
}

// backward moves the gradient's part of the state by gz [channels] and returns q.
func (u Unified) backward(now pass.Now, scope *model.Scope, v unifiedState, s unifiedStep, gz *graph.Node) (q *graph.Node) {
	g := gz.Graph()
	ema := now.Weight(v.ema)
	window := inSlot(now.Weight(v.gradientWindow), s.number, selected(s.skip, ema, gz))
	now.Move(scope, v.gradientWindow, window)
	atMost := func(limit int) *graph.Node { return graph.LessOrEqual(s.number, graph.Const(g, int32(limit))) }
	plain := graph.LogicalOr(graph.LogicalOr(atMost(u.GradientWindow), atMost(u.Warmup-1)), s.skip)
	mean := selected(plain, gz, graph.ReduceMean(window, 0))
	moved := graph.Add(graph.MulScalar(ema, u.Momentum), graph.MulScalar(mean, 1-u.Momentum))
	now.Move(scope, v.ema, moved)
	return selected(s.skip, mean, moved)
}

// inSlot puts value [channels] into row number mod rows of a ring [rows, channels].
func inSlot(ring, number, value *graph.Node) *graph.Node {
	g, d := ring.Graph(), ring.Shape().Dimensions
	slot := graph.Mod(number, graph.Const(g, int32(d[0])))
	here := graph.Equal(graph.Iota(g, shapes.Make(dtypes.Int32, d...), 0), graph.BroadcastToDims(slot, d...))
	return graph.Where(here, graph.BroadcastToDims(graph.ExpandAxes(value, 0), d...), ring)
}

// SkipCount is how many steps the Unified layers of a store have skipped as outliers.
func SkipCount(store *model.Store) int {
	n := 0
	for v := range store.IterVariables() {
		if v.Name() == "skips" && v.DType() == dtypes.Int32 {
			n += int(tensors.ToScalar[int32](v.MustValue()))
		}
	}
	return n
}

// ResetIterations sets the step counters of the Power and Unified layers of a store to 0, and returns how many there are: a
// network that is trained on from a checkpoint warms up anew. All other state stays.
func ResetIterations(store *model.Store) (int, error) {
	n := 0
	for v := range store.IterVariables() {
		if v.Name() == "iterations" && v.DType() == dtypes.Int32 {
			if err := v.SetValue(tensors.FromScalar(int32(0))); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}
