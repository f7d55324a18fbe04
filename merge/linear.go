package merge

import "math"

// Linear is the weighted mean of models, element by element:
//
//	M = sum w_i T_i / sum w_i        sum w_i T_i without Normalize
//
// Weights may be negative. With Normalize, weights that sum to 0 are an error.
// Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", arXiv 1803.05407; Wortsman et al.,
// "Model soups", arXiv 2203.05482.
type Linear struct {
	Weight    []float64 `json:"weight"`    // a model
	Normalize bool      `json:"normalize"` // divide by the sum of the weights; true
}

var _ Method = Linear{}

// NewLinear returns the defaults.
func NewLinear() Linear { return Linear{Normalize: true} }

// Start checks the weights.
func (l Linear) Start(t Target) (Merger, error) {
	if err := t.perModel("linear", "weight", l.Weight); err != nil {
		return nil, err
	}
	sum := 1.0
	if l.Normalize {
		sum = 0
		for _, w := range l.Weight {
			sum += w
		}
		if math.Abs(sum) < 1e-12 {
			return nil, t.wrong("linear", "weight", "%v sum to 0, by which they are divided; set normalize: false or change them", l.Weight)
		}
	}
	c := make([]float64, len(l.Weight))
	for i, w := range l.Weight {
		c[i] = w / sum
	}
	return linear{c: c}, nil
}

type linear struct {
	onePass
	c []float64
}

func (l linear) Merge(dst []float32, b Block) { combine(dst, l.c, b.Models) }
