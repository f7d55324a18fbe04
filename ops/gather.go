package ops

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// TakeAlongAxis takes elements of x along an axis, other ones at each place:
//
//	y[..., j, ...] = x[..., indices[..., j, ...], ...]
//
// indices has x's shape but for the axis, and is an integer; values outside are moved to the nearest end. The gradient adds
// up where an element is taken twice.
func TakeAlongAxis(x, indices *graph.Node, axis int) *graph.Node {
	a := axisOf("TakeAlongAxis", x, axis)
	fits := indices.Rank() == x.Rank() && indices.DType().IsInt()
	for i := 0; fits && i < x.Rank(); i++ {
		fits = i == a || indices.Shape().Dimensions[i] == x.Shape().Dimensions[i]
	}
	if !fits {
		Panicf("ops.TakeAlongAxis: indices are %s, x is %s; want integers of x's shape but for axis %d", indices.Shape(), x.Shape(), axis)
	}
	there, back := toEnd(x.Rank(), a)
	moved := graph.TransposeAllAxes(x, there...)
	index := graph.TransposeAllAxes(indices, there...)
	d := index.Shape().Dimensions
	y := GatherBatch(moved, index, len(d)-1)
	return graph.TransposeAllAxes(graph.Reshape(y, d...), back...)
}

// toEnd is the order of axes that moves one to the end, and the one that moves it back.
func toEnd(rank, axis int) (there, back []int) {
	back = make([]int, rank)
	for i := range rank {
		if i != axis {
			there = append(there, i)
		}
	}
	there = append(there, axis)
	for to, from := range there {
		back[from] = to
	}
	return there, back
}

// GatherBatch takes rows of x by indices that differ from example to example:
//
//	x [batch..., n, rest...], indices [batch..., m...]  ->  y[b, j] = x[b, indices[b, j]], of shape [batch..., m..., rest...]
//
// batchAxes counts the leading axes that are the batch. Indices are integers; values outside 0 to n-1 are moved to the
// nearest end. The gradient adds up where a row is taken twice.
func GatherBatch(x, indices *graph.Node, batchAxes int) *graph.Node {
	xd, id := x.Shape().Dimensions, indices.Shape().Dimensions
	fits := batchAxes >= 0 && len(xd) > batchAxes && len(id) >= batchAxes && indices.DType().IsInt()
	for i := 0; fits && i < batchAxes; i++ {
		fits = xd[i] == id[i]
	}
	if !fits || xd[batchAxes] == 0 {
		Panicf("ops.GatherBatch: x is %s, indices %s, with %d batch axes; want [batch..., n, rest...] and integers [batch..., m...]", x.Shape(), indices.Shape(), batchAxes)
	}
	batch, n, rest, m := volume(xd[:batchAxes]), xd[batchAxes], volume(xd[batchAxes+1:]), volume(id[batchAxes:])
	out := append(append([]int{}, id...), xd[batchAxes+1:]...)
	index := graph.Reshape(limited(indices, n), batch, m)
	first := graph.MulScalar(graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, batch, 1), 0), int32(n))
	index = graph.Reshape(graph.Add(index, first), batch*m, 1)
	return graph.Reshape(graph.Gather(graph.Reshape(x, batch*n, rest), index), out...)
}

// limited is indices as int32, moved into 0 to n-1.
func limited(indices *graph.Node, n int) *graph.Node {
	i := graph.ConvertDType(graph.StopGradient(indices), dtypes.Int32)
	return graph.Min(graph.Max(i, graph.ScalarZero(i.Graph(), i.DType())), graph.Scalar(i.Graph(), i.DType(), n-1))
}

// ScatterAdd adds updates to rows of x: y = x, then y[indices[j]] += updates[j]. x is [n, rest...], indices [m] integers,
// updates [m, rest...]. A row named twice gets both. Indices outside are refused where they are known, and otherwise moved to
// the nearest end.
func ScatterAdd(x, indices, updates *graph.Node) *graph.Node {
	checkScatter("ScatterAdd", x, indices, updates)
	index := limited(indices, x.Shape().Dimensions[0])
	y := graph.ScatterSum(graph.StopGradient(x), graph.Reshape(index, index.Shape().Size(), 1), graph.StopGradient(updates), false, false)
	if !x.DType().IsFloat() {
		return y // which has no gradient
	}
	return CustomGradient(y, []*graph.Node{x, updates}, func(v *graph.Node) []*graph.Node { return []*graph.Node{v, GatherRows(v, index)} })
}

// ScatterUpdate replaces rows of x: y = x, then y[indices[j]] = updates[j]. Shapes are those of ScatterAdd. Where a row is
// named twice the last one stays; the gradient goes to that one alone.
func ScatterUpdate(x, indices, updates *graph.Node) *graph.Node {
	checkScatter("ScatterUpdate", x, indices, updates)
	g := x.Graph()
	n, m := x.Shape().Dimensions[0], indices.Shape().Size()
	index := limited(indices, n)
	// Which update each row takes, -1 for none: the largest place that names it.
	named := graph.Equal(graph.ExpandAxes(index, 0), graph.Iota(g, shapes.Make(dtypes.Int32, n, 1), 0)) // [n, m]
	place := graph.Iota(g, shapes.Make(dtypes.Int32, n, m), 1)
	taken := graph.ReduceMax(graph.Where(named, place, graph.MulScalar(graph.OnesLike(place), -1)), 1)
	kept := graph.LessThan(taken, graph.ScalarZero(g, dtypes.Int32))
	wide := make([]int, x.Rank())
	for i := range wide {
		wide[i] = 1
	}
	wide[0] = n
	return graph.Where(graph.BroadcastToDims(graph.Reshape(kept, wide...), x.Shape().Dimensions...), x, GatherRows(updates, limited(taken, m)))
}

// ScatterDistinct is ScatterUpdate for indices that name no row twice: y = x, then y[indices[j]] = updates[j], exactly. Its cost is
// that of the rows and of copying x, where ScatterUpdate compares every row of x with every index. A negative index is left out, as
// often as it is there; other shapes and rules are those of ScatterAdd. A row that is named twice gets neither value. Rows that are
// replaced must be finite.
func ScatterDistinct(x, indices, updates *graph.Node) *graph.Node {
	checkScatter("ScatterDistinct", x, indices, updates)
	n := x.Shape().Dimensions[0]
	index := limited(indices, n)

	wide := make([]int, x.Rank())
	for i := range wide {
		wide[i] = 1
	}
	wide[0] = index.Shape().Size()
	out := graph.LessThan(indices, graph.ScalarZero(indices.Graph(), indices.DType()))
	out = graph.BroadcastToDims(graph.Reshape(out, wide...), updates.Shape().Dimensions...)
	kept := func(rows *graph.Node) *graph.Node { return graph.Where(out, graph.ZerosLike(rows), rows) }
	add := func(x, rows *graph.Node) *graph.Node {
		return graph.ScatterSum(x, graph.Reshape(index, index.Shape().Size(), 1), rows, false, false)
	}

	// Minus the old row is exactly 0, and plus the new one exactly that.
	replaced := func(x, updates *graph.Node) *graph.Node {
		return add(add(x, graph.Neg(kept(GatherRows(x, index)))), kept(updates))
	}
	y := replaced(graph.StopGradient(x), graph.StopGradient(updates))
	return CustomGradient(y, []*graph.Node{x, updates}, func(v *graph.Node) []*graph.Node {
		return []*graph.Node{replaced(v, graph.ZerosLike(updates)), kept(GatherRows(v, index))}
	})
}

func checkScatter(what string, x, indices, updates *graph.Node) {
	xd, ud := x.Shape().Dimensions, updates.Shape().Dimensions
	fits := x.Rank() > 0 && indices.Rank() == 1 && indices.DType().IsInt() && len(ud) == len(xd) && updates.DType() == x.DType() &&
		len(ud) > 0 && ud[0] == indices.Shape().Dimensions[0] && ud[0] > 0
	for i := 1; fits && i < len(xd); i++ {
		fits = xd[i] == ud[i]
	}
	if !fits {
		Panicf("ops.%s: x is %s, indices %s, updates %s; want [n, rest...], integers [m] and [m, rest...]", what, x.Shape(), indices.Shape(), updates.Shape())
	}
}

// SliceAt is the part of x of the given size from start on, where start, integers [rank], is computed. A start that would
// reach beyond x is moved back.
func SliceAt(x, start *graph.Node, size ...int) *graph.Node {
	if start.Rank() != 1 || start.Shape().Dimensions[0] != x.Rank() || len(size) != x.Rank() || !start.DType().IsInt() {
		Panicf("ops.SliceAt: x is %s, start %s, size %v; want one integer an axis", x.Shape(), start.Shape(), size)
	}
	for axis, n := range size {
		have := x.Shape().Dimensions[axis]
		if n < 1 || n > have {
			Panicf("ops.SliceAt: size %v of x %s", size, x.Shape())
		}
		if n == have {
			continue
		}
		from := limited(graph.Slice(start, graph.AxisElem(axis)), have-n+1)
		index := graph.Add(graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, n), 0), from)
		there, back := make([]int, x.Rank()), make([]int, x.Rank())
		for i := range there {
			there[i], back[i] = i, i
		}
		there[0], there[axis], back[0], back[axis] = axis, 0, axis, 0
		x = graph.TransposeAllAxes(GatherRows(graph.TransposeAllAxes(x, there...), index), back...)
	}
	return x
}

func volume(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}
