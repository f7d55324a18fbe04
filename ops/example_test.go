package ops_test

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/ops"
)

// The same seed gives the same numbers on every engine; Fold makes a stream for each use.
func ExampleRandom() {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close()
	exec := MustNewExec(e.Backend, func(g *Graph) []*Node {
		r := ops.NewRandom(g, 42)
		return []*Node{r.Fold(1).Uniform(dtypes.Float32, 3), r.Fold(2).Permutation(5)}
	})
	for _, t := range exec.MustCall() {
		fmt.Println(t.Value())
	}
	// Output:
	// [0.71032286 0.9681113 0.19295734]
	// [3 1 0 4 2]
}

// A function with a gradient of its own: the absolute value, whose slope at 0 is taken to be 1.
func ExampleCustomGradient() {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close()
	abs := func(x *Node) *Node {
		return ops.CustomGradient(Abs(StopGradient(x)), []*Node{x}, func(v *Node) []*Node {
			return []*Node{Where(LessThan(x, ZerosLike(x)), Neg(v), v)}
		})
	}
	exec := MustNewExec(e.Backend, func(x *Node) []*Node { return Gradient(ReduceAllSum(abs(x)), x) })
	fmt.Println(exec.MustCall([]float32{-2, 0, 3})[0].Value())
	// Output:
	// [-1 1 1]
}
