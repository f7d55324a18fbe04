package rnn

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// LNGRU is the GRU with layer normalisation. With LN(v; n) as in LNLSTM, s the logistic function and H = Hidden,
//
//	r, u = split(s(LN(x_t kernel + bias; norm_x) + LN(h recurrent; norm_h)))
//	new  = tanh(LN(x_t candidate_kernel + candidate_bias; norm_candidate_x) + r LN(h candidate_recurrent; norm_candidate_h))
//	h'   = u h + (1-u) new
//
// as the official code has it: the reset gate acts behind the product and its normalisation, and u keeps the OLD state.
// Variables: those of GRU, and scale and offset of norm_x, norm_h [2H], norm_candidate_x and norm_candidate_h [H].
// Panics where GRU does, and if Hidden is 1: a normalised value would be a constant.
// Source: Ba, Kiros, Hinton, "Layer Normalization", arXiv 1607.06450, and its official code.
type LNGRU struct {
	Sequence
	Hidden       int     `json:"hidden"`
	Epsilon      float64 `json:"eps"`            // added to each variance; 1e-5
	NoNormOffset bool    `json:"no_norm_offset"` // leave out the offsets of the normalisations; false
	InitScale    float64 `json:"init_scale"`     // factor on the first values of the kernels; 1
}

var _ Layer = LNGRU{}

// NewLNGRU returns the paper's defaults.
func NewLNGRU(hidden int) LNGRU { return LNGRU{Hidden: hidden, Epsilon: 1e-5, InitScale: 1} }

// Apply runs the layer over x.
func (l LNGRU) Apply(scope *model.Scope, x *graph.Node, in Inputs) Outputs {
	x = entering("rnn.LNGRU", scope, x, l.Hidden, 2)
	return gru("rnn.LNGRU", scope, x, in, l.Sequence, l.Hidden, l.InitScale, func(w weights, name string) func(v *graph.Node) *graph.Node {
		return w.norm(name, l.NoNormOffset, l.Epsilon)
	})
}
