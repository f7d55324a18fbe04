package linear

import (
	"hash/fnv"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// Dropout puts each number of x to 0 with probability Rate in training, and divides the others by 1 - Rate; at inference it returns x.
// Source: Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting",
// JMLR 15 (2014).
type Dropout struct {
	Rate float64 `json:"rate"` // from 0 to below 1
}

// Apply drops out. What it draws depends on r and the scope's path alone: each layer has a stream of its own, and a batch that is spread
// over devices gets what it would get on one. Panics if it trains without r, or with a rate that is none.
func (d Dropout) Apply(scope *model.Scope, x *graph.Node, r *ops.Random) *graph.Node {
	g := x.Graph()
	switch {
	case !(d.Rate >= 0 && d.Rate < 1):
		Panicf("linear.Dropout %s: rate is %v; use a share from 0 to below 1", scope.Scope(), d.Rate)
	case d.Rate == 0 || !pass.Training(scope, g):
		return x
	case r == nil:
		Panicf("linear.Dropout %s: nothing to draw from in training; give the graph a stream with ops.SetRandom, or use rate 0", scope.Scope())
	}

	path := fnv.New64a()
	path.Write([]byte(scope.Scope()))
	own := r.Fold(path.Sum64())
	dims := x.Shape().Dimensions
	devices := ops.DevicesOf(g)
	u := own.Uniform(dtypes.Float32, append([]int{devices.Count * dims[0]}, dims[1:]...)...)
	if devices.Count > 1 {
		parts := graph.Reshape(u, append([]int{devices.Count}, dims...)...)
		u = graph.Reshape(ops.GatherRows(parts, graph.Reshape(devices.Rank, 1)), dims...)
	}

	kept := graph.GreaterOrEqual(u, graph.Const(g, float32(d.Rate)))
	return graph.Where(kept, graph.DivScalar(x, 1-d.Rate), graph.ZerosLike(x))
}
