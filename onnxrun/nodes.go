package onnxrun

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

type node = graph.Node

// broadcast brings nodes to one shape, as NumPy does.
func broadcast(x ...*node) []*node {
	rank := 0
	for _, n := range x {
		rank = max(rank, n.Rank())
	}
	dims := make([]int, rank)
	for i := range dims {
		dims[i] = 1
	}
	for _, n := range x {
		for i, d := range n.Shape().Dimensions {
			at := rank - n.Rank() + i
			if d != 1 && dims[at] != 1 && d != dims[at] {
				panic(fmt.Errorf("shapes %v do not broadcast", shapesOf(x)))
			}
			if d != 1 {
				dims[at] = d
			}
		}
	}

	for _, n := range x {
		room(n.DType(), dims...)
	}
	out := make([]*node, len(x))
	for i, n := range x {
		out[i] = expandTo(n, dims)
	}
	return out
}

func shapesOf(x []*node) (out []string) {
	for _, n := range x {
		out = append(out, n.Shape().String())
	}
	return out
}

// expandTo broadcasts to dims of at least x's rank.
func expandTo(x *node, dims []int) *node {
	need(x.Rank() <= len(dims), "%v does not broadcast to %s", x.Shape().Dimensions, dimsText(dims))
	room(x.DType(), dims...)
	if x.Rank() < len(dims) {
		x = graph.ExpandLeftToRank(x, len(dims))
	}
	same := true
	for i, d := range x.Shape().Dimensions {
		same = same && d == dims[i]
	}
	if same {
		return x
	}
	return graph.BroadcastToDims(x, dims...)
}

func scalar(x *node, v float64) *node { return graph.ConstAsDType(x.Graph(), x.DType(), v) }

func plus(x *node, v float64) *node { return graph.Add(x, scalar(x, v)) }

func times(x *node, v float64) *node { return graph.Mul(x, scalar(x, v)) }

func positive(x *node) *node { return graph.GreaterThan(x, scalar(x, 0)) }

func hard(x *node, low, high float64) *node {
	return graph.Max(graph.Min(x, scalar(x, high)), scalar(x, low))
}

func joined(parts []*node, f func(a, b *node) *node) *node {
	y := parts[0]
	for _, p := range parts[1:] {
		y = f(y, p)
	}
	return y
}

// along puts a vector along an axis of x, to broadcast.
func along(v, x *node, axis int) *node {
	if v.Rank() != 1 || v.Shape().Dimensions[0] == 1 {
		need(v.Shape().Size() == 1,
			"%v where one number or one for each element of an axis is wanted", v.Shape().Dimensions)
		return graph.Reshape(v)
	}
	dims := make([]int, x.Rank())
	for i := range dims {
		dims[i] = 1
	}
	need(axis >= -x.Rank() && axis < x.Rank(), "axis %d of %d", axis, x.Rank())
	dims[(axis+x.Rank())%x.Rank()] = v.Shape().Dimensions[0]
	return expandTo(graph.Reshape(v, dims...), x.Shape().Dimensions)
}

// perChannel lays a vector along axis 1, also where it has one element.
func perChannel(v, x *node) *node {
	need(x.Rank() >= 2 && (v.Shape().Size() == x.Shape().Dimensions[1] || v.Shape().Size() == 1),
		"%v for the channels of %v", v.Shape().Dimensions, x.Shape().Dimensions)
	dims := make([]int, x.Rank())
	for i := range dims {
		dims[i] = 1
	}
	dims[1] = v.Shape().Size()
	return expandTo(graph.Reshape(v, dims...), x.Shape().Dimensions)
}

func cast(x *node, d dtypes.DType) *node {
	if x.DType() == d {
		return x
	}
	if d == dtypes.Bool {
		return graph.NotEqual(x, scalar(x, 0))
	}
	return graph.ConvertDType(x, d)
}

func castTo(to int) dtypes.DType {
	for k, d := range engineTypes {
		if int(k) == to {
			return d
		}
	}
	panic(fmt.Errorf("the engines have no type %d", to))
}

func viaFloat(f func(x *node) *node) func(x *node) *node {
	return func(x *node) *node {
		d := x.DType()
		if d == dtypes.Float16 || d == dtypes.BFloat16 {
			return graph.ConvertDType(f(ops.Widen(x)), d)
		}
		return f(x)
	}
}

// viaInt lets f work on bools as bytes.
func viaInt(x *node, f func(x *node) *node) *node {
	if x.DType() != dtypes.Bool {
		return f(x)
	}
	return cast(f(graph.ConvertDType(x, dtypes.Int32)), dtypes.Bool)
}

func cutAxis(x *node, axis, from, to, step int) *node {
	spec := make([]graph.SliceAxisSpec, x.Rank())
	for i := range spec {
		spec[i] = graph.AxisRange()
	}
	if to <= from {
		dims := slices.Clone(x.Shape().Dimensions)
		dims[axis] = 0
		return graph.Zeros(x.Graph(), shapes.Make(x.DType(), dims...))
	}
	spec[axis] = graph.AxisRange(from, to)
	if step > 1 {
		spec[axis] = spec[axis].Stride(step)
	}
	return graph.Slice(x, spec...)
}

func takeAxis(x, index *node, axis int) *node {
	perm := make([]int, x.Rank())
	for i := range perm {
		perm[i] = i
	}
	perm[0], perm[axis] = axis, 0
	y := ops.GatherRows(graph.TransposeAllAxes(x, perm...), index)
	return graph.TransposeAllAxes(y, perm...)
}

// positiveAxes are axes counted from 0, in order, each once.
func positiveAxes(axes []int, rank int) []int {
	need(len(axes) <= max(rank, 1), "%d axes of %d", len(axes), rank)
	out := make([]int, len(axes))
	for i, a := range axes {
		out[i] = a
		if a < 0 {
			out[i] += rank
		}
		need(out[i] >= 0 && out[i] < rank, "axis %d of %d", a, rank)
		need(!slices.Contains(out[:i], out[i]), "axis %d is named twice", a)
	}
	slices.Sort(out)
	return out
}

func axisIn(axis, rank int) int { return positiveAxes([]int{axis}, rank)[0] }

func volumeOf(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}
