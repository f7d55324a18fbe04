package rnn

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// LNLSTM is the LSTM with layer normalisation. With LN(v; n) = scale_n (v - mean)/sqrt(var + Epsilon) + offset_n over the
// whole last axis of v, s the logistic function and H = Hidden,
//
//	i, f, o, g = split(LN(x_t kernel; norm_x) + LN(h recurrent; norm_h) + bias)
//	c' = s(f) c + s(i) tanh(g)      h' = s(o) tanh(LN(c'; norm_c))
//
// Input and recurrent product are normalised apart, each over all 4H gates together: not gate by gate, and not their sum. c' itself goes
// on unnormalised. Variables: kernel [features, 4H], recurrent [H, 4H], bias [4H], and scale and offset of norm_x, norm_h [4H] and
// norm_c [H]; gates in the order i, f, o, g. The product with the input and its normalisation are computed for all times at once.
//
// The paper adds bias once; the official code adds it inside the normalisation of the input product as well (InnerBias).
// Panics where LSTM does, and if Hidden is 1: a normalised c would be a constant.
// Source: Ba, Kiros, Hinton, "Layer Normalization", arXiv 1607.06450, supplementary material.
type LNLSTM struct {
	Sequence
	Hidden       int     `json:"hidden"`
	Epsilon      float64 `json:"eps"`                         // added to each variance; 1e-5
	InnerBias    bool    `json:"bias_also_inside_input_norm"` // as the official code; false
	NoNormOffset bool    `json:"no_norm_offset"`              // leave out the offsets of the normalisations, which bias makes superfluous; false
	InitScale    float64 `json:"init_scale"`                  // factor on the first values of both kernels; 1
}

var _ Layer = LNLSTM{}

// NewLNLSTM returns the paper's defaults.
func NewLNLSTM(hidden int) LNLSTM { return LNLSTM{Hidden: hidden, Epsilon: 1e-5, InitScale: 1} }

// Apply runs the layer over x.
func (l LNLSTM) Apply(scope *model.Scope, x *graph.Node, in Inputs) Outputs {
	const who = "rnn.LNLSTM"
	x = entering(who, scope, x, l.Hidden, 2)
	w := weights{scope, x, l.InitScale}
	kernel, recurrent, bias := w.input("kernel", 4*l.Hidden), w.recurrent("recurrent", l.Hidden, 4), w.bias("bias", 4*l.Hidden)
	normX, normH, normC := w.norm("norm_x", l.NoNormOffset, l.Epsilon), w.norm("norm_h", l.NoNormOffset, l.Epsilon), w.norm("norm_c", l.NoNormOffset, l.Epsilon)
	return l.run(who, scope, x, in, cell{
		hidden: l.Hidden, hasC: true,
		project: func(x *graph.Node) []*graph.Node {
			product := times(x, kernel)
			if l.InnerBias {
				product = plus(product, bias)
			}
			return []*graph.Node{plus(normX(product), bias)}
		},
		step: func(projected []*graph.Node, h, c *graph.Node) (h2, c2 *graph.Node) {
			return lstmStep(graph.Add(projected[0], normH(graph.MatMul(h, recurrent))), c, 0, normC)
		},
	})
}
