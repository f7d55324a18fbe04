package loss_test

import (
	"fmt"
	"log"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/nn/loss"
)

// A loss gives one value for each example; the mean over the batch, and weights, are applied once, whatever the loss is.
func ExampleCrossEntropy() {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	exec := model.MustNewExec(e.Backend, model.NewStore(), func(scope *model.Scope, logits, labels *graph.Node) []*graph.Node {
		in := loss.In{Out: logits, Labels: labels}
		plain, smooth := loss.CrossEntropy{}.Apply(scope, in), loss.CrossEntropy{Smoothing: 0.1}.Apply(scope, in)
		return []*graph.Node{plain, smooth, loss.Mean(plain, nil)}
	})
	for _, y := range exec.MustCall([][]float32{{2, 0}, {2, 0}}, []int32{0, 1}) {
		fmt.Printf("%.3f\n", y.Value())
	}
	// Output:
	// [0.127 2.127]
	// [0.227 2.027]
	// 1.127
}
