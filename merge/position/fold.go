package position

import (
	"fmt"
	"math"

	"github.com/ballast-ml/ballast/fault"
)

// foldStep is one interpolation of a fold: run' = p run + q V_k.
type foldStep struct {
	beta, angle, p, q float64
	weight            float64 // of run, as accumulated
	linear            bool    // no angle: parallel vectors
	before            []float64
	norm              float64 // of run
	cosine            float64
}

// fold joins task vectors, whose inner products are gram [n][n], one after the other, with weights a. Every vector is in their
// span, so coefficients say all: run = sum over i of c_i V_i.
type fold struct {
	position Position
	where    string // tensor, for messages; "" = all
	gram     [][]float64
	a        []float64
	c        []float64
	steps    []foldStep
}

func (p Position) fold(where string, gram [][]float64, a []float64) (*fold, error) {
	n := len(a)
	f := &fold{position: p, where: where, gram: gram, a: a, c: make([]float64, n)}
	if p.Fold == FoldLinear {
		sum := 0.0
		for _, v := range a {
			sum += v
		}
		if !(sum > 0) {
			return nil, f.err("the weights %v sum to %v; they must be above 0", a, sum)
		}
		for i, v := range a {
			f.c[i] = v / sum
		}
		return f, nil
	}

	f.c[0] = 1
	for k := 1; k < n; k++ {
		s, err := f.step(k)
		if err != nil {
			return nil, err
		}
		f.steps = append(f.steps, s)
		for i := range f.c {
			f.c[i] *= s.p
		}
		f.c[k] += s.q
	}
	return f, nil
}

func (f *fold) err(format string, args ...any) error {
	where := ""
	if f.where != "" {
		where = f.where + ": "
	}
	return &fault.Input{Err: fmt.Errorf("merge: position: "+where+format, args...)}
}

func (f *fold) step(k int) (foldStep, error) {
	s := foldStep{before: append([]float64{}, f.c...)}
	for _, v := range f.a[:k] {
		s.weight += v
	}

	if f.position.Accumulate == AccumulateMean {
		s.weight /= float64(k)
	}
	total := s.weight + f.a[k]
	if !(total > 0) || math.IsInf(total, 0) {
		return s, f.err("the weights %v leave %v for step %d; they must be above 0", f.a, total, k)
	}
	s.beta = f.a[k] / total
	dot, square := 0.0, 0.0
	for i, c := range f.c {
		dot += c * f.gram[i][k]
		for j, d := range f.c {
			square += c * d * f.gram[i][j]
		}
	}

	s.norm = math.Sqrt(max(square, 0))
	own := math.Sqrt(f.gram[k][k])
	if s.norm == 0 || own == 0 {
		return s, f.err("task vector %d is 0, so it has no angle; leave the model out, or use the linear fold", k)
	}
	s.cosine = min(max(dot/(s.norm*own), -1), 1)
	s.angle = math.Acos(s.cosine)
	sine := math.Sin(s.angle)
	if sine < f.position.SinEpsilon {
		if s.cosine < 0 && !f.position.AllowLinear {
			return s, f.err("task vector %d points opposite to those before it (angle %v), so there is no shortest arc between them; allow the linear fallback, or leave a model out", k, s.angle)
		}
		s.linear, s.p, s.q = true, 1-s.beta, s.beta
		return s, nil
	}

	s.p, s.q = math.Sin((1-s.beta)*s.angle)/sine, math.Sin(s.beta*s.angle)/sine
	return s, nil
}

// backward turns the gradient in the coefficients into that in the weights a.
func (f *fold) backward(slope []float64) []float64 {
	n := len(f.a)
	out := make([]float64, n)
	if f.position.Fold == FoldLinear {
		sum, mean := 0.0, 0.0
		for i, v := range f.a {
			sum += v
			mean += slope[i] * v
		}
		for i := range out {
			out[i] = (slope[i] - mean/sum) / sum
		}
		return out
	}

	g := append([]float64{}, slope...)
	for k := n - 1; k > 0; k-- {
		s := f.steps[k-1]
		dp, dq := 0.0, g[k]
		for i, c := range s.before {
			dp += g[i] * c
		}
		for i := range g {
			g[i] *= s.p
		}
		g[k] = 0 // run holds nothing of V_k before the step
		dbeta := dq - dp
		if !s.linear {
			sine := math.Sin(s.angle)
			u, v := (1-s.beta)*s.angle, s.beta*s.angle
			dbeta = s.angle / sine * (dq*math.Cos(v) - dp*math.Cos(u))
			dangle := (dp*((1-s.beta)*math.Cos(u)*sine-math.Sin(u)*s.cosine) + dq*(s.beta*math.Cos(v)*sine-math.Sin(v)*s.cosine)) / (sine * sine)
			dcosine := -dangle / sine
			own := math.Sqrt(f.gram[k][k])
			for i := range k {
				// d cosine / d c_i = <V_i, V_k> / (|run| |V_k|) - cosine <V_i, run> / |run|^2
				along := 0.0
				for j, c := range s.before {
					along += c * f.gram[i][j]
				}
				g[i] += dcosine * (f.gram[i][k]/(s.norm*own) - s.cosine*along/(s.norm*s.norm))
			}
		}
		total := s.weight + f.a[k]
		out[k] += dbeta * s.weight / (total * total)
		share := -dbeta * f.a[k] / (total * total)
		if f.position.Accumulate == AccumulateMean {
			share /= float64(k)
		}
		for i := range k {
			out[i] += share
		}
	}
	return out
}
