package merge

import "math"

// MultiSLERP is a weighted mean on the sphere of directions, found in the plane that touches it at the mean direction. With the tensors flattened,
// u_i = T_i/|T_i|, m the direction of sum w_i u_i:
//
//	v = sum w_i (u_i - (u_i . m) m)
//	M = (cos|v| m + sin|v| v/|v|) sum w_i |T_i|
//
// With a base it acts on differences from it, and adds it. Where the directions cancel out, two models go along the line between them; more are
// an error.
type MultiSLERP struct {
	Weight           []float64 `json:"weight"`            // a model; required
	NormalizeWeights bool      `json:"normalize_weights"` // divide them by their sum; true
	Eps              float64   `json:"eps"`               // 1e-8
}

var _ Method = MultiSLERP{}

// NewMultiSLERP returns the defaults.
func NewMultiSLERP() MultiSLERP { return MultiSLERP{NormalizeWeights: true, Eps: 1e-8} }

// Start checks the weights.
func (m MultiSLERP) Start(t Target) (Merger, error) {
	if err := t.perModel("multislerp", "weight", m.Weight); err != nil {
		return nil, err
	}
	w := append([]float64(nil), m.Weight...)
	if m.NormalizeWeights {
		sum := 0.0
		for _, v := range w {
			sum += v
		}
		if math.Abs(sum) < 1e-12 {
			return nil, t.wrong("multislerp", "weight", "%v sum to 0, by which they are divided; set normalize_weights: false or change them", w)
		}
		for i := range w {
			w[i] /= sum
		}
	}

	if len(w) == 1 {
		return linear{c: []float64{1}}, nil
	}
	return &spherical{grams: newGrams(t.Models), deltas: t.Base, solve: func(g [][]float64) ([]float64, string, error) {
		unit, size := make([]float64, len(w)), 0.0 // u_i = unit_i T_i
		mean := make([]float64, len(w))
		for i := range w {
			n := math.Sqrt(g[i][i])
			unit[i] = 1 / (n + m.Eps)
			size += w[i] * n
			mean[i] = w[i] * unit[i]
		}
		length := norm(g, mean)
		if length < m.Eps {
			if len(w) == 2 || size == 0 {
				return w, "the directions cancel out; a line is drawn between the models", nil
			}
			return nil, "", t.wrong("multislerp", "weight", "%v make the directions cancel out; change them", m.Weight)
		}
		for i := range mean {
			mean[i] /= length
		}
		tangent := make([]float64, len(w))
		for i := range w {
			along := 0.0
			for j := range w {
				along += unit[i] * g[i][j] * mean[j]
			}
			tangent[i] += w[i] * unit[i]
			for j := range w {
				tangent[j] -= w[i] * along * mean[j]
			}
		}
		v := norm(g, tangent) + m.Eps
		out := make([]float64, len(w))
		for i := range out {
			out[i] = size * (math.Cos(v)*mean[i] + math.Sin(v)/v*tangent[i])
		}
		return out, "", nil
	}}, nil
}
