package onnxrun

import (
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

func gather(c *call) *node {
	x, index := c.x(0), c.x(1)
	axis := axisIn(c.int("axis", 0), x.Rank())
	d := x.Shape().Dimensions
	perm := []int{axis}
	for i := range d {
		if i != axis {
			perm = append(perm, i)
		}
	}

	rest := append(slices.Clone(d[:axis]), d[axis+1:]...)
	indexable(d...)
	places := c.places(1, d[axis])
	if index.Shape().Size() == 0 || volumeOf(rest) == 0 {
		return graph.Zeros(c.g, room(x.DType(), slices.Concat(d[:axis], index.Shape().Dimensions, d[axis+1:])...))
	}
	room(x.DType(), slices.Concat(d[:axis], index.Shape().Dimensions, d[axis+1:])...)
	return viaInt(x, func(x *node) *node {
		if x.Rank() > 1 && axis > 0 {
			x = graph.TransposeAllAxes(x, perm...)
		}
		rows := ops.GatherRows(graph.Reshape(x, d[axis], volumeOf(rest)), graph.Reshape(places, index.Shape().Size()))
		id := index.Shape().Dimensions
		y := graph.Reshape(rows, append(slices.Clone(id), rest...)...)
		if axis == 0 || y.Rank() < 2 {
			return y
		}
		var back []int
		for i := range axis {
			back = append(back, len(id)+i)
		}
		for i := range id {
			back = append(back, i)
		}
		for i := axis; i < len(rest); i++ {
			back = append(back, len(id)+i)
		}
		return graph.TransposeAllAxes(y, back...)
	})
}

func gatherND(c *call) *node {
	x, index, batch := c.x(0), c.x(1), c.int("batch_dims", 0)
	d, id := x.Shape().Dimensions, index.Shape().Dimensions
	need(batch >= 0 && batch < len(d) && batch < len(id) && slices.Equal(d[:batch], id[:batch]),
		"batch_dims %d of data %v and indices %v", batch, d, id)
	b, k := volumeOf(d[:batch]), id[len(id)-1]
	need(k >= 1 && batch+k <= len(d), "indices of %d parts for %d dimensions", k, len(d)-batch)
	shape := room(x.DType(), slices.Concat(id[:len(id)-1], d[batch+k:])...)
	indexable(d...)
	at := flat(c.columns(1, d[batch:batch+k]), d[batch:batch+k])
	if shape.Size() == 0 {
		return graph.Zeros(c.g, shape)
	}
	n := volumeOf(d[batch : batch+k])
	per := volumeOf(id[batch : len(id)-1])
	at = graph.Reshape(at, b, per)
	at = graph.Add(at, times(graph.Iota(c.g, shapes.Make(dtypes.Int32, b, per), 0), float64(n)))
	return viaInt(x, func(x *node) *node {
		rows := ops.GatherRows(graph.Reshape(x, b*n, volumeOf(d[batch+k:])), graph.Reshape(at, b*per))
		return graph.Reshape(rows, shape.Dimensions...)
	})
}

func gatherElements(c *call) *node {
	x, index := c.x(0), c.x(1)
	axis := axisIn(c.int("axis", 0), x.Rank())
	if index.Shape().Size() == 0 {
		return graph.Zeros(c.g, room(x.DType(), index.Shape().Dimensions...))
	}
	at := c.elementPlaces(x, 1, axis)
	return viaInt(x, func(x *node) *node {
		return graph.Reshape(ops.GatherRows(graph.Reshape(x, x.Shape().Size(), 1), at), index.Shape().Dimensions...)
	})
}

// columns are the parts of an input of indices [..., k] as int32, each in [0, d of its place).
func (c *call) columns(input int, d []int) (parts []*node) {
	index := c.x(input)
	need(index.Rank() > 0, "the indices are one number, want at least one dimension")
	axis := index.Rank() - 1
	k := index.Shape().Dimensions[axis]
	need(k >= 1 && k <= len(d), "indices of %d parts for %d dimensions", k, len(d))
	for j := range k {
		one := *c.in[input]
		part := &call{build: c.build, g: c.g, n: c.n, in: []*value{&one}, fold: c.fold}
		if one.known != nil {
			all := tensorInts(one.known)
			var column []int
			for i := j; i < len(all); i += k {
				column = append(column, all[i])
			}
			one.known, one.node = int64s(column, index.Shape().Dimensions[:axis]...), nil
		} else {
			one.node = graph.Zeros(c.g, shapes.Make(index.DType(), index.Shape().Dimensions[:axis]...))
			if index.Shape().Size() > 0 {
				one.node = graph.Reshape(cutAxis(index, axis, j, j+1, 1), index.Shape().Dimensions[:axis]...)
			}
		}
		parts = append(parts, part.places(0, d[j]))
	}
	return parts
}

// elementPlaces is where, in x laid flat, the elements lie that an input of indices names along an axis.
func (c *call) elementPlaces(x *node, input, axis int) *node {
	index := c.x(input)
	d, id := x.Shape().Dimensions, index.Shape().Dimensions
	need(len(id) == len(d), "indices of %d dimensions for data of %d", len(id), len(d))
	var parts []*node
	for i := range d {
		if i == axis {
			parts = append(parts, c.places(input, d[axis]))
			continue
		}
		need(id[i] <= d[i], "indices %v for data %v: they are larger beside axis %d", id, d, axis)
		parts = append(parts, graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, id...), i))
	}
	return graph.Reshape(flat(parts, d), index.Shape().Size())
}

// flat is the place in d laid flat of the parts of an index.
func flat(parts []*node, d []int) *node {
	indexable(d...)
	at := parts[0]
	for j, part := range parts[1:] {
		at = graph.Add(times(at, float64(d[j+1])), part)
	}
	return at
}

func gatherOps() map[string]operator {
	return map[string]operator{
		"Gather": one(gather), "GatherND": one(gatherND), "GatherElements": one(gatherElements),
		"Scatter": one(scatterElements), "ScatterElements": one(scatterElements), "ScatterND": one(scatterND),
	}
}
