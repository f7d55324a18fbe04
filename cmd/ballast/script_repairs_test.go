package main

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/internal/onnxtest"
)

// exportedFiles copies the networks that torch.onnx exported (bench/peers/onnx_repairs.py), and writes apart.onnx, a classifier of 8x8 digits
// whose weights are in apart.bin, apart-norms.onnx, the same with a norm, away.onnx, whose weights are gone, map.onnx, whose output has a score for each position, and few.npy
// and few_labels.npy, every third digit of the test part.
func exportedFiles(dir string) error {
	kernel, bias, err := digitScores()
	if err != nil {
		return err
	}
	var raw []byte
	for _, v := range kernel {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	model := func(file, behind string) []byte {
		m := onnxtest.Model{
			Opset:  17,
			Nodes:  []onnxtest.Node{{Op: "Conv", Inputs: []string{"x", "w", "b"}, Outputs: []string{"map"}}, {Op: "Flatten", Inputs: []string{"map"}, Outputs: []string{"y"}}},
			Inputs: []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{"n", 1, 8, 8}}}, Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: []any{"n", 10}}},
			Tensors: []onnxtest.Tensor{{Name: "w", Type: onnxtest.Float, Shape: []int{10, 1, 8, 8}, Location: file}, onnxtest.Floats("b", []int{10}, bias...)},
		}
		switch behind {
		case "norm":
			m.Nodes = append(m.Nodes, onnxtest.Node{Op: "BatchNormalization", Inputs: []string{"map", "b", "b", "b", "one"}, Outputs: []string{"n"}})
			m.Nodes[1], m.Nodes[2] = m.Nodes[2], m.Nodes[1]
			m.Nodes[2].Inputs = []string{"n"}
			m.Tensors = append(m.Tensors, onnxtest.Floats("one", []int{10}, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2))
		case "positions":
			m.Nodes = []onnxtest.Node{{Op: "Relu", Inputs: []string{"x"}, Outputs: []string{"y"}}}
			m.Tensors, m.Outputs[0].Shape = nil, []any{"n", 1, 8, 8}
		}
		return m.Bytes()
	}
	return errors.Join(
		fewDigits(dir),
		os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "onnx"))),
		os.WriteFile(filepath.Join(dir, "apart.onnx"), model("apart.bin", ""), 0o644), os.WriteFile(filepath.Join(dir, "apart.bin"), raw, 0o644),
		os.WriteFile(filepath.Join(dir, "apart-norms.onnx"), model("apart.bin", "norm"), 0o644),
		os.WriteFile(filepath.Join(dir, "away.onnx"), model("away.bin", ""), 0o644), os.WriteFile(filepath.Join(dir, "map.onnx"), model("", "positions"), 0o644),
	)
}

// fewDigits writes every third digit of the test part.
func fewDigits(dir string) error {
	set, err := data.Open("optdigits", "test")
	if err != nil {
		return err
	}
	var pixels []float32
	var labels []int64
	for i := 0; i < set.Len(); i += 3 {
		x := make([]float32, 64)
		if err := set.Read(i, x); err != nil {
			return err
		}
		pixels, labels = append(pixels, x...), append(labels, int64(set.Label(i)))
	}
	return errors.Join(
		npy.WriteFile(filepath.Join(dir, "few.npy"), []int{len(labels), 8, 8, 1}, pixels),
		npy.WriteFile(filepath.Join(dir, "few_labels.npy"), []int{len(labels)}, labels),
	)
}
