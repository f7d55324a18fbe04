package ops

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// Cond is then(x) where condition, one bool, is true and otherwise(x) where it is false. Both are computed. So that a NaN
// or an infinity of the branch not taken reaches neither value nor gradient, that branch sees ones in place of its floats;
// what it captures from outside is not replaced. Panics unless both return as many nodes of the same shapes.
func Cond(condition *graph.Node, x []*graph.Node, then, otherwise func(x []*graph.Node) []*graph.Node) []*graph.Node {
	if condition.Rank() != 0 || condition.DType() != dtypes.Bool {
		Panicf("ops.Cond: the condition is %s; want one bool", condition.Shape())
	}
	choose := func(c, a, b *graph.Node) *graph.Node {
		return graph.Where(graph.BroadcastToDims(c, a.Shape().Dimensions...), a, b)
	}
	masked := func(c *graph.Node) []*graph.Node {
		list := make([]*graph.Node, len(x))
		for i, xi := range x {
			list[i] = xi
			if xi.DType().IsFloat() {
				list[i] = choose(c, xi, graph.OnesLike(xi))
			}
		}
		return list
	}
	a, b := then(masked(condition)), otherwise(masked(graph.LogicalNot(condition)))
	if len(a) != len(b) {
		Panicf("ops.Cond: one branch returns %d nodes, the other %d", len(a), len(b))
	}
	for i := range a {
		if !a[i].Shape().Equal(b[i].Shape()) {
			Panicf("ops.Cond: result %d is %s in one branch and %s in the other", i, a[i].Shape(), b[i].Shape())
		}
		a[i] = choose(condition, a[i], b[i])
	}
	return a
}

// Loop applies body n times, the graph of each time after the other: a loop of the engines has no gradient. Every
// intermediate state lives until its gradient is computed; a recomputation would be merged with the first computation by
// XLA, so none is offered. Graphs of more than a few hundred products compile slowly; use fewer, larger steps. Panics if body
// changes the number or a shape of the states.
func Loop(n int, state []*graph.Node, body func(i int, state []*graph.Node) []*graph.Node) []*graph.Node {
	for i := range n {
		next := body(i, state)
		if len(next) != len(state) {
			Panicf("ops.Loop: body returns %d states for %d", len(next), len(state))
		}
		for k := range next {
			if !next[k].Shape().Equal(state[k].Shape()) {
				Panicf("ops.Loop: body turns state %d from %s into %s", k, state[k].Shape(), next[k].Shape())
			}
		}
		state = next
	}
	return state
}
