// Package weightstest makes small random models in memory and writes them to files, for tests of code that takes a weights.Set.
package weightstest

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
)

// Blank returns a model of three tensors, all 0: two kernels and a bias.
func Blank() weights.Set {
	return weights.Set{
		{Name: "a/kernel", Shape: []int{3, 4}, Values: make([]float32, 12)},
		{Name: "a/bias", Shape: []int{4}, Values: make([]float32, 4)},
		{Name: "b/kernel", Shape: []int{4, 2}, Values: make([]float32, 8)},
	}
}

// Drawn returns a model around a centre: every value is normal, spread its standard deviation.
func Drawn(r *rand.Rand, centre weights.Set, spread float64) weights.Set {
	w := centre.Clone()
	for t := range w {
		for j := range w[t].Values {
			w[t].Values[j] += float32(spread * r.NormFloat64())
		}
	}
	return w
}

// Family returns n models around one centre, which is drawn around Blank.
func Family(seed uint64, n int, spread float64) []weights.Set {
	r := rand.New(rand.NewPCG(seed, 1))
	centre := Drawn(r, Blank(), 1)
	models := make([]weights.Set, n)
	for i := range models {
		models[i] = Drawn(r, centre, spread)
	}
	return models
}

// Flat returns all values of a model in one slice.
func Flat(w weights.Set) []float32 {
	var all []float32
	for _, t := range w {
		all = append(all, t.Values...)
	}
	return all
}

// Largest returns the largest difference between two models of one layout.
func Largest(a, b weights.Set) float64 {
	most := 0.0
	x, y := Flat(a), Flat(b)
	for i := range x {
		most = math.Max(most, math.Abs(float64(x[i])-float64(y[i])))
	}
	return most
}

// Written writes a model to a safetensors file in a folder of the test and returns its path: kernels in the type kernel (F32, F16, BF16),
// the others in F32, and before them an I64 tensor "counter".
func Written(t *testing.T, w weights.Set, kernel string, counter int64) string {
	t.Helper()
	list := []safetensors.Tensor{safetensors.FromInt64s("counter", nil, []int64{counter})}
	for _, tensor := range w {
		to := "F32"
		if strings.HasSuffix(tensor.Name, "kernel") {
			to = kernel
		}
		data := make([]byte, len(tensor.Values)*weights.Width(to))
		if _, err := weights.Round(data, to, tensor.Values); err != nil {
			t.Fatal(err)
		}
		list = append(list, safetensors.Tensor{Name: tensor.Name, DType: safetensors.DType(to), Shape: tensor.Shape, Data: data})
	}

	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := safetensors.WriteFile(path, list, map[string]string{"format": "pt", "made": "here"}); err != nil {
		t.Fatal(err)
	}
	return path
}
