package norm

import "math"

// Foldable is a layer that is a scale and an offset of each channel at inference, which can be folded into the linear layer
// beside it. The values are those of its variables by name: scale, offset, mean, variance; one that is missing is nil.
type Foldable interface {
	Layer
	Fold(variables map[string][]float64) (scale, offset []float64)
}

// ScaleOffset is what normalising with collected statistics comes to, y = scale x + offset for each channel:
//
//	scale = gamma / sqrt(variance + epsilon)      offset = beta - mean scale
//
// gamma, beta and mean may be nil, for 1, 0 and 0.
func ScaleOffset(gamma, beta, mean, variance []float64, epsilon float64) (scale, offset []float64) {
	scale, offset = make([]float64, len(variance)), make([]float64, len(variance))
	for c, v := range variance {
		scale[c] = 1 / math.Sqrt(v+epsilon)
		if gamma != nil {
			scale[c] *= gamma[c]
		}
		if beta != nil {
			offset[c] = beta[c]
		}
		if mean != nil {
			offset[c] -= mean[c] * scale[c]
		}
	}
	return scale, offset
}

func foldStatistics(v map[string][]float64, epsilon float64) (scale, offset []float64) {
	return ScaleOffset(v["scale"], v["offset"], v["mean"], v["variance"], epsilon)
}

var (
	_ Foldable = Batch{}
	_ Foldable = Ghost{}
	_ Foldable = Estimated{}
	_ Foldable = Power{}
	_ Foldable = Unified{}
	_ Foldable = Identity{}
	_ Foldable = Offset{}
)

// Fold returns the layer at inference with the running values; nil where Inference takes them from elsewhere.
func (b Batch) Fold(v map[string][]float64) (scale, offset []float64) {
	return Ghost{Epsilon: b.Epsilon, Inference: b.Inference}.Fold(v)
}

// Fold returns the layer at inference with the running values; nil where Inference takes them from elsewhere.
func (g Ghost) Fold(v map[string][]float64) (scale, offset []float64) {
	if g.Inference != nil && g.Inference != (Source)(FromRunning{}) {
		return nil, nil
	}
	return foldStatistics(v, g.Epsilon)
}

// Fold returns the layer at inference.
func (e Estimated) Fold(v map[string][]float64) (scale, offset []float64) {
	return foldStatistics(v, e.Epsilon)
}

// Fold returns the layer at inference; nil with GroupScaling, which looks at each position.
func (p Power) Fold(v map[string][]float64) (scale, offset []float64) {
	if p.GroupScaling {
		return nil, nil
	}
	return foldStatistics(v, p.Epsilon)
}

// Fold returns the layer at inference.
func (u Unified) Fold(v map[string][]float64) (scale, offset []float64) {
	return foldStatistics(v, u.Epsilon)
}

// Fold returns nothing to fold.
func (Identity) Fold(map[string][]float64) (scale, offset []float64) { return nil, nil }

// Fold returns the offset, with a scale of 1.
func (Offset) Fold(v map[string][]float64) (scale, offset []float64) {
	scale = make([]float64, len(v["offset"]))
	for c := range scale {
		scale[c] = 1
	}
	return scale, v["offset"]
}
