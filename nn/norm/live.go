package norm

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// liveKey is where a graph keeps which examples Live says count.
type liveKey struct{}

// Live builds f with statistics of the batch that some of its examples alone make: one of which live [batch], bool, says false is padding,
// is normalised as any other and counts in no statistic. It reaches the sources FromBatch, EMA, IABN, Mixed and Prior inside With, so that
// a program for a fixed number of examples can take fewer. Panics if live is not [batch] of bool.
func Live(g *graph.Graph, live *graph.Node, f func()) {
	if live == nil || live.Rank() != 1 || live.DType() != dtypes.Bool {
		Panicf("norm.Live: live is %v; give bool [batch], true for the examples that count", live)
	}
	outer := liveIn(g)
	defer func() {
		if outer == nil {
			g.AttachState(liveKey{}, nil) // which takes the key away; a nil pointer would stay
			return
		}
		g.AttachState(liveKey{}, outer)
	}()
	g.AttachState(liveKey{}, live)
	f()
}

// liveIn is what the innermost Live says, nil without one.
func liveIn(g *graph.Graph) *graph.Node {
	live, _ := g.State(liveKey{}).(*graph.Node)
	return live
}

// liveMask is which values of x count in a statistic over axes, shaped to broadcast; nil = all.
func liveMask(x *graph.Node, axes []int) *graph.Node {
	live := liveIn(x.Graph())
	if live == nil {
		return nil
	}
	overBatch := false
	for _, axis := range axes {
		overBatch = overBatch || axis == 0
	}
	if !overBatch {
		return nil // each example by itself
	}
	if live.Shape().Dimensions[0] != x.Shape().Dimensions[0] {
		Panicf("norm.Live: it says which of %d examples count, and a norm gets x %s; give one for each example", live.Shape().Dimensions[0], x.Shape())
	}
	shape := make([]int, x.Rank())
	for i := range shape {
		shape[i] = 1
	}
	shape[0] = -1
	return graph.Reshape(live, shape...)
}

// unbias turns a biased variance of each channel of x, over batch and positions, into the unbiased one.
func unbias(x, variance *graph.Node) *graph.Node {
	channels := channelsOf(x)[0]
	live := liveIn(x.Graph())
	if live == nil {
		count := x.Shape().Size() / max(1, channels)
		return graph.MulScalar(variance, float64(count)/float64(count-1))
	}
	positions := x.Shape().Size() / max(1, channels*x.Shape().Dimensions[0])
	count := graph.MulScalar(graph.ReduceAllSum(graph.ConvertDType(live, variance.DType())), float64(positions))
	return graph.Mul(variance, graph.Div(count, graph.MaxScalar(graph.AddScalar(count, -1), 1.0)))
}
