package norm

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// Ghost is batch normalisation over contiguous groups of the batch (ghost batches), so that a large batch keeps the noise of
// a small one:
//
//	y = scale (x - mean_l) / sqrt(var_l + Epsilon) + offset      l = group, var_l biased (1/n)
//
// x is [batch, ..., channels]; y has its shape and dtype; scale, offset, mean, variance are [channels]. Statistics run over
// the examples of a group and all positions. Training updates the running values once per group, in order, with the unbiased
// variance; inference knows no groups, uses the running values and accepts any batch. A GroupSize of the batch or more is
// batch normalisation.
//
// Panics if GroupSize is below 1, does not divide the batch (unless Ragged), or leaves a channel fewer than two values in
// training; if Momentum is outside (0, 1].
//
// Where a batch is spread over devices (ops.Devices), a GroupSize of the whole batch or more takes the statistics of all
// devices together; otherwise groups lie within a device. Running values move by the groups of all devices, in their order.
// Devices kept apart make a group of each device's part of what would be one across them.
//
// The paper prints the exponents of its running update so that the first group weighs most, and averages standard deviations;
// this follows the official code, which updates the running mean and variance one group after the other.
// Source: Hoffer, Hubara, Soudry, "Train longer, generalize better", arXiv 1705.08741, algorithm 1.
type Ghost struct {
	GroupSize int     `json:"ghost_size"`           // examples a group
	Momentum  float64 `json:"momentum"`             // share of the new value in the running one, (0,1]; 0.1
	Epsilon   float64 `json:"eps"`                  // added to the variance; 1e-5
	Unbiased  bool    `json:"running_var_unbiased"` // collect the unbiased variance; true
	Ragged    bool    `json:"ragged_last_group"`    // allow any batch: n = ceil(batch/GroupSize) groups of ceil(batch/n), the last one smaller; false

	// Inference is where statistics come from when not training; nil = the running values.
	Inference Source `json:"-"`
}

var _ Layer = Ghost{}

// NewGhost returns the paper's defaults for groups of the given size.
func NewGhost(groupSize int) Ghost {
	return Ghost{GroupSize: groupSize, Momentum: 0.1, Epsilon: 1e-5, Unbiased: true}
}

// Apply normalises x.
func (g Ghost) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	return g.apply("norm.Ghost", scope, x)
}

// apply is Apply under the name of the layer the user sees.
func (g Ghost) apply(who string, scope *model.Scope, x *graph.Node) *graph.Node {
	x = entering(who, scope, x)
	if g.GroupSize < 1 {
		Panicf("%s %s: GroupSize is %d; use at least 1", who, scope.Scope(), g.GroupSize)
	}
	running := newRunning(who, scope, x, channelsOf(x)[0], g.Momentum, g.Unbiased)
	channels := channelsOf(x)
	var y *graph.Node
	if pass.Training(scope, x.Graph()) {
		scale, offset := affine(scope, x, channels, append([]int{1}, channelShape(x)...)) // with an axis for the groups
		y = g.train(who, scope, x, scale, offset, running)
	} else {
		source := g.Inference
		if source == nil {
			source = FromRunning{}
		}
		mean, variance := sourceOr(x.Graph(), source).Statistics(scope, x, running)
		scale, offset := affine(scope, x, channels, channelShape(x))
		y = normalise(x, scale, offset, mean, variance, g.Epsilon)
	}
	return graph.ConvertDType(y, x.DType())
}

// train normalises each group by itself and collects the running values.
func (g Ghost) train(who string, scope *model.Scope, x, scale, offset *graph.Node, running *Running) *graph.Node {
	batch := x.Shape().Dimensions[0]
	if batch == 0 {
		Panicf("%s %s: the batch is empty", who, scope.Scope())
	}
	devices := ops.DevicesOf(x.Graph())
	if devices.Count > 1 && !devices.Apart && g.GroupSize > batch {
		if g.GroupSize < batch*devices.Count {
			Panicf("%s %s: groups of %d do not lie within the %d examples of a device; use at most %d, or the whole batch of %d",
				who, scope.Scope(), g.GroupSize, batch, batch, batch*devices.Count)
		}
		return g.groups(who, scope, x, scale, offset, 1, devices.Count, running)
	}
	n := 1 + (batch-1)/g.GroupSize // not of the sum of both, which may be beyond an int
	size := (batch + n - 1) / n
	if size*n != batch || !g.Ragged && size != min(g.GroupSize, batch) {
		if !g.Ragged {
			Panicf("%s %s: batch %d is not a multiple of GroupSize %d; use %s, or allow a smaller last group with Ragged",
				who, scope.Scope(), batch, g.GroupSize, divisors(batch, g.GroupSize))
		}
		whole := size * (n - 1)
		head := graph.SliceAxis(x, 0, graph.AxisRange(0, whole))
		tail := graph.SliceAxis(x, 0, graph.AxisRange(whole, batch))
		return graph.Concatenate([]*graph.Node{
			g.groups(who, scope, head, scale, offset, n-1, 1, running),
			g.groups(who, scope, tail, scale, offset, 1, 1, running),
		}, 0)
	}
	return g.groups(who, scope, x, scale, offset, n, 1, running)
}

// groups normalises n groups of equal size in one go, or one that lies across devices.
func (g Ghost) groups(who string, scope *model.Scope, x, scale, offset *graph.Node, n, across int, running *Running) *graph.Node {
	d := x.Shape().Dimensions
	channels := d[len(d)-1]
	count := x.Shape().Size() / max(1, n*channels) * across
	if count < 2 {
		Panicf("%s %s: a group of x %s has %d value a channel; statistics need at least 2, so use a larger batch or group",
			who, scope.Scope(), x.Shape(), count)
	}
	grouped := graph.Reshape(x, append([]int{n, d[0] / n}, d[1:]...)...)
	normalize, gather := ops.Normalize, ops.GatherAcross
	if across > 1 {
		normalize, gather = ops.NormalizeAcross, func(x *graph.Node) *graph.Node { return x }
	}
	y, mean, variance := normalize(grouped, scale, offset, leading(grouped)[1:], g.Epsilon)
	running.collect(gather(graph.Reshape(mean, n, channels)), gather(graph.Reshape(variance, n, channels)), count)
	return graph.Reshape(y, d...)
}

// divisors names the group sizes around want that divide batch.
func divisors(batch, want int) string {
	below, above := 1, batch
	for size := 1; size <= batch; size++ {
		if batch%size != 0 {
			continue
		}
		if size < want {
			below = size
		} else if size < above {
			above = size
		}
	}
	if below == above {
		return itoa(below)
	}
	return itoa(below) + " or " + itoa(above)
}
