package soup

import (
	"errors"
	"fmt"

	"github.com/ballast-ml/ballast/format/weights"
)

// Uniform is the mean of the weights of several models fine-tuned from one start:
//
//	theta = (1/M) sum over i of theta_i
//
// Every tensor is averaged; one model is in memory at a time. The sum runs over the models in their order, in float32, or in
// float64 above WideAbove models, and is rounded once. Statistics of batch normalisation are only about right in a soup:
// estimate them again with a pass over training data.
//
// It refuses no models, models whose tensors differ in name or shape, and values that are not finite.
// Source: Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing
// inference time", arXiv 2203.05482.
type Uniform struct {
	WideAbove int `json:"wide_above"` // number of models above which sums are in float64; 100
}

// NewUniform returns the defaults.
func NewUniform() Uniform { return Uniform{WideAbove: 100} }

// UniformResult is a soup of all models.
type UniformResult struct {
	Weights  weights.Set `json:"-"`
	Models   []string    `json:"models"`
	Warnings []string    `json:"warnings,omitempty"` // of models that seem not to share their first weights
}

// Merge returns the soup of models in memory.
func (u Uniform) Merge(models []weights.Set) (weights.Set, error) {
	r, err := u.Run(InMemory(models, nil))
	return r.Weights, err
}

// Run averages models that it loads one after the other.
func (u Uniform) Run(models Models) (UniformResult, error) {
	var r UniformResult
	n := models.Len()
	if n == 0 {
		return r, errors.New("merge: uniform soup: there is no model; give at least one")
	}
	if u.WideAbove < 0 {
		return r, fmt.Errorf("merge: uniform soup: wide_above is %d; use 0 to sum in float64 always", u.WideAbove)
	}
	loader := loader{models: models, who: "uniform soup"}
	var wide [][]float64
	for i := range n {
		w, err := loader.load(i)
		if err != nil {
			return UniformResult{}, err
		}
		r.Models = append(r.Models, models.Name(i))
		switch {
		case i == 0 && n > u.WideAbove:
			wide = make([][]float64, len(w))
			for t := range w {
				wide[t] = make([]float64, len(w[t].Values))
			}
			fallthrough
		case i == 0:
			r.Weights = w
		default:
			if warning := warning(r.Weights, w, models.Name(i)); warning != "" {
				r.Warnings = append(r.Warnings, warning)
			}
		}
		for t := range w {
			values := w[t].Values
			if wide != nil {
				for j, v := range values {
					wide[t][j] += float64(v)
				}
				continue
			}
			sum, count := r.Weights[t].Values, float32(n)
			if i == 0 {
				for j := range sum {
					sum[j] /= count
				}
				continue
			}
			for j, v := range values {
				sum[j] += v / count
			}
		}
		if i > 0 {
			models.Release(i, w)
		}
	}

	for t := range wide {
		for j, v := range wide[t] {
			r.Weights[t].Values[j] = float32(v / float64(n))
		}
	}
	return r, r.Weights.Finite("the soup")
}
