package adapt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/zoo"
)

// What the affinities of Lame are of.
const (
	NearFeatures = "features"
	NearAnswers  = "answers"
)

// The affinities of Lame.
const (
	LameRBF    = "rbf"
	LameKNN    = "knn"
	LameLinear = "linear"
)

// Lame leaves the model alone and moves the answers of a batch to what neighbours answer (LAME, Laplacian adjusted maximum-likelihood
// estimation): with p the probabilities of the model and W [N, N] how near examples are,
//
//	u = -log(p + 1e-10)      Y_0 = softmax(-u)      Y <- softmax(-u + W Y), row by row
//
// up to MaxSteps times, until the energy sum(u Y - (W Y) Y + Y log Y) changes by no more than Stop times itself, from the third time on. W is
// of the features in front of the last layer, each divided by its length, with d their distances:
//
//	rbf      exp(-d^2 / (2 s^2)), s the mean over examples of the distance to the KNN-th nearest, the example itself counted as the first
//	knn      1 for the KNN nearest others, else 0; Symmetric makes of it the mean of both directions
//	linear   the cosine
//
// With Near answers W is of the probabilities in the place of features, for models that give nothing else.
//
// The answers are log Y. It works where neighbours in time are of one class (sorted streams), and does harm where batches are of all classes.
// A batch of one stays as it is up to rounding. Refused are networks without features and answers that are no logits of classes.
// Source: Boudiaf, Mueller, Ben Ayed, Bertinetto, "Parameter-free Online Test-time Adaptation", arXiv 2201.05718, by its official code.
type Lame struct {
	Affinity  string  `json:"affinity"`  // rbf, knn or linear; rbf
	Near      string  `json:"near"`      // features or answers; features
	KNN       int     `json:"knn"`       // neighbours, at least 1; 5
	Symmetric bool    `json:"symmetric"` // false
	MaxSteps  int     `json:"max_steps"` // at least 1; 100
	Stop      float64 `json:"stop"`      // relative change of the energy, at least 0; 1e-8
}

var _ Outer = Lame{}

// NewLame returns the radial affinity of the five nearest.
func NewLame() Lame {
	return Lame{Affinity: LameRBF, Near: NearFeatures, KNN: 5, MaxSteps: 100, Stop: 1e-8}
}

// Validate says what is wrong with the options, and how to fix it.
func (l Lame) Validate() error {
	var errs []error
	oneOf := func(what, is, list string, known ...string) {
		if slices.Contains(known, is) {
			return
		}
		text := fmt.Sprintf("%s is %q; use %s", what, strict.Short(is), list)
		if near, ok := strict.Nearest(is, known); ok {
			text = fmt.Sprintf("%s is %q; did you mean %q?", what, strict.Short(is), near)
		}
		errs = append(errs, errors.New(text))
	}
	oneOf("affinity", l.Affinity, "rbf, knn or linear", LameRBF, LameKNN, LameLinear)
	oneOf("near", cmp.Or(l.Near, NearFeatures), "features or answers", NearFeatures, NearAnswers)
	if l.KNN < 1 {
		errs = append(errs, fmt.Errorf("knn is %d; use a number of neighbours from 1, for example 5", l.KNN))
	}
	if l.MaxSteps < 1 {
		errs = append(errs, fmt.Errorf("max_steps is %d; use at least 1, for example 100", l.MaxSteps))
	}
	if !(l.Stop >= 0) || math.IsInf(l.Stop, 0) {
		errs = append(errs, fmt.Errorf("stop is %v; use a small number, for example 1e-8, or 0 to take all steps", l.Stop))
	}
	return errors.Join(errs...)
}

// Start makes the adapter.
func (l Lame) Start(m Model) (Adapter, error) {
	const who = "lame"
	if err := l.Validate(); err != nil {
		return nil, usage(who, "%v", err)
	}
	c, err := newCopy(who, m)
	if err != nil {
		return nil, err
	}
	a := &lame{copied: c, method: l}
	if err := a.build(); err != nil {
		c.Close()
		return nil, err
	}
	return a, nil
}

// lame is the adapter.
type lame struct {
	*copied
	method Lame
	look   *program // x -> logits [n, classes], features [n, d]
}

var _ Preparer = (*lame)(nil)

func (a *lame) build() (err error) {
	if a.Bundle.Manifest.Answers() != zoo.Classify {
		return usage(a.who, "the task of %s is %s; the method needs the logits of a model that classifies", a.name(), a.Bundle.Manifest.Answers())
	}
	network, ok := a.Bundle.Manifest.Network.Network.(zoo.Featured)
	if !ok {
		return usage(a.who, "the network %s of %s cannot be cut in front of its last layer, whose features say which examples are near; choose another model",
			zoo.Name(a.Bundle.Manifest.Network.Network), a.name())
	}
	a.look, err = a.program(func(scope *model.Scope, in []*Node) []*Node {
		features, logits := a.featured(network, scope, in[0])
		return []*Node{ConvertDType(logits, dtypes.Float32), ConvertDType(Reshape(features, features.Shape().Dimensions[0], -1), dtypes.Float32)}
	})
	if err != nil {
		return err
	}
	return a.Prepare(a.Batch)
}

// Prepare compiles a step of n examples.
func (a *lame) Prepare(n int) error { return a.look.compile(a.shape(n)) }

// Answer takes the steps one after the other.
func (a *lame) Answer(ctx context.Context, x []float32, n int) ([]float32, error) {
	return inSteps(ctx, a.copied, x, n, func(x []float32, n int) ([]float32, error) {
		if err := a.Prepare(n); err != nil {
			return nil, err
		}
		out, err := a.look.call(input{x, a.shape(n)})
		if err != nil {
			return nil, err
		}
		return a.method.move(out[0], out[1], n), nil
	})
}

// move are the answers to n examples, of logits [n, classes] and features [n, d].
func (l Lame) move(logits, features []float32, n int) []float32 {
	if l.Near == NearAnswers {
		features = probabilities(logits, n)
	}
	logs, _ := l.Assign(logits, l.Weights(features, n), n)
	answers := make([]float32, len(logs))
	for i, v := range logs {
		answers[i] = float32(v)
	}
	return answers
}

// probabilities are the softmax of logits [n, classes].
func probabilities(logits []float32, n int) []float32 {
	wide := make([]float64, len(logits))
	for i, v := range logits {
		wide[i] = float64(v)
	}
	logSoftmax(wide, max(1, len(logits)/max(1, n)))
	out := make([]float32, len(logits))
	for i, v := range wide {
		out[i] = float32(math.Exp(v))
	}
	return out
}

// StartOutside makes the adapter of a model that only answers.
func (l Lame) StartOutside(m Outside) (Adapter, error) {
	const who = "lame"
	if err := l.Validate(); err != nil {
		return nil, usage(who, "%v", err)
	}
	if m.Look == nil && l.Near != NearAnswers {
		return nil, usage(who, "%s gives answers alone, and no features that say which examples are near; set near=answers, which takes its probabilities for them", m.Name)
	}
	return &lameOutside{outside{who}, l, m}, nil
}

// lameOutside is the adapter of a model that only answers.
type lameOutside struct {
	outside
	method Lame
	model  Outside
}

// State is empty.
func (a *lameOutside) State() (weights.Set, error) { return weights.Set{}, nil }

// Answer takes the steps one after the other.
func (a *lameOutside) Answer(ctx context.Context, x []float32, n int) ([]float32, error) {
	return stepsOf(ctx, a.who, a.model.Shape, a.model.Batch, x, n, func(x []float32, n int) (out []float32, err error) {
		var logits, features []float32
		if a.method.Near == NearAnswers {
			logits, err = a.model.Answer(ctx, x, n)
		} else {
			logits, features, err = a.model.Look(ctx, x, n)
		}
		if err != nil {
			return nil, err
		}
		return a.method.move(logits, features, n), nil
	})
}

// Weights is W [n, n] of features [n, d], row after row.
func (l Lame) Weights(features []float32, n int) []float64 {
	if n == 0 {
		return nil
	}
	d := len(features) / n
	unit := make([]float64, n*d)
	for i := range n {
		length := 0.0
		for _, v := range features[i*d : i*d+d] {
			length += float64(v) * float64(v)
		}
		length = max(math.Sqrt(length), 1e-12)
		for j, v := range features[i*d : i*d+d] {
			unit[i*d+j] = float64(v) / length
		}
	}

	w := make([]float64, n*n)
	for i := range n {
		for j := range i + 1 {
			sum := 0.0
			a, b := unit[i*d:i*d+d], unit[j*d:j*d+d]
			if l.Affinity == LameLinear {
				for k, v := range a {
					sum += v * b[k]
				}
			} else {
				for k, v := range a {
					sum += (v - b[k]) * (v - b[k])
				}
			}
			w[i*n+j], w[j*n+i] = sum, sum
		}
	}
	switch l.Affinity {
	case LameRBF:
		return l.radial(w, n)
	case LameKNN:
		return l.nearest(w, n)
	}
	return w
}

// radial turns squared distances into affinities.
func (l Lame) radial(squares []float64, n int) []float64 {
	s := 0.0
	for i := range n {
		row := slices.Clone(squares[i*n : i*n+n])
		slices.Sort(row)
		s += math.Sqrt(row[min(l.KNN, n)-1]) / float64(n)
	}
	for i, v := range squares {
		switch {
		case v == 0:
			squares[i] = 1
		case s == 0:
			squares[i] = 0 // the limit
		default:
			squares[i] = math.Exp(-v / (2 * s * s))
		}
	}
	return squares
}

// nearest turns squared distances into edges to the nearest others; of two as near the first counts.
func (l Lame) nearest(squares []float64, n int) []float64 {
	w := make([]float64, n*n)
	for i := range n {
		var others []int
		for j := range n {
			if j != i {
				others = append(others, j)
			}
		}
		row := squares[i*n : i*n+n]
		slices.SortStableFunc(others, func(a, b int) int {
			switch {
			case row[a] < row[b]:
				return -1
			case row[a] > row[b]:
				return 1
			}
			return 0
		})
		for _, j := range others[:min(l.KNN, len(others))] {
			w[i*n+j] = 1
		}
	}
	if !l.Symmetric {
		return w
	}
	both := make([]float64, n*n)
	for i := range n {
		for j := range n {
			both[i*n+j] = (w[i*n+j] + w[j*n+i]) / 2
		}
	}
	return both
}

// Assign is log Y [n, classes] of logits [n, classes] and affinities [n, n], and how many steps it took.
func (l Lame) Assign(logits []float32, w []float64, n int) (logY []float64, steps int) {
	if n == 0 {
		return nil, 0
	}
	classes := len(logits) / n
	minusU := make([]float64, len(logits))
	for i, v := range logits {
		minusU[i] = float64(v)
	}
	logSoftmax(minusU, classes)
	for i, v := range minusU {
		minusU[i] = math.Log(math.Exp(v) + 1e-10)
	}

	logY = slices.Clone(minusU)
	logSoftmax(logY, classes)
	y, pulled := make([]float64, len(logY)), make([]float64, len(logY))
	exponentials(y, logY)
	energy := math.Inf(1)
	for steps = 1; steps <= l.MaxSteps; steps++ {
		pull(pulled, w, y, n, classes)
		for i := range logY {
			logY[i] = minusU[i] + pulled[i]
		}
		logSoftmax(logY, classes)
		exponentials(y, logY)

		before := energy
		energy = 0
		for i, p := range y {
			energy += p * (-minusU[i] - pulled[i] + math.Max(logY[i], math.Log(1e-20)))
		}
		if steps > 2 && math.Abs(energy-before) <= l.Stop*math.Abs(before) {
			return logY, steps
		}
	}
	return logY, l.MaxSteps
}

// pull is W Y.
func pull(to, w, y []float64, n, classes int) {
	clear(to)
	for i := range n {
		row := to[i*classes : (i+1)*classes]
		for j, near := range w[i*n : i*n+n] {
			if near == 0 {
				continue
			}
			for c, p := range y[j*classes : (j+1)*classes] {
				row[c] += near * p
			}
		}
	}
}

// logSoftmax is that of each row, in place.
func logSoftmax(rows []float64, classes int) {
	for row := range slices.Chunk(rows, classes) {
		most, sum := slices.Max(row), 0.0
		for _, v := range row {
			sum += math.Exp(v - most)
		}
		log := most + math.Log(sum)
		for c := range row {
			row[c] -= log
		}
	}
}

func exponentials(to, logs []float64) {
	for i, v := range logs {
		to[i] = math.Exp(v)
	}
}
