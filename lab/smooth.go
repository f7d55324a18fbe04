package lab

import "math"

// Smooth is the debiased exponential moving average that TensorBoard draws:
//
//	s_t = weight s_(t-1) + (1 - weight) x_t      shown s_t / (1 - weight^t), t counted from 1
//
// weight is in [0, 1). A NaN stays where it is and moves nothing.
func Smooth(x []float64, weight float64) []float64 {
	y := make([]float64, len(x))
	s, left := 0.0, 1.0
	for i, v := range x {
		if math.IsNaN(v) {
			y[i] = v
			continue
		}
		s = weight*s + (1-weight)*v
		left *= weight
		y[i] = s / (1 - left)
	}
	return y
}
