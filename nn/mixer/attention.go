package mixer

import (
	"errors"
	"fmt"
	"math"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/attention"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
)

// Attention is multi-head attention:
//
//	q, k, v = x Wq + bq, x Wk + bk, x Wv + bv, each cut into Heads pieces of d = dim/Heads numbers
//	y = (Kernel(q, k, v) of all heads, one behind the other) Wo + bo
//
// The kernel's scale is 1/sqrt(d). Queries and keys are seen as pass.Query and pass.Key behind the positions, values as pass.Value, all
// [batch, heads, time, d]; what the kernel weighs with as pass.Probabilities. Dense layers start from N(0, 1/dim).
// Source: Vaswani et al., "Attention Is All You Need", arXiv 1706.03762.
type Attention struct {
	Heads     int                       `json:"heads"`     // 4, dividing the width
	Kernel    attention.Choice          `json:"kernel"`    // softmax
	Positions attention.PositionsChoice `json:"positions"` // learned
	NoBias    bool                      `json:"no_bias"`   // leave the biases out; false
}

var _ Mixer = Attention{}

// NewAttention returns softmax attention of four heads with learned positions.
func NewAttention() Attention {
	return Attention{
		Heads:     4,
		Kernel:    attention.Choice{Kernel: attention.Softmax{}},
		Positions: attention.PositionsChoice{Positions: attention.NewLearned()},
	}
}

// Validate says what is wrong with the options, or with a network of this width.
func (a Attention) Validate(dim int) error {
	var errs []error
	switch {
	case a.Heads < 1:
		errs = append(errs, fmt.Errorf("attention: heads is %d; use at least 1", a.Heads))
	case dim%a.Heads != 0:
		errs = append(errs, fmt.Errorf("attention: %d heads do not divide dim %d", a.Heads, dim))
	}
	if a.Kernel.Kernel == nil {
		errs = append(errs, errors.New("attention: kernel is missing; name one, such as softmax"))
	}
	if a.Positions.Positions == nil {
		errs = append(errs, errors.New("attention: positions are missing; name them, or none"))
	} else if err := a.Positions.Validate(dim / max(a.Heads, 1)); err != nil {
		errs = append(errs, fmt.Errorf("attention: %w", err))
	}
	return errors.Join(errs...)
}

// Embed gives x what the positions want at a network's input.
func (a Attention) Embed(scope *model.Scope, x *graph.Node, c Context) *graph.Node {
	return a.Positions.Embed(scope, x, c)
}

// Linears are the scopes of the dense layers.
func (Attention) Linears() [][]string { return [][]string{{"query", "key", "value"}, {"out"}} }

// Apply returns y [batch, time, dim]. Panics on another shape of x, or if the heads do not divide dim.
func (a Attention) Apply(scope *model.Scope, x *graph.Node, c Context) *graph.Node {
	if x.Rank() != 3 || a.Heads < 1 || x.Shape().Dimensions[2]%a.Heads != 0 {
		Panicf("mixer.Attention %s: x is %s for %d heads; want [batch, time, dim] with a dim that they divide", scope.Scope(), x.Shape(), a.Heads)
	}
	d := x.Shape().Dimensions
	size := d[2] / a.Heads
	heads := func(name string) *graph.Node {
		y := a.dense(scope, name, x)
		return graph.TransposeAllAxes(graph.Reshape(y, d[0], d[1], a.Heads, size), 0, 2, 1, 3)
	}
	q, k, v := heads("query"), heads("key"), heads("value")

	q, k = a.Positions.Apply(scope, q, k, c)
	q, k, v = pass.See(scope, pass.Query, q), pass.See(scope, pass.Key, k), pass.See(scope, pass.Value, v)
	y, _ := a.Kernel.Attend(scope, attention.Heads{
		Q: q, K: k, V: v, Mask: c.Mask(x.Graph(), d[1], d[1]), Scale: 1 / math.Sqrt(float64(size)), Context: c,
	})

	return a.dense(scope, "out", graph.Reshape(graph.TransposeAllAxes(y, 0, 2, 1, 3), d...))
}

func (a Attention) dense(scope *model.Scope, name string, x *graph.Node) *graph.Node {
	return linear.Dense{Units: x.Shape().Dimensions[2], NoBias: a.NoBias, InitOf: param.LeCunNormal}.Apply(scope.In("%s", name), x)
}
