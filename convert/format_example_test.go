package convert_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/ballast-ml/ballast/convert"
	"github.com/ballast-ml/ballast/format/safetensors"
)

func ExampleFormat() {
	dir, err := os.MkdirTemp("", "model")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a folder for temporary files
	in, out := filepath.Join(dir, "model.safetensors"), filepath.Join(dir, "half.safetensors")
	if err := safetensors.WriteFile(in, []safetensors.Tensor{safetensors.FromFloat32s("weight", []int{2}, []float32{0.1, 70000})}, nil); err != nil {
		log.Fatal(err)
	}
	o := convert.Options{To: convert.ToSafetensors, Type: "BF16"}
	result, err := convert.Format(context.Background(), in, out, o)
	if err != nil {
		log.Fatal(err)
	}
	check, err := convert.Check(context.Background(), in, out, o)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, %d overflowed, largest difference %v, %.2f of what bfloat16 allows\n", result.Tensors[0].ToType, result.Overflowed, check.Largest, check.Tensors[0].OfBound)
	// Output: BF16, 0 overflowed, largest difference 144, 0.53 of what bfloat16 allows
}
