package merge

import (
	"math"

	"github.com/ballast-ml/ballast/internal/vector"
)

// NuSLERP is SLERP with weights: t = w1/(w0+w1), 0.5 where the sum is below 1e-6. With a base it acts on differences from it, and adds it. With
// Flatten the tensor is one vector, else each row is one with its own angle: the last axis is summed over, or the first with RowWise (the
// name says what recipes mean by it). Vectors whose angle has a sine below 1e-7, which rounding
// alone can make, go along the line between them.
type NuSLERP struct {
	Weight  []float64 `json:"weight"`           // a model; required
	Flatten bool      `json:"nuslerp_flatten"`  // true
	RowWise bool      `json:"nuslerp_row_wise"` // false
}

var _ Method = NuSLERP{}

// NewNuSLERP returns the defaults.
func NewNuSLERP() NuSLERP { return NuSLERP{Flatten: true} }

// Start checks the weights.
func (n NuSLERP) Start(t Target) (Merger, error) {
	if err := t.perModel("nuslerp", "weight", n.Weight); err != nil {
		return nil, err
	}
	if t.Models != 2 {
		return nil, t.wrong("nuslerp", "models", "are %d, the base not counted; give two", t.Models)
	}
	between := 0.5
	if sum := n.Weight[0] + n.Weight[1]; math.Abs(sum) >= 1e-6 {
		between = n.Weight[1] / sum
	}
	solve := func(aa, ab, bb float64) (float64, float64) {
		c := ab / (max(1e-7, math.Sqrt(aa)) * max(1e-7, math.Sqrt(bb)))
		angle := math.Acos(min(1, max(-1, c)))
		sine := math.Sin(angle)
		if math.Abs(sine) < 1e-7 {
			return 1 - between, between
		}
		return math.Sin((1-between)*angle) / sine, math.Sin(between*angle) / sine
	}

	switch {
	case n.Flatten || len(t.Shape) < 2:
		return &spherical{grams: newGrams(2), deltas: t.Base, solve: func(g [][]float64) ([]float64, string, error) {
			a, b := solve(g[0][0], g[0][1], g[1][1])
			return []float64{a, b}, "", nil
		}}, nil
	case n.RowWise:
		columns := t.Elements() / max(1, t.Shape[0])
		return &nuslerpColumns{columns: columns, deltas: t.Base, solve: solve, sum: newOrderedSum(3 * columns)}, nil
	}
	return nuslerpRows{row: t.Row(), deltas: t.Base, solve: solve}, nil
}

type nuslerpRows struct {
	onePass
	row    int
	deltas bool
	solve  func(aa, ab, bb float64) (float64, float64)
}

func (nuslerpRows) WholeRows() bool { return true }

func (n nuslerpRows) Merge(dst []float32, b Block) {
	if n.deltas {
		b.deltas()
	}
	for at := 0; at < len(dst); at += n.row {
		x, y := b.Models[0][at:at+n.row], b.Models[1][at:at+n.row]
		c0, c1 := n.solve(dot(x, x), dot(x, y), dot(y, y))
		combine(dst[at:at+n.row], []float64{c0, c1}, [][]float32{x, y})
	}
	if n.deltas {
		vector.AddScaled(dst, 1, b.Base)
	}
}

// nuslerpColumns has one angle a column, of which a block holds parts.
type nuslerpColumns struct {
	onePass
	columns int
	deltas  bool
	solve   func(aa, ab, bb float64) (float64, float64)
	sum     *orderedSum
	c       [2][]float32
}

func (n *nuslerpColumns) Passes() int { return 1 }

func (n *nuslerpColumns) Scan(_ int, b Block) {
	if n.deltas {
		b.deltas()
	}
	part := make([]float64, 3*n.columns)
	for i, x := range b.Models[0] {
		k, x, y := 3*((b.At+i)%n.columns), float64(x), float64(b.Models[1][i])
		part[k] += float64(x * x)
		part[k+1] += float64(x * y)
		part[k+2] += float64(y * y)
	}
	n.sum.add(b.Index, part)
}

func (n *nuslerpColumns) Scanned(int) error {
	n.c = [2][]float32{make([]float32, n.columns), make([]float32, n.columns)}
	for k := range n.columns {
		a, b := n.solve(n.sum.total[3*k], n.sum.total[3*k+1], n.sum.total[3*k+2])
		n.c[0][k], n.c[1][k] = float32(a), float32(b)
	}
	return nil
}

func (n *nuslerpColumns) Merge(dst []float32, b Block) {
	if n.deltas {
		b.deltas()
	}
	for i := range dst {
		k := (b.At + i) % n.columns
		dst[i] = float32(n.c[0][k]*b.Models[0][i]) + float32(n.c[1][k]*b.Models[1][i])
	}
	if n.deltas {
		vector.AddScaled(dst, 1, b.Base)
	}
}
