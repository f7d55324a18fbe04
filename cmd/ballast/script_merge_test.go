package main

import (
	"errors"
	"path/filepath"

	"github.com/ballast-ml/ballast/format/safetensors"
)

// mergeFiles writes models to merge: two of one shape, one of another.
func mergeFiles(dir string) error {
	write := func(name string, shape []int, values ...float32) error {
		return safetensors.WriteFile(filepath.Join(dir, name), []safetensors.Tensor{safetensors.FromFloat32s("w", shape, values)}, nil)
	}
	return errors.Join(
		write("a.safetensors", []int{2, 2}, 1, 2, 3, 4),
		write("b.safetensors", []int{2, 2}, 4, 3, 2, -1),
		write("c.safetensors", []int{4}, 1, 2, 3, 4),
	)
}
