package engine_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
)

// The Go engine is in every binary. Without a name, Open takes the fastest engine that is installed, and Why says which and why.
func ExampleOpen() {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	sum := model.MustNewExec(e.Backend, model.NewStore(), func(_ *model.Scope, x *graph.Node) *graph.Node { return graph.ReduceAllSum(x) })
	fmt.Println(e.Kind, sum.MustCall([]float32{1, 2, 3})[0].Value())

	_, err = engine.Open("xla:cpuu")
	var usage *fault.Usage
	fmt.Println(errors.As(err, &usage), err)
	// Output:
	// go 6
	// true engine: no engine "xla:cpuu" (from --engine); did you mean "xla:cpu"?
}
