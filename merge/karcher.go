package merge

import "math"

// Karcher is the Riemannian mean on the sphere of directions, times the mean length: the direction m whose squared angles to all models sum to
// the least, found by steps along the mean of the logarithms
//
//	v = 1/N sum angle_i / sin angle_i (u_i - cos angle_i m),    m <- cos|v| m + sin|v| v/|v|
//
// until |v| is below Tol or after MaxIter steps. Models count alike; tensors of zeros have no direction and count for the length alone.
// Source: Grove, Karcher, "How to conjugate C1-close group actions", 1973; Karcher, "Riemannian center of mass and mollifier smoothing", 1977.
type Karcher struct {
	MaxIter int     `json:"max_iter"` // 10
	Tol     float64 `json:"tol"`      // radians; 1e-5
}

var _ Method = Karcher{}

// NewKarcher returns the defaults.
func NewKarcher() Karcher { return Karcher{MaxIter: 10, Tol: 1e-5} }

// Start checks the steps.
func (k Karcher) Start(t Target) (Merger, error) {
	if t.Models == 0 {
		return nil, t.wrong("karcher", "models", "is empty; give at least one")
	}
	if k.MaxIter < 1 || !(k.Tol >= 0) {
		return nil, t.wrong("karcher", "max_iter", "is %d and tol %v; give at least 1 step and 0", k.MaxIter, k.Tol)
	}
	if t.Models == 1 {
		return linear{c: []float64{1}}, nil
	}
	return &spherical{grams: newGrams(t.Models), solve: k.solve}, nil
}

func (k Karcher) solve(g [][]float64) (out []float64, note string, err error) {
	n := len(g)
	unit, mean, size, count := make([]float64, n), make([]float64, n), 0.0, 0
	for i := range g {
		length := math.Sqrt(g[i][i])
		size += length / float64(n)
		if length > 0 {
			unit[i] = 1 / length
			mean[i] = unit[i]
			count++
		}
	}

	out = make([]float64, n)
	if count == 0 {
		return out, "", nil
	}
	length := norm(g, mean)
	if length < 1e-8 {
		for i := range out {
			out[i] = 1 / float64(n)
		}
		return out, "the directions cancel out; the models are averaged", nil
	}

	for i := range mean {
		mean[i] /= length
	}

	for range k.MaxIter {
		step := make([]float64, n)
		for i := range g {
			if unit[i] == 0 {
				continue
			}
			c := 0.0
			for j := range g {
				c += unit[i] * g[i][j] * mean[j]
			}
			angle, ratio := math.Acos(min(1, max(-1, c))), 1.0
			if s := math.Sin(angle); s > 1e-12 {
				ratio = angle / s
			}
			step[i] += ratio * unit[i] / float64(count)
			for j := range g {
				step[j] -= ratio * c * mean[j] / float64(count)
			}
		}
		v := norm(g, step)
		if v < k.Tol || v == 0 {
			break
		}
		for i := range mean {
			mean[i] = math.Cos(v)*mean[i] + math.Sin(v)/v*step[i]
		}
		length := norm(g, mean) // keeps rounding from adding up
		for i := range mean {
			mean[i] /= length
		}
	}

	for i := range out {
		out[i] = size * mean[i]
	}
	return out, "", nil
}
