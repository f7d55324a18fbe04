package adapt

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/norm"
)

// EMA lets the running statistics move on as in training, r <- (1-m) r + m stat, m = Momentum, with the variance of the batch unbiased, and
// answers with the moved ones. No weight moves; the running statistics are the state.
//
// The benchmarks go through the network twice, which costs two passes: first with the statistics of the batch, by which the running ones
// move, then with the running ones. OnePass normalises with each layer's moved statistics at once, which a later layer sees.
// Sources: the baselines of Tomar et al., arXiv 2401.08328; Nado et al., arXiv 2006.10963.
type EMA struct {
	Momentum float64 `json:"momentum"` // m, (0, 1]; 0.1
	OnePass  bool    `json:"one_pass"` // false
}

var _ Method = EMA{}

// NewEMA returns a momentum of 0.1, in two passes.
func NewEMA() EMA { return EMA{Momentum: 0.1} }

// source is the norm's side of the method.
func (m EMA) source() norm.EMA {
	return norm.EMA{Momentum: m.Momentum, Unbiased: true, OfBatch: !m.OnePass}
}

// Validate says what is wrong with the options, and how to fix it.
func (m EMA) Validate() error { return m.source().Validate() }

// Start makes the adapter.
func (m EMA) Start(at Model) (Adapter, error) {
	const who = "ema"
	if m.OnePass {
		return startSource(who, at, m.source())
	}
	return startWith(who, at, m.source(), func(c *copied, scope *model.Scope, x *Node) *Node {
		c.logits(scope, m.source(), x) // for what it moves
		return c.logits(scope, norm.FromRunning{}, x)
	})
}
