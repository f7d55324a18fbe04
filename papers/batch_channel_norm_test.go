package papers

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/ops"
)

func batchChannelNormCases(e *engine.Engine) []golden.Kind {
	slugs := []string{"batch-channel-norm"}
	return []golden.Kind{
		{
			Name: "weight standardisation", Slugs: slugs,
			Match: func(c *golden.Case) bool { return c.Has("params.mode", "weights.kernel", "inputs.x") },
			Run:   func(_ golden.T, c *golden.Case) { goldenStandardization(e, c) },
		},
		{
			Name: "batch-channel normalisation", Slugs: slugs,
			Match: func(c *golden.Case) bool { return c.Has("params.estimate", "weights.gamma_batch", "inputs.x_step1") },
			Run: func(_ golden.T, c *golden.Case) {
				p := struct {
					norm.BatchChannel
					Steps int `json:"steps"`
				}{BatchChannel: norm.NewBatchChannel()}
				p.Fallback = false // a case says how many groups there are
				c.Params(&p)
				l := newLayerUnderTest(e, p.BatchChannel, map[string]string{
					"gamma_batch": "/batch/scale", "beta_batch": "/batch/offset", "gamma_group": "/group/scale", "beta_group": "/group/offset",
				}, c)
				l.state("running_mean", "/batch/mean", "inputs.running_mean0")
				l.state("running_var", "/batch/variance", "inputs.running_var0")
				l.steps(c, p.Steps, nil)
			},
		},
	}
}

func goldenStandardization(e *engine.Engine, c *golden.Case) {
	p := struct {
		linear.Standardization
		Stride  int `json:"stride"`
		Padding int `json:"padding"`
		Groups  int `json:"groups"`
	}{Standardization: linear.NewStandardization(), Stride: 1, Groups: 1}
	c.Params(&p)
	conv := ops.Conv{Strides: [2]int{p.Stride, p.Stride}, Padding: [2][2]int{{p.Padding, p.Padding}, {p.Padding, p.Padding}}, Groups: p.Groups}
	out := graph.MustNewExec(e.Backend, func(x, kernel, w *graph.Node) []*graph.Node {
		standardised := p.Apply(kernel)
		var y *graph.Node
		if kernel.Rank() == 2 { // of a dense layer
			y = graph.MatMul(x, standardised)
		} else {
			y = conv.Apply(x, standardised)
		}
		return append([]*graph.Node{standardised, y}, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, w)), kernel, x, standardised)...)
	}).MustCall(tensor(c.Tensor("inputs.x")), tensor(c.Tensor("weights.kernel")), tensor(c.Tensor("inputs.w")))
	for i, name := range []string{"kernel_std", "y", "grad_kernel", "grad_x", "grad_standardized_kernel"} {
		got(c, name, out[i])
	}
}

// layerUnderTest is a norm with the weights and the state of a case.
type layerUnderTest struct {
	e       *engine.Engine
	layer   norm.Layer
	store   *model.Store
	c       *golden.Case
	weights [][2]string // name in the case, path of the variable
	moving  [][2]string
	exec    *model.Exec                                              // one step of training
	after   func(step int)                                           // nil = nothing more to compare
	split   func(name string, gradient *tensors.Tensor, step string) // compares a weight's gradient; nil = as grad_<name>_step<n>
}

// newLayerUnderTest gives the variables the values that the case has for their names; weights: name in the case -> path.
func newLayerUnderTest(e *engine.Engine, layer norm.Layer, weights map[string]string, c *golden.Case) *layerUnderTest {
	l := &layerUnderTest{e: e, layer: layer, store: model.NewStore(), c: c}
	for name, path := range weights {
		if c.Has("weights." + name) {
			l.set(path, tensor(c.Tensor("weights."+name)))
			l.weights = append(l.weights, [2]string{name, path})
		}
	}
	return l
}

func (l *layerUnderTest) set(path string, value *tensors.Tensor) {
	if _, err := l.store.CreateVariable(path, value); err != nil {
		panic(err)
	}
}

// state compares a variable after each step as the output <name>_step<n>; where the case has a first value, it starts there.
func (l *layerUnderTest) state(name, path, first string) {
	if l.c.Has(first) {
		l.set(path, tensor(l.c.Tensor(first)))
	}
	l.moving = append(l.moving, [2]string{name, path})
}

// steps trains the layer on x_step1, x_step2, ... and compares every output, then runs it at inference on the last x.
func (l *layerUnderTest) steps(c *golden.Case, n int, padding *tensors.Tensor) {
	var x *tensors.Tensor
	for step := 1; step <= n; step++ {
		suffix := fmt.Sprintf("_step%d", step)
		x = tensor(c.Tensor("inputs.x" + suffix))
		l.trainOn(x, tensor(c.Tensor("inputs.w"+suffix)), padding, suffix)
		if l.after != nil {
			l.after(step)
		}
	}
	l.infer(x, padding)
}

// trainOn is one step of training; it compares y, the gradients of sum(y w) and the state, all named with the suffix.
func (l *layerUnderTest) trainOn(x, w, padding *tensors.Tensor, suffix string) {
	if l.exec == nil {
		l.exec = model.MustNewExec(l.e.Backend, l.store, func(scope *model.Scope, inputs []*graph.Node) []*graph.Node {
			x, w := inputs[0], inputs[len(inputs)-1]
			g := x.Graph()
			l.store.SetTraining(g, true)
			y := l.apply(scope, inputs[:len(inputs)-1])
			wanted := []*graph.Node{x}
			for _, weight := range l.weights {
				wanted = append(wanted, l.store.GetVariable(weight[1]).NodeValue(g))
			}
			return append([]*graph.Node{y}, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, w)), wanted...)...)
		})
	}
	out := l.exec.MustCall(given(x, padding, w)...)
	got(l.c, "y"+suffix, out[0])
	got(l.c, "grad_x"+suffix, out[1])
	for i, weight := range l.weights {
		if l.split != nil {
			l.split(weight[0], out[2+i], suffix)
			continue
		}
		got(l.c, "grad_"+weight[0]+suffix, out[2+i])
	}
	for _, s := range l.moving {
		got(l.c, s[0]+suffix, l.store.GetVariable(s[1]).MustValue())
	}
}

// infer compares the layer's output at inference.
func (l *layerUnderTest) infer(x, padding *tensors.Tensor) {
	inference := model.MustNewExec(l.e.Backend, l.store, func(scope *model.Scope, inputs []*graph.Node) *graph.Node {
		l.store.SetTraining(inputs[0].Graph(), false)
		return l.apply(scope, inputs)
	})
	got(l.c, "y_eval", inference.MustCall(given(x, padding)...)[0])
}

// apply is the layer on x, or on x and the padding.
func (l *layerUnderTest) apply(scope *model.Scope, inputs []*graph.Node) *graph.Node {
	if len(inputs) == 1 {
		return l.layer.Apply(scope, inputs[0])
	}
	return l.layer.(norm.Masked).ApplyMasked(scope, inputs[0], inputs[1])
}

// given are the tensors that are not nil.
func given(values ...*tensors.Tensor) (args []any) {
	for _, v := range values {
		if v != nil {
			args = append(args, v)
		}
	}
	return args
}
