package main

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/internal/onnxtest"
)

// digitScores are a classifier of optdigits: 20 (2 x.m - m.m) for the mean image m of each class is largest for the nearest mean.
func digitScores() (kernel, bias []float32, err error) {
	set, err := data.Open("optdigits", "train")
	if err != nil {
		return nil, nil, err
	}
	sums, counts, x := make([]float64, 640), make([]float64, 10), make([]float32, 64)
	for i := range set.Len() {
		if err := set.Read(i, x); err != nil {
			return nil, nil, err
		}
		label := int(set.Label(i))
		counts[label]++
		for k, v := range x {
			sums[64*label+k] += float64(v)
		}
	}
	kernel, bias = make([]float32, 640), make([]float32, 10)
	for c := range 10 {
		for k := range 64 {
			mean := sums[64*c+k] / counts[c]
			kernel[64*c+k] = float32(40 * mean)
			bias[c] -= float32(20 * mean * mean)
		}
	}
	return kernel, bias, nil
}

// peerFolder has small networks of other libraries.
var peerFolder = filepath.Join("..", "..", "zoo", "testdata", "peers")

// subjectFiles writes what scripts of models of other frameworks use: digits.onnx, a classifier of 8x8 grey digits [n, 1, 8, 8] that ends in a
// Softmax; permuted.onnx, the same with its outputs in another order; dark.onnx, the same for values in [0,255]; named.onnx, with names in
// its metadata; sequence.onnx, whose input is of rank 3; digit.png; and torchvision and timm,
// folders of these libraries' networks.
func subjectFiles(dir string) error {
	kernel, bias, err := digitScores()
	if err != nil {
		return err
	}
	set, err := data.Open("optdigits", "test")
	if err != nil {
		return err
	}
	return errors.Join(
		writeDigits(filepath.Join(dir, "digits.onnx"), kernel, bias, nil),
		writeDigits(filepath.Join(dir, "permuted.onnx"), append(kernel[64:640:640], kernel[:64]...), append(bias[1:10:10], bias[0]), nil),
		writeDigits(filepath.Join(dir, "dark.onnx"), scaled(kernel, 1.0/255), bias, nil),
		writeDigits(filepath.Join(dir, "named.onnx"), kernel, bias, map[string]string{"names": "['zero','one','two','three','four','five','six','seven','eight','nine']"}),
		os.WriteFile(filepath.Join(dir, "sequence.onnx"), onnxtest.Model{
			Opset: 17, Nodes: []onnxtest.Node{{Op: "Identity", Inputs: []string{"x"}, Outputs: []string{"y"}}},
			Inputs:  []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{"n", 16, 40}}},
			Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: []any{"n", 16, 40}}},
		}.Bytes(), 0o644),
		writePicture(filepath.Join(dir, "digit.png"), set, 3),
		os.CopyFS(filepath.Join(dir, "torchvision"), os.DirFS(filepath.Join(peerFolder, "resnet-basic-torchvision"))),
		os.CopyFS(filepath.Join(dir, "timm"), os.DirFS(filepath.Join(peerFolder, "vit-timm"))),
	)
}

func scaled(list []float32, by float32) []float32 {
	out := make([]float32, len(list))
	for i, v := range list {
		out[i] = v * by
	}
	return out
}

// writeDigits writes a classifier of digits.
func writeDigits(path string, kernel, bias []float32, metadata map[string]string) error {
	return os.WriteFile(path, onnxtest.Model{
		Opset: 17,
		Nodes: []onnxtest.Node{
			{Op: "Conv", Inputs: []string{"x", "w", "b"}, Outputs: []string{"map"}},
			{Op: "Flatten", Inputs: []string{"map"}, Outputs: []string{"scores"}},
			{Op: "Softmax", Inputs: []string{"scores"}, Outputs: []string{"y"}},
		},
		Tensors:  []onnxtest.Tensor{onnxtest.Floats("w", []int{10, 1, 8, 8}, kernel...), onnxtest.Floats("b", []int{10}, bias...)},
		Inputs:   []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{"n", 1, 8, 8}}},
		Outputs:  []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: []any{"n", 10}}},
		Metadata: metadata,
	}.Bytes(), 0o644)
}

// writePicture writes the first example of a class as a PNG of 16x16 pixels.
func writePicture(path string, set data.Dataset, class int32) error {
	for i := range set.Len() {
		if set.Label(i) != class {
			continue
		}
		x := make([]float32, 64)
		if err := set.Read(i, x); err != nil {
			return err
		}
		img := image.NewGray(image.Rect(0, 0, 16, 16))
		for k := range img.Pix {
			img.Pix[k] = byte(math.Round(float64(x[k/32*8+k%16/2]) * 255))
		}
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			return err
		}
		return os.WriteFile(path, b.Bytes(), 0o644)
	}
	return fmt.Errorf("no example of class %d", class)
}

// serveDigits is a program that answers as the classifier of digits, for --exec. Its argument is what it does wrong: fail after a batch.
func serveDigits() {
	if err := serving(len(os.Args) > 1 && os.Args[1] == "fail"); err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(3)
	}
}

func serving(fail bool) error {
	kernel, bias, err := digitScores()
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "serve: ready")
	for batch := 0; ; batch++ {
		a, err := npy.Read(os.Stdin, 1<<30)
		if err == io.EOF { //nolint:errorlint // as it is documented
			return nil
		}
		if err != nil {
			return err
		}
		if fail && batch == 1 {
			return errors.New("the weights are gone")
		}
		x, err := a.Float32s()
		if err != nil {
			return err
		}
		n := a.Shape[0]
		y := make([]float32, 0, 10*n)
		for i := range n {
			for c := range 10 {
				score := bias[c]
				for k, v := range x[64*i : 64*i+64] {
					score += v * kernel[64*c+k]
				}
				y = append(y, score)
			}
		}
		if err := npy.Write(os.Stdout, []int{n, 10}, y); err != nil {
			return err
		}
	}
}
