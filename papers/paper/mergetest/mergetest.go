// Package mergetest holds what the golden cases on merging share: models of small tensors, and dense layers in float64.
package mergetest

import (
	"math"

	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/merge"
)

// Stacked cuts a tensor that holds one model after the other along its first axis.
func Stacked(c *golden.Case, path string) (t merge.Target, models [][]float32) {
	all := c.Tensor(path)
	n := all.Shape[0]
	size := len(all.Data) / n
	for m := range n {
		models = append(models, Narrowed(all.Data[m*size:(m+1)*size]))
	}
	return merge.Target{Name: "w", Shape: all.Shape[1:]}, models
}

// Got compares a merged tensor with an output.
func Got(t golden.T, c *golden.Case, output string, m merge.Method, target merge.Target, base []float32, models [][]float32) {
	out, err := merge.Values(m, target, base, models)
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Got(output, target.Shape, Widened(out))
}

// Sparse are the parameters that cases of sparse methods share.
type Sparse struct {
	Density   []float64 `json:"density"`
	Weight    []float64 `json:"weight"`
	Elect     int       `json:"elect_sign"`
	Normalize int       `json:"normalize"`
	Lambda    float64   `json:"lambda"`
}

// One is a model of one tensor.
func One(t golden.Tensor) weights.Set {
	return weights.Set{{Name: "kernel", Shape: t.Shape, Values: Narrowed(t.Data)}}
}

// Narrowed is values in float32.
func Narrowed(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

// Widened is values in float64.
func Widened(values []float32) []float64 {
	wide := make([]float64, len(values))
	for i, v := range values {
		wide[i] = float64(v)
	}
	return wide
}

// Affine is x w + b for x [rows, in] and w [in, out].
func Affine(x, w, b []float64, in, out int) []float64 {
	y := make([]float64, len(x)/in*out)
	for r := range len(x) / in {
		for o := range out {
			sum := b[o]
			for i := range in {
				sum += x[r*in+i] * w[i*out+o]
			}
			y[r*out+o] = sum
		}
	}
	return y
}

// Outer is x^T y for x [rows, in] and y [rows, out].
func Outer(x, y []float64, in, out int) []float64 {
	z := make([]float64, in*out)
	for r := range len(x) / in {
		for i := range in {
			for o := range out {
				z[i*out+o] += x[r*in+i] * y[r*out+o]
			}
		}
	}
	return z
}

// Softmax is the softmax of rows of classes.
func Softmax(logits []float64, classes int) []float64 {
	p := make([]float64, len(logits))
	for r := range len(logits) / classes {
		sum := 0.0
		for o := range classes {
			p[r*classes+o] = math.Exp(logits[r*classes+o])
			sum += p[r*classes+o]
		}
		for o := range classes {
			p[r*classes+o] /= sum
		}
	}
	return p
}
