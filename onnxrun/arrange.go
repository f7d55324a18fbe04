package onnxrun

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

// centerCropPad brings axes to sizes: it cuts at both ends alike, or puts zeros there. An odd one is at the end.
func centerCropPad(c *call) *node {
	x, sizes := c.x(0), c.ints(1)
	axes := c.list("axes")
	if axes == nil {
		for i := range x.Rank() {
			axes = append(axes, i)
		}
	}
	positiveAxes(axes, x.Rank())
	need(len(sizes) == len(axes), "%d sizes for %d axes", len(sizes), len(axes))
	dims := slices.Clone(x.Shape().Dimensions)
	pads := make([][2]int, x.Rank())
	for i, a := range axes {
		a = axisIn(a, x.Rank())
		need(sizes[i] >= 0, "size %d of axis %d", sizes[i], a)
		if gap := dims[a] - sizes[i]; gap > 0 {
			x = cutAxis(x, a, gap/2, gap/2+sizes[i], 1)
		} else {
			pads[a] = [2]int{-gap / 2, -gap + gap/2}
		}
		dims[a] = sizes[i]
	}

	shape := room(x.DType(), dims...)
	switch {
	case shape.Size() == 0 || x.Shape().Size() == 0:
		return graph.Zeros(c.g, shape)
	case slices.Equal(dims, x.Shape().Dimensions):
		return x
	}
	return viaInt(x, func(x *node) *node { return ops.PadConstant(x, 0, pads) })
}

// reverseSequence turns the first elements of each example's time around, as many as its length.
func reverseSequence(c *call) *node {
	x := c.x(0)
	need(x.Rank() >= 2, "it takes two axes or more, got %v", x.Shape().Dimensions)
	time, batch := c.int("time_axis", 0), c.int("batch_axis", 1)
	need(time >= 0 && batch >= 0 && time+batch == 1, "time_axis %d and batch_axis %d, want 0 and 1 or 1 and 0", time,
		batch)
	d := x.Shape().Dimensions
	need(slices.Equal(c.dims(1), []int{d[batch]}), "lengths %v for %d examples", c.dims(1), d[batch])
	if x.Shape().Size() == 0 {
		return x
	}
	lengths := c.x(1)
	c.watchInput(1, lengths, func(low, high int64) error {
		if low >= 0 && high <= int64(d[time]) {
			return nil
		}
		return fmt.Errorf("lengths from %d to %d of sequences of %d", low, high, d[time])
	})

	indexable(d...)
	lengths = convert(lengths, dtypes.Int32)
	s := shapes.Make(dtypes.Int32, d[0], d[1])
	t, b := graph.Iota(c.g, s, time), graph.Iota(c.g, s, batch)
	l := expandTo(graph.ExpandAxes(lengths, time), []int{d[0], d[1]})
	t = graph.Where(graph.LessThan(t, l), plus(graph.Sub(l, t), -1), t)
	parts := []*node{t, b}
	if batch == 0 {
		parts = []*node{b, t}
	}
	at := graph.Reshape(flat(parts, d[:2]), d[0]*d[1])
	return viaInt(x, func(x *node) *node {
		return graph.Reshape(ops.GatherRows(graph.Reshape(x, d[0]*d[1], volumeOf(d[2:])), at), d...)
	})
}

// tensorScatter writes an update into a cache along an axis, from a place on that each example has; circular goes on at the start.
func tensorScatter(c *call) *node {
	x, update := c.x(0), c.x(1)
	d, u := x.Shape().Dimensions, update.Shape().Dimensions
	axis := axisIn(c.int("axis", -2), x.Rank())
	mode := c.text("mode", "linear")
	need(mode == "linear" || mode == "circular", "mode %q is not known", mode)
	need(axis > 0 && len(u) == len(d) && u[axis] <= d[axis] && x.DType() == update.DType(),
		"an update %s of a cache %s along axis %d", update.Shape(), x.Shape(), axis)
	for i := range d {
		need(i == axis || d[i] == u[i], "an update %v of a cache %v: they differ beside axis %d", u, d, axis)
	}
	if update.Shape().Size() == 0 {
		return x
	}

	indexable(d...)
	start := graph.Zeros(c.g, shapes.Make(dtypes.Int32, d[0]))
	if c.has(2) {
		need(slices.Equal(c.dims(2), []int{d[0]}), "write_indices %v for %d examples", c.dims(2), d[0])
		at := c.x(2)
		most := d[axis] - u[axis]
		if mode == "circular" {
			most = d[axis] - 1
		}
		c.watchInput(2, at, func(low, high int64) error {
			if low >= 0 && high <= int64(most) {
				return nil
			}
			return fmt.Errorf("write_indices from %d to %d; %d rows of %d are written, so each is 0 to %d", low, high,
				u[axis], d[axis], most)
		})
		start = convert(at, dtypes.Int32)
	}

	// For each place of the cache, which row of the update it takes.
	rank := make([]int, len(d))
	for i := range rank {
		rank[i] = 1
	}
	rank[0] = d[0]
	s := shapes.Make(dtypes.Int32, d...)
	row := graph.Sub(graph.Iota(c.g, s, axis), graph.BroadcastToDims(graph.Reshape(start, rank...), d...))
	if mode == "circular" {
		row = graph.Where(graph.LessThan(row, scalar(row, 0)), plus(row, float64(d[axis])), row)
	}
	taken := graph.LogicalAnd(graph.GreaterOrEqual(row, scalar(row, 0)), graph.LessThan(row, scalar(row,
		float64(u[axis]))))
	return graph.Where(taken, ops.TakeAlongAxis(update, row, axis), x)
}

func arrangeOps() map[string]operator {
	return map[string]operator{
		"CenterCropPad": one(centerCropPad).takes("axes"), "ReverseSequence": one(reverseSequence).takes("batch_axis",
			"time_axis"), "TensorScatter": one(tensorScatter).takes("axis", "mode"),
	}
}
