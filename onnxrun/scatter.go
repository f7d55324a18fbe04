package onnxrun

import (
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

func scatterElements(c *call) *node {
	x, index, updates := c.x(0), c.x(1), c.x(2)
	axis := axisIn(c.int("axis", 0), x.Rank())
	need(slices.Equal(index.Shape().Dimensions, updates.Shape().Dimensions),
		"updates %v for indices %v", updates.Shape().Dimensions, index.Shape().Dimensions)
	if index.Shape().Size() == 0 {
		return x
	}
	at := c.elementPlaces(x, 1, axis)
	y := scatterRows(c, graph.Reshape(x, x.Shape().Size(), 1), at, graph.Reshape(updates, updates.Shape().Size(), 1))
	return graph.Reshape(y, x.Shape().Dimensions...)
}

func scatterND(c *call) *node {
	x, index, updates := c.x(0), c.x(1), c.x(2)
	d, id := x.Shape().Dimensions, index.Shape().Dimensions
	need(len(id) > 0 && id[len(id)-1] >= 1 && id[len(id)-1] <= len(d), "indices %v for data %v", id, d)
	k := id[len(id)-1]
	want := slices.Concat(id[:len(id)-1], d[k:])
	need(slices.Equal(updates.Shape().Dimensions, want), "updates %v, want %v", updates.Shape().Dimensions, want)
	at := flat(c.columns(1, d[:k]), d[:k])
	if updates.Shape().Size() == 0 {
		return x
	}
	rows, rest := volumeOf(d[:k]), volumeOf(d[k:])
	k = at.Shape().Size()
	y := scatterRows(c, graph.Reshape(x, rows, rest), graph.Reshape(at, k), graph.Reshape(updates, k, rest))
	return graph.Reshape(y, d...)
}

func scatterRows(c *call, x, at, updates *node) *node {
	if x.DType() == dtypes.Bool && c.text("reduction", "none") != "none" { // sums are or, products and
		return cast(scatterRows(c, convert(x, dtypes.Int32), at, convert(updates, dtypes.Int32)), dtypes.Bool)
	}
	n, k := x.Shape().Dimensions[0], at.Shape().Dimensions[0]
	room(dtypes.Int32, n, k) // which update each row takes
	switch how := c.text("reduction", "none"); how {
	case "none":
		return ops.ScatterUpdate(x, at, updates)
	case "add":
		return ops.ScatterAdd(x, at, updates)
	default:
		next := map[string]func(a, b *node) *node{"mul": graph.Mul, "max": graph.Max, "min": graph.Min}[how]
		need(next != nil, "reduction %q is not known", how)
		c.parts(8 * k)
		hit := graph.Equal(graph.BroadcastToDims(graph.ExpandAxes(at, 0), n, k), graph.Iota(c.g, shapes.Make(at.DType(), n, k), 0))
		y := x
		for i := range k { // in order, as the reference does
			row := convert(graph.BroadcastToDims(cutAxis(hit, 1, i, i+1, 1), x.Shape().Dimensions...), dtypes.Bool)
			u := graph.BroadcastToDims(cutAxis(updates, 0, i, i+1, 1), x.Shape().Dimensions...)
			y = graph.Where(row, next(y, u), y)
		}
		return y
	}
}
