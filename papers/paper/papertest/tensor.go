package papertest

import (
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/internal/golden"
)

// Tensor is a golden tensor as the engine takes it, in float32.
func Tensor(g golden.Tensor) *tensors.Tensor {
	flat := make([]float32, len(g.Data))
	for i, v := range g.Data {
		flat[i] = float32(v)
	}
	return tensors.FromFlatDataAndDimensions(flat, g.Shape...)
}

// Got compares an engine's tensor with an output of the file.
func Got(c *golden.Case, name string, t *tensors.Tensor) {
	flat := tensors.MustCopyFlatData[float32](t)
	wide := make([]float64, len(flat))
	for i, v := range flat {
		wide[i] = float64(v)
	}
	c.Got(name, t.Shape().Dimensions, wide)
}

// Narrowed is values in float32.
func Narrowed(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

// Create makes a variable with a value.
func Create(store *model.Store, path string, value *tensors.Tensor) {
	if _, err := store.CreateVariable(path, value); err != nil {
		panic(err)
	}
}

// Integers is a golden tensor of whole numbers as the engine takes it, in int32.
func Integers(g golden.Tensor) *tensors.Tensor {
	flat := make([]int32, len(g.Data))
	for i, v := range g.Data {
		flat[i] = int32(v)
	}
	return tensors.FromFlatDataAndDimensions(flat, g.Shape...)
}
