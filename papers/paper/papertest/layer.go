package papertest

import (
	"fmt"
	"strconv"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/nn/norm"
)

// Layer is a norm with the weights and the state of a case.
type Layer struct {
	e       *engine.Engine
	layer   norm.Layer
	Store   *model.Store
	c       *golden.Case
	Weights [][2]string // name in the case, path of the variable
	moving  [][2]string
	exec    *model.Exec                                              // one step of training
	After   func(step int)                                           // nil = nothing more to compare
	Split   func(name string, gradient *tensors.Tensor, step string) // compares a weight's gradient; nil = as grad_<name>_step<n>
}

// NewLayer gives the variables the values that the case has for their names; weights: name in the case -> path.
func NewLayer(e *engine.Engine, layer norm.Layer, weights map[string]string, c *golden.Case) *Layer {
	l := &Layer{e: e, layer: layer, Store: model.NewStore(), c: c}
	for name, path := range weights {
		if c.Has("weights." + name) {
			l.Set(path, Tensor(c.Tensor("weights."+name)))
			l.Weights = append(l.Weights, [2]string{name, path})
		}
	}
	return l
}

// Set gives a variable its value.
func (l *Layer) Set(path string, value *tensors.Tensor) {
	if _, err := l.Store.CreateVariable(path, value); err != nil {
		panic(err)
	}
}

// State compares a variable after each step as the output <name>_step<n>; where the case has a first value, it starts there.
func (l *Layer) State(name, path, first string) {
	if l.c.Has(first) {
		l.Set(path, Tensor(l.c.Tensor(first)))
	}
	l.moving = append(l.moving, [2]string{name, path})
}

// Steps trains the layer on x_step1, x_step2, ... and compares every output, then runs it at inference on the last x.
func (l *Layer) Steps(c *golden.Case, n int, padding *tensors.Tensor) {
	var x *tensors.Tensor
	for step := 1; step <= n; step++ {
		suffix := fmt.Sprintf("_step%d", step)
		x = Tensor(c.Tensor("inputs.x" + suffix))
		l.TrainOn(x, Tensor(c.Tensor("inputs.w"+suffix)), padding, suffix)
		if l.After != nil {
			l.After(step)
		}
	}
	l.Infer(x, padding)
}

// TrainOn is one step of training; it compares y, the gradients of sum(y w) and the state, all named with the suffix.
func (l *Layer) TrainOn(x, w, padding *tensors.Tensor, suffix string) {
	if l.exec == nil {
		l.exec = model.MustNewExec(l.e.Backend, l.Store, func(scope *model.Scope, inputs []*graph.Node) []*graph.Node {
			x, w := inputs[0], inputs[len(inputs)-1]
			g := x.Graph()
			l.Store.SetTraining(g, true)
			y := l.apply(scope, inputs[:len(inputs)-1])
			wanted := []*graph.Node{x}
			for _, weight := range l.Weights {
				wanted = append(wanted, l.Store.GetVariable(weight[1]).NodeValue(g))
			}
			return append([]*graph.Node{y}, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, w)), wanted...)...)
		})
	}
	out := l.exec.MustCall(given(x, padding, w)...)
	Got(l.c, "y"+suffix, out[0])
	Got(l.c, "grad_x"+suffix, out[1])
	for i, weight := range l.Weights {
		if l.Split != nil {
			l.Split(weight[0], out[2+i], suffix)
			continue
		}
		Got(l.c, "grad_"+weight[0]+suffix, out[2+i])
	}
	for _, s := range l.moving {
		Got(l.c, s[0]+suffix, l.Store.GetVariable(s[1]).MustValue())
	}
}

// Infer compares the layer's output at inference.
func (l *Layer) Infer(x, padding *tensors.Tensor) {
	inference := model.MustNewExec(l.e.Backend, l.Store, func(scope *model.Scope, inputs []*graph.Node) *graph.Node {
		l.Store.SetTraining(inputs[0].Graph(), false)
		return l.apply(scope, inputs)
	})
	Got(l.c, "y_eval", inference.MustCall(given(x, padding)...)[0])
}

// apply is the layer on x, or on x and the padding.
func (l *Layer) apply(scope *model.Scope, inputs []*graph.Node) *graph.Node {
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

// Steps counts the inputs x_step1, x_step2, ...
func Steps(c *golden.Case) int {
	n := 0
	for c.Has("inputs.x_step" + strconv.Itoa(n+1)) {
		n++
	}
	return n
}

// Padding is the padding mask of a case, [batch, positions...] in the file, in the layout of its x: [T,B,C] has the axes the other way
// round.
func Padding(t golden.T, c *golden.Case, masked bool, layout string) *tensors.Tensor {
	if masked != c.Has("inputs.pad_mask") {
		t.Fatalf("masked is %v, but pad_mask says otherwise", masked)
	}
	if !masked {
		return nil
	}
	mask := c.Tensor("inputs.pad_mask")
	flat := make([]bool, len(mask.Data))
	for i, v := range mask.Data {
		flat[i] = v != 0
	}
	if layout == "[T,B,C]" && len(mask.Shape) == 2 {
		batch, steps := mask.Shape[0], mask.Shape[1]
		for i, v := range mask.Data {
			flat[i%steps*batch+i/steps] = v != 0
		}
		return tensors.FromFlatDataAndDimensions(flat, steps, batch)
	}
	return tensors.FromFlatDataAndDimensions(flat, mask.Shape...)
}
