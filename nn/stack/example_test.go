package stack_test

import (
	"fmt"
	"log"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/stack"
)

// A network as a list of layers can be run whole, or up to any of them.
func ExampleRun() {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	items := stack.Normed("hidden", norm.NewLayerNorm(-1), linear.ReLU)
	items = append([]stack.Item{{Scope: "hidden", Layer: linear.Dense{Units: 4}}}, items...)
	items = append(items, stack.Item{Scope: "output", Layer: linear.Dense{Units: 2}})
	for _, item := range items {
		fmt.Printf("%q %T\n", item.Scope, item.Layer)
	}

	store := model.NewStore()
	exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x *graph.Node) []*graph.Node {
		features := stack.Run(scope, items[:len(items)-1], x)
		return []*graph.Node{features, stack.Run(scope, items, x)}
	})
	out := exec.MustCall([][]float32{{1, 2, 3}})
	fmt.Println(out[0].Shape(), out[1].Shape(), store.GetVariable("/hidden/kernel").Shape())
	// Output:
	// "hidden" linear.Dense
	// "hidden/norm" norm.LayerNorm
	// "hidden" stack.Activation
	// "output" linear.Dense
	// (Float32)[1, 4] (Float32)[1, 2] (Float32)[3, 4]
}
