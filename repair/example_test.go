package repair_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/onnxtest"
	"github.com/ballast-ml/ballast/repair"
)

// A temperature is written before the Softmax of a classifier.
func ExampleCalibration() {
	dir, err := os.MkdirTemp("", "repair")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	path := filepath.Join(dir, "model.onnx")
	if err := os.WriteFile(path, classifier(), 0o644); err != nil {
		log.Fatal(err)
	}

	m, err := onnx.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	scores := repair.Site{Value: "scores", Output: "y", Type: onnx.Float, Rank: 2, Classes: 3}
	edit, err := repair.Calibration{Fitted: calibrate.TemperatureMap{T: 1.5}, Site: scores}.Edit(m)
	if err != nil {
		log.Fatal(err)
	}
	c, err := m.Rewrite(filepath.Join(dir, "mended.onnx"), edit)
	if err != nil {
		log.Fatal(err)
	}
	if err := c.WriteFile(); err != nil {
		log.Fatal(err)
	}

	mended, err := onnx.Open(filepath.Join(dir, "mended.onnx"))
	if err != nil {
		log.Fatal(err)
	}
	for _, n := range mended.Graph.Nodes {
		fmt.Println(n.Op, n.Inputs, n.Outputs)
	}
	fmt.Println("it has", repair.Calibrated(mended))
	// Output:
	// Gemm [x w] [ballast_calibration/before]
	// Div [ballast_calibration/before ballast_calibration/temperature] [scores]
	// Softmax [scores] [y]
	// it has a temperature of 1.5
}

// classifier is a dense layer and a Softmax.
func classifier() []byte {
	return onnxtest.Model{
		Opset: 17,
		Nodes: []onnxtest.Node{
			{Op: "Gemm", Inputs: []string{"x", "w"}, Outputs: []string{"scores"}},
			{Op: "Softmax", Inputs: []string{"scores"}, Outputs: []string{"y"}},
		},
		Tensors: []onnxtest.Tensor{onnxtest.Floats("w", []int{2, 3}, 1, 2, 3, 4, 5, 6)},
		Inputs:  []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{"n", 2}}},
		Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: []any{"n", 3}}},
	}.Bytes()
}
