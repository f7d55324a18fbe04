package adapter_test

import (
	"fmt"
	"log"

	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/merge/adapter"
)

// A base with a LoRA adapter on it is a file like any other, whose tensors are computed as they are read.
func ExampleAdapter_On() {
	base, err := weights.Open("testdata/plain/base.safetensors")
	if err != nil {
		log.Fatal(err)
	}
	a, err := adapter.Open("testdata/plain/adapter")
	if err != nil {
		log.Fatal(err)
	}
	on, err := a.On(base)
	if err != nil {
		log.Fatal(err)
	}
	defer on.Close()

	for _, info := range on.Tensors() {
		with, without := make([]float32, info.Elements), make([]float32, info.Elements)
		if err := on.ReadFloat32s(info.Name, 0, with); err != nil {
			log.Fatal(err)
		}
		if err := base.ReadFloat32s(info.Name, 0, without); err != nil {
			log.Fatal(err)
		}
		changed := 0
		for i := range with {
			if with[i] != without[i] {
				changed++
			}
		}
		if changed > 0 {
			fmt.Printf("%s %v: %d of %d values changed\n", info.Name, info.Shape, changed, info.Elements)
		}
	}
	// Output:
	// layers.0.q_proj.weight [8 6]: 48 of 48 values changed
	// layers.0.v_proj.weight [5 6]: 30 of 30 values changed
	// layers.1.q_proj.weight [8 6]: 48 of 48 values changed
	// layers.1.v_proj.weight [5 6]: 30 of 30 values changed
}
