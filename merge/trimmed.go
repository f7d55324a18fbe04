package merge

import "github.com/ballast-ml/ballast/internal/vector"

// trimmed is a merger of differences from which values are dropped by their rank: three passes find the ranks, a fourth what the rest is scaled
// by, where something is dropped and it is scaled at all.
type trimmed struct {
	dropper
	c    consensus
	r    *ranking
	trim func(model, block int, x []float32) // clears what is dropped of a model's block
}

func (m *trimmed) Passes() int {
	if n := m.r.passes(); n > 0 {
		return n + m.dropper.Passes()
	}
	return 0 // all is kept, or nothing
}

func (m *trimmed) Scratch() int64 { return rankingScratch }

func (m *trimmed) Scan(pass int, b Block) {
	b.deltas()
	if pass < rankingPasses {
		m.r.scan(pass, b)
		return
	}
	m.scan(b, func(model, _ int, x []float32) { m.trim(model, b.Index, x) })
}

func (m *trimmed) Scanned(pass int) error {
	if pass < rankingPasses {
		m.r.scanned(pass)
		return nil
	}
	return m.dropper.Scanned(0)
}

func (m *trimmed) Merge(dst []float32, b Block) {
	b.deltas()
	for i, x := range b.Models {
		m.trim(i, b.Index, x)
		if k := float32(m.scale[i]); k != 1 {
			vector.ScaleTo(x, k, x)
		}
	}
	m.c.merge(dst, b)
}
