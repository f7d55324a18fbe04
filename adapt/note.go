package adapt

import (
	"errors"
	"fmt"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
)

// Note adapts on a memory in place of the batch, for streams whose labels hang together (NOTE): instance-aware normalisation (norm.IABN), and
// behind every Every examples a step on the examples that PBRS holds, of about as many classes as the stream has had:
//
//	L = mean over examples and classes of -p log(p + 1e-6)      p = softmax(logits)
//
// by the scales and offsets of the norms. In the step the reference of IABN is the memory's statistics, by which the running ones move with
// Momentum; answers are normalised with the running ones, an example by itself, so that batches of one work. They are those of before the
// step. The mean over classes is 1/C of the usual entropy, which counts in the learning rate.
//
// The authors train the network with IABN, too; one that was trained with batch normalisation is normalised as by that where its examples are
// like those of training. No step is taken while the memory holds one example and a norm sees one position of it.
//
// Refused are networks whose norms collect no mean or have no scale or offset, and answers that are no logits of classes. Settings as in the
// benchmarks of arXiv 2401.08328; the authors take Adam at 1e-4.
// Source: Gong et al., "NOTE: Robust Continual Test-time Adaptation Against Temporal Correlation", arXiv 2208.05117.
type Note struct {
	K         float64      `json:"k"`         // of norm.IABN, at least 0; 4
	Capacity  int          `json:"capacity"`  // of the memory, at least 1; 64
	Every     int          `json:"every"`     // examples between steps, at least 1; 64
	Momentum  float64      `json:"momentum"`  // share of the memory in the running statistics, [0, 1]; 0.01
	Optimizer optim.Choice `json:"optimizer"` // adamw with lr 1e-3 and no decay
}

var _ Method = Note{}

// NewNote returns a memory of 64 examples and a step behind each 64.
func NewNote() Note {
	return Note{K: 4, Capacity: 64, Every: 64, Momentum: 0.01, Optimizer: adam()}
}

// Validate says what is wrong with the options, and how to fix it.
func (o Note) Validate() error {
	return errors.Join(o.source(false).Validate(), validMemory(o.Capacity, o.Every), validOptimizer(o.Optimizer.Optimizer))
}

// validMemory refuses a memory that holds nothing, and steps that never come.
func validMemory(capacity, every int) error {
	var errs []error
	if capacity < 1 || capacity > maxCapacity {
		errs = append(errs, fmt.Errorf("capacity is %d; use a number of examples from 1 to %d, for example 64", capacity, maxCapacity))
	}
	if every < 1 {
		errs = append(errs, fmt.Errorf("every is %d; use a number of examples from 1, for example 64", every))
	}
	return errors.Join(errs...)
}

// maxCapacity bounds a memory: what it holds is one batch of a step.
const maxCapacity = 1 << 16

// source is where norms take their statistics from, to answer or in the step.
func (o Note) source(step bool) norm.IABN {
	s := norm.NewIABN()
	s.K, s.OfBatch, s.Momentum = o.K, step, o.Momentum
	return s
}

// entropyOverClasses is the loss on logits [n, classes] of which live [n], 0 or 1, says which count.
func entropyOverClasses(logits, live *Node) *Node {
	p := Softmax(logits, -1)
	each := Neg(ReduceMean(Mul(p, Log(AddScalar(p, 1e-6))), -1))
	return Div(ReduceAllSum(Mul(each, live)), MaxScalar(ReduceAllSum(live), 1.0))
}

// Start makes the adapter.
func (o Note) Start(m Model) (Adapter, error) {
	const who = "note"
	if err := o.Validate(); err != nil {
		return nil, usage(who, "%v", err)
	}
	a, err := newRememberer(who, m, o.Capacity, o.Every, func(classes int) keeper { return &PBRS{Capacity: o.Capacity, Classes: classes} })
	if err != nil {
		return nil, err
	}
	if err := o.build(a); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

func (o Note) build(a *rememberer) error {
	variables, err := a.trained()
	if err != nil {
		return err
	}
	a.answers, err = a.program(func(scope *model.Scope, in []*Node) []*Node {
		return []*Node{ConvertDType(a.logits(scope, o.source(false), in[0]), dtypes.Float32)}
	})
	if err != nil {
		return err
	}

	step, err := a.program(func(scope *model.Scope, in []*Node) []*Node {
		x, live := in[0], in[1]
		var logits *Node
		norm.Live(x.Graph(), GreaterThan(live, ScalarZero(x.Graph(), dtypes.Float32)), func() {
			logits = ConvertDType(a.logits(scope, o.source(true), x), dtypes.Float32)
		})
		loss := entropyOverClasses(logits, live)
		minimizer := optim.Minimizer{Optimizer: o.Optimizer.Optimizer}
		minimizer.Step(a.Bundle.Store.Scope(Scope+"/optimizer"), loss, variables)
		return []*Node{Reshape(loss, 1)}
	})
	if err != nil {
		return err
	}
	a.learn = func(x, live, _ []float32) error {
		_, err := step.call(input{x, a.shape(o.Capacity)}, input{live, []int{o.Capacity}})
		return err
	}
	if err := step.compile(a.shape(o.Capacity), []int{o.Capacity}); err != nil {
		return err
	}
	return a.Prepare(a.Batch)
}
