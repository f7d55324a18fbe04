package onnxrun

import (
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
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
	need(ad[len(ad)-1] == bd[len(bd)-2], "%v and %v: they have %d and %d elements to multiply", ad, bd, ad[len(ad)-1], bd[len(bd)-2])
	var y *node
	if volumeOf(ad) == 0 || volumeOf(bd) == 0 { // sums of nothing, if any
		lead := broadcastDims([]*node{
			graph.Zeros(a.Graph(), shapes.Make(a.DType(), ad[:len(ad)-2]...)), graph.Zeros(a.Graph(), shapes.Make(a.DType(), bd[:len(bd)-2]...)),
		})
		y = graph.Zeros(a.Graph(), room(a.DType(), append(lead, ad[len(ad)-2], bd[len(bd)-1])...))
	} else if len(bd) == 2 {
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
	a, b := widen(c.x(0)), widen(c.x(1))
	at, bt := c.int("transA", 0), c.int("transB", 0)
	need(a.Rank() == 2 && b.Rank() == 2, "inputs %v and %v, want two dimensions each", a.Shape().Dimensions, b.Shape().Dimensions)
	var y *node
	if ad, bd := a.Shape().Dimensions, b.Shape().Dimensions; volumeOf(ad) == 0 || volumeOf(bd) == 0 {
		y = graph.Zeros(c.g, room(a.DType(), ad[at], bd[1-bt]))
	} else {
		y = graph.DotGeneral(a, []int{1 - at}, nil, b, []int{bt}, nil)
	}
	y = scaled(y, c.float("alpha", 1))
	if bias := c.maybe(2); bias != nil {
		bias = scaled(widen(bias), c.float("beta", 1))
		need(c.opset >= 7 || c.int("broadcast", 0) == 1 || slices.Equal(bias.Shape().Dimensions, y.Shape().Dimensions),
			"input 2 is %v, the product %v, and its attribute broadcast is 0", bias.Shape().Dimensions, y.Shape().Dimensions)
		if bias = expandTo(bias, y.Shape().Dimensions); y.Shape().Size() > 0 {
			y = graph.Add(y, bias)
		}
	}
	return convert(y, c.x(0).DType())
}

// scaled is x times a factor. Integers are rounded towards 0 after they were multiplied.
func scaled(x *node, factor float64) *node {
	switch {
	case factor == 1:
		return x
	case x.DType().IsFloat() || factor == math.Trunc(factor) && math.Abs(factor) < 1<<31:
		return times(x, factor)
	}
	return cast(times(convert(x, dtypes.Float64), factor), x.DType())
}

func determinant(c *call) *node {
	l, sign := ops.LogDet(widen(c.x(0)))
	return convert(graph.Mul(graph.Exp(l), sign), c.x(0).DType())
}

func productOps() map[string]operator {
	return map[string]operator{
		"MatMul": one(func(c *call) *node { return convert(matMul(widen(c.x(0)), widen(c.x(1))), c.x(0).DType()) }),
		"Gemm":   one(gemm), "Einsum": one(einsum), "Det": one(determinant),
	}
}
