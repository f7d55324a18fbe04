package attention

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// Learned adds a trained vector for each place to the network's input, h_t = x_t + table_t. The table is positions/kernel [Most, dim] under
// the network's scope and starts from N(0, Deviation^2): the network takes no longer sequences.
// Source: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", arXiv 1810.04805.
type Learned struct {
	Deviation float64 `json:"deviation"` // of the first values; 0.02
}

var _ Positions = Learned{}

// NewLearned returns BERT's first values.
func NewLearned() Learned { return Learned{Deviation: 0.02} }

// Validate reports what is wrong with the options.
func (l Learned) Validate(int) error {
	if !(l.Deviation >= 0) {
		return fmt.Errorf("learned positions: deviation is %v; use a number from 0", l.Deviation)
	}
	return nil
}

// Embed adds the table's rows. Panics if x is longer than Context.Most, or with a sequence of no known length.
func (l Learned) Embed(scope *model.Scope, x *graph.Node, c Context) *graph.Node {
	d := x.Shape().Dimensions
	if x.Rank() != 3 || c.Most < d[1] {
		Panicf("attention.Learned %s: x is %s; want [batch, time, dim] of at most %d places", scope.Scope(), x.Shape(), c.Most)
	}
	dtype := dtypes.Float32 // variables of narrow activations are float32
	if x.DType() == dtypes.Float64 {
		dtype = dtypes.Float64
	}
	init := param.Scaled(l.Deviation, param.LeCunNormal(1))
	v := param.Variable(scope.In("positions"), "kernel", param.Kernel, dtype, init, c.Most, d[2])
	table := graph.ConvertDType(pass.Weight(v, x.Graph()), x.DType())
	if c.Offset == nil {
		return graph.Add(x, graph.ExpandAxes(graph.Slice(table, graph.AxisRange(0, d[1]), graph.AxisRange()), 0))
	}

	places := graph.Add(graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, d[1]), 0), c.Offset)
	return graph.Add(x, graph.ExpandAxes(ops.GatherRows(table, places), 0))
}

// Apply returns q and k.
func (Learned) Apply(_ *model.Scope, q, k *graph.Node, _ Context) (*graph.Node, *graph.Node) {
	return q, k
}
