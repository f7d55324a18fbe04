package residual_test

import (
	"fmt"
	"log"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/nn/residual"
)

// The same part and the same norm, placed in two ways: before, the stream keeps its size; behind, the norm is applied to the sum.
func ExamplePlacement() {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	half := func(_ string, x *graph.Node) *graph.Node { return graph.MulScalar(x, 0.5) } // in the place of a norm
	double := func(x *graph.Node) *graph.Node { return graph.MulScalar(x, 2) }
	for _, placement := range []residual.Placement{residual.Pre{}, residual.Post{}} {
		exec := model.MustNewExec(e.Backend, model.NewStore(), func(_ *model.Scope, h *graph.Node) *graph.Node {
			return placement.Block(residual.Place{Layers: 1, Part: "feed"}, h, half, double)
		})
		fmt.Println(residual.Name(placement), exec.MustCall([]float32{1, 2})[0].Value(), placement.Last(1))
	}
	// Output:
	// pre [2 4] true
	// post [1.5 3] false
}
