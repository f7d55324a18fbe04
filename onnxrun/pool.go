package onnxrun

import (
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

func maxPool(c *call) []*node {
	x := c.x(0)
	size := spatial(x)
	w, out := c.window(size, c.list("kernel_shape"), c.int("ceil_mode", 0) == 1)
	lowest := math.Inf(-1)
	switch x.DType() {
	case dtypes.Uint8:
		lowest = 0
	case dtypes.Int8:
		lowest = -128
	}

	parts := c.windows(x, w, out, lowest)
	y := joined(parts, larger)
	if len(c.n.Outputs) < 2 || c.n.Outputs[1] == "" {
		return []*node{y}
	}
	d := x.Shape().Dimensions
	indexable(d...)
	places := graph.Reshape(graph.Iota(c.g, shapes.Make(dtypes.Int32, volumeOf(d)), 0), d...)
	if c.int("storage_order", 0) == 1 {
		perm := []int{0, 1}
		back := append([]int{}, d[:2]...)
		for i := x.Rank() - 1; i >= 2; i-- {
			perm, back = append(perm, i), append(back, d[i])
		}
		places = graph.TransposeAllAxes(graph.Reshape(places, back...), perm...)
	}
	at := c.windows(places, w, out, -1)
	best := at[len(at)-1]
	for i := len(parts) - 1; i >= 0; i-- {
		hit := graph.LogicalOr(graph.Equal(parts[i], y), graph.NotEqual(parts[i], parts[i])) // the first NaN is the largest
		best = graph.Where(hit, at[i], best)
	}
	return []*node{y, convert(best, dtypes.Int64)}
}

func averagePool(c *call) *node {
	x := c.x(0)
	w, out := c.window(spatial(x), c.list("kernel_shape"), c.int("ceil_mode", 0) == 1)
	y := joined(c.windows(x, w, out, 0), graph.Add)
	ones := graph.OnesLike(x)
	if c.int("count_include_pad", 0) == 1 {
		p := make([][2]int, x.Rank())
		copy(p[2:], w.pads)
		ones = ops.PadConstant(ones, 1, p)
		w.pads = make([][2]int, len(w.pads))
	}
	return graph.Div(y, joined(c.windows(ones, w, out, 0), graph.Add))
}

func lpPool(c *call) *node {
	x, p := c.x(0), c.float("p", 2)
	if a := c.n.Attribute("p"); a != nil && a.Int != 0 {
		p = float64(a.Int)
	}
	w, out := c.window(spatial(x), c.list("kernel_shape"), c.int("ceil_mode", 0) == 1)
	y := graph.Pow(graph.Abs(x), scalar(x, p))
	y = joined(c.windows(y, w, out, 0), graph.Add)
	return graph.Pow(y, scalar(y, 1/p))
}

func global(f func(x *node, axes ...int) *node) operator {
	return unary(func(x *node) *node {
		var axes []int
		d := slices.Clone(x.Shape().Dimensions)
		for i := 2; i < x.Rank(); i++ {
			axes, d[i] = append(axes, i), 1
		}
		return graph.Reshape(f(x, axes...), d...)
	})
}

func poolOps() map[string]operator {
	return map[string]operator{
		"MaxPool": many(maxPool), "AveragePool": one(averagePool), "LpPool": one(lpPool),
		"GlobalAveragePool": global(func(x *node, axes ...int) *node {
			return convert(graph.ReduceMean(widen(x), axes...), x.DType())
		}), "GlobalMaxPool": global(func(x *node, axes ...int) *node { return reduceMax(x, axes) }),
		"Resize": one(resize), "Upsample": one(resize),
	}
}
