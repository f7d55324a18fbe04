package rnn

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// GRU is the gated recurrent unit. With s the logistic function and H = Hidden,
//
//	r, u = split(s(x_t kernel + h recurrent + bias))
//	new  = tanh(x_t candidate_kernel + r (h candidate_recurrent) + candidate_bias)
//	h'   = u h + (1-u) new
//
// The reset gate r acts behind the product, and u keeps the OLD state. Variables: kernel [features, 2H], recurrent [H, 2H], bias [2H],
// candidate_kernel [features, H], candidate_recurrent [H, H], candidate_bias [H]; gates in the order r, u.
// Panics unless x has three axes, if Hidden is below 1, and on a mask or a first state of another shape.
// Source: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", arXiv 1406.1078, version 1 of the reset gate.
type GRU struct {
	Sequence
	Hidden    int     `json:"hidden"`
	InitScale float64 `json:"init_scale"` // factor on the first values of the kernels; 1
}

var _ Layer = GRU{}

// NewGRU returns the defaults.
func NewGRU(hidden int) GRU { return GRU{Hidden: hidden, InitScale: 1} }

// Apply runs the layer over x.
func (l GRU) Apply(scope *model.Scope, x *graph.Node, in Inputs) Outputs {
	x = entering("rnn.GRU", scope, x, l.Hidden, 1)
	same := func(v *graph.Node) *graph.Node { return v }
	return gru("rnn.GRU", scope, x, in, l.Sequence, l.Hidden, l.InitScale, func(weights, string) func(v *graph.Node) *graph.Node { return same })
}

// gru is the unit with what norm returns around each of its products.
func gru(who string, scope *model.Scope, x *graph.Node, in Inputs, s Sequence, hidden int, initScale float64,
	norm func(w weights, name string) func(v *graph.Node) *graph.Node,
) Outputs {
	w := weights{scope, x, initScale}
	kernel, recurrent, bias := w.input("kernel", 2*hidden), w.recurrent("recurrent", hidden, 2), w.bias("bias", 2*hidden)
	candidate, candidateRecurrent, candidateBias := w.input("candidate_kernel", hidden), w.recurrent("candidate_recurrent", hidden, 1), w.bias("candidate_bias", hidden)
	gatesX, candidateX, gatesH, candidateH := norm(w, "norm_x"), norm(w, "norm_candidate_x"), norm(w, "norm_h"), norm(w, "norm_candidate_h")
	return s.run(who, scope, x, in, cell{
		hidden: hidden,
		project: func(x *graph.Node) []*graph.Node {
			return []*graph.Node{gatesX(plus(times(x, kernel), bias)), candidateX(plus(times(x, candidate), candidateBias))}
		},
		step: func(projected []*graph.Node, h, _ *graph.Node) (h2, c2 *graph.Node) {
			parts := gates(graph.Logistic(graph.Add(projected[0], gatesH(graph.MatMul(h, recurrent)))), 2)
			reset, update := parts[0], parts[1]
			fresh := graph.Tanh(graph.Add(projected[1], graph.Mul(reset, candidateH(graph.MatMul(h, candidateRecurrent)))))
			return graph.Add(fresh, graph.Mul(update, graph.Sub(h, fresh))), nil
		},
	})
}
