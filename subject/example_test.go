package subject_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/onnxtest"
	"github.com/ballast-ml/ballast/subject"
)

// A classifier in an ONNX file, asked about the first digits of a data set.
func Example() {
	dir, err := os.MkdirTemp("", "subject")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	path := filepath.Join(dir, "halves.onnx")
	if err := os.WriteFile(path, halves(), 0o644); err != nil {
		log.Fatal(err)
	}

	m, err := subject.Open(path, subject.Options{})
	if err != nil {
		log.Fatal(err)
	}
	digits, err := data.Open("optdigits", "test")
	if err != nil {
		log.Fatal(err)
	}
	images, err := m.Images(digits)
	if err != nil {
		log.Fatal(err)
	}
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	answers, err := m.On(context.Background(), e, images, 2)
	if err != nil {
		log.Fatal(err)
	}
	defer answers.Close()
	for _, a := range m.Assumed() {
		fmt.Printf("%s: %s\n", a.What, a.Text())
	}
	x := make([]float32, 2*64)
	for i := range 2 {
		if err := images.Read(i, x[64*i:64*i+64]); err != nil {
			log.Fatal(err)
		}
	}
	logits, err := answers.Answer(context.Background(), x, 2)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.2f\n", logits)
	// Output:
	// input: x, batches of any size of images of 8x8 with 1 channels, FLOAT
	// layout: NCHW (the first convolution takes the input as it is)
	// preprocessing: numbers in [0,1]; images of another size than 8x8 are resized (bilinear) (nothing says so: preset 0-1) - a guess
	// outputs: probabilities of output y; the logits that go into its Softmax are taken (the graph ends in Softmax)
	// labels: 2 outputs without names, numbered from 0: classes of the data are matched by number or place (no names are given) - a guess
	// [9.19 8.00 11.56 7.00]
}

// halves is a model that asks whether an image is brighter above or below.
func halves() []byte {
	kernel := make([]float32, 128)
	for i := range 32 {
		kernel[i], kernel[64+32+i] = 1, 1
	}
	image := onnxtest.Value{Name: "x", Type: onnxtest.Float, Shape: []any{"n", 1, 8, 8}}
	answer := onnxtest.Value{Name: "y", Type: onnxtest.Float, Shape: []any{"n", 2}}
	return onnxtest.Model{
		Opset: 17,
		Nodes: []onnxtest.Node{
			{Op: "Conv", Inputs: []string{"x", "w"}, Outputs: []string{"map"}},
			{Op: "Flatten", Inputs: []string{"map"}, Outputs: []string{"scores"}},
			{Op: "Softmax", Inputs: []string{"scores"}, Outputs: []string{"y"}},
		},
		Tensors: []onnxtest.Tensor{onnxtest.Floats("w", []int{2, 1, 8, 8}, kernel...)},
		Inputs:  []onnxtest.Value{image}, Outputs: []onnxtest.Value{answer},
	}.Bytes()
}
