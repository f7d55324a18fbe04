package calibrate

import (
	"math"

	"github.com/ballast-ml/ballast/metric"
)

// affine is a family of maps of logits: what its parameters give for a row, the same as a derivative, and the derivative's transpose. All of
// them are linear in the parameters.
type affine interface {
	size() int
	forward(params, row, out []float64)      // out[k] = sum over i of d out_k / d params_i params_i
	backward(slope, row, sum []float64)      // sum_i += sum over k of slope_k d out_k / d params_i
	penalty(params, slope []float64) float64 // its gradient is added to slope, which may be nil
	curve(direction, sum []float64)          // the penalty's Hessian times direction is added to sum
}

// softmaxFit is the mean NLL of an affine map as a function of its parameters, minimised by Newton's method: the equations of a step are
// solved by conjugate gradients, which need no Hessian but products with it, exact ones, so that it ends with a slope near rounding.
type softmaxFit struct {
	x      Examples
	family affine
	p      []float64 // softmax at the present parameters
}

// value is the objective; the probabilities are kept for slope and curvature. right says whether each label has the largest logit alone.
func (f *softmaxFit) value(params []float64) (value float64, right bool) {
	n, k := f.x.Len(), f.x.Classes
	type part struct {
		nll   float64
		wrong bool
	}
	parts := newParts[part](n)
	_ = metric.Blocks(n, func(from, to int) error {
		var sum part
		for i := from; i < to; i++ {
			out, label := f.p[i*k:(i+1)*k], int(f.x.Labels[i])
			f.family.forward(params, f.x.row(i), out)
			top := out[0]
			for c, z := range out {
				top = max(top, z)
				sum.wrong = sum.wrong || c != label && z >= out[label]
			}
			own, total := out[label]-top, 0.0
			for c, z := range out {
				out[c] = math.Exp(z - top)
				total += out[c]
			}
			for c := range out {
				out[c] /= total
			}
			sum.nll += math.Log(total) - own
		}
		parts[from/partRows] = sum
		return nil
	})
	right = true
	for _, s := range parts {
		value += s.nll
		right = right && !s.wrong
	}
	return value/float64(n) + f.family.penalty(params, nil), right
}

// slope is the gradient at the parameters that value was last called with.
func (f *softmaxFit) slope(params []float64) []float64 {
	sum := f.sum(func(i int, s []float64) {
		copy(s, f.p[i*f.x.Classes:(i+1)*f.x.Classes])
		s[f.x.Labels[i]]--
	})
	f.family.penalty(params, sum)
	return sum
}

// times is the Hessian times a direction: for a row with derivative u of its logits, p (u - <p,u>) goes back.
func (f *softmaxFit) times(direction []float64) []float64 {
	sum := f.sum(func(i int, s []float64) {
		p := f.p[i*f.x.Classes : (i+1)*f.x.Classes]
		f.family.forward(direction, f.x.row(i), s)
		mean := 0.0
		for c, v := range s {
			if p[c] > 0 { // a class that is ruled out
				mean += p[c] * v
			}
		}
		for c, v := range s {
			if s[c] = 0; p[c] > 0 {
				s[c] = p[c] * (v - mean)
			}
		}
	})
	f.family.curve(direction, sum)
	return sum
}

// sum is the mean over the examples of what each sends back.
func (f *softmaxFit) sum(of func(i int, s []float64)) []float64 {
	n := f.x.Len()
	parts := newParts[[]float64](n)
	_ = metric.Blocks(n, func(from, to int) error {
		sum, s := make([]float64, f.family.size()), make([]float64, f.x.Classes)
		for i := from; i < to; i++ {
			of(i, s)
			f.family.backward(s, f.x.row(i), sum)
		}
		parts[from/partRows] = sum
		return nil
	})
	total := make([]float64, f.family.size())
	for _, part := range parts {
		for i, v := range part {
			total[i] += v / float64(n)
		}
	}
	return total
}

// stops are the ends of a search.
type stops struct {
	iterations       int
	tolerance, limit float64 // of the slope; of the largest parameter
	free             bool    // nothing holds the parameters: answering everything right proves that there is no optimum
}

// minimize moves params to the optimum.
func (f *softmaxFit) minimize(params []float64, s stops) (r Result) {
	f.p = make([]float64, len(f.x.Logits))
	value, right := f.value(params)
	for {
		g := f.slope(params)
		r.Gradient = largest(g)
		switch {
		case right && s.free:
			r.Saturated, r.Why = true, AllRight
		case r.Gradient <= s.tolerance:
		case largest(params) > s.limit:
			r.Saturated, r.Why = true, Beyond
		case r.Iterations == s.iterations:
			r.Saturated, r.Why = r.Gradient > unfinished, Unfinished
			if !r.Saturated {
				r.Why = ""
			}
		default:
			r.Iterations++
			step := f.newton(g, s.tolerance)
			next, better, all := f.search(params, step, g, value)
			if next == nil { // no step makes it smaller in float64
				r.Saturated = r.Gradient > unfinished
				if r.Saturated {
					r.Why = Unfinished
				}
				return r
			}
			copy(params, next)
			value, right = better, all
			continue
		}
		return r
	}
}

// search halves a step until the objective falls as a convex function must.
func (f *softmaxFit) search(params, step, g []float64, value float64) (next []float64, better float64, right bool) {
	falls := dot(step, g)
	next = make([]float64, len(params))
	for share := 1.0; share > 1e-12; share /= 2 {
		for i := range next {
			next[i] = params[i] + share*step[i]
		}
		// Near the optimum the change is lost in the rounding of the value, and the full step is right.
		better, right = f.value(next)
		if better <= value+1e-4*share*falls || share == 1 && math.Abs(falls) < 1e-13*(1+math.Abs(value)) && better <= value+1e-14*(1+math.Abs(value)) {
			return next, better, right
		}
	}
	f.value(params)
	return nil, value, false
}

// newton solves H step = -g by conjugate gradients from 0, which stays where H is not flat.
func (f *softmaxFit) newton(g []float64, tolerance float64) []float64 {
	step, rest := make([]float64, len(g)), make([]float64, len(g))
	for i, v := range g {
		rest[i] = -v
	}
	direction := append([]float64(nil), rest...)
	size := dot(rest, rest)
	enough := min(0.25, math.Sqrt(math.Sqrt(size))) * math.Sqrt(size) // a rough step suffices far from the optimum
	for range 2*len(g) + 10 {
		if math.Sqrt(size) <= max(enough, tolerance*1e-3) {
			break
		}
		h := f.times(direction)
		curvature := dot(direction, h)
		if !(curvature > 1e-14*dot(direction, direction)*1e-6) { // flat
			break
		}
		by := size / curvature
		for i := range step {
			step[i] += by * direction[i]
			rest[i] -= by * h[i]
		}
		next := dot(rest, rest)
		for i := range direction {
			direction[i] = rest[i] + next/size*direction[i]
		}
		size = next
	}
	if dot(step, step) == 0 { // a first direction without curvature: go along the slope
		for i, v := range g {
			step[i] = -v
		}
	}
	return step
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

func largest(x []float64) float64 {
	most := 0.0
	for _, v := range x {
		most = max(most, math.Abs(v))
	}
	return most
}
