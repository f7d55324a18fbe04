package onnx_test

import (
	"fmt"
	"log"

	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/onnxtest"
)

// A model of one node: y = x + bias, for any number of rows.
func ExampleParse() {
	file := onnxtest.Model{
		Opset:   17,
		Nodes:   []onnxtest.Node{{Op: "Add", Inputs: []string{"x", "bias"}, Outputs: []string{"y"}}},
		Tensors: []onnxtest.Tensor{onnxtest.Floats("bias", []int{2}, 0.5, -0.5)},
		Inputs:  []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{"rows", 2}}},
		Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: []any{"rows", 2}}},
	}.Bytes()

	m, err := onnx.Parse(file)
	if err != nil {
		log.Fatal(err)
	}
	for _, in := range m.Graph.Inputs {
		fmt.Println(in.Name, in.Type, in.Dims)
	}
	for _, n := range m.Graph.Nodes {
		fmt.Println(n.Op, n.Inputs, n.Outputs)
	}
	bias := m.Graph.Initializers[0]
	values := make([]float32, 2)
	fmt.Println(bias.Name, bias.Type, bias.Float32s(0, values), values)
	// Output:
	// x FLOAT [{-1 rows} {2 }]
	// Add [x bias] [y]
	// bias FLOAT <nil> [0.5 -0.5]
}
