package ops

import (
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// Devices says how a batch is spread: each of Count devices runs the same graph on its own part.
type Devices struct {
	Count int
	Rank  *graph.Node // int32: which device this is, from 0
	// Apart has layers that average over the batch take each device's part by itself; else they take all parts together.
	Apart bool
}

type devicesKey struct{}

// SetDevices tells the layers of a graph that its batch is one device's part. The graph must run as SPMD.
func SetDevices(g *graph.Graph, d Devices) {
	if d.Count != g.NumDevices() || d.Count > 1 && (d.Rank == nil || d.Rank.DType() != dtypes.Int32 || d.Rank.Rank() != 0) {
		Panicf("ops.SetDevices: %d devices in a graph of %d; want as many, and their rank as one int32", d.Count, g.NumDevices())
	}
	g.AttachState(devicesKey{}, d)
}

// DevicesOf returns how the batch of a graph is spread; a graph that was told nothing is one of one.
func DevicesOf(g *graph.Graph) Devices {
	if d, ok := g.State(devicesKey{}).(Devices); ok {
		return d
	}
	return Devices{Count: 1}
}

// SumAcross adds each node up over all devices; all get the sum. It has no gradient.
func SumAcross(nodes ...*graph.Node) []*graph.Node {
	if len(nodes) == 0 || DevicesOf(nodes[0].Graph()).Count == 1 {
		return nodes
	}
	stopped := make([]*graph.Node, len(nodes))
	for i, n := range nodes {
		stopped[i] = graph.StopGradient(n)
	}
	return nodes[0].Graph().Distributed().AllReduce(stopped, compute.ReduceOpSum)
}

// GatherAcross puts the x [n, ...] of all devices one behind the other, [devices n, ...]. It has no gradient.
func GatherAcross(x *graph.Node) *graph.Node {
	d := DevicesOf(x.Graph())
	if d.Count == 1 {
		return x
	}
	dims := x.Shape().Dimensions
	// Each lays its own into zeros; there is no operation that gathers.
	wide := graph.BroadcastToDims(graph.ExpandAxes(x, 0), append([]int{d.Count}, dims...)...)
	mine := graph.Equal(graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, wide.Shape().Dimensions...), 0), d.Rank)
	all := SumAcross(graph.Where(mine, wide, graph.ZerosLike(wide)))[0]
	return graph.Reshape(all, append([]int{d.Count * dims[0]}, dims[1:]...)...)
}
