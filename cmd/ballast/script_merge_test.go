package main

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/ballast-ml/ballast/format/safetensors"
)

// mergeFiles writes models to merge: two of one shape, one of another, and an adapter of the first.
func mergeFiles(dir string) error {
	write := func(name string, shape []int, values ...float32) error {
		return safetensors.WriteFile(filepath.Join(dir, name), []safetensors.Tensor{safetensors.FromFloat32s("w", shape, values)}, nil)
	}
	adapter := filepath.Join(dir, "adapter")
	return errors.Join(
		safetensors.WriteFile(filepath.Join(dir, "base.safetensors"), []safetensors.Tensor{safetensors.FromFloat32s("m.weight", []int{2, 2}, []float32{1, 2, 3, 4})}, nil),
		os.Mkdir(adapter, 0o755),
		os.WriteFile(filepath.Join(adapter, "adapter_config.json"), []byte(`{"peft_type": "LORA", "r": 1, "lora_alpha": 2}`), 0o600),
		safetensors.WriteFile(filepath.Join(adapter, "adapter_model.safetensors"), []safetensors.Tensor{
			safetensors.FromFloat32s("base_model.model.m.lora_A.weight", []int{1, 2}, []float32{1, -1}),
			safetensors.FromFloat32s("base_model.model.m.lora_B.weight", []int{2, 1}, []float32{1, 3}),
		}, nil),
		safetensors.WriteFile(filepath.Join(dir, "more.safetensors"), []safetensors.Tensor{
			safetensors.FromFloat32s("w", []int{2, 2}, []float32{2, 2, 1, 1}), safetensors.FromFloat32s("v", []int{2}, []float32{5, 6}),
		}, nil),
		write("a.safetensors", []int{2, 2}, 1, 2, 3, 4),
		write("b.safetensors", []int{2, 2}, 4, 3, 2, -1),
		write("c.safetensors", []int{4}, 1, 2, 3, 4),
	)
}
