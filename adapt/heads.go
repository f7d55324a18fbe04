package adapt

import (
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
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/zoo"
)

// Heads answers each example with the head that suits it, of a network that train/objective.DistilHeads has made robust: the clean one, which
// is the network as it was, the robust one, or the combined one. Of the clean and the robust head Passes answers are taken, each with a share
// Dropout of what goes into the last layer put to 0. With m and s the mean and the standard deviation, over the passes, of the probability of a
// head's top class, and p the mean probabilities,
//
//	score = m / (s + 1e-6)      D = (KL(p_clean || p_robust) + KL(p_robust || p_clean)) / 2
//
// where D is below Delta the heads agree, and the combined one answers, or with Agree average the mean of both heads' probabilities; else the
// head with the larger score, of two as large the clean one. The answer is the head's own, without dropout. What is put to 0 depends on the seed
// alone, so that an example is answered by itself. Features are computed once, and a pass costs a last layer.
//
// Refused are networks without the branches robust and combined (zoo.Branched), and Passes below 2, of which there is no deviation.
// Source: Jain, Behl, Rawat, Vineet, "Efficiently Robustify Pre-Trained Models", arXiv 2309.07499. Score and D are reconstructed: the text says
// that a head is chosen by estimated uncertainty and the divergence between predictions.
type Heads struct {
	Passes  int     `json:"passes"`  // at least 2; 10
	Dropout float64 `json:"dropout"` // (0, 1); 0.1
	Delta   float64 `json:"delta"`   // divergence in nats below which heads agree, at least 0; 0.1
	Agree   string  `json:"agree"`   // what answers then: combined or average; combined
}

var _ Method = Heads{}

// What answers where heads agree.
const (
	HeadsCombined = "combined"
	HeadsAverage  = "average"
)

// NewHeads returns ten passes with a tenth put to 0.
func NewHeads() Heads { return Heads{Passes: 10, Dropout: 0.1, Delta: 0.1, Agree: HeadsCombined} }

// maxPasses keeps programs small.
const maxPasses = 1000

// Validate says what is wrong with the options, and how to fix it.
func (o Heads) Validate() error {
	var errs []error
	if o.Passes < 2 || o.Passes > maxPasses {
		errs = append(errs, fmt.Errorf("passes is %d; use 2 to %d: one alone has no deviation", o.Passes, maxPasses))
	}
	if !(o.Dropout > 0 && o.Dropout < 1) {
		errs = append(errs, fmt.Errorf("dropout is %v; use a share above 0 and below 1, for example 0.1", o.Dropout))
	}
	if !(o.Delta >= 0) || math.IsInf(o.Delta, 0) {
		errs = append(errs, fmt.Errorf("delta is %v; use a divergence in nats from 0, for example 0.1", o.Delta))
	}
	if o.Agree != HeadsCombined && o.Agree != HeadsAverage {
		errs = append(errs, fmt.Errorf("agree is %q; use combined or average", strict.Short(o.Agree)))
	}
	return errors.Join(errs...)
}

// The branches that the method looks at, besides the trunk's own last layers.
const (
	robustBranch   = "robust"
	combinedBranch = "combined"
)

// Start makes the adapter.
func (o Heads) Start(m Model) (Adapter, error) {
	const who = "heads"
	if err := o.Validate(); err != nil {
		return nil, usage(who, "%v", err)
	}
	c, err := newCopy(who, m)
	if err != nil {
		return nil, err
	}
	a := &heads{copied: c, method: o}
	if err := a.build(); err != nil {
		c.Close()
		return nil, err
	}
	return a, nil
}

// heads is the adapter.
type heads struct {
	*copied
	method  Heads
	answers *program // x -> logits of the heads clean, robust, combined [3, n, classes], and of two in passes [2, n, passes, classes]
}

var _ Preparer = (*heads)(nil)

func (a *heads) build() (err error) {
	network, ok := a.Bundle.Manifest.Network.Network.(zoo.Branching)
	if !ok || !slices.Contains(network.Names(), robustBranch) || !slices.Contains(network.Names(), combinedBranch) {
		return usage(a.who, "the network %s of %s has no heads robust and combined; train them with objective: distil-heads",
			zoo.Name(a.Bundle.Manifest.Network.Network), a.name())
	}
	a.answers, err = a.program(func(scope *model.Scope, in []*Node) (out []*Node) {
		pass.Through(in[0].Graph(), pass.Pass{Mode: pass.Infer}, func() { out = a.heads(network, scope, in[0]) })
		return out
	})
	if err != nil {
		return err
	}
	return a.Prepare(a.Batch)
}

// heads are what the program computes.
func (a *heads) heads(network zoo.Branching, scope *model.Scope, x *Node) []*Node {
	at, g := scope.At("model"), x.Graph()
	n, m := x.Shape().Dimensions[0], a.method.Passes
	features := network.Features(at, a.Bundle.Manifest.Preprocess.Apply(x))
	scaled := func(logits *Node) *Node {
		return ConvertDType(a.Bundle.Manifest.Calibration.Apply(logits), dtypes.Float32)
	}

	var plain, drawn []*Node
	for i, branch := range []string{"", robustBranch, combinedBranch} {
		inner := network.Inner(at, branch, features)
		plain = append(plain, scaled(network.Last(at, branch, inner)))
		if branch == combinedBranch {
			continue
		}
		dims := inner.Shape().Dimensions[1:]
		kept := ops.NewRandom(g, a.Seed).Fold(uint64(i)).Bernoulli(1-a.method.Dropout, append([]int{m}, dims...)...)
		all := append([]int{n, m}, dims...)
		wide := BroadcastToDims(ExpandAxes(DivScalar(inner, 1-a.method.Dropout), 1), all...)
		wide = Where(BroadcastToDims(ExpandAxes(kept, 0), all...), wide, ZerosLike(wide))
		logits := scaled(network.Last(at, branch, Reshape(wide, append([]int{n * m}, dims...)...)))
		drawn = append(drawn, Reshape(logits, n, m, -1))
	}
	return []*Node{Stack(plain, 0), Stack(drawn, 0)}
}

// Prepare compiles the answers to n examples.
func (a *heads) Prepare(n int) error { return a.answers.compile(a.shape(n)) }

// State is empty.
func (a *heads) State() (weights.Set, error) { return weights.Set{}, nil }

// Answer takes the steps one after the other.
func (a *heads) Answer(ctx context.Context, x []float32, n int) ([]float32, error) {
	return inSteps(ctx, a.copied, x, n, func(x []float32, n int) ([]float32, error) {
		if err := a.Prepare(n); err != nil {
			return nil, err
		}
		out, err := a.answers.call(input{x, a.shape(n)})
		if err != nil {
			return nil, err
		}
		return a.choose(out[0], out[1], n), nil
	})
}

// choose takes for each example the answer of its head.
func (a *heads) choose(plain, drawn []float32, n int) []float32 {
	classes, m := len(plain)/(3*n), a.method.Passes
	of := func(head, i int) []float32 { return plain[(head*n+i)*classes : (head*n+i+1)*classes] }
	passes := func(head, i int) HeadStats {
		from := (head*n + i) * m * classes
		return StatsOfHead(drawn[from:from+m*classes], classes)
	}
	answers := make([]float32, 0, n*classes)
	for i := range n {
		clean, robust := passes(0, i), passes(1, i)
		switch a.method.Pick(clean, robust) {
		case PickClean:
			answers = append(answers, of(0, i)...)
		case PickRobust:
			answers = append(answers, of(1, i)...)
		case PickAgreed:
			if a.method.Agree == HeadsCombined {
				answers = append(answers, of(2, i)...)
				continue
			}
			for c, p := range clean.Probabilities {
				answers = append(answers, float32(math.Log(max((p+robust.Probabilities[c])/2, math.SmallestNonzeroFloat32))))
			}
		}
	}
	return answers
}

// HeadStats is what several passes of a head say of an example.
type HeadStats struct {
	Probabilities []float64 // means over the passes
	Top           int       // the class with the largest mean, the first of several
	Mean, Std     float64   // of its probability over the passes; the deviation is that of the passes themselves
	Score         float64   // Mean / (Std + 1e-6)
}

// StatsOfHead are those of logits [passes, classes]. It panics without classes or without a pass.
func StatsOfHead(logits []float32, classes int) HeadStats {
	if classes < 1 || len(logits) < classes {
		panic(fmt.Errorf("adapt.StatsOfHead: %d logits of %d classes; give at least one pass", len(logits), classes))
	}
	p := make([]float64, len(logits))
	for i, v := range logits {
		p[i] = float64(v)
	}
	logSoftmax(p, classes)
	exponentials(p, p)
	passes := float64(len(p) / classes)
	s := HeadStats{Probabilities: make([]float64, classes)}
	for i, v := range p {
		s.Probabilities[i%classes] += v / passes
	}
	for c, v := range s.Probabilities {
		if v > s.Probabilities[s.Top] {
			s.Top = c
		}
	}

	s.Mean = s.Probabilities[s.Top]
	for i := s.Top; i < len(p); i += classes {
		s.Std += (p[i] - s.Mean) * (p[i] - s.Mean) / passes
	}
	s.Std = math.Sqrt(s.Std)
	s.Score = s.Mean / (s.Std + 1e-6)
	return s
}

// HeadDivergence is D of two heads' mean probabilities.
func HeadDivergence(p, q HeadStats) float64 {
	d := 0.0
	for c, v := range p.Probabilities {
		w := q.Probabilities[c]
		if v == w {
			continue
		}
		d += (v - w) * (math.Log(max(v, math.SmallestNonzeroFloat64)) - math.Log(max(w, math.SmallestNonzeroFloat64))) / 2
	}
	return d
}

// Picked is which head answers.
type Picked int

// The heads.
const (
	PickClean Picked = iota
	PickRobust
	PickAgreed
)

// Pick chooses the head that answers an example.
func (o Heads) Pick(clean, robust HeadStats) Picked {
	switch {
	case HeadDivergence(clean, robust) < o.Delta:
		return PickAgreed
	case clean.Score >= robust.Score:
		return PickClean
	}
	return PickRobust
}
