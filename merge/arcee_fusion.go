package merge

import "math"

// ArceeFusion takes from a model the values that stand out, and leaves the others of the base as they are. The importance of an element is how
// far it has moved, times how far its row has as a distribution (a row is the last axis; a vector is one row):
//
//	I = |T - B| KL(softmax(T_row) || softmax(B_row))        with 1e-8 added to each probability
//	M = T where I >= median(I) + 1.5 (Q3(I) - Q1(I)), else B
//
// Quartiles are those of the whole tensor: the values at floor(q (n-1)) of the n in ascending order. Other tools draw a million at random from
// larger tensors; here all count.
type ArceeFusion struct{}

var _ Method = ArceeFusion{}

// NewArceeFusion returns the method; there is nothing to set.
func NewArceeFusion() ArceeFusion { return ArceeFusion{} }

// Start checks that there is one model.
func (ArceeFusion) Start(t Target) (Merger, error) {
	if err := t.needsBase("arcee_fusion"); err != nil {
		return nil, err
	}
	if t.Models != 1 {
		return nil, t.wrong("arcee_fusion", "models", "are %d beside the base; give one", t.Models)
	}
	last := t.Elements() - 1
	return &arceeFusion{row: t.Row(), quartiles: newPlaces(last/4, last/2, 3*last/4)}, nil
}

type arceeFusion struct {
	onePass
	row       int
	quartiles *places
	least     float64 // importance that a value needs
}

func (*arceeFusion) Passes() int     { return placesPasses }
func (*arceeFusion) WholeRows() bool { return true }
func (*arceeFusion) Scratch() int64  { return placesScratch }

func (m *arceeFusion) Scan(pass int, b Block) {
	m.importance(b.Models[0], b.Models[0], b.Base)
	m.quartiles.scan(pass, b.Models[0])
}

func (m *arceeFusion) Scanned(pass int) error {
	m.quartiles.scanned(pass)
	if pass == placesPasses-1 {
		q := m.quartiles.values()
		m.least = float64(q[1]) + 1.5*(float64(q[2])-float64(q[0]))
	}
	return nil
}

func (m *arceeFusion) Merge(dst []float32, b Block) {
	m.importance(dst, b.Models[0], b.Base)
	for i, v := range dst {
		if float64(v) >= m.least {
			dst[i] = b.Models[0][i]
		} else {
			dst[i] = b.Base[i]
		}
	}
}

// importance is I, row by row; dst may be x.
func (m *arceeFusion) importance(dst, x, base []float32) {
	for from := 0; from < len(dst); from += m.row {
		to := from + m.row
		moved := divergence(x[from:to], base[from:to])
		for i := from; i < to; i++ {
			dst[i] = float32(math.Abs(float64(x[i])-float64(base[i])) * moved)
		}
	}
}

// divergence is KL(softmax(x) || softmax(y)) with 1e-8 added to each probability, at least 0, which rounding can miss.
func divergence(x, y []float32) float64 {
	const least = 1e-8
	topX, sumX := softmaxSum(x)
	topY, sumY := softmaxSum(y)
	total := 0.0
	for i := range x {
		p := math.Exp(float64(x[i])-topX)/sumX + least
		q := math.Exp(float64(y[i])-topY)/sumY + least
		total += float64(p * math.Log(p/q))
	}
	return max(0, total)
}

// softmaxSum is the largest value, and the sum of exp(x - largest).
func softmaxSum(x []float32) (top, sum float64) {
	top = math.Inf(-1)
	for _, v := range x {
		top = max(top, float64(v))
	}
	for _, v := range x {
		sum += math.Exp(float64(v) - top)
	}
	return top, sum
}
