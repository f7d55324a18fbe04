package pass_test

import (
	"fmt"
	"log"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/pass"
)

// One layer is gone through twice in a graph: with its own kernel, and with another one while a tap sees what it multiplies.
func ExampleThrough() {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	layer := linear.Dense{Units: 1, NoBias: true}
	exec := model.MustNewExec(e.Backend, model.NewStore(), func(scope *model.Scope, x, kernel *graph.Node) []*graph.Node {
		var outputs []*graph.Node
		outputs = append(outputs, graph.Sub(layer.Apply(scope.At("dense"), x), layer.Apply(scope.At("dense"), x)))
		see := func(at pass.Site, x *graph.Node) *graph.Node {
			fmt.Println("seen:", at.What, x.Shape())
			return x
		}
		p := pass.Pass{Weights: map[string]*graph.Node{"/dense/kernel": kernel}, Taps: []pass.Tap{see}}
		pass.Through(x.Graph(), p, func() { outputs = append(outputs, layer.Apply(scope.At("dense"), x)) })
		return outputs
	})
	for _, y := range exec.MustCall([][]float32{{1, 2}}, [][]float32{{10}, {100}}) {
		fmt.Println(y.Value())
	}
	// Output:
	// seen: input (Float32)[1, 2]
	// seen: kernel (Float32)[2, 1]
	// [[0]]
	// [[210]]
}
