package mixer_test

import (
	"fmt"
	"log"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/nn/mixer"
)

// Attention lets each of three places see itself and what came before it; its variables are four dense layers.
func ExampleAttention() {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	attention := mixer.NewAttention()
	attention.Heads = 2
	store := model.NewStore()
	exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x *graph.Node) *graph.Node {
		return attention.Apply(scope, x, mixer.Context{Causal: true, Most: 3})
	})
	y := exec.MustCall([][][]float32{{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}})[0]
	fmt.Println(y.Shape())
	for v := range store.IterVariables() {
		fmt.Println(v.Path(), v.Shape())
	}
	// Output:
	// (Float32)[1, 3, 4]
	// /query/kernel (Float32)[4, 4]
	// /query/bias (Float32)[4]
	// /key/kernel (Float32)[4, 4]
	// /key/bias (Float32)[4]
	// /value/kernel (Float32)[4, 4]
	// /value/bias (Float32)[4]
	// /out/kernel (Float32)[4, 4]
	// /out/bias (Float32)[4]
}
