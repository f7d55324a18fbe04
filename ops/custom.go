package ops

import (
	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// CustomGradient returns y with a gradient of its own for any number of inputs: where the adjoint v, of y's shape, arrives,
// grads(v) returns one adjoint for each input, of the input's shape; nil is zero. y should be built from StopGradient of the
// inputs, or its own gradient is added. What grads builds from the inputs themselves is differentiated in turn, so that
// second derivatives are right where its formula is. An input that is not a float takes no gradient.
//
// Panics if y is not a float, if an input is empty, or, when the gradient is built, if grads returns another number of
// adjoints or one of another shape.
func CustomGradient(y *graph.Node, inputs []*graph.Node, grads func(v *graph.Node) []*graph.Node) *graph.Node {
	if !y.DType().IsFloat() {
		Panicf("ops.CustomGradient: y is %s; only floats have gradients", y.Shape())
	}
	g := y.Graph()
	var adjoints []*graph.Node
	path := graph.ScalarZero(g, y.DType())
	for i, x := range inputs {
		if !x.DType().IsFloat() {
			continue
		}
		if x.Shape().Size() == 0 {
			Panicf("ops.CustomGradient: input %d is %s, which is empty", i, x.Shape())
		}
		tap := graph.IdentityWithCustomGradient(x, func(_, _ *graph.Node) *graph.Node {
			if adjoints[i] == nil {
				return graph.ZerosLike(x)
			}
			if !adjoints[i].Shape().Equal(x.Shape()) {
				Panicf("ops.CustomGradient: the adjoint of input %d is %s, the input %s", i, adjoints[i].Shape(), x.Shape())
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
	out := graph.Add(graph.StopGradient(y), path)
	return graph.IdentityWithCustomGradient(out, func(_, v *graph.Node) *graph.Node {
		adjoints = grads(v)
		if len(adjoints) != len(inputs) {
			Panicf("ops.CustomGradient: %d adjoints for %d inputs", len(adjoints), len(inputs))
		}
		return v
	})
}
