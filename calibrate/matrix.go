package calibrate

import (
	"errors"
	"fmt"
	"math"

	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/internal/memory"
)

// MatrixScaling is an affine map of all logits, fitted by maximum likelihood:
//
//	softmax(W z + b), W [classes, classes], b [classes]
//
// With k classes it has k^2 + k parameters, and overfits without a penalty on them beside the mean NLL:
//
//	odir   Lambda/(k (k-1)) sum over i != j of W_ij^2 + Mu/k sum of b_i^2: off-diagonal and intercept regularisation; the diagonal is free
//	l2     Lambda/k^2 sum over all i, j of W_ij^2 + Mu/k sum of b_i^2
//	none   nothing
//
// Newton's method finds the minimum exactly. Without a penalty there is none where every example can be answered right, or where a class has
// no example; the result is then marked saturated. Answers may change. Sources: Guo et al., arXiv 1706.04599, section 4.2; for odir Kull et
// al., "Beyond temperature scaling", arXiv 1910.12656, where Lambda and Mu are chosen by cross-validation: see Compare.
type MatrixScaling struct {
	Penalty       string  `json:"penalty"`        // odir, l2 or none; odir
	Lambda        float64 `json:"lambda"`         // 0.1
	Mu            float64 `json:"mu"`             // 0.1
	MaxIterations int     `json:"max_iterations"` // Newton steps; 100
	Tolerance     float64 `json:"tolerance"`      // of the largest slope, in units of the logits' scale; 1e-10
	Limit         float64 `json:"limit"`          // of the largest weight or bias, in units of the logits' scale; 1000
}

var _ Method = MatrixScaling{}

// The penalties.
const (
	ODIR      = "odir"
	L2        = "l2"
	NoPenalty = "none"
)

// NewMatrixScaling returns the defaults.
func NewMatrixScaling() MatrixScaling {
	return MatrixScaling{Penalty: ODIR, Lambda: 0.1, Mu: 0.1, MaxIterations: 100, Tolerance: 1e-10, Limit: 1000}
}

// Validate reports what is wrong with the options.
func (m MatrixScaling) Validate() error {
	known := []string{ODIR, L2, NoPenalty}
	found := false
	for _, name := range known {
		found = found || name == m.Penalty
	}
	if !found {
		return fmt.Errorf("calibrate: penalty: %w", choice.NewUnknown("penalty", m.Penalty, known))
	}
	for name, v := range map[string]float64{"lambda": m.Lambda, "mu": m.Mu} {
		if !(v >= 0) || math.IsInf(v, 0) {
			return fmt.Errorf("calibrate: %s is %v; use a number from 0", name, v)
		}
	}
	return checkStops(m.MaxIterations, m.Tolerance, m.Limit)
}

// Fit fits.
func (m MatrixScaling) Fit(x Examples) (Result, error) {
	if err := m.Validate(); err != nil {
		return Result{}, err
	}
	k := x.Classes
	if err := memory.Need("the probabilities and the sums of matrix scaling", 8*int64(len(x.Logits))+16*int64(k)*int64(k)); err != nil {
		return Result{}, err
	}
	start, r, err := begin(x, m.Penalty == NoPenalty || m.Mu == 0)
	if err != nil || r.Saturated {
		r.Fitted = FittedChoice{identityMatrix(k)}
		return finished(r, x, err)
	}

	params := make([]float64, k*k+k)
	for c := range k {
		params[c*k+c] = start.weight
	}
	family := matrixFamily{classes: k, all: m.Penalty == L2}
	switch m.Penalty {
	case ODIR:
		family.weight = m.Lambda / float64(k*(k-1)) / (start.scale * start.scale) // of W in the logits' own units
		family.bias = m.Mu / float64(k)
	case L2:
		family.weight, family.bias = m.Lambda/float64(k*k)/(start.scale*start.scale), m.Mu/float64(k)
	}
	for i, z := range start.scaled.Logits { // W mixes classes: one that is ruled out counts as very unlikely
		if math.IsInf(z, -1) {
			start.scaled.Logits[i] = ruledOut(x.row(i/k)) / start.scale
		}
	}
	f := softmaxFit{x: start.scaled, family: family}
	free := family.weight == 0 && family.bias == 0
	r = f.minimize(params, stops{m.MaxIterations, m.Tolerance, m.Limit, free})
	fitted := MatrixMap{Weights: make([][]float64, k), Bias: params[k*k:]}
	for c := range k {
		fitted.Weights[c] = params[c*k : (c+1)*k]
		for j := range k {
			fitted.Weights[c][j] /= start.scale
		}
	}
	r.Fitted = FittedChoice{fitted}
	if r.Saturated {
		r.Fitted = FittedChoice{identityMatrix(k)}
	}
	return finished(r, x, nil)
}

// ruledOut is what a logit of -Inf counts as for the other classes: 50 below the least of its row that is finite.
func ruledOut(row []float64) float64 {
	least := math.Inf(1)
	for _, z := range row {
		if !math.IsInf(z, -1) {
			least = min(least, z)
		}
	}
	return least - 50
}

// matrixFamily has the parameters W, row after row, and bias.
type matrixFamily struct {
	classes      int
	weight, bias float64 // of the squares
	all          bool    // the diagonal's too
}

func (m matrixFamily) size() int { return m.classes*m.classes + m.classes }

func (m matrixFamily) forward(params, row, out []float64) {
	k := m.classes
	for c := range out {
		out[c] = dot(params[c*k:(c+1)*k], row) + params[k*k+c]
	}
}

func (m matrixFamily) backward(slope, row, sum []float64) {
	k := m.classes
	for c, s := range slope {
		to := sum[c*k : (c+1)*k]
		for j, z := range row {
			to[j] += s * z
		}
		sum[k*k+c] += s
	}
}

// squares calls f with each parameter that is held and what multiplies its square.
func (m matrixFamily) squares(f func(i int, by float64)) {
	k := m.classes
	for i := range k * k {
		if m.all || i/k != i%k {
			f(i, m.weight)
		}
	}
	for c := range k {
		f(k*k+c, m.bias)
	}
}

func (m matrixFamily) penalty(params, slope []float64) (sum float64) {
	m.squares(func(i int, by float64) {
		sum += by * params[i] * params[i]
		if slope != nil {
			slope[i] += 2 * by * params[i]
		}
	})
	return sum
}

func (m matrixFamily) curve(direction, sum []float64) {
	m.squares(func(i int, by float64) { sum[i] += 2 * by * direction[i] })
}

// MatrixMap is fitted matrix scaling: W z + b.
type MatrixMap struct {
	Weights [][]float64 `json:"weights"` // [classes out][classes in]
	Bias    []float64   `json:"bias"`    // [classes]
}

func identityMatrix(classes int) MatrixMap {
	m := MatrixMap{Weights: make([][]float64, classes), Bias: make([]float64, classes)}
	for c := range m.Weights {
		m.Weights[c] = make([]float64, classes)
		m.Weights[c][c] = 1
	}
	return m
}

// Apply multiplies and adds.
func (m MatrixMap) Apply(logits []float64) error {
	k := len(m.Weights)
	return rows(logits, k, func(row []float64) {
		in, low := make([]float64, k), 0.0
		for c, z := range row {
			if math.IsInf(z, -1) {
				if low == 0 {
					low = ruledOut(row)
				}
				z = low
			}
			in[c] = z
		}
		for c := range row {
			if !math.IsInf(row[c], -1) {
				row[c] = dot(m.Weights[c], in) + m.Bias[c]
			}
		}
	})
}

// Validate refuses a matrix of another shape, and what is no number.
func (m MatrixMap) Validate(classes int) error {
	if len(m.Weights) != classes {
		return fmt.Errorf("weights has %d rows for %d classes; want one for each", len(m.Weights), classes)
	}
	errs := []error{numbers("bias", m.Bias, classes)}
	for c, row := range m.Weights {
		errs = append(errs, numbers(fmt.Sprintf("weights.%d", c), row, classes))
	}
	return errors.Join(errs...)
}
