package merge

import "math"

// SLERP goes from one model to another along the great circle through their directions. With the tensors flattened, u = T/|T| (T itself where
// |T| is at most NormEpsilon), c = u0 . u1 and angle = acos c:
//
//	M = sin((1-t) angle)/sin angle T0 + sin(t angle)/sin angle T1
//	M = (1-t) T0 + t T1                                              where |c| is above DotThreshold
//
// The second form also takes tensors that point in opposite directions; near t = 0.5 little of them remains, which is noted.
// Source: Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985.
type SLERP struct {
	T            float64 `json:"t"`             // 0 is the base, 1 the other model; required
	DotThreshold float64 `json:"dot_threshold"` // 0.9995
	NormEpsilon  float64 `json:"norm_epsilon"`  // 1e-8
}

var _ Method = SLERP{}

// NewSLERP returns the defaults; T must be set.
func NewSLERP() SLERP { return SLERP{T: math.NaN(), DotThreshold: 0.9995, NormEpsilon: 1e-8} }

// Start checks T.
func (s SLERP) Start(t Target) (Merger, error) {
	if t.Models != 2 {
		return nil, t.wrong("slerp", "models", "are %d; give two, the base is the first", t.Models)
	}
	if math.IsNaN(s.T) || math.IsInf(s.T, 0) {
		return nil, t.wrong("slerp", "t", "is %v; give a number from 0, the base, to 1, the other model", s.T)
	}
	return &spherical{grams: newGrams(2), solve: func(g [][]float64) ([]float64, string, error) {
		c0, c1, c, _ := s.coefficients(g)
		note := ""
		if c < -s.DotThreshold {
			note = "the two models point in opposite directions, so they are interpolated linearly; near the middle little of either remains"
		}
		return []float64{c0, c1}, note, nil
	}}, nil
}

// coefficients of the two tensors from their inner products.
func (s SLERP) coefficients(g [][]float64) (c0, c1, cosine float64, line bool) {
	length := func(square float64) float64 {
		if n := math.Sqrt(square); n > s.NormEpsilon {
			return n
		}
		return 1
	}
	cosine = g[0][1] / (length(g[0][0]) * length(g[1][1]))
	angle := math.Acos(min(1, max(-1, cosine)))
	sine := math.Sin(angle)
	if math.Abs(cosine) > s.DotThreshold || sine < 1e-7 {
		return 1 - s.T, s.T, cosine, true
	}
	return math.Sin((1-s.T)*angle) / sine, math.Sin(s.T*angle) / sine, cosine, false
}

// Angle is what SLERP finds between two tensors in memory: the cosine, and whether it draws a line.
func (s SLERP) Angle(a, b []float32) (cosine float64, line bool) {
	upper := make([]float64, 3)
	gram(upper, [][]float32{a, b})
	_, _, cosine, line = s.coefficients(square(2, upper))
	return cosine, line
}
