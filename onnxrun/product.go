package onnxrun

import (
	"slices"

	"github.com/ballast-ml/ballast/ops"
	"github.com/gomlx/gomlx/core/graph"
)

func matMul(a, b *node) *node {
	if a.Rank() == 1 && b.Rank() == 1 {
		return graph.ReduceAllSum(graph.Mul(a, b))
	}
	left, right := a.Rank() == 1, b.Rank() == 1
	if left {
		a = graph.ExpandAxes(a, 0)
	}
	if right {
		b = graph.ExpandAxes(b, 1)
	}
	ad, bd := a.Shape().Dimensions, b.Shape().Dimensions
	var y *node
	if len(bd) == 2 {
		y = graph.DotGeneral(a, []int{len(ad) - 1}, nil, b, []int{0}, nil)
	} else {
		rank := max(len(ad), len(bd))
		lead := make([]int, rank-2)
		for i := range lead {
			lead[i] = 1
			for _, d := range [][]int{ad, bd} {
				if at := len(d) - rank + i; at >= 0 && d[at] != 1 {
					lead[i] = d[at]
				}
			}
		}
		a = expandTo(a, append(slices.Clone(lead), ad[len(ad)-2:]...))
		b = expandTo(b, append(slices.Clone(lead), bd[len(bd)-2:]...))
		batch := []int{}
		for i := range lead {
			batch = append(batch, i)
		}
		y = graph.DotGeneral(a, []int{rank - 1}, batch, b, []int{rank - 2}, batch)
	}
	if left {
		y = graph.Squeeze(y, -2)
	}
	if right {
		y = graph.Squeeze(y, -1)
	}
	return y
}

func gemm(c *call) *node {
	a, b := c.x(0), c.x(1)
	at, bt := c.int("transA", 0), c.int("transB", 0)
	y := graph.DotGeneral(a, []int{1 - at}, nil, b, []int{bt}, nil)
	if alpha := c.float("alpha", 1); alpha != 1 {
		y = times(y, alpha)
	}
	if bias := c.maybe(2); bias != nil {
		if beta := c.float("beta", 1); beta != 1 {
			bias = times(bias, beta)
		}
		y = graph.Add(y, expandTo(bias, y.Shape().Dimensions))
	}
	return y
}

func determinant(c *call) *node {
	l, sign := ops.LogDet(c.x(0))
	return graph.Mul(graph.Exp(l), sign)
}

func productOps() map[string]operator {
	return map[string]operator{
		"MatMul": one(func(c *call) *node { return matMul(c.x(0), c.x(1)) }),
		"Gemm":   one(gemm), "Einsum": one(einsum), "Det": one(determinant),
	}
}
