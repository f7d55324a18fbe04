package adapt

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// Cotta trains all weights by the answers of a slow copy of themselves (CoTTA), for streams whose shift changes as they go:
//
//	target  teacher(x); where the mean confidence of the source model on the batch is below Threshold, the mean of the teacher's logits over
//	        Views changed copies of x
//	loss    mean_n -sum_c softmax(target)_nc log softmax(student(x))_nc       Symmetric: half of it, and half with both exchanged
//	then    student <- its update; teacher <- Momentum teacher + (1-Momentum) student; each weight of the student <- the source's with
//	        probability Restore
//
// The answer is the target. Norms take the statistics of the batch in all three networks. All trained variables move; what is drawn depends on
// the seed and on the number of the step.
//
// A step costs three passes forward and one back, and Views more where the source model is unsure; whether it is, the host asks first, so that
// a sure batch does not pay for the copies. The changes are Augment, of images with values in [0, 1]; the authors' own (colours, affine maps,
// blur, flips, noise) are for photographs.
//
// Refused: answers that are no logits of classes, and views of inputs that are no images. The authors' settings: Threshold 0.92 for 10
// classes, 0.72 for 100, 0.1 for 1000; for large images Restore 0.001 and Symmetric.
// Source: Wang, Fink, Van Gool, Dai, "Continual Test-Time Domain Adaptation", arXiv 2203.13591, by the code of arXiv 2401.08328.
type Cotta struct {
	Momentum   float64           `json:"momentum"`   // of the teacher, [0, 1]; 0.999
	Threshold  float64           `json:"threshold"`  // confidence of the source model, [0, 1]; 0.92
	Views      int               `json:"views"`      // 0 = none whatever the confidence; 32
	Augment    augment.View      `json:"augment"`    // of a view; shift by 2 pixels, noise of 0.05
	Restore    float64           `json:"restore"`    // probability, [0, 1]; 0.01
	Symmetric  bool              `json:"symmetric"`  // false
	Statistics norm.SourceChoice `json:"statistics"` // where norms take them from; batch
	Optimizer  optim.Choice      `json:"optimizer"`  // adamw with lr 1e-3 and no decay
}

var _ Method = Cotta{}

// NewCotta returns the authors' settings for small images of ten classes.
func NewCotta() Cotta {
	return Cotta{
		Momentum: 0.999, Threshold: 0.92, Views: 32, Restore: 0.01,
		Augment:    augment.View{{Transform: augment.Shift{Pixels: 2}}, {Transform: augment.Noise{Std: 0.05}}},
		Statistics: norm.SourceChoice{Source: norm.FromBatch{}}, Optimizer: adam(),
	}
}

// Validate says what is wrong with the options, and how to fix it.
func (o Cotta) Validate() error {
	var errs []error
	for _, share := range []struct {
		name  string
		value float64
	}{{"momentum", o.Momentum}, {"threshold", o.Threshold}, {"restore", o.Restore}} {
		if !(share.value >= 0 && share.value <= 1) {
			errs = append(errs, fmt.Errorf("%s is %v; use a number from 0 to 1", share.name, share.value))
		}
	}
	if o.Views < 0 {
		errs = append(errs, fmt.Errorf("views is %d; use a number of copies, or 0 for none", o.Views))
	}
	return errors.Join(append(errs, o.Augment.Validate(), validSource(o.Statistics.Source), validOptimizer(o.Optimizer.Optimizer))...)
}

// Scopes of the copies.
const (
	teacherScope = Scope + "/teacher"
	sourceScope  = Scope + "/source"
)

// Start makes the adapter.
func (o Cotta) Start(m Model) (Adapter, error) {
	const who = "cotta"
	if err := o.Validate(); err != nil {
		return nil, usage(who, "%v", err)
	}
	c, err := newCopy(who, m)
	if err != nil {
		return nil, err
	}
	a := &cotta{copied: c, method: o}
	if err := errors.Join(c.classifies(), a.build()); err != nil {
		c.Close()
		return nil, err
	}
	return a, nil
}

// cotta is the adapter: three programs over three sets of weights.
type cotta struct {
	*copied
	method Cotta

	norms   norms
	trained []*model.Variable // in the order of the network
	look    *program          // x -> the source's mean confidence [1], the teacher's logits
	view    *program          // x, the number of the view [1] -> the teacher's logits
	step    *program          // x, target -> nothing
}

var _ Preparer = (*cotta)(nil)

func (a *cotta) build() (err error) {
	if rank := len(a.Bundle.Manifest.InputShape); a.method.Views > 0 && rank != 3 {
		return usage(a.who, "views are of images [height, width, channels], and an input of %s has %d sides; use views=0", a.name(), rank)
	}
	if a.norms, err = a.findNorms(); err != nil {
		return err
	}
	for _, v := range a.Bundle.Variables() {
		if v.Trainable && v.DType() == dtypes.Float32 {
			a.trained = append(a.trained, v)
		}
	}
	if err := errors.Join(a.copyTo(teacherScope), a.copyTo(sourceScope)); err != nil {
		return err
	}

	if a.look, err = a.program(a.buildLook); err != nil {
		return err
	}
	if a.view, err = a.program(a.buildView); err != nil {
		return err
	}
	if a.step, err = a.program(a.buildStep); err != nil {
		return err
	}
	return a.Prepare(a.Batch)
}

// copyTo makes a copy of the trained variables below a scope.
func (a *cotta) copyTo(scope string) error {
	for _, v := range a.trained {
		values, err := read(v)
		if err != nil {
			return fmt.Errorf("adapt cotta: %s: %w", v.Path(), err)
		}
		own, err := a.Bundle.Store.CreateVariable(scope+v.Path(), tensors.FromFlatDataAndDimensions(values, v.Shape().Dimensions...))
		if err != nil {
			return fmt.Errorf("adapt cotta: %s: %w", v.Path(), err)
		}
		own.SetTrainable(false)
	}
	return nil
}

// of are the logits of the network with the weights below a scope.
func (a *cotta) of(scope string, root *model.Scope, x *Node) (logits *Node) {
	bound := map[string]*Node{}
	for _, v := range a.trained {
		bound[v.Path()] = a.Bundle.Store.GetVariable(scope + v.Path()).NodeValue(x.Graph())
	}
	pass.Through(x.Graph(), pass.Pass{Weights: bound}, func() { logits = a.logits(root, a.method.Statistics.Source, x) })
	return ConvertDType(logits, dtypes.Float32)
}

func (a *cotta) buildLook(scope *model.Scope, in []*Node) []*Node {
	x := in[0]
	sure := ReduceAllMean(ReduceMax(Softmax(a.of(sourceScope, scope, x), -1), -1))
	return []*Node{Reshape(sure, 1), a.of(teacherScope, scope, x)}
}

// steps is the number of steps taken, a float32 that is exact up to 2^24.
func (a *cotta) steps() *model.Variable {
	return param.Variable(a.Bundle.Store.Scope(Scope), "steps", param.Statistic, dtypes.Float32, param.Constant(0))
}

// random is the stream of a step for a use.
func (a *cotta) random(g *Graph, use uint64) ops.Random {
	return ops.NewRandom(g, a.Seed).Fold(use).FoldNode(ConvertDType(a.steps().NodeValue(g), dtypes.Int32))
}

func (a *cotta) buildView(scope *model.Scope, in []*Node) []*Node {
	x := in[0]
	r := a.random(x.Graph(), 1).FoldNode(ConvertDType(Reshape(in[1]), dtypes.Int32))
	return []*Node{a.of(teacherScope, scope, a.method.Augment.Apply(r, x))}
}

// crossEntropy is the mean over rows of that of softmax(target) and softmax(logits).
func crossEntropy(target, logits *Node) *Node {
	return Neg(ReduceAllMean(ReduceSum(Mul(Softmax(target, -1), LogSoftmax(logits, -1)), -1)))
}

func (a *cotta) buildStep(scope *model.Scope, in []*Node) []*Node {
	x, target, g := in[0], in[1], in[0].Graph()
	logits := ConvertDType(a.logits(scope, a.method.Statistics.Source, x), dtypes.Float32)
	loss := crossEntropy(target, logits)
	if a.method.Symmetric {
		loss = MulScalar(Add(loss, crossEntropy(logits, target)), 0.5)
	}
	minimizer := optim.Minimizer{Optimizer: a.method.Optimizer.Optimizer}
	minimizer.Step(a.Bundle.Store.Scope(Scope+"/optimizer"), loss, a.trained)

	total := 0
	for _, v := range a.trained {
		total += v.Shape().Size()
	}
	restored := a.random(g, 2).Bernoulli(a.method.Restore, total) // one draw, since each takes long to compile
	at := 0
	for _, v := range a.trained {
		student, teacher := v.NodeValue(g), a.Bundle.Store.GetVariable(teacherScope+v.Path())
		slow := MulScalar(teacher.NodeValue(g), a.method.Momentum)
		teacher.SetNodeValue(Add(slow, MulScalar(student, 1-a.method.Momentum)))

		size, dims := v.Shape().Size(), v.Shape().Dimensions
		mask := Reshape(Slice(restored, AxisRange(at, at+size)), dims...)
		v.SetNodeValue(Where(mask, a.Bundle.Store.GetVariable(sourceScope+v.Path()).NodeValue(g), student))
		at += size
	}
	steps := a.steps()
	steps.SetNodeValue(OnePlus(steps.NodeValue(g)))
	return []*Node{Reshape(loss, 1)}
}

// Prepare compiles the programs of a step, but for the views, which are compiled when a batch first needs them.
func (a *cotta) Prepare(n int) error {
	if least := a.norms.least(valuesOf(a.method.Statistics.Source)); n < least {
		return tooFew(a.who, n, least, a.norms)
	}
	if err := a.look.compile(a.shape(n)); err != nil {
		return err
	}
	return a.step.compile(a.shape(n), a.targetShape(n))
}

// targetShape is that of the answers to n examples.
func (a *cotta) targetShape(n int) []int {
	return append([]int{n}, a.norms.answer...)
}

// Answer takes the steps one after the other.
func (a *cotta) Answer(ctx context.Context, x []float32, n int) ([]float32, error) {
	return inSteps(ctx, a.copied, x, n, func(x []float32, n int) ([]float32, error) { return a.answer(ctx, x, n) })
}

func (a *cotta) answer(ctx context.Context, x []float32, n int) ([]float32, error) {
	if err := a.Prepare(n); err != nil {
		return nil, err
	}
	in := input{x, a.shape(n)}
	looked, err := a.look.call(in)
	if err != nil {
		return nil, err
	}
	target := looked[1]
	if a.method.Views > 0 && float64(looked[0][0]) < a.method.Threshold {
		if target, err = a.meanOfViews(ctx, in, len(target)); err != nil {
			return nil, err
		}
	}
	if _, err := a.step.call(in, input{target, a.targetShape(n)}); err != nil {
		return nil, err
	}
	return target, nil
}

// meanOfViews is the mean of the teacher's logits over changed copies, summed in float64.
func (a *cotta) meanOfViews(ctx context.Context, in input, size int) ([]float32, error) {
	sums := make([]float64, size)
	for i := range a.method.Views {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		out, err := a.view.call(in, input{[]float32{float32(i)}, []int{1}})
		if err != nil {
			return nil, err
		}
		for j, v := range out[0] {
			sums[j] += float64(v)
		}
	}
	mean := make([]float32, size)
	for j, v := range sums {
		mean[j] = float32(v / float64(a.method.Views))
	}
	return mean, nil
}
