package onnxrun

import (
	"fmt"

	"github.com/ballast-ml/ballast/ops"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

// classes checks that the targets of a loss are classes, or the number that is ignored.
func (c *call) classes(n int) {
	wrong := func(low, high int64) error {
		if low >= 0 && high < int64(n) {
			return nil
		}
		return fmt.Errorf("targets from %d to %d of %d classes", low, high, n)
	}
	a := c.n.Attribute("ignore_index")
	if v := c.in[1]; v.known != nil {
		for _, i := range tensorInts(v.known) {
			if err := wrong(int64(i), int64(i)); err != nil && (a == nil || int64(i) != a.Int) {
				panic(err)
			}
		}
		return
	}
	target := convert(c.x(1), dtypes.Int64)
	if a != nil {
		target = graph.Where(graph.Equal(target, graph.Const(c.g, a.Int)), graph.ZerosLike(target), target)
	}
	c.watch(target, wrong)
}

// logLoss is the mean of -w[t] logp[t], or its sum, or each.
func logLoss(c *call, logp *node) *node {
	target := convert(c.x(1), dtypes.Int64)
	d := logp.Shape().Dimensions
	need(len(d) >= 2, "it takes examples and classes, got %v", d)
	c.classes(d[1])
	hit := graph.Equal(expandTo(graph.ExpandAxes(target, 1), d), graph.Iota(c.g, shapes.Make(dtypes.Int64, d...), 1))
	pick := func(x *node) *node { return graph.ReduceSum(graph.Where(hit, x, graph.ZerosLike(x)), 1) }
	w := graph.OnesLike(logp)
	if v := c.maybe(2); v != nil {
		w = perChannel(v, logp)
	}
	w = pick(w)
	if a := c.n.Attribute("ignore_index"); a != nil {
		w = graph.Where(graph.Equal(target, graph.Const(c.g, a.Int)), graph.ZerosLike(w), w)
	}
	y := graph.Neg(graph.Mul(pick(logp), w))
	switch c.text("reduction", "mean") {
	case "none":
		return y
	case "sum":
		return graph.ReduceAllSum(y)
	}
	return graph.Div(graph.ReduceAllSum(y), graph.ReduceAllSum(w))
}

func softmaxLoss(c *call) []*node {
	logp := ops.MaskedLogSoftmax(c.x(0), nil, 1)
	return []*node{logLoss(c, logp), logp}
}
