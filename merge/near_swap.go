package merge

import "math"

// NearSwap moves a base towards a model, all the way where the two are close:
//
//	M = k T + (1-k) B,    k = min(1, t / |B - T|)
type NearSwap struct {
	T float64 `json:"t"` // distance up to which the model's value is taken; at least 0
}

var _ Method = NearSwap{}

// NewNearSwap returns a method whose T must be set: there is no default.
func NewNearSwap() NearSwap { return NearSwap{T: math.NaN()} }

// Start checks T.
func (n NearSwap) Start(t Target) (Merger, error) {
	if err := t.needsBase("nearswap"); err != nil {
		return nil, err
	}
	if t.Models != 1 {
		return nil, t.wrong("nearswap", "models", "are %d beside the base; give one", t.Models)
	}
	if !(n.T >= 0) || math.IsInf(n.T, 0) {
		return nil, t.wrong("nearswap", "t", "is %v; give a number of at least 0", n.T)
	}
	return nearSwap{t: float32(n.T)}, nil
}

type nearSwap struct {
	onePass
	t float32
}

func (n nearSwap) Merge(dst []float32, b Block) {
	base, x := b.Base[:len(dst)], b.Models[0][:len(dst)]
	for i := range dst {
		d := base[i] - x[i]
		if d < 0 {
			d = -d
		}
		if d <= n.t {
			dst[i] = x[i]
			continue
		}
		k := n.t / d
		dst[i] = float32(k*x[i]) + float32((1-k)*base[i])
	}
}
