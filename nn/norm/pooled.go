package norm

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

// pool averages statistics of each example and channel, [batch, 1, ..., channels], over those that share one: nothing for instance
// normalisation, the channels of a group, the batch. The result has the same shape, each place the average it belongs to.
type pool func(statistic *graph.Node) *graph.Node

// overGroups pools the channels of each group: a product with the channels' groups, and one back. Engines write its result out, where
// that of a sum and a broadcast would be computed anew, with two divisions, for every element that it meets.
func overGroups(groups int) pool {
	return func(v *graph.Node) *graph.Node {
		channels := v.Shape().Dimensions[v.Rank()-1]
		of := members(v, channels, groups)
		mean := graph.DivScalar(graph.MatMul(graph.Reshape(v, v.Shape().Size()/channels, channels), of), float64(channels/groups))
		return graph.Reshape(graph.DotGeneral(mean, []int{1}, nil, of, []int{1}, nil), v.Shape().Dimensions...)
	}
}

// members is 1 where a channel is of a group and 0 elsewhere, [channels, groups], in v's dtype.
func members(v *graph.Node, channels, groups int) *graph.Node {
	g, grid := v.Graph(), shapes.Make(dtypes.Int32, channels, groups)
	own := graph.Div(graph.Iota(g, grid, 0), graph.Const(g, int32(channels/groups)))
	return graph.ConvertDType(graph.Equal(graph.Iota(g, grid, 1), own), v.DType())
}

// overPositions is the mean of v over its positions, [batch, 1, ..., channels], as a product with ones. Before a plain sum engines join
// what v is computed from to it, element by element; before a product they compute v in one fast pass.
func overPositions(v *graph.Node) *graph.Node {
	d := v.Shape().Dimensions
	batch, channels := d[0], d[len(d)-1]
	n := v.Shape().Size() / (batch * channels)
	share := graph.BroadcastToDims(graph.Scalar(v.Graph(), v.DType(), 1/float64(n)), batch, 1, n)
	mean := graph.DotGeneral(share, []int{2}, []int{0}, graph.Reshape(v, batch, n, channels), []int{1}, []int{0})
	shape := channelShape(v)
	shape[0] = batch
	return graph.Reshape(mean, shape...)
}

// pooledMoments are the mean and the biased variance that a pool shares, from those of each example and channel over its positions:
// one fast pass for all kinds of pools, where sums over other axes are several times slower on XLA's CPU.
func pooledMoments(x *graph.Node, p pool) (mean, variance *graph.Node) {
	own, spread := ops.Moments(x, positions(x), nil)
	mean = p(own)
	return mean, p(graph.Add(spread, graph.Square(graph.Sub(own, mean))))
}

// normalizePooled is scale (x - mean) / sqrt(variance + epsilon) + offset with the moments that a pool shares, scale and offset
// [1, ..., channels], with its gradient in closed form:
//
//	dx = scale (dy - pool(mean dy) - (x - mean) pool(mean(dy (x - mean))) / (variance + e)) / sqrt(variance + e)
//
// where mean(.) is that over the positions, and scale stands inside the pools if they mix channels.
func normalizePooled(x, scale, offset, mean, variance *graph.Node, p pool, epsilon float64) *graph.Node {
	inverse := graph.Reciprocal(graph.Sqrt(graph.AddScalar(variance, epsilon)))
	stop := graph.StopGradient
	y := graph.Add(graph.Mul(graph.Sub(stop(x), stop(mean)), stop(graph.Mul(inverse, scale))), stop(offset))
	return ops.CustomGradient(y, []*graph.Node{x, scale, offset}, func(dy *graph.Node) []*graph.Node {
		centred := graph.Sub(x, mean)
		meanDy, meanDyX := graph.ReduceAndKeep(dy, graph.ReduceMean, positions(x)...), overPositions(graph.Mul(dy, centred))
		level := graph.Mul(p(graph.Mul(meanDy, scale)), inverse)
		slope := graph.Mul(p(graph.Mul(meanDyX, scale)), graph.Mul(graph.Square(inverse), inverse))
		dx := graph.Sub(graph.Sub(graph.Mul(dy, graph.Mul(inverse, scale)), level), graph.Mul(centred, slope))
		count := float64(x.Shape().Size()) / float64(meanDy.Shape().Size())
		overBatch := func(v *graph.Node) *graph.Node {
			return graph.MulScalar(graph.ReduceAndKeep(v, graph.ReduceSum, 0), count)
		}
		return []*graph.Node{dx, overBatch(graph.Mul(meanDyX, inverse)), overBatch(meanDy)}
	})
}
