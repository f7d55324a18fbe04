package attention_test

import (
	"fmt"
	"log"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/nn/attention"
)

// Two queries, of which the causal mask lets the first see the first key alone; the second prefers the key that is like it.
func ExampleSoftmax() {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	exec := model.MustNewExec(e.Backend, model.NewStore(), func(scope *model.Scope, qk, v *graph.Node) *graph.Node {
		context := attention.Context{Causal: true}
		y, _ := attention.Softmax{}.Attend(scope, attention.Heads{Q: qk, K: qk, V: v, Mask: context.Mask(v.Graph(), 2, 2), Scale: 1, Context: context})
		return y
	})
	likeness, values := [][][][]float32{{{{2, 0}, {0, 2}}}}, [][][][]float32{{{{10}, {20}}}}
	fmt.Printf("%.2f\n", exec.MustCall(likeness, values)[0].Value())
	// Output:
	// [[[[10.00] [19.82]]]]
}
