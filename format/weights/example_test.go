package weights_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
)

// A file of any format is named tensors, whose kind is found from the bytes and whose values are read in stretches.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "weights")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	path := filepath.Join(dir, "a-name-that-says-nothing")
	kernel := safetensors.FromFloat32s("dense.weight", []int{2, 3}, []float32{1, 2, 3, 4, 5, 6})
	if err := safetensors.WriteFile(path, []safetensors.Tensor{kernel}, nil); err != nil {
		log.Fatal(err)
	}

	f, err := weights.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	fmt.Println(f.Kind())
	for _, info := range f.Tensors() {
		second := make([]float32, 3)
		fmt.Println(info.Name, info.Type, info.Shape, f.ReadFloat32s(info.Name, 3, second), second)
	}
	// Output:
	// safetensors
	// dense.weight F32 [2 3] <nil> [4 5 6]
}
