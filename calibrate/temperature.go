// Package calibrate corrects the confidences of a trained model.
//
//	method               numbers            answers        paper
//	TemperatureScaling   1                  stay           Guo et al., arXiv 1706.04599; Chidambaram, Ge, arXiv 2306.00740
//	VectorScaling        2 a class          may change     Guo et al., arXiv 1706.04599
//	MatrixScaling        classes^2 + ...    may change     Guo et al., arXiv 1706.04599; Kull et al., arXiv 1910.12656
//	PlattScaling         2 a class          may change     Platt 1999
//	IsotonicRegression   as many as asked   may change     Zadrozny, Elkan 2002
//	HistogramBinning     bins a class       may change     Zadrozny, Elkan 2001
//	Conformal            1                  become sets    Sadinle et al., arXiv 1609.00451; Romano et al., arXiv 2006.02544; Angelopoulos et al., arXiv 2009.14193
//
// All but Conformal are a Method, chosen by name (Named, Choice): its Fit takes Examples and returns a Fitted, which is applied to logits and
// stored as JSON (FittedChoice). Compare holds methods beside each other on examples that none of them was fitted to.
//
// Fit on examples the model was not trained on, and evaluate on a third set:
//
//	fit, err := calibrate.FitTemperature(calibrate.NewTemperatureScaling(), logits, labels, 10) // of 10 classes
//	calibrate.Apply(others, fit.T)                                                              // divides them in place
//
// evaluate.Calibrate does this for a bundle, which then divides its own logits by T; bundle.Save stores T.
package calibrate

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/ballast-ml/ballast/metric"
)

// TemperatureScaling divides all logits by one temperature T, fitted by maximum likelihood:
//
//	T* = argmin over T > 0 of (1/n) sum of -ln softmax(z_i/T)[y_i]
//
// The largest logit stays the largest, so answers do not change; T > 1 lowers confidences. The mean NLL is convex in b = 1/T,
// with g(b) = mean(<p, z> - z_y) and h(b) = mean(Var_p(z)), so a Newton method with a bracket finds the exact minimum from
// anywhere, however the logits are scaled. (The paper's code stops an L-BFGS after 20 steps of rate 0.01, far too early.)
//
// Two cases have no finite optimum. If every example is classified correctly, b grows to infinity; if the logits do not predict the labels,
// to 0. Then T stops at scale/Limit or scale*Limit, with scale the deviation of the logits around their row's mean, and the
// result is marked saturated and says why. Do not use such a T.
type TemperatureScaling struct {
	MaxIterations int     `json:"max_iterations"` // Newton steps; 50
	Tolerance     float64 `json:"tolerance"`      // of |g| in units of the logits' scale; 1e-12
	Limit         float64 `json:"limit"`          // how far beyond the logits' scale T may go; 1000
}

// NewTemperatureScaling returns the defaults.
func NewTemperatureScaling() TemperatureScaling {
	return TemperatureScaling{MaxIterations: 50, Tolerance: 1e-12, Limit: 1000}
}

// Validate reports what is wrong with the options.
func (t TemperatureScaling) Validate() error {
	switch {
	case t.MaxIterations < 1:
		return fmt.Errorf("calibrate: max_iterations is %d; use at least 1", t.MaxIterations)
	case !(t.Tolerance > 0):
		return fmt.Errorf("calibrate: tolerance is %v; use a number above 0", t.Tolerance)
	case !(t.Limit > 1):
		return fmt.Errorf("calibrate: limit is %v; use a number above 1", t.Limit)
	}
	return nil
}

// Temperature is a fitted temperature.
type Temperature struct {
	T          float64 `json:"temperature"`
	NLLBefore  float64 `json:"nll_before"` // mean, in nats, at T = 1
	NLLAfter   float64 `json:"nll_after"`  // never above NLLBefore
	Iterations int     `json:"iterations"`
	Saturated  bool    `json:"saturated"` // no finite optimum, or none within Limit
	Why        Without `json:"why,omitempty"`
}

// Without says why no temperature is best.
type Without string

// The reasons.
const (
	AllRight    Without = "every example is answered right, so the lower the temperature the better"
	NoUse       Without = "the logits say nothing of the labels, or less than nothing, so the higher the temperature the better"
	Unreachable Without = "a float64 cannot hold the best temperature"
	Beyond      Without = "examples whose logits are far smaller than the others' ask for a temperature below the limit"
	Unfinished  Without = "the search was not done after max_iterations steps"
	Constant    Without = "the logits of each example are all the same, so no temperature changes anything"
)

// FitTemperature fits t to logits [examples, classes], row after row, and labels [examples]. It reads float32 logits where
// they are. Errors name the example: see package metric.
func FitTemperature[F metric.Float, L metric.Label](t TemperatureScaling, logits []F, labels []L, classes int) (Temperature, error) {
	if err := t.Validate(); err != nil {
		return Temperature{}, err
	}
	p := problem[F, L]{logits, labels, classes}
	scale, slope, err := p.scale()
	if err != nil {
		return Temperature{}, err
	}
	before := p.at(1)
	if scale == 0 { // every row is constant: no temperature changes anything
		return Temperature{T: 1, NLLBefore: before.nll, NLLAfter: before.nll, Saturated: true, Why: Constant}, nil
	}
	if scale > moderate || scale < 1/moderate { // squares of such logits are no floats
		return fitScaled(t, p, scale, before.nll)
	}
	low, high := 1/(scale*t.Limit), t.Limit/scale
	result := Temperature{NLLBefore: before.nll}
	b, best := 0.0, point{}
	if slope >= 0 { // the NLL rises from b = 0 on
		b, best, result.Saturated, result.Why = low, p.at(low), true, NoUse
	} else if end := p.at(high); end.g <= 0 { // and here it falls for ever
		b, best, result.Saturated, result.Why = high, end, true, AllRight
		if !p.allRight() {
			result.Why = Beyond
		}
	} else {
		b, best, result.Iterations = t.newton(p, scale, low, high)
		switch {
		case b == low:
			result.Saturated, result.Why = true, NoUse
		case result.Iterations == t.MaxIterations && math.Abs(best.g) > unfinished*scale:
			result.Saturated, result.Why = true, Unfinished
		}
	}
	result.T, result.NLLAfter = 1/b, best.nll
	if !(result.NLLAfter <= result.NLLBefore) { // by rounding, when 1 is the optimum; or beyond a limit
		result.T, result.NLLAfter = 1, result.NLLBefore
	}
	return result, nil
}

// moderate is how large or small, as its inverse, the scale of logits may be while their squares are floats with room to spare.
const moderate = 1e100

// fitScaled fits to logits of an extreme scale divided by it.
func fitScaled[F metric.Float, L metric.Label](t TemperatureScaling, p problem[F, L], scale, before float64) (Temperature, error) {
	scaled := make([]float64, len(p.logits))
	for i := 0; i < len(scaled); i += p.classes {
		row := p.logits[i : i+p.classes]
		top := float64(slices.Max(row))
		for c, z := range row {
			if scale < 1 {
				scaled[i+c] = (float64(z) - top) / scale
				continue
			}
			scaled[i+c] = (float64(z)/2 - top/2) / (scale / 2) // the difference of two large ones may be no float
		}
	}
	fit, err := FitTemperature(t, scaled, p.labels, p.classes)
	if err != nil {
		return fit, err
	}
	fit.T *= scale
	fit.NLLBefore = before
	if fit.T == 0 || math.IsInf(fit.T, 0) {
		fit.T, fit.Saturated, fit.Why = 1, true, Unreachable
	}
	if !(fit.NLLAfter <= before) {
		fit.T, fit.NLLAfter = 1, before
	}
	return fit, nil
}

// unfinished is the slope, in units of the logits' scale, from which on a search that ran out of steps has found nothing.
const unfinished = 1e-6

// newton finds the root of g in [low, high], from b = 1/scale. A step that leaves the bracket is replaced by a bisection on
// the logarithm, so that any scale is reached in few steps.
func (t TemperatureScaling) newton(p evaluator, scale, low, high float64) (b float64, at point, iterations int) {
	left, right := low, high // g < 0 at left, g > 0 at right, once they were seen
	b = 1 / scale
	for iterations < t.MaxIterations {
		at = p.at(b)
		iterations++
		if math.Abs(at.g) <= t.Tolerance*scale {
			return b, at, iterations
		}
		if at.g < 0 {
			left = b
		} else {
			right = b
		}
		next := b - at.g/at.h
		if !(next > left && next < right) {
			next = math.Sqrt(left * right)
		}
		if math.Abs(next-b) <= 4e-16*b {
			return b, at, iterations
		}
		if right/left < 1+1e-9 && left == low { // the optimum is below the limit
			return low, p.at(low), iterations
		}
		b = next
	}
	return b, p.at(b), iterations
}

// Apply divides logits by the temperature, in place.
func Apply[F metric.Float](logits []F, temperature float64) {
	for i := range logits {
		logits[i] = F(float64(logits[i]) / temperature)
	}
}

// point is the mean NLL at one b, its slope and its curvature.
type point struct{ nll, g, h float64 }

type evaluator interface{ at(b float64) point }

type problem[F metric.Float, L metric.Label] struct {
	logits  []F
	labels  []L
	classes int
}

// scale checks the input, and returns the deviation of the logits around their row's mean and the slope of the NLL at b = 0.
func (p problem[F, L]) scale() (deviation, slope float64, err error) {
	n, k := len(p.labels), p.classes
	switch {
	case n == 0:
		return 0, 0, errors.New("calibrate: no examples")
	case k < 2:
		return 0, 0, fmt.Errorf("calibrate: %d classes; there must be at least 2", k)
	case len(p.logits) != n*k:
		return 0, 0, fmt.Errorf("calibrate: %d logits for %d labels and %d classes; want %d", len(p.logits), n, k, n*k)
	}
	type part struct{ square, slope, most float64 }
	parts := newParts[part](n)
	err = metric.Blocks(n, func(from, to int) error {
		var sum part
		for i := from; i < to; i++ {
			label := int(p.labels[i])
			if label < 0 || label >= k {
				return fmt.Errorf("calibrate: label of example %d is %d, outside 0 to %d", i, label, k-1)
			}
			row := p.logits[i*k : (i+1)*k]
			finite := 0 // those of -Inf have no part in any temperature
			for c, z := range row {
				switch v := float64(z); {
				case math.IsNaN(v) || math.IsInf(v, 1) || c == label && math.IsInf(v, -1):
					return fmt.Errorf("calibrate: the logit of class %d of example %d is %v; logits must be finite, or -Inf for a class that is "+
						"ruled out and not the label's", c, i, z)
				case !math.IsInf(v, -1):
					finite++
				}
			}
			mean := 0.0
			for _, z := range row {
				if v := float64(z); !math.IsInf(v, -1) {
					mean += v / float64(finite)
				}
			}
			square := 0.0
			for _, z := range row {
				if v := float64(z); !math.IsInf(v, -1) {
					sum.most = max(sum.most, math.Abs(v-mean))
					square += (v - mean) * (v - mean) / float64(finite)
				}
			}
			sum.square += square / float64(n)
			sum.slope += (mean - float64(row[label])) / float64(n)
		}
		parts[from/partRows] = sum
		return nil
	})
	var total part
	for _, s := range parts {
		total.square += s.square
		total.slope += s.slope
		total.most = max(total.most, s.most)
	}
	deviation = math.Sqrt(total.square)
	if math.IsInf(deviation, 0) || deviation == 0 || total.most < 1/moderate { // the squares are no floats: the largest is scale enough
		deviation = min(total.most, math.MaxFloat64)
	}
	return deviation, total.slope, err
}

// allRight reports whether no logit is larger than the label's.
func (p problem[F, L]) allRight() bool {
	for i, label := range p.labels {
		row := p.logits[i*p.classes : (i+1)*p.classes]
		if row[int(label)] < slices.Max(row) {
			return false
		}
	}
	return true
}

// at computes the mean NLL and its derivatives in b. Logits are taken relative to the row's largest.
func (p problem[F, L]) at(b float64) point {
	n, k := len(p.labels), p.classes
	parts := newParts[point](n)
	// No error can come: scale has checked everything.
	_ = metric.Blocks(n, func(from, to int) error {
		var sum point
		for i := from; i < to; i++ {
			row := p.logits[i*k : (i+1)*k]
			top := row[0]
			for _, z := range row {
				top = max(top, z)
			}
			var s0, s1, s2 float64
			for _, z := range row {
				d := float64(z) - float64(top)
				if b*d < negligible {
					continue
				}
				e := math.Exp(b * d)
				s0 += e
				s1 += e * d
				s2 += e * d * d
			}
			mean := s1 / s0
			own := float64(row[int(p.labels[i])]) - float64(top)
			sum.nll += math.Log(s0) - b*own
			sum.g += mean - own
			sum.h += s2/s0 - mean*mean
		}
		parts[from/partRows] = sum
		return nil
	})
	var total point
	for _, s := range parts {
		total.nll += s.nll
		total.g += s.g
		total.h += s.h
	}
	return point{total.nll / float64(n), total.g / float64(n), total.h / float64(n)}
}

// negligible is an exponent whose exponential is lost in the rounding of a sum that is at least 1, for millions of classes.
const negligible = -52

// partRows is the number of rows of one call of metric.Blocks.
const partRows = metric.BlockRows

func newParts[T any](n int) []T { return make([]T, (n+partRows-1)/partRows) }
