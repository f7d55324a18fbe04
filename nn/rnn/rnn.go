// Package rnn has the recurrent layers. All turn a sequence x into hidden states:
//
//	layer    state   normalisation                                          source
//	LSTM     h, c    none                                                   Hochreiter, Schmidhuber 1997; Gers et al. 2000
//	GRU      h       none                                                   Cho et al., arXiv 1406.1078
//	LNLSTM   h, c    input and recurrent products, and c before its tanh    Ba, Kiros, Hinton, arXiv 1607.06450
//	LNGRU    h       input and recurrent products                           Ba, Kiros, Hinton, arXiv 1607.06450
//
// x is [batch, time, features], or [time, batch, features] with TimeMajor; states are [batch, Hidden]. The product of the input with
// its kernel, and the normalisation of that product, are computed for all times at once. The steps are unrolled in the graph, so long
// sequences take longer to compile. On XLA's CPU an unrolled LSTM step costs the same as one in a device loop, and the gradient of such a
// loop would have to be written by hand.
//
// A mask, [batch, time] or [time, batch] as x, is 1 at real steps and 0 at padding, where it keeps the state:
//
//	h' = m h_new + (1-m) h      c' = m c_new + (1-m) c
//
// Recurrent kernels start as one orthogonal Hidden x Hidden matrix per gate, input kernels from N(0, 1/features), biases at 0.
package rnn

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// Sequence says how a layer goes over time.
type Sequence struct {
	TimeMajor bool `json:"time_major"` // x is [time, batch, features]; false
	Reverse   bool `json:"reverse"`    // from the last step to the first; outputs stay in the order of x; false
}

// Inputs are what a layer takes besides x; nil members are none.
type Inputs struct {
	Mask   *graph.Node // [batch, time], or [time, batch] with TimeMajor; 0 or 1, any dtype, bool too
	H0, C0 *graph.Node // [batch, Hidden]; zeros. C0 of LSTMs alone
}

// Outputs are the states of a layer.
type Outputs struct {
	H, C         *graph.Node // [batch, time, Hidden], or [time, batch, Hidden] with TimeMajor; C of LSTMs alone, else nil
	HLast, CLast *graph.Node // [batch, Hidden], after the step that came last
}

// Layer is a recurrent layer.
type Layer interface {
	Apply(scope *model.Scope, x *graph.Node, in Inputs) Outputs
}

// cell is a layer at one step: project gives what depends on the input alone, for all times, each [time, batch, ...]; step
// gives the next state from these at one time.
type cell struct {
	hidden  int
	hasC    bool
	project func(x *graph.Node) []*graph.Node
	step    func(projected []*graph.Node, h, c *graph.Node) (h2, c2 *graph.Node)
}

// run goes over time.
func (s Sequence) run(who string, scope *model.Scope, x *graph.Node, in Inputs, k cell) Outputs {
	if !s.TimeMajor {
		x = graph.Transpose(x, 0, 1)
	}
	d := x.Shape().Dimensions
	steps, batch := d[0], d[1]
	g := x.Graph()
	state := func(name string, first *graph.Node) *graph.Node {
		if first == nil {
			return graph.BroadcastToDims(graph.ScalarZero(g, x.DType()), batch, k.hidden)
		}
		if !sameDims(first, batch, k.hidden) {
			Panicf("%s %s: %s is %s; want [%d, %d] for x %s", who, scope.Scope(), name, first.Shape(), batch, k.hidden, x.Shape())
		}
		return graph.ConvertDType(first, x.DType())
	}
	h := state("H0", in.H0)
	var c *graph.Node
	if k.hasC {
		c = state("C0", in.C0)
	} else if in.C0 != nil {
		Panicf("%s %s: C0 is given, but the layer has no cell state; leave it out", who, scope.Scope())
	}
	mask := in.Mask
	if mask != nil {
		if !s.TimeMajor && mask.Rank() == 2 {
			mask = graph.Transpose(mask, 0, 1)
		}
		if !sameDims(mask, steps, batch) {
			Panicf("%s %s: the mask is %s; want a value for each step and example, %d steps of %d examples, in the order of x's axes",
				who, scope.Scope(), in.Mask.Shape(), steps, batch)
		}
		if mask.DType() != dtypes.Bool {
			mask = graph.NotEqual(mask, graph.ScalarZero(g, mask.DType()))
		}
	}
	at := func(v *graph.Node, t int) *graph.Node {
		specs := make([]graph.SliceAxisSpec, v.Rank())
		specs[0] = graph.AxisElem(t)
		for i := 1; i < v.Rank(); i++ {
			specs[i] = graph.AxisRange()
		}
		return graph.Reshape(graph.Slice(v, specs...), v.Shape().Dimensions[1:]...)
	}
	projected := k.project(x)
	hs, cs := make([]*graph.Node, steps), make([]*graph.Node, steps)
	for i := range steps {
		t := i
		if s.Reverse {
			t = steps - 1 - i
		}
		here := make([]*graph.Node, len(projected))
		for j, p := range projected {
			here[j] = at(p, t)
		}
		h2, c2 := k.step(here, h, c)
		if mask != nil {
			counts := graph.BroadcastToDims(graph.ExpandAxes(at(mask, t), -1), batch, k.hidden)
			h2 = graph.Where(counts, h2, h)
			if k.hasC {
				c2 = graph.Where(counts, c2, c)
			}
		}
		h, c = h2, c2
		hs[t], cs[t] = h, c
	}
	out := Outputs{HLast: h, CLast: c, H: s.stack(hs)}
	if k.hasC {
		out.C = s.stack(cs)
	}
	return out
}

func (s Sequence) stack(states []*graph.Node) *graph.Node {
	if s.TimeMajor {
		return graph.Stack(states, 0)
	}
	return graph.Stack(states, 1)
}

func sameDims(x *graph.Node, dims ...int) bool {
	if x.Rank() != len(dims) {
		return false
	}
	for i, n := range dims {
		if x.Shape().Dimensions[i] != n {
			return false
		}
	}
	return true
}

// entering is x as a cell gets it: checked for being a sequence, with the layer's size, and seen.
func entering(who string, scope *model.Scope, x *graph.Node, hidden, least int) *graph.Node {
	if x.Rank() != 3 || !x.DType().IsFloat() || x.Shape().Size() == 0 {
		Panicf("%s %s: x is %s; want floats [batch, time, features], or [time, batch, features] with TimeMajor", who, scope.Scope(), x.Shape())
	}
	if hidden < least {
		Panicf("%s %s: Hidden is %d; use at least %d", who, scope.Scope(), hidden, least)
	}
	return pass.See(scope, pass.Input, x)
}

// weights makes the variables of a cell.
type weights struct {
	scope *model.Scope
	x     *graph.Node
	scale float64 // factor on the first values of the kernels
}

func (w weights) dtype() dtypes.DType {
	if w.x.DType() == dtypes.Float64 {
		return dtypes.Float64
	}
	return dtypes.Float32
}

// kernel is a kernel of the cell. A cell has several, so each is seen under a scope of its own name.
func (w weights) kernel(name string, init param.Init, dims ...int) *graph.Node {
	v := param.Variable(w.scope, name, param.Kernel, w.dtype(), param.Scaled(w.scale, init), dims...)
	seen := pass.See(w.scope.At("%s", name), pass.Kernel, pass.Weight(v, w.x.Graph()))
	return graph.ConvertDType(seen, w.x.DType())
}

// input is a kernel [features, n].
func (w weights) input(name string, n int) *graph.Node {
	features := w.x.Shape().Dimensions[2]
	return w.kernel(name, param.LeCunNormal(features), features, n)
}

// recurrent is a kernel [hidden, gates hidden].
func (w weights) recurrent(name string, hidden, gates int) *graph.Node {
	return w.kernel(name, param.Orthogonal(hidden), hidden, gates*hidden)
}

func (w weights) bias(name string, n int) *graph.Node {
	v := param.Variable(w.scope, name, param.Affine, w.dtype(), param.Constant(0), n)
	return graph.ConvertDType(pass.Weight(v, w.x.Graph()), w.x.DType())
}

// norm is layer normalisation over the last axis of v, with a scale and, unless noOffset, an offset of its own.
func (w weights) norm(name string, noOffset bool, epsilon float64) func(v *graph.Node) *graph.Node {
	at := w.scope.In("%s", name)
	return func(v *graph.Node) *graph.Node {
		v = pass.See(at, pass.Norm, v)
		d := v.Shape().Dimensions
		n := d[len(d)-1]
		shape := make([]int, v.Rank())
		for i := range shape {
			shape[i] = 1
		}
		shape[len(shape)-1] = n
		get := func(name string, first float64) *graph.Node {
			variable := param.Variable(at, name, param.Affine, w.dtype(), param.Constant(first), n)
			return graph.Reshape(pass.Weight(variable, v.Graph()), shape...)
		}
		var offset *graph.Node
		if !noOffset {
			offset = get("offset", 0)
		}
		y, _, _ := ops.Normalize(v, get("scale", 1), offset, []int{-1}, epsilon)
		return graph.ConvertDType(y, v.DType())
	}
}

// times multiplies the last axis of v [..., n] with a kernel [n, m].
func times(v, kernel *graph.Node) *graph.Node {
	d := v.Shape().Dimensions
	n := d[len(d)-1]
	y := graph.MatMul(graph.Reshape(v, v.Shape().Size()/n, n), kernel)
	return graph.Reshape(y, append(append([]int{}, d[:len(d)-1]...), kernel.Shape().Dimensions[1])...)
}

// plus adds a bias [n] to v [..., n].
func plus(v, bias *graph.Node) *graph.Node {
	for bias.Rank() < v.Rank() {
		bias = graph.ExpandAxes(bias, 0)
	}
	return graph.Add(v, bias)
}

// gates splits the last axis of v [batch, n hidden] in n.
func gates(v *graph.Node, n int) []*graph.Node {
	hidden := v.Shape().Dimensions[1] / n
	out := make([]*graph.Node, n)
	for i := range out {
		out[i] = graph.Slice(v, graph.AxisRange(), graph.AxisRange(i*hidden, (i+1)*hidden))
	}
	return out
}
