package calibrate

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// VectorScaling scales and moves the logit of each class by numbers of its own, fitted by maximum likelihood:
//
//	softmax(w_k z_k + b_k), w and b [classes]
//
// The NLL is convex in both; Newton's method finds its minimum exactly. It has no optimum where every example can be answered right, or where
// a class has no example; the result is then marked saturated, as that of TemperatureScaling is. Answers may change. Source: Guo et al., "On
// Calibration of Modern Neural Networks", arXiv 1706.04599, section 4.2.
type VectorScaling struct {
	MaxIterations int     `json:"max_iterations"` // Newton steps; 100
	Tolerance     float64 `json:"tolerance"`      // of the largest slope, in units of the logits' scale; 1e-10
	Limit         float64 `json:"limit"`          // of the largest weight or bias, in units of the logits' scale; 1000
}

var _ Method = VectorScaling{}

// NewVectorScaling returns the defaults.
func NewVectorScaling() VectorScaling {
	return VectorScaling{MaxIterations: 100, Tolerance: 1e-10, Limit: 1000}
}

// Validate reports what is wrong with the options.
func (v VectorScaling) Validate() error { return checkStops(v.MaxIterations, v.Tolerance, v.Limit) }

func checkStops(iterations int, tolerance, limit float64) error {
	if iterations < 1 {
		return fmt.Errorf("calibrate: max_iterations is %d; use at least 1", iterations)
	}
	return errors.Join(positive("tolerance", tolerance), positive("limit", limit))
}

// MissingClass is why methods with a number for each class may have no optimum.
const MissingClass Without = "a class has no example, so the less likely it is said to be the better"

// Fit fits.
func (v VectorScaling) Fit(x Examples) (Result, error) {
	if err := v.Validate(); err != nil {
		return Result{}, err
	}
	k := x.Classes
	start, r, err := begin(x, true)
	if err != nil || r.Saturated {
		r.Fitted = FittedChoice{identityVector(k)}
		return finished(r, x, err)
	}

	params := make([]float64, 2*k)
	for c := range k {
		params[c] = start.weight
	}
	f := softmaxFit{x: start.scaled, family: vectorFamily{k}}
	r = f.minimize(params, stops{v.MaxIterations, v.Tolerance, v.Limit, true})
	fitted := VectorMap{Weights: params[:k:k], Bias: params[k:]}
	for c := range k {
		fitted.Weights[c] /= start.scale
	}
	r.Fitted = FittedChoice{fitted}
	if r.Saturated {
		r.Fitted = FittedChoice{identityVector(k)}
	}
	return finished(r, x, nil)
}

// finished is a result with its NLL.
func finished(r Result, x Examples, err error) (Result, error) {
	if err != nil {
		return Result{}, err
	}
	return r.judged(x)
}

// everyClass reports whether each class has an example.
func (x Examples) everyClass() bool {
	seen, left := make([]bool, x.Classes), x.Classes
	for _, label := range x.Labels {
		if !seen[label] {
			seen[label] = true
			left--
		}
	}
	return left == 0
}

// started is where a search begins: at the best temperature, with the logits in units of their scale.
type started struct {
	scaled Examples
	scale  float64
	weight float64 // 1/T in those units
}

// begin finds the best temperature. A case that has no optimum then has none with more parameters. free says that nothing holds the bias of a
// class, so that there is none for one without an example.
func begin(x Examples, free bool) (started, Result, error) {
	scale, _, err := problem[float64, int32]{x.Logits, x.Labels, x.Classes}.scale()
	if err != nil {
		return started{}, Result{}, err
	}
	fit, err := FitTemperature(NewTemperatureScaling(), x.Logits, x.Labels, x.Classes)
	if err != nil {
		return started{}, Result{}, err
	}
	switch {
	case scale == 0:
		return started{}, Result{Saturated: true, Why: Constant}, nil
	case fit.Saturated && fit.Why == AllRight, fit.Saturated && fit.Why == Unreachable:
		return started{}, Result{Saturated: true, Why: fit.Why}, nil
	case free && !x.everyClass():
		return started{}, Result{Saturated: true, Why: MissingClass}, nil
	}
	s := started{scale: scale, weight: scale / fit.T}
	if fit.Saturated {
		s.weight = 1
	}
	s.scaled = Examples{Logits: make([]float64, len(x.Logits)), Labels: x.Labels, Classes: x.Classes}
	for i, z := range x.Logits {
		s.scaled.Logits[i] = z / scale
	}
	return s, Result{}, nil
}

// vectorFamily has the parameters weights, bias.
type vectorFamily struct{ classes int }

func (v vectorFamily) size() int { return 2 * v.classes }

func (v vectorFamily) forward(params, row, out []float64) {
	for c, z := range row {
		if out[c] = z; !math.IsInf(z, -1) {
			out[c] = params[c]*z + params[v.classes+c]
		}
	}
}

func (v vectorFamily) backward(slope, row, sum []float64) {
	for c, s := range slope {
		if !math.IsInf(row[c], -1) {
			sum[c] += s * row[c]
			sum[v.classes+c] += s
		}
	}
}

func (vectorFamily) penalty(_, _ []float64) float64 { return 0 }

func (vectorFamily) curve(_, _ []float64) {}

// VectorMap is fitted vector scaling: w_k z_k + b_k.
type VectorMap struct {
	Weights []float64 `json:"weights"` // [classes]
	Bias    []float64 `json:"bias"`    // [classes]
}

func identityVector(classes int) VectorMap {
	v := VectorMap{Weights: make([]float64, classes), Bias: make([]float64, classes)}
	for c := range v.Weights {
		v.Weights[c] = 1
	}
	return v
}

// Apply scales and moves.
func (v VectorMap) Apply(logits []float64) error {
	params := slices.Concat(v.Weights, v.Bias)
	return rows(logits, len(v.Weights), func(row []float64) {
		vectorFamily{len(v.Weights)}.forward(params, row, row)
	})
}

// Validate refuses lists of another length, and what is no number.
func (v VectorMap) Validate(classes int) error {
	return errors.Join(numbers("weights", v.Weights, classes), numbers("bias", v.Bias, classes))
}
