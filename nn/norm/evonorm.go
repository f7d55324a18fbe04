package norm

import (
	"strings"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// EvoNorm is a normalisation and an activation in one layer, found by search. No activation follows it.
//
//	B0   scale x / max(sqrt(s2_b + e), v x + sqrt(s2_i + e)) + offset
//	B1   scale x / max(sqrt(s2_b + e), (x + 1) sqrt(q_i + e)) + offset
//	B2   scale x / max(sqrt(s2_b + e), sqrt(q_i + e) - x) + offset
//	S0   scale x sigmoid(v x) / sqrt(s2_g + e) + offset
//	S1   scale x sigmoid(x) / sqrt(s2_g + e) + offset
//	S2   scale x sigmoid(x) / sqrt(q_g + e) + offset
//
// with e = Epsilon, s2 a biased variance and q a mean of squares: _b over batch and positions, _i over the positions of an
// example, _g over the positions and one group of channels of an example. x is [batch, ..., channels]; y has its shape and dtype;
// scale, offset and v (start 1, 0, 1; v in B0 and S0 alone) are [channels].
//
// The B layers use the batch's variance in training, with its gradient, and the running variance at inference, which
// training collects biased as the official code does; the other terms always come from the example itself, so that they
// cannot be folded. On several devices s2_b is of each device's part. The S layers have no state, and training is inference.
//
// NoActivation leaves offset + scale x, without any normalisation: the last layer of a residual branch, there with InitZero.
// Panics on an unknown Kind, where Group does (S), if x has no positions (B), and if Decay is outside [0, 1).
// Source: Liu, Brock, Simonyan, Le, "Evolving Normalization-Activation Layers", arXiv 2004.02967; B1, B2, S1, S2 are from its
// appendix.
type EvoNorm struct {
	Kind         string  `json:"kind"`          // B0, B1, B2, S0, S1 or S2
	Groups       int     `json:"groups"`        // S: groups of channels; 32
	Fallback     bool    `json:"fallback"`      // S: where Groups does not divide the channels, take the next smaller number that does; true
	Decay        float64 `json:"decay"`         // B: share of the old value in the running variance, [0,1); 0.9
	Epsilon      float64 `json:"eps"`           // inside every root; 1e-5
	NoActivation bool    `json:"no_activation"` // offset + scale x alone; false
	InitZero     bool    `json:"init_zero"`     // the scale starts at 0; false
}

var (
	_ Layer     = EvoNorm{}
	_ Activated = EvoNorm{}
)

// NewEvoNorm returns the paper's defaults of a kind.
func NewEvoNorm(kind string) EvoNorm {
	return EvoNorm{Kind: kind, Groups: 32, Fallback: true, Decay: 0.9, Epsilon: 1e-5}
}

// Activates reports that the layer contains its activation.
func (n EvoNorm) Activates() bool { return !n.NoActivation }

// WithoutActivation returns offset + scale x, for a shortcut or the end of a residual branch, where the scale starts at 0.
func (n EvoNorm) WithoutActivation(branchEnd bool) Layer {
	n.NoActivation, n.InitZero = true, branchEnd
	return n
}

// Apply normalises and activates x.
func (n EvoNorm) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	x = entering("norm.EvoNorm", scope, x)
	if !strings.Contains(" B0 B1 B2 S0 S1 S2 ", " "+n.Kind+" ") {
		Panicf("norm.EvoNorm %s: Kind is %q; use B0, B1, B2, S0, S1 or S2", scope.Scope(), n.Kind)
	}
	first := 1.0
	if n.InitZero {
		first = 0
	}
	scale, offset := affine(scope, x, channelsOf(x), channelShape(x), starting("scale", first))
	wide := ops.Widen(x)
	switch {
	case n.NoActivation:
		wide = scaled(wide, scale, offset)
	case n.Kind[0] == 'S':
		wide = n.sample(scope, wide, scale, offset)
	default:
		wide = scaled(graph.Div(wide, n.batchDenominator(scope, wide)), scale, offset)
	}
	return graph.ConvertDType(wide, x.DType())
}

// slope is v, the trained factor inside S0 and B0.
func (n EvoNorm) slope(scope *model.Scope, x *graph.Node) *graph.Node {
	v := param.Variable(scope, "v", param.Affine, stateType(x), param.Constant(1), channelsOf(x)...)
	return graph.Reshape(pass.Weight(v, x.Graph()), channelShape(x)...)
}

// sample is the S series, with a gradient that keeps x and the deviations alone. With z = v x, a = sigmoid(z), s the root, P = dy x a / s
// and n the elements of a group:
//
//	dx = dy scale a (1 + z (1-a)) / s - (x - mean_g) sum_g(scale P) / (n s^2)      without mean_g for S2
//	dscale = sum(P)      dv = scale sum(dy x^2 a (1-a) / s)
//
// The three passes over x have the sigmoid in three forms: engines would write out and read again what they share, where computing it
// anew costs nothing.
func (n EvoNorm) sample(scope *model.Scope, x, scale, offset *graph.Node) *graph.Node {
	groups := dividing("norm.EvoNorm", scope, x, n.Groups, n.Fallback)
	if n.Kind != "S2" { // which does not centre, so that a group may be of one value
		groups = groupsOf("norm.EvoNorm", scope, x, n.Groups, n.Fallback)
	}

	dims := x.Shape().Dimensions
	view := func(v *graph.Node) *graph.Node { return v }
	if len(dims) == 2 { // without positions a group is a row
		view = func(v *graph.Node) *graph.Node { return split(v, groups) }
	}

	inputs := []*graph.Node{view(x), view(scale), view(offset)}
	x, scale, offset = inputs[0], inputs[1], inputs[2]
	inner := func(x *graph.Node) *graph.Node { return x }
	var v *graph.Node
	if n.Kind == "S0" {
		v = view(n.slope(scope, graph.Reshape(x, dims...)))
		inputs = append(inputs, v)
		inner = func(x *graph.Node) *graph.Node { return graph.Mul(v, x) }
	}

	// over is the mean of scale v over each group of an example, and perChannel the sum of v over all else than the channels.
	axes, share := positions(x), overGroups(groups)
	over := func(v *graph.Node) *graph.Node { return share(graph.Mul(overPositions(v), scale)) }
	perChannel := func(v *graph.Node) *graph.Node {
		mean := overPositions(v)
		return graph.MulScalar(sumOver(mean, []int{0}), float64(v.Shape().Size())/float64(mean.Shape().Size()))
	}

	if len(dims) == 2 {
		axes, share = []int{-1}, func(v *graph.Node) *graph.Node { return v }
		over = func(v *graph.Node) *graph.Node {
			weights := graph.Mul(members(v, dims[1], groups), graph.Reshape(scale, dims[1], 1))
			mean := graph.DivScalar(graph.MatMul(graph.Reshape(v, dims...), weights), float64(dims[1]/groups))
			return graph.Reshape(mean, dims[0], groups, 1)
		}
		perChannel = func(v *graph.Node) *graph.Node {
			mean := overPositions(graph.Reshape(v, append([]int{1}, dims...)...))
			return view(graph.MulScalar(graph.Reshape(mean, 1, dims[1]), float64(dims[0])))
		}
	}

	var mean, square *graph.Node
	switch {
	case n.Kind == "S2":
		square = share(ops.MeanSquare(x, axes, nil))
	case len(dims) == 2:
		mean, square = ops.Moments(x, axes, nil)
	default:
		mean, square = pooledMoments(x, share)
	}

	inverse := graph.Reciprocal(graph.Sqrt(graph.AddScalar(square, n.Epsilon)))
	value := graph.Add(graph.Mul(graph.Mul(x, sigmoid(inner(x))), graph.Mul(inverse, scale)), offset)
	y := ops.CustomGradient(graph.StopGradient(value), inputs, func(dy *graph.Node) []*graph.Node {
		z := inner(x)
		tanh := func(factor float64) *graph.Node { // of factor z
			if v == nil {
				return graph.Tanh(graph.MulScalar(x, factor))
			}
			return graph.Tanh(graph.Mul(x, graph.MulScalar(v, factor)))
		}
		p := graph.Mul(graph.Mul(graph.Mul(dy, x), inverse), graph.AddScalar(graph.MulScalar(tanh(-0.5), -0.5), 0.5))
		pull := graph.Mul(over(p), graph.Square(inverse))
		centred := x
		if mean != nil {
			centred = graph.Sub(x, mean)
		}
		a := sigmoid(z)
		bent := graph.Mul(a, graph.OnePlus(graph.Mul(z, graph.OneMinus(a))))
		dx := graph.Sub(graph.Mul(graph.Mul(dy, graph.Mul(inverse, scale)), bent), graph.Mul(centred, pull))
		adjoints := []*graph.Node{dx, perChannel(p), sumOver(dy, leading(x)[:len(dims)-1])}
		if v != nil {
			bend := graph.MulScalar(graph.OneMinus(graph.Square(tanh(0.5))), 0.25) // a (1-a)
			q := graph.Mul(graph.Mul(graph.Mul(dy, inverse), graph.Square(x)), bend)
			adjoints = append(adjoints, graph.Mul(scale, perChannel(q)))
		}
		return adjoints
	})

	return graph.Reshape(y, dims...)
}

// sigmoid is the logistic function by way of tanh, for which XLA's CPU has a fast form: half the time of exp.
func sigmoid(x *graph.Node) *graph.Node {
	return graph.AddScalar(graph.MulScalar(graph.Tanh(graph.MulScalar(x, 0.5)), 0.5), 0.5)
}

func sumOver(x *graph.Node, axes []int) *graph.Node {
	return graph.ReduceAndKeep(x, graph.ReduceSum, axes...)
}

// batchDenominator is what the B series divides by; it collects the running variance.
func (n EvoNorm) batchDenominator(scope *model.Scope, x *graph.Node) *graph.Node {
	if !(n.Decay >= 0 && n.Decay < 1) {
		Panicf("norm.EvoNorm %s: Decay is %v; it is the share of the old value, in [0, 1); use 0.9", scope.Scope(), n.Decay)
	}
	if x.Rank() < 3 {
		Panicf("norm.EvoNorm %s: %s needs positions, x is %s; use S0 for dense layers", scope.Scope(), n.Kind, x.Shape())
	}
	running := state(scope, "variance", x, 1, channelsOf(x)...)
	var variance *graph.Node
	if pass.Training(scope, x.Graph()) {
		_, variance = ops.Moments(x, leading(x), nil)
		stats := ops.GatherAcross(graph.Reshape(variance, 1, channelsOf(x)[0]))
		pass.Move(scope, running, RunningUpdate(1-n.Decay, pass.Weight(running, x.Graph()), stats))
	} else {
		source := sourceOr(x.Graph(), FromRunning{})
		_, variance = source.Statistics(scope, x, &Running{scope: scope, variance: running})
	}
	root := func(square *graph.Node) *graph.Node { return graph.Sqrt(graph.AddScalar(square, n.Epsilon)) }
	var right *graph.Node
	switch n.Kind {
	case "B0":
		_, instance := ops.Moments(x, positions(x), nil)
		right = graph.Add(graph.Mul(n.slope(scope, x), x), root(instance))
	case "B1":
		right = graph.Mul(graph.OnePlus(x), root(ops.MeanSquare(x, positions(x), nil)))
	default:
		right = graph.Sub(root(ops.MeanSquare(x, positions(x), nil)), x)
	}
	left := graph.BroadcastToDims(root(variance), x.Shape().Dimensions...)
	return graph.Where(graph.LessOrEqual(right, left), left, right) // a selection, so that a NaN stays one
}
