package norm_test

import (
	"fmt"
	"log"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/nn/norm"
)

// A batch of four in ghost batches of two: each pair is normalised by itself, and the running mean moves once a pair.
func ExampleGhost() {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	store := model.NewStore()
	train := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x *graph.Node) *graph.Node {
		scope.Store().SetTraining(x.Graph(), true)
		return norm.NewGhost(2).Apply(scope, x)
	})
	y := train.MustCall([][]float32{{1}, {3}, {100}, {300}})[0]
	fmt.Printf("%.3f\n", y.Value())
	fmt.Printf("%.3f\n", store.GetVariable("/mean").MustValue().Value())
	// Output:
	// [[-1.000] [1.000] [-1.000] [1.000]]
	// [20.180]
}

// Layer normalisation over the channels looks at one example alone.
func ExampleLayerNorm() {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	exec := model.MustNewExec(e.Backend, model.NewStore(), norm.NewLayerNorm(-1).Apply)
	fmt.Printf("%.3f\n", exec.MustCall([][]float32{{1, 2, 3}, {10, 20, 30}})[0].Value())
	// Output:
	// [[-1.225 0.000 1.225] [-1.225 0.000 1.225]]
}

// A trained network can be run with other statistics: those of the batch it is given, when the data have shifted.
func ExampleSource() {
	layer := norm.NewBatch()
	layer.Inference = norm.FromBatch{}
	fmt.Printf("%T\n", layer.Inference)
	// Output:
	// norm.FromBatch
}
