package ops

import (
	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// withGradient returns y with a gradient of its own for any number of inputs: where the adjoint v, of y's shape, arrives,
// grads(v) returns one adjoint for each input, of the input's shape; nil is zero. y is built from StopGradient of the inputs.
// What grads builds from the inputs themselves is differentiated in turn.
func withGradient(y *graph.Node, inputs []*graph.Node, grads func(v *graph.Node) []*graph.Node) *graph.Node {
	if !y.DType().IsFloat() {
		Panicf("ops.withGradient: y is %s; only floats have gradients", y.Shape())
	}
	g := y.Graph()
	var adjoints []*graph.Node
	path := graph.ScalarZero(g, y.DType())
	for i, x := range inputs {
		if !x.DType().IsFloat() {
			continue
		}
		if x.Shape().Size() == 0 {
			Panicf("ops.withGradient: input %d is %s, which is empty", i, x.Shape())
		}
		tap := graph.IdentityWithCustomGradient(x, func(_, _ *graph.Node) *graph.Node {
			if adjoints[i] == nil {
				return graph.ZerosLike(x)
			}
			if !adjoints[i].Shape().Equal(x.Shape()) {
				Panicf("ops.withGradient: the adjoint of input %d is %s, the input %s", i, adjoints[i].Shape(), x.Shape())
			}
			return adjoints[i]
		})
		first := make([]graph.SliceAxisSpec, x.Rank())
		for axis := range first {
			first[axis] = graph.AxisElem(0)
		}
		if x.Rank() > 0 {
			tap = graph.Reshape(graph.Slice(tap, first...))
		}
		path = graph.Add(path, graph.ConvertDType(tap, y.DType()))
	}
	// The path carries no number, it only leads the gradient to the inputs; the compiler folds it away.
	path = graph.Where(graph.Const(g, false), path, graph.ScalarZero(g, y.DType()))
	out := graph.Add(graph.StopGradient(y), graph.BroadcastToDims(path, y.Shape().Dimensions...))
	return graph.IdentityWithCustomGradient(out, func(_, v *graph.Node) *graph.Node {
		adjoints = grads(v)
		if len(adjoints) != len(inputs) {
			Panicf("ops.withGradient: %d adjoints for %d inputs", len(adjoints), len(inputs))
		}
		return v
	})
}
