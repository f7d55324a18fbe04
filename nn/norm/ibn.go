package norm

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// IBN is instance-batch normalisation: some channels are normalised as by Instance, which takes the appearance of an image out
// of them, the others as by Batch, which keeps it,
//
//	y = scale (x - mean) / sqrt(var + Epsilon) + offset      mean, var of each example and channel, or of each channel over the batch
//
// x is [batch, ..., channels] with at least one axis of positions; y has its shape and dtype; scale and offset are [channels], mean and
// variance are of the batch part alone. With C channels, "in_first", the form for ResNets, gives the first int(C Ratio) to Instance;
// "bn_first", for DenseNets, gives the first int(C (1-Ratio)) to Batch and the rest to Instance. The batch part collects and uses
// running values as Batch does, with the variance unbiased; the instance part has no state and is the same at inference.
// On several devices the batch part sees all of the batch, unless they are kept apart.
//
// Panics if a part is empty, if x has one position an example, if Momentum is outside (0, 1], and on another Order.
// Source: Pan, Luo, Shi, Tang, "Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net", arXiv 1807.09441.
type IBN struct {
	Ratio    float64 `json:"ratio"`    // share of the instance-normalised channels; 0.5, in DenseNets 0.4
	Order    string  `json:"order"`    // in_first or bn_first
	Momentum float64 `json:"momentum"` // share of the new value in the running one, (0,1]; 0.1
	Epsilon  float64 `json:"eps"`      // added to the variance; 1e-5
}

var _ Layer = IBN{}

// NewIBN returns the paper's defaults for ResNets.
func NewIBN() IBN { return IBN{Ratio: 0.5, Order: "in_first", Momentum: 0.1, Epsilon: 1e-5} }

// Apply normalises x.
//
// A channel of the batch part pools the statistics of examples over the batch; see pooledMoments.
func (n IBN) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	const who = "norm.IBN"
	x = entering(who, scope, x)
	checkPositions(who, scope, x)
	channels := channelsOf(x)[0]
	instance, batch := n.parts(scope, channels)
	running := newRunning(who, scope, x, batch[1]-batch[0], n.Momentum, true)
	scale, offset := affine(scope, x, channelsOf(x), channelShape(x))
	g, wide := x.Graph(), ops.Widen(x)
	channel := graph.Iota(g, shapes.Make(dtypes.Int32, channelShape(x)...), x.Rank()-1)
	own := graph.LogicalAnd(graph.GreaterOrEqual(channel, graph.Const(g, int32(instance[0]))), graph.LessThan(channel, graph.Const(g, int32(instance[1]))))
	devices := ops.DevicesOf(g)
	together := devices.Count > 1 && !devices.Apart
	overBatch := func(v *graph.Node) *graph.Node {
		pooled := graph.ReduceAndKeep(v, graph.ReduceMean, 0)
		if together {
			pooled = overDevices(pooled)
		}
		d := v.Shape().Dimensions
		return graph.Where(graph.BroadcastToDims(own, d...), v, graph.BroadcastToDims(pooled, d...))
	}
	if pass.Training(scope, g) {
		mean, variance := pooledMoments(wide, overBatch)
		part := func(v *graph.Node) *graph.Node { // of the first example: they are all the same
			v = graph.SliceAxis(graph.SliceAxis(v, 0, graph.AxisRange(0, 1)), -1, graph.AxisRange(batch[0], batch[1]))
			v = graph.Reshape(v, 1, batch[1]-batch[0])
			if together {
				return v
			}
			return ops.GatherAcross(v)
		}
		count := x.Shape().Size() / channels
		if together {
			count *= devices.Count
		}
		running.collect(part(mean), part(variance), count)
		return graph.ConvertDType(normalizePooled(wide, scale, offset, mean, variance, overBatch, n.Epsilon), x.DType())
	}
	mean, variance := ops.Moments(wide, positions(x), nil)
	if givenIn(g) != nil {
		mean, variance = n.given(scope, wide, own, mean, variance, batch, running)
		return graph.ConvertDType(normalise(x, scale, offset, mean, variance, n.Epsilon), x.DType())
	}
	choose := func(v *graph.Node, of *model.Variable) *graph.Node { // the example's own, or the running values
		collected := pass.Weight(of, g)
		rest := graph.Zeros(g, shapes.Make(collected.DType(), instance[1]-instance[0]))
		both := []*graph.Node{rest, collected}
		if batch[0] == 0 {
			both = []*graph.Node{collected, rest}
		}
		d := v.Shape().Dimensions
		return graph.Where(graph.BroadcastToDims(own, d...), v, graph.BroadcastToDims(graph.Reshape(graph.Concatenate(both, 0), channelShape(x)...), d...))
	}
	return graph.ConvertDType(normalise(x, scale, offset, choose(mean, running.mean), choose(variance, running.variance), n.Epsilon), x.DType())
}

// given puts the statistics of the source that With gives in the place of the examples' own in the channels of the batch part, where own is
// false.
func (n IBN) given(
	scope *model.Scope, x, own, mean, variance *graph.Node, batch [2]int, running *Running,
) (m, v *graph.Node) {
	part := graph.SliceAxis(x, -1, graph.AxisRange(batch[0], batch[1]))
	first, second := sourceOr(x.Graph(), nil).Statistics(scope, part, running)

	d, channels := mean.Shape().Dimensions, channelsOf(x)[0]
	put := func(instance, of *graph.Node) *graph.Node {
		wanted := append(append([]int{}, d[:len(d)-1]...), batch[1]-batch[0])
		of = graph.BroadcastToDims(of, wanted...)
		wanted[len(d)-1] = channels - wanted[len(d)-1]
		both := []*graph.Node{graph.Zeros(of.Graph(), shapes.Make(of.DType(), wanted...)), of}
		if batch[0] == 0 {
			both = []*graph.Node{of, both[0]}
		}
		return graph.Where(graph.BroadcastToDims(own, d...), instance, graph.Concatenate(both, -1))
	}
	return put(mean, first), put(variance, second)
}

// parts are the channels of the instance and of the batch part, from and to.
func (n IBN) parts(scope *model.Scope, channels int) (instance, batch [2]int) {
	var half int
	switch n.Order {
	case "in_first":
		half = int(float64(channels) * n.Ratio)
		instance, batch = [2]int{0, half}, [2]int{half, channels}
	case "bn_first":
		half = int(float64(channels) * (1 - n.Ratio))
		instance, batch = [2]int{half, channels}, [2]int{0, half}
	default:
		Panicf("norm.IBN %s: Order is %q; use in_first or bn_first", scope.Scope(), n.Order)
	}
	if half <= 0 || half >= channels {
		Panicf("norm.IBN %s: a ratio of %v leaves one part of %d channels empty; use a ratio nearer 0.5, or norm.Batch or norm.Instance alone",
			scope.Scope(), n.Ratio, channels)
	}
	return instance, batch
}
