package position

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/descent"
	"github.com/ballast-ml/ballast/internal/strict"
)

// How task vectors are joined, and what the joined ones weigh.
const (
	FoldSlerp      = "slerp"  // along arcs, one vector after the other
	FoldLinear     = "linear" // sum of a_i V_i / sum of a_i
	AccumulateMean = "mean"   // k joined vectors weigh the mean of their weights (paper)
	AccumulateSum  = "sum"    // they weigh the sum: equal weights are equal shares
)

// Position learns where to stand between several models fine-tuned from one base, by gradient descent on a small probe set. With
// task vectors V_i = theta_i - base, weights a_i > 0 and a length lambda >= 0:
//
//	run = V_1;  for k = 2 ... N:  beta = a_k / (w + a_k), w the mean (or sum) of a_1 ... a_{k-1};  al = angle(run, V_k)
//	    run = (sin((1-beta) al) run + sin(beta al) V_k) / sin al
//	theta = base + lambda run
//	minimise over a, lambda:  the probe's loss of theta + Mu lambda
//
// The angle is over all tensors together, or each tensor's own with PerTensor. Where sin al < SinEpsilon the vectors are parallel
// and joined linearly; against one another they are refused unless AllowLinear is set. The result depends on the order: with equal
// weights and the mean, the last model has half of it. a is the softplus of what is moved, and lambda is kept at 0 or above.
//
// Everything learned lies in the span of the task vectors, so a step costs the caller's loss and gradient G, and N dot products
// <G, V_i>; no more copies of the model are made.
// Source: Li, Nie, Zhang, Long, Zhang, Xie, "Improving General Text Embedding Model: Tackling Task Conflict and Data Imbalance
// through Model Merging", arXiv 2410.15035.
type Position struct {
	Fold        string  `json:"fold"`         // slerp or linear; slerp
	Accumulate  string  `json:"accumulate"`   // mean or sum; mean
	PerTensor   bool    `json:"per_tensor"`   // each tensor has angles of its own; false
	Mu          float64 `json:"mu"`           // price of length, above 0 so that lambda does not grow on a small probe; 0.01
	Optimizer   string  `json:"optimizer"`    // adam or sgd; adam
	LR          float64 `json:"lr"`           // learning rate of a and lambda; 0.05
	Steps       int     `json:"steps"`        // updates; 60
	SinEpsilon  float64 `json:"sin_epsilon"`  // sine below which vectors count as parallel; 1e-7
	AllowLinear bool    `json:"allow_linear"` // join opposite vectors linearly too; false

	// Keep are tensors left as the base has them, and Tied those that are copies of others (an output that is the embedding): they
	// are merged, but count in no inner product. Names, or patterns with *.
	Keep []string `json:"keep"`
	Tied []string `json:"tied"`
}

// New returns the defaults.
func New() Position {
	return Position{Fold: FoldSlerp, Accumulate: AccumulateMean, Mu: 0.01, Optimizer: "adam", LR: 0.05, Steps: 60, SinEpsilon: 1e-7}
}

// Loss is the probe's loss and its gradient in the weights, of their layout. step counts from 0; which part of the probe a
// step sees is the caller's choice. The model should run as in use: no dropout. It keeps no reference to w.
type Loss func(step int, w weights.Set) (value float64, gradient weights.Set, err error)

// Fit is what Position found.
type Fit struct {
	A            []float64   `json:"a"`                 // weight of each model
	Lambda       float64     `json:"lambda"`            // length
	Coefficients [][]float64 `json:"coefficients"`      // theta = base + sum over i of lambda c_i V_i; one row, or one a tensor
	Angles       [][]float64 `json:"angles"`            // radians, of each step of the fold; the same rows; nil with the linear fold
	Tensors      []string    `json:"tensors,omitempty"` // of the rows, where there is one a tensor
	Kept         []string    `json:"kept,omitempty"`    // tensors left as in the base
	Losses       []float64   `json:"losses"`            // of the probe at each step, before it, without Mu lambda
}

// Validate reports what is wrong with the options.
func (p Position) Validate() error {
	var errs []error
	word := func(field, value string, known ...string) {
		if slices.Contains(known, value) {
			return
		}
		text := fmt.Sprintf("use %v", known)
		if near, ok := strict.Nearest(value, known); ok {
			text = fmt.Sprintf("did you mean %q?", near)
		}
		errs = append(errs, fmt.Errorf("merge: position: %s is %q; %s", field, value, text))
	}

	word("fold", p.Fold, FoldSlerp, FoldLinear)
	word("accumulate", p.Accumulate, AccumulateMean, AccumulateSum)
	word("optimizer", p.Optimizer, "adam", "sgd")
	for _, f := range []struct {
		name  string
		value float64
		zero  bool
	}{{"mu", p.Mu, true}, {"lr", p.LR, false}, {"sin_epsilon", p.SinEpsilon, true}} {
		if !(f.value > 0 || f.zero && f.value == 0) || math.IsInf(f.value, 0) {
			errs = append(errs, fmt.Errorf("merge: position: %s is %v; it must be above 0%s", f.name, f.value, map[bool]string{true: " or 0"}[f.zero]))
		}
	}

	if p.Steps < 0 {
		errs = append(errs, fmt.Errorf("merge: position: steps is %d; use 0 for the first position alone", p.Steps))
	}
	return errors.Join(errs...)
}

// Search is a search for a position: the base, the task vectors and their inner products.
type Search struct {
	position Position
	base     weights.Set
	tasks    []weights.Set // task vectors
	names    []string
	groups   []string      // "" or tensors
	of       []int         // group of each tensor; -1 = kept as in the base
	counts   []bool        // whether a tensor counts in inner products
	gram     [][][]float64 // [group][n][n]
}

// NewSearch prepares a search. names, of the base and then of the models, are for messages and may be nil. It refuses fewer than two
// models, tensors that differ in name or shape, values that are not finite, and a model that equals the base.
func (p Position) NewSearch(base weights.Set, models []weights.Set, names []string) (*Search, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if len(models) < 2 {
		return nil, &fault.Usage{Err: fmt.Errorf("merge: position: %d models; there is a position between 2 or more", len(models))}
	}
	if names == nil {
		names = []string{"the base"}
		for i := range models {
			names = append(names, fmt.Sprintf("model %d", i))
		}
	}
	if err := weights.CheckSets("merge: position", append([]weights.Set{base}, models...), names); err != nil {
		return nil, err
	}
	tasks := make([]weights.Set, len(models))
	for i, m := range models {
		tasks[i] = m.ZerosLike()
		for t := range m {
			for j, v := range m[t].Values {
				tasks[i][t].Values[j] = v - base[t].Values[j]
			}
		}
	}
	return p.search(base, tasks, names[1:])
}

// FromTaskVectors prepares a search from task vectors in place of models.
func (p Position) FromTaskVectors(base weights.Set, tasks []weights.Set, names []string) (*Search, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if len(tasks) < 2 {
		return nil, &fault.Usage{Err: fmt.Errorf("merge: position: %d task vectors; there is a position between 2 or more", len(tasks))}
	}
	if names == nil {
		for i := range tasks {
			names = append(names, fmt.Sprintf("task vector %d", i))
		}
	}
	if err := weights.CheckSets("merge: position", append([]weights.Set{base}, tasks...), append([]string{"the base"}, names...)); err != nil {
		return nil, err
	}
	return p.search(base, tasks, names)
}

func (p Position) search(base weights.Set, tasks []weights.Set, names []string) (*Search, error) {
	s := &Search{position: p, base: base, tasks: tasks, names: names}
	for _, patterns := range [][]string{p.Keep, p.Tied} {
		for _, pattern := range patterns {
			if !slices.ContainsFunc(base.Names(), func(n string) bool { return weights.Matches(pattern, n) }) {
				return nil, &fault.Input{Field: "keep, tied", Err: fmt.Errorf("no tensor is called %q", pattern), Fix: "name tensors of the model"}
			}
		}
	}

	for _, t := range base {
		fits := func(pattern string) bool { return weights.Matches(pattern, t.Name) }
		if slices.ContainsFunc(p.Keep, fits) {
			s.of, s.counts = append(s.of, -1), append(s.counts, false)
			continue
		}
		group := ""
		if p.PerTensor {
			group = t.Name
		}
		at := slices.Index(s.groups, group)
		if at < 0 {
			at = len(s.groups)
			s.groups = append(s.groups, group)
		}
		s.of, s.counts = append(s.of, at), append(s.counts, p.PerTensor || !slices.ContainsFunc(p.Tied, fits))
	}

	if len(s.groups) == 0 {
		return nil, &fault.Input{Field: "keep", Err: errors.New("no tensor is left to merge"), Fix: "keep fewer"}
	}
	n := len(tasks)
	for g := range s.groups {
		gram := make([][]float64, n)
		for i := range gram {
			gram[i] = make([]float64, n)
		}
		for i := range n {
			for j := range i + 1 {
				for t := range base {
					if s.of[t] == g && s.counts[t] {
						gram[i][j] += weights.Dot(tasks[i][t].Values, tasks[j][t].Values)
					}
				}
				gram[j][i] = gram[i][j]
			}
		}
		s.gram = append(s.gram, gram)
	}

	if p.Fold == FoldSlerp {
		for i := range n {
			sum := 0.0
			for g := range s.gram {
				sum += s.gram[g][i][i]
			}
			if sum == 0 {
				return nil, &fault.Input{File: names[i], Err: errors.New("it equals the base, so its task vector is 0 and has no angle"), Fix: "leave the model out, or use the linear fold"}
			}
		}
	}
	return s, nil
}

// folds are the folds of each group. A tensor that no model has moved has no angle of its own and is joined linearly.
func (s *Search) folds(a []float64) ([]*fold, error) {
	if len(a) != len(s.tasks) {
		return nil, &fault.Usage{Err: fmt.Errorf("merge: position: %d weights for %d models", len(a), len(s.tasks))}
	}
	folds := make([]*fold, len(s.groups))
	for g := range folds {
		p := s.position
		if p.PerTensor && slices.ContainsFunc(s.tasks, func(w weights.Set) bool { return s.still(w, g) }) {
			p.Fold = FoldLinear
		}
		var err error
		if folds[g], err = p.fold(s.groups[g], s.gram[g], a); err != nil {
			return nil, err
		}
	}
	return folds, nil
}

// still reports whether a task vector is 0 in a group.
func (s *Search) still(w weights.Set, group int) bool {
	for t := range w {
		if s.of[t] == group && weights.Dot(w[t].Values, w[t].Values) > 0 {
			return false
		}
	}
	return true
}

// Place is a point of a search.
type Place struct {
	Weights      weights.Set // base + lambda run
	Vector       weights.Set // run
	Coefficients [][]float64 // lambda c, of each group
	Angles       [][]float64
}

// At returns the model at weights a and length lambda.
func (s *Search) At(a []float64, lambda float64) (Place, error) {
	folds, err := s.folds(a)
	if err != nil {
		return Place{}, err
	}
	place := Place{Weights: s.base.Clone(), Vector: s.base.ZerosLike()}
	for t := range s.base {
		if s.of[t] < 0 {
			continue
		}
		c := folds[s.of[t]].c
		run, out := place.Vector[t].Values, place.Weights[t].Values
		for j := range run {
			sum := 0.0
			for i := range c {
				sum += c[i] * float64(s.tasks[i][t].Values[j])
			}
			run[j] = float32(sum)
			out[j] = float32(float64(out[j]) + lambda*sum)
		}
	}

	for _, f := range folds {
		row := make([]float64, len(f.c))
		for i, c := range f.c {
			row[i] = lambda * c
		}
		place.Coefficients = append(place.Coefficients, row)
		var angles []float64
		for _, step := range f.steps {
			angles = append(angles, step.angle)
		}
		place.Angles = append(place.Angles, angles)
	}
	return place, nil
}

// Gradient turns the gradient of the loss in the weights into that of the objective, loss + Mu lambda, in a and lambda.
func (s *Search) Gradient(a []float64, lambda float64, gradient weights.Set) (slopeA []float64, slopeLambda float64, err error) {
	folds, err := s.folds(a)
	if err != nil {
		return nil, 0, err
	}
	if err := s.base.SameLayout("the base", gradient, "the gradient"); err != nil {
		return nil, 0, err
	}
	slopeA, slopeLambda = make([]float64, len(a)), s.position.Mu
	for g, f := range folds {
		along := make([]float64, len(a)) // <G, V_i>
		for t := range s.base {
			if s.of[t] != g {
				continue
			}
			for i := range along {
				along[i] += weights.Dot(gradient[t].Values, s.tasks[i][t].Values)
			}
		}
		slope := make([]float64, len(a))
		for i := range along {
			slopeLambda += f.c[i] * along[i]
			slope[i] = lambda * along[i]
		}
		for i, d := range f.backward(slope) {
			slopeA[i] += d
		}
	}
	return slopeA, slopeLambda, nil
}

// Fit moves a and lambda, all 1 at first, against the loss, and returns where they end.
func (s *Search) Fit(loss Loss) (Fit, weights.Set, error) {
	p := s.position
	n := len(s.tasks)
	x := make([]float64, n+1) // a before softplus, and lambda
	for i := range n {
		x[i] = math.Log(math.E - 1)
	}
	x[n] = 1

	adam := descent.Adam{Rate: p.LR, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8}
	var fit Fit
	for step := range p.Steps {
		a := softplus(x[:n])
		place, err := s.At(a, x[n])
		if err != nil {
			return fit, nil, err
		}
		value, gradient, err := loss(step, place.Weights)
		if err != nil {
			return fit, nil, fmt.Errorf("merge: position: loss of step %d: %w", step, err)
		}
		if err := descent.CheckLoss("merge: position", step, value, place.Weights, gradient); err != nil {
			return fit, nil, err
		}
		fit.Losses = append(fit.Losses, value)
		slopeA, slopeLambda, err := s.Gradient(a, x[n], gradient)
		if err != nil {
			return fit, nil, err
		}
		slope := append(slopeA, slopeLambda)
		for i := range n {
			slope[i] /= 1 + math.Exp(-x[i]) // d softplus / dx
		}
		if p.Optimizer == "sgd" {
			for i := range x {
				x[i] -= p.LR * slope[i]
			}
		} else {
			adam.Step(x, slope)
		}
		x[n] = max(x[n], 0)
	}

	fit.A, fit.Lambda = softplus(x[:n]), x[n]
	place, err := s.At(fit.A, fit.Lambda)
	if err != nil {
		return fit, nil, err
	}
	fit.Coefficients, fit.Angles = place.Coefficients, place.Angles
	if p.Fold == FoldLinear {
		fit.Angles = nil
	}
	if p.PerTensor {
		fit.Tensors = s.groups
	}
	for t, group := range s.of {
		if group < 0 {
			fit.Kept = append(fit.Kept, s.base[t].Name)
		}
	}
	return fit, place.Weights, nil
}

func softplus(x []float64) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = math.Max(v, 0) + math.Log1p(math.Exp(-math.Abs(v)))
	}
	return out
}

// Probed is a position and its loss.
type Probed struct {
	A    []float64 `json:"a"`
	Loss float64   `json:"loss"`
}

// Grid measures the loss of positions, each with one weight per model, at one length, and returns them with
// the best one first. Betas are the positions between two models.
func (s *Search) Grid(positions [][]float64, lambda float64, loss func(w weights.Set) (float64, error)) ([]Probed, error) {
	if len(positions) == 0 {
		return nil, &fault.Usage{Err: errors.New("merge: position: the grid is empty; give weights to try")}
	}
	var probed []Probed
	for _, a := range positions {
		place, err := s.At(a, lambda)
		if err != nil {
			return nil, err
		}
		value, err := loss(place.Weights)
		if err != nil {
			return nil, fmt.Errorf("merge: position: loss at %v: %w", a, err)
		}
		if math.IsNaN(value) {
			return nil, fmt.Errorf("merge: position: the loss at %v is NaN", a)
		}
		probed = append(probed, Probed{A: slices.Clone(a), Loss: value})
	}

	slices.SortStableFunc(probed, func(x, y Probed) int {
		switch {
		case x.Loss < y.Loss:
			return -1
		case x.Loss > y.Loss:
			return 1
		}
		return 0
	})
	return probed, nil
}

// Betas are the weights {1-b, b} of two models for each b.
func Betas(betas ...float64) [][]float64 {
	out := make([][]float64, len(betas))
	for i, b := range betas {
		out[i] = []float64{1 - b, b}
	}
	return out
}
