package calibrate

import (
	"errors"
	"math"

	"github.com/ballast-ml/ballast/metric"
)

// PlattScaling corrects each class's probability on its own, against all others, by a sigmoid of its log-odds s_k = ln(p_k/(1-p_k)):
//
//	q_k = sigmoid(a_k s_k + b_k), probabilities q_k / sum of q
//
// Of two classes that is the common binary form, a sigmoid of z_1 - z_0. The targets are those of the paper, (n1+1)/(n1+2) for the n1 examples
// of the class and 1/(n0+2) for the n0 others, so that there always is an optimum; Newton's method finds it exactly. Source: Platt,
// "Probabilistic Outputs for Support Vector Machines", 1999; the search follows Lin, Lin, Weng, Machine Learning 68, 2007.
type PlattScaling struct {
	Smooth        bool    `json:"smooth"`         // the paper's targets; else 1 and 0, which have no optimum where one threshold separates a class; true
	MaxIterations int     `json:"max_iterations"` // Newton steps for a class; 100
	Tolerance     float64 `json:"tolerance"`      // of the largest slope; 1e-10
	Limit         float64 `json:"limit"`          // of the largest a or b, in units of the log-odds' scale; 1000
}

var _ Method = PlattScaling{}

// NewPlattScaling returns the defaults.
func NewPlattScaling() PlattScaling {
	return PlattScaling{Smooth: true, MaxIterations: 100, Tolerance: 1e-10, Limit: 1000}
}

// Validate reports what is wrong with the options.
func (p PlattScaling) Validate() error { return checkStops(p.MaxIterations, p.Tolerance, p.Limit) }

// Fit fits.
func (p PlattScaling) Fit(x Examples) (Result, error) {
	if err := errors.Join(p.Validate(), x.check()); err != nil {
		return Result{}, err
	}
	all, k := allOdds(x), x.Classes
	found := make([]sigmoidFit, k)
	_ = each(k, func(c int) { found[c] = p.class(all, x.Labels, c, k) })

	r := Result{}
	fitted := PlattMap{Slopes: make([]float64, k), Offsets: make([]float64, k)}
	for c, f := range found {
		fitted.Slopes[c], fitted.Offsets[c] = f.a, f.b
		r.Iterations, r.Gradient = max(r.Iterations, f.iterations), max(r.Gradient, f.slope)
		if f.why != "" {
			r.Saturated, r.Why = true, f.why
		}
	}
	r.Fitted = FittedChoice{fitted}
	if r.Saturated {
		for c := range k {
			fitted.Slopes[c], fitted.Offsets[c] = 1, 0
		}
	}
	return r.judged(x)
}

// allOdds are the log-odds of all examples and classes.
func allOdds(x Examples) []float64 {
	out := append([]float64(nil), x.Logits...)
	scratch := func(row []float64) { // odds writes behind what it reads
		in := append([]float64(nil), row...)
		odds(in, row)
	}
	_ = rows(out, x.Classes, scratch)
	return out
}

// each calls f for 0 to n-1 on all processors.
func each(n int, f func(i int)) error {
	return metric.Each(n, func(i int) error { f(i); return nil })
}

type sigmoidFit struct {
	a, b       float64
	iterations int
	slope      float64
	why        Without
}

// class fits a sigmoid to the log-odds of one class.
func (p PlattScaling) class(all []float64, labels []int32, c, classes int) sigmoidFit {
	n := float64(len(labels))
	mean, square, of := 0.0, 0.0, 0.0
	for i, label := range labels {
		s := all[i*classes+c]
		mean += s / n
		square += s * s / n
		if int(label) == c {
			of++
		}
	}
	high, low := 1.0, 0.0
	if p.Smooth {
		high, low = (of+1)/(of+2), 1/(n-of+2)
	}
	scale := math.Sqrt(max(square-mean*mean, 0))
	if scale <= 1e-12*(1+math.Abs(mean)) { // every example has the same: the share of the class is all there is to say
		share := (of*high + (n-of)*low) / n
		f := sigmoidFit{a: 0, b: math.Log(share / (1 - share))}
		if share == 0 || share == 1 {
			f = sigmoidFit{a: 1, why: MissingClass}
		}
		return f
	}

	if why := separates(all, labels, c, classes); why != "" && !p.Smooth {
		return sigmoidFit{a: 1, why: why}
	}
	at := func(a, b float64) (v float64, g [2]float64, h [3]float64) { // of u = (s - mean)/scale
		for i, label := range labels {
			u, t := (all[i*classes+c]-mean)/scale, low
			if int(label) == c {
				t = high
			}
			m := a*u + b
			q := sigmoid(m)
			v += (math.Log1p(math.Exp(-math.Abs(m))) + max(m, 0) - t*m) / n
			g[0] += (q - t) * u / n
			g[1] += (q - t) / n
			w := q * (1 - q) / n
			h[0] += w * u * u
			h[1] += w * u
			h[2] += w
		}
		return v, g, h
	}
	return p.newton(at, mean, scale)
}

// newton minimises in units of the log-odds' scale.
func (p PlattScaling) newton(at func(a, b float64) (float64, [2]float64, [3]float64), mean, scale float64) (f sigmoidFit) {
	a, b := scale, mean // as it is
	v, g, h := at(a, b)
	for {
		f.slope = max(math.Abs(g[0]), math.Abs(g[1]))
		if f.slope <= p.Tolerance {
			break
		}
		if max(math.Abs(a), math.Abs(b)) > p.Limit {
			f.why = Beyond
			break
		}
		if f.iterations == p.MaxIterations {
			f.why = Unfinished
			break
		}
		f.iterations++

		ridge := 1e-12 * (h[0] + h[2])
		det := (h[0]+ridge)*(h[2]+ridge) - h[1]*h[1]
		da := -(g[0]*(h[2]+ridge) - g[1]*h[1]) / det
		db := -(g[1]*(h[0]+ridge) - g[0]*h[1]) / det
		falls, moved := g[0]*da+g[1]*db, false
		for share := 1.0; share > 1e-12; share /= 2 {
			nv, ng, nh := at(a+share*da, b+share*db)
			if nv <= v+1e-4*share*falls || share == 1 && nv <= v+1e-14 {
				a, b, v, g, h, moved = a+share*da, b+share*db, nv, ng, nh, true
				break
			}
		}
		if !moved {
			if f.slope > unfinished {
				f.why = Unfinished
			}
			break
		}
	}
	f.a = a / scale
	f.b = b - a*mean/scale
	return f
}

// separates says why targets of 1 and 0 have no optimum, "" where they have one.
func separates(all []float64, labels []int32, c, classes int) Without {
	in, out := [2]float64{math.Inf(1), math.Inf(-1)}, [2]float64{math.Inf(1), math.Inf(-1)} // least and largest
	for i, label := range labels {
		of, s := &out, all[i*classes+c]
		if int(label) == c {
			of = &in
		}
		of[0], of[1] = min(of[0], s), max(of[1], s)
	}
	switch {
	case math.IsInf(in[0], 1), math.IsInf(out[0], 1):
		return MissingClass
	case in[0] >= out[1], out[0] >= in[1]:
		return Separable
	}
	return ""
}

// Separable is why targets of 1 and 0 may have no optimum.
const Separable Without = "one threshold separates a class from the others, so the steeper the sigmoid the better; use smooth: true"

// PlattMap is fitted Platt scaling: probabilities sigmoid(a_k s_k + b_k), divided by their sum, of log-odds s cut to [-MaxOdds, MaxOdds].
type PlattMap struct {
	Slopes  []float64 `json:"slopes"`  // a [classes]
	Offsets []float64 `json:"offsets"` // b [classes]
}

// Apply writes the logarithms of the probabilities.
func (p PlattMap) Apply(logits []float64) error {
	k := len(p.Slopes)
	return rows(logits, k, func(row []float64) {
		s := make([]float64, k)
		odds(row, s)
		for c, v := range s {
			s[c] = sigmoid(p.Slopes[c]*v + p.Offsets[c])
		}
		finish(row, s, Floor)
	})
}

// Validate refuses lists of another length, and what is no number.
func (p PlattMap) Validate(classes int) error {
	return errors.Join(numbers("slopes", p.Slopes, classes), numbers("offsets", p.Offsets, classes))
}
