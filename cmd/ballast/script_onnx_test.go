package main

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/internal/onnxtest"
)

// graphFiles writes the ONNX graphs that scripts run: dense.onnx, y = relu(pixels w + b) for pixels [n, 3]; mask.onnx, which takes two inputs;
// strange.onnx, with operators that nothing here runs; half.onnx, whose weights are of three types; text.onnx, which takes text. x.npy and
// long.npy are inputs of them.
func graphFiles(dir string) error {
	dense := onnxtest.Model{
		Opset:   13,
		Tensors: []onnxtest.Tensor{onnxtest.Floats("w", []int{3, 2}, 1, -1, 2, 0, 0, 3), onnxtest.Floats("b", []int{2}, 0.5, -0.5)},
		Inputs:  []onnxtest.Value{{Name: "pixels", Type: onnxtest.Float, Shape: []any{"n", 3}}},
		Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: []any{"n", 2}}},
		Nodes: []onnxtest.Node{
			{Op: "Gemm", Name: "dense", Inputs: []string{"pixels", "w", "b"}, Outputs: []string{"h"}},
			{Op: "Relu", Inputs: []string{"h"}, Outputs: []string{"y"}},
		},
	}
	mask := onnxtest.Model{
		Opset: 13,
		Inputs: []onnxtest.Value{
			{Name: "input_ids", Type: onnxtest.Int64, Shape: []any{"n", 3}}, {Name: "attention_mask", Type: onnxtest.Int64, Shape: []any{"n", 3}},
		},
		Outputs: []onnxtest.Value{{Name: "kept", Type: onnxtest.Int64, Shape: []any{"n", 3}}},
		Nodes:   []onnxtest.Node{{Op: "Mul", Inputs: []string{"input_ids", "attention_mask"}, Outputs: []string{"kept"}}},
	}
	strange := dense
	strange.Nodes = []onnxtest.Node{
		{Op: "ImageDecoder", Inputs: []string{"pixels"}, Outputs: []string{"u"}},
		{Op: "Magic", Domain: "org.example", Inputs: []string{"u"}, Outputs: []string{"v"}},
		{Op: "Gemm", Inputs: []string{"v", "w", "b"}, Outputs: []string{"y"}},
	}
	half := dense
	half.Tensors = append([]onnxtest.Tensor{
		{Name: "half", Type: onnxtest.Float16, Shape: []int{2}, Raw: []byte{0, 0x3c, 0, 0xc0}}, onnxtest.Ints("places", []int{3}, 1, -2, 1<<40),
	}, dense.Tensors...)
	text := onnxtest.Model{
		Opset: 13, Inputs: []onnxtest.Value{{Name: "words", Type: onnxtest.String, Shape: []any{"n"}}},
		Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.String}},
		Nodes:   []onnxtest.Node{{Op: "Identity", Inputs: []string{"words"}, Outputs: []string{"y"}}},
	}
	write := func(name string, m onnxtest.Model) error {
		return os.WriteFile(filepath.Join(dir, name), m.Bytes(), 0o644)
	}
	return errors.Join(
		write("dense.onnx", dense), write("mask.onnx", mask), write("strange.onnx", strange), write("half.onnx", half), write("text.onnx", text),
		npy.WriteFile(filepath.Join(dir, "x.npy"), []int{2, 3}, []float32{0, 1, 2, 3, 4, 5}),
		npy.WriteFile(filepath.Join(dir, "ids.npy"), []int{1, 3}, []int64{7, 8, 9}),
		npy.WriteFile(filepath.Join(dir, "long.npy"), []int{2, 4}, make([]float32, 8)),
	)
}
