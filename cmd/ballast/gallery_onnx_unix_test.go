//go:build unix

package main

import (
	"errors"
	"path/filepath"
	"syscall"

	"github.com/ballast-ml/ballast/format/npy"
)

// onnxPipes are pipes in the places of a model, its external data and its inputs.
func onnxPipes(at func(name, location string, offset int, exit []int, want string, more func(dir string) error) hostile) []hostile {
	pipe := func(names ...string) func(dir string) error {
		return func(dir string) (err error) {
			for _, name := range names {
				err = errors.Join(err, syscall.Mkfifo(filepath.Join(dir, name), 0o644))
			}
			return err
		}
	}
	input := func(dir string) error {
		return npy.WriteFile(filepath.Join(dir, "x.npy"), []int{2}, []float32{1, 2})
	}
	run := []string{"run", "m.onnx", "--input", "x.npy", "--output", "y.npz"}
	return []hostile{
		at("external-pipe", "pipe", 0, nil, "it is a pipe", pipe("pipe")),
		{kind: "external data", name: "onnx-pipe", run: []string{"inspect", "m.onnx"}, want: "it is a pipe", files: pipe("m.onnx")},
		{kind: "external data", name: "onnx-run-pipe", run: run, want: "it is a pipe", files: func(dir string) error { return errors.Join(pipe("m.onnx")(dir), input(dir)) }},
	}
}
