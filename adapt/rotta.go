package adapt

import (
	"errors"
	"fmt"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// Rotta adapts on a memory by the answers of a slow copy of the model, for streams whose labels hang together and whose shift changes
// (RoTTA). Norms are robust batch normalisation (RBN): running statistics that move a little by each step and normalise it,
//
//	r <- (1-Alpha) r + Alpha stat_t      stat_t of the memory, biased; its gradient flows, that of r does not
//
// and answers are normalised with them as they are. Behind every Every examples comes a step on the examples that CSTU holds:
//
//	L = mean_n w_n CE(teacher(x_n), student(changed x_n))      w_n = exp(-a_n) / (1 + exp(-a_n)), a_n the age over the capacity
//	then teacher <- (1-Nu) teacher + Nu student
//
// CE(t, s) = -sum_c softmax(t)_c log softmax(s)_c. Scales and offsets of the norms move; the running statistics of teacher and student move
// each by what it sees. The answer is the teacher's, of before the step; an example is answered by itself, so that batches of one work. No step
// is taken while the memory holds one example and a norm sees one position of it.
//
// The changes are Augment, of images with values in [0, 1]; the authors' own (colours, affine maps, blur, flips, noise) are for photographs.
// Refused are networks whose norms collect nothing or have no scale or offset, answers that are no logits of classes, and changes of inputs
// that are no images. Source: Yuan, Xie, Li, "Robust Test-Time Adaptation in Dynamic Scenarios", arXiv 2303.13899; that the teacher's
// statistics move in the step and that affine parameters alone are trained is recalled from its official code.
type Rotta struct {
	Alpha       float64      `json:"alpha"`        // share of the memory in the running statistics, (0, 1]; 0.05
	Nu          float64      `json:"nu"`           // share of the student in the teacher, [0, 1]; 0.001
	Capacity    int          `json:"capacity"`     // of the memory, at least 1; 64
	Every       int          `json:"every"`        // examples between steps, at least 1; 64
	TimeWeight  float64      `json:"time_weight"`  // of the age in CSTU, at least 0; 1
	DoubtWeight float64      `json:"doubt_weight"` // of the uncertainty in CSTU, at least 0; 1
	Augment     augment.View `json:"augment"`      // what the student sees; shift by 2 pixels, noise of 0.05
	Optimizer   optim.Choice `json:"optimizer"`    // adamw with lr 1e-3 and no decay
}

var _ Method = Rotta{}

// NewRotta returns the authors' settings.
func NewRotta() Rotta {
	return Rotta{
		Alpha: 0.05, Nu: 1e-3, Capacity: 64, Every: 64, TimeWeight: 1, DoubtWeight: 1, Optimizer: adam(),
		Augment: augment.View{{Transform: augment.Shift{Pixels: 2}}, {Transform: augment.Noise{Std: 0.05}}},
	}
}

// Validate says what is wrong with the options, and how to fix it.
func (o Rotta) Validate() error {
	errs := []error{o.source().Validate(), validMemory(o.Capacity, o.Every), o.Augment.Validate(), validOptimizer(o.Optimizer.Optimizer)}
	if !(o.Nu >= 0 && o.Nu <= 1) {
		errs = append(errs, fmt.Errorf("nu is %v; it is the share of the student in the teacher, in [0, 1]; use 0.001", o.Nu))
	}
	if !(o.TimeWeight >= 0 && o.TimeWeight <= maxWeight && o.DoubtWeight >= 0 && o.DoubtWeight <= maxWeight) {
		errs = append(errs, fmt.Errorf("time_weight is %v and doubt_weight %v; use numbers from 0, for example 1", o.TimeWeight, o.DoubtWeight))
	}
	return errors.Join(errs...)
}

// maxWeight keeps scores finite.
const maxWeight = 1e6

// source is RBN in the step.
func (o Rotta) source() norm.EMA { return norm.EMA{Momentum: o.Alpha} }

// Timeliness is w of ages over the capacity.
func Timeliness(age *Node) *Node { return Sigmoid(Neg(age)) }

// Start makes the adapter.
func (o Rotta) Start(m Model) (Adapter, error) {
	const who = "rotta"
	if err := o.Validate(); err != nil {
		return nil, usage(who, "%v", err)
	}
	a, err := newRememberer(who, m, o.Capacity, o.Every, func(classes int) keeper {
		return &CSTU{Capacity: o.Capacity, Classes: classes, TimeWeight: o.TimeWeight, DoubtWeight: o.DoubtWeight}
	})
	if err != nil {
		return nil, err
	}
	if err := o.build(a); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// slowScope is that of the teacher, a whole model.
const slowScope = Scope + "/slow"

func (o Rotta) build(a *rememberer) error {
	if rank := len(a.Bundle.Manifest.InputShape); len(o.Augment) > 0 && rank != 3 {
		return usage(a.who, "changes are of images [height, width, channels], and an input of %s has %d sides; use augment=[]", a.name(), rank)
	}
	variables, err := a.trained()
	if err != nil {
		return err
	}
	for _, v := range a.Bundle.Variables() {
		if err := a.slowCopy(v); err != nil {
			return err
		}
	}
	a.answers, err = a.program(func(scope *model.Scope, in []*Node) []*Node {
		return []*Node{ConvertDType(a.slow(scope, norm.FromRunning{}, in[0]), dtypes.Float32)}
	})
	if err != nil {
		return err
	}

	step, err := a.program(func(scope *model.Scope, in []*Node) []*Node { return o.step(a, variables, scope, in) })
	if err != nil {
		return err
	}
	slots := []int{o.Capacity}
	a.learn = func(x, live, age []float32) error {
		_, err := step.call(input{x, a.shape(o.Capacity)}, input{live, slots}, input{age, slots})
		return err
	}
	if err := step.compile(a.shape(o.Capacity), slots, slots); err != nil {
		return err
	}
	return a.Prepare(a.Batch)
}

// slowCopy makes the teacher's copy of a variable.
func (a *rememberer) slowCopy(v *model.Variable) error {
	value, err := v.Value()
	if err != nil {
		return err
	}
	local, err := value.LocalClone()
	if err != nil {
		return fmt.Errorf("adapt %s: %s: %w", a.who, v.Path(), err)
	}
	own, err := a.Bundle.Store.CreateVariable(slowScope+v.Path(), local)
	if err != nil {
		return fmt.Errorf("adapt %s: %s: %w", a.who, v.Path(), err)
	}
	own.SetTrainable(false)
	return nil
}

// slow are the teacher's logits.
func (a *rememberer) slow(scope *model.Scope, source norm.Source, x *Node) (logits *Node) {
	g := x.Graph()
	norm.With(g, source, func() {
		pass.Through(g, pass.Pass{Mode: pass.Infer}, func() { logits = a.Bundle.Logits(scope.At("adapt").At("slow"), x) })
	})
	return logits
}

// step moves the student by the teacher's answers, and the teacher by the student.
func (o Rotta) step(a *rememberer, variables []*model.Variable, scope *model.Scope, in []*Node) []*Node {
	x, live, age, g := in[0], in[1], in[2], in[0].Graph()
	steps := param.Variable(a.Bundle.Store.Scope(Scope), "steps", param.Statistic, dtypes.Float32, param.Constant(0))
	changed := x
	if len(o.Augment) > 0 {
		r := ops.NewRandom(g, a.Seed).FoldNode(ConvertDType(steps.NodeValue(g), dtypes.Int32))
		changed = o.Augment.Apply(r, x)
	}
	var teacher, student *Node
	norm.Live(g, GreaterThan(live, ScalarZero(g, dtypes.Float32)), func() {
		teacher = StopGradient(ConvertDType(a.slow(scope, o.source(), x), dtypes.Float32))
		student = ConvertDType(a.logits(scope, o.source(), changed), dtypes.Float32)
	})
	entropy := Neg(ReduceSum(Mul(Softmax(teacher, -1), LogSoftmax(student, -1)), -1))
	loss := Div(ReduceAllSum(Mul(Mul(Timeliness(age), entropy), live)), MaxScalar(ReduceAllSum(live), 1.0))

	minimizer := optim.Minimizer{Optimizer: o.Optimizer.Optimizer}
	minimizer.Step(a.Bundle.Store.Scope(Scope+"/optimizer"), loss, variables)
	for _, v := range variables {
		slow := a.Bundle.Store.GetVariable(slowScope + v.Path())
		slow.SetNodeValue(Add(MulScalar(slow.NodeValue(g), 1-o.Nu), MulScalar(v.NodeValue(g), o.Nu)))
	}
	steps.SetNodeValue(OnePlus(steps.NodeValue(g)))
	return []*Node{Reshape(loss, 1)}
}
