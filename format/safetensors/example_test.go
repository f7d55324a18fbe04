package safetensors_test

import (
	"bytes"
	"fmt"
	"log"

	"github.com/ballast-ml/ballast/format/safetensors"
)

func Example() {
	var file bytes.Buffer
	err := safetensors.Write(&file, []safetensors.Tensor{
		safetensors.FromFloat32s("kernel", []int{2, 2}, []float32{1, 2, 3, 4}),
		safetensors.FromFloat32s("bias", []int{2}, []float32{0.5, -0.5}),
	}, map[string]string{"format": "pt"})
	if err != nil {
		log.Fatal(err)
	}

	f, err := safetensors.Parse(file.Bytes()) // or Open("model.safetensors")
	if err != nil {
		log.Fatal(err)
	}
	for info := range f.All() {
		values, err := f.Float32s(info.Name)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(info.Name, info.DType, info.Shape, values)
	}
	// Output:
	// bias F32 [2] [0.5 -0.5]
	// kernel F32 [2 2] [1 2 3 4]
}
