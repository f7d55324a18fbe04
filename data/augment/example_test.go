package augment_test

import (
	"fmt"
	"log"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/ops"
)

// An image of one row, mirrored: with a probability of 1 it always is, by half it goes by the stream that the update has.
func ExampleFlip() {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	flip := augment.NewFlip()
	flip.Probability = 1
	exec := model.MustNewExec(e.Backend, model.NewStore(), func(_ *model.Scope, x *graph.Node) *graph.Node {
		return flip.Apply(ops.NewRandom(x.Graph(), 7), x)
	})
	fmt.Println(exec.MustCall([][][][]float32{{{{0.1}, {0.2}, {0.3}}}})[0].Value())
	// Output:
	// [[[[0.3] [0.2] [0.1]]]]
}
