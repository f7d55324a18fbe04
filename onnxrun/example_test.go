package onnxrun_test

import (
	"fmt"
	"log"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/onnxtest"
	"github.com/ballast-ml/ballast/onnxrun"
)

// A graph that doubles its input. Models of files come from onnx.Open.
func ExampleNew() {
	file := onnxtest.Model{
		Opset:   13,
		Tensors: []onnxtest.Tensor{onnxtest.Floats("two", nil, 2)},
		Inputs:  []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{"n", 2}}},
		Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: []any{"n", 2}}},
		Nodes:   []onnxtest.Node{{Op: "Mul", Inputs: []string{"x", "two"}, Outputs: []string{"y"}}},
	}
	model, err := onnx.Parse(file.Bytes())
	if err != nil {
		log.Fatal(err)
	}
	graph, err := onnxrun.New(model)
	if err != nil {
		log.Fatal(err)
	}
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	// Shapes may vary from call to call where the model says so.
	for _, x := range [][][]float32{{{1, 2}}, {{3, 4}, {5, 6}}} {
		out, err := graph.Run(e, map[string]*tensors.Tensor{"x": tensors.FromValue(x)})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(out["y"].Value())
	}
	// Output:
	// [[2 4]]
	// [[6 8] [10 12]]
}
