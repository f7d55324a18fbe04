package rnn

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// LSTM is the long short-term memory with a forget gate. With s the logistic function and H = Hidden,
//
//	i, f, o, g = split(x_t kernel + h recurrent + bias)
//	c' = s(f + ForgetBias) c + s(i) tanh(g)      h' = s(o) tanh(c')
//
// Variables: kernel [features, 4H], recurrent [H, 4H], bias [4H], gates in the order i, f, o, g.
// Panics unless x has three axes, if Hidden is below 1, and on a mask or a first state of another shape.
// Source: Hochreiter, Schmidhuber, "Long Short-Term Memory", 1997; Gers, Schmidhuber, Cummins, "Learning to Forget", 2000.
type LSTM struct {
	Sequence
	Hidden     int     `json:"hidden"`
	ForgetBias float64 `json:"forget_bias"` // 0
	InitScale  float64 `json:"init_scale"`  // factor on the first values of both kernels; 1
}

var _ Layer = LSTM{}

// NewLSTM returns the defaults.
func NewLSTM(hidden int) LSTM { return LSTM{Hidden: hidden, InitScale: 1} }

// Apply runs the layer over x.
func (l LSTM) Apply(scope *model.Scope, x *graph.Node, in Inputs) Outputs {
	const who = "rnn.LSTM"
	x = entering(who, scope, x, l.Hidden, 1)
	w := weights{scope, x, l.InitScale}
	kernel, recurrent, bias := w.input("kernel", 4*l.Hidden), w.recurrent("recurrent", l.Hidden, 4), w.bias("bias", 4*l.Hidden)
	return l.run(who, scope, x, in, cell{
		hidden: l.Hidden, hasC: true,
		project: func(x *graph.Node) []*graph.Node { return []*graph.Node{plus(times(x, kernel), bias)} },
		step: func(projected []*graph.Node, h, c *graph.Node) (h2, c2 *graph.Node) {
			return lstmStep(graph.Add(projected[0], graph.MatMul(h, recurrent)), c, l.ForgetBias, func(c *graph.Node) *graph.Node { return c })
		},
	})
}

// lstmStep is the cell behind the sums of its four gates. seen is what the output sees of c.
func lstmStep(sums, c *graph.Node, forgetBias float64, seen func(c *graph.Node) *graph.Node) (h2, c2 *graph.Node) {
	parts := gates(sums, 4)
	forget := parts[1]
	if forgetBias != 0 {
		forget = graph.AddScalar(forget, forgetBias)
	}
	c2 = graph.Add(graph.Mul(graph.Logistic(forget), c), graph.Mul(graph.Logistic(parts[0]), graph.Tanh(parts[3])))
	return graph.Mul(graph.Logistic(parts[2]), graph.Tanh(seen(c2))), c2
}
