package merge

import (
	"math"

	"github.com/ballast-ml/ballast/internal/vector"
)

// ModelStock lies between a base and the mean of N models fine-tuned from it, the nearer to the mean the more the fine-tuned models agree:
//
//	c = mean over pairs of cos(D_i, D_j), D_i = T_i - B, within [-1, 1]
//	r = N c / (1 + (N-1) c)
//	M = r mean(T) + (1-r) B
//
// Where 1 + (N-1) c is below 1e-6, as for opposite differences, r is 0: nothing but rounding would be scaled up. Products of lengths below 1e-6 count as 1e-6. With FilterWise each row has its own r.
// Source: Jang, Yun, Han, "Model Stock: All we need is just a few fine-tuned models", arXiv 2403.19522.
type ModelStock struct {
	FilterWise bool `json:"filter_wise"` // false
}

var _ Method = ModelStock{}

// NewModelStock returns the defaults.
func NewModelStock() ModelStock { return ModelStock{} }

// Start checks that there are two models at least.
func (m ModelStock) Start(t Target) (Merger, error) {
	if err := t.needsBase("model_stock"); err != nil {
		return nil, err
	}
	if t.Models < 2 {
		return nil, t.wrong("model_stock", "models", "are %d beside the base; give at least two", t.Models)
	}
	if m.FilterWise && len(t.Shape) > 1 {
		return modelStockRows{row: t.Row()}, nil
	}
	return &modelStock{grams: newGrams(t.Models)}, nil
}

// Ratio is the mean cosine of N vectors and the weight of their mean, from their inner products.
func (ModelStock) Ratio(g [][]float64) (cosine, ratio float64) {
	pairs := 0
	for i := range g {
		for j := range i {
			c := g[i][j] / max(1e-6, math.Sqrt(g[i][i])*math.Sqrt(g[j][j]))
			cosine += min(1, max(-1, c))
			pairs++
		}
	}
	cosine /= float64(pairs)
	n := float64(len(g))
	if below := 1 + (n-1)*cosine; below >= 1e-6 {
		return cosine, n * cosine / below
	}
	return cosine, 0
}

// Cosine is the mean cosine of differences in memory, and the weight of the mean.
func (m ModelStock) Cosine(base []float32, models [][]float32) (cosine, ratio float64) {
	b := Block{Base: base}
	for _, x := range models {
		b.Models = append(b.Models, append([]float32(nil), x...))
	}
	b.deltas()
	g := newGrams(len(models))
	g.add(0, b.Models)
	return m.Ratio(g.matrix())
}

type modelStock struct {
	onePass
	grams
	ratio float64
}

func (m *modelStock) Passes() int { return 1 }

func (m *modelStock) Scan(_ int, b Block) {
	b.deltas()
	m.add(b.Index, b.Models)
}

func (m *modelStock) Scanned(int) error {
	_, m.ratio = ModelStock{}.Ratio(m.matrix())
	return nil
}

func (m *modelStock) Merge(dst []float32, b Block) { stock(dst, b.Base, b.Models, m.ratio) }

// stock is r mean(T) + (1-r) B.
func stock(dst, base []float32, models [][]float32, ratio float64) {
	c := make([]float64, len(models)+1)
	for i := range models {
		c[i] = ratio / float64(len(models))
	}
	c[len(models)] = 1 - ratio
	all := make([][]float32, 0, len(models)+1)
	combine(dst, c, append(append(all, models...), base))
}

type modelStockRows struct {
	onePass
	row int
}

func (modelStockRows) WholeRows() bool { return true }

func (m modelStockRows) Merge(dst []float32, b Block) {
	n := len(b.Models)
	deltas, rows := make([][]float32, n), make([][]float32, n)
	for i := range deltas {
		deltas[i] = make([]float32, m.row)
	}
	upper := make([]float64, n*(n+1)/2)
	for at := 0; at < len(dst); at += m.row {
		base := b.Base[at : at+m.row]
		for i := range deltas {
			rows[i] = b.Models[i][at : at+m.row]
			vector.AddScaledTo(deltas[i], rows[i], -1, base)
		}
		clear(upper)
		gram(upper, deltas)
		_, ratio := ModelStock{}.Ratio(square(n, upper))
		stock(dst[at:at+m.row], base, rows, ratio)
	}
}
