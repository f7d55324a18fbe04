package onnxrun

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/ops"
)

type node = graph.Node

// broadcast brings nodes to one shape, as NumPy does.
func broadcast(x ...*node) []*node {
	dims := broadcastDims(x)
	for _, n := range x {
		room(n.DType(), dims...)
	}
	out := make([]*node, len(x))
	for i, n := range x {
		out[i] = expandTo(n, dims)
	}
	return out
}

// broadcastDims is that shape.
func broadcastDims(x []*node) []int {
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
	return dims
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
	if volumeOf(dims) == 0 {
		return graph.Zeros(x.Graph(), shapes.Make(x.DType(), dims...))
	}
	return graph.BroadcastToDims(x, dims...)
}

func scalar(x *node, v float64) *node { return graph.ConstAsDType(x.Graph(), x.DType(), v) }

func plus(x *node, v float64) *node { return graph.Add(x, scalar(x, v)) }

func times(x *node, v float64) *node { return graph.Mul(x, scalar(x, v)) }

func positive(x *node) *node { return graph.GreaterThan(x, scalar(x, 0)) }

func hard(x *node, low, high float64) *node {
	return graph.Max(graph.Min(x, scalar(x, high)), scalar(x, low)) // NaN stays, as x comes first
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

// cast converts as Cast does: integers lose their upper bits, and what is not 0 is true. Of floats beyond an integer type's ends the
// specification says nothing, and each engine has values of its own: they become the nearer end, and NaN becomes 0.
func cast(x *node, d dtypes.DType) *node {
	switch from := x.DType(); {
	case from == d:
		return x
	case d == dtypes.Bool:
		return graph.NotEqual(x, scalar(x, 0))
	case from.IsFloat() && d.IsInt():
		return saturated(x, d)
	}
	return convert(x, d)
}

// saturated converts floats to integers, the fraction cut off.
func saturated(x *node, d dtypes.DType) *node {
	x = ops.Widen(x)
	bits := float64(8 * d.Size())
	low, end := -math.Exp2(bits-1), math.Exp2(bits-1)
	if d.IsUnsigned() {
		low, end = 0, math.Exp2(bits)
	}

	above, below := graph.GreaterOrEqual(x, scalar(x, end)), graph.LessThan(x, scalar(x, low))
	inside := graph.LogicalAnd(graph.LessThan(x, scalar(x, end)), graph.GreaterOrEqual(x, scalar(x, low)))
	y := convert(graph.Where(inside, x, graph.ZerosLike(x)), d)
	full := func(v float64) *node { return graph.BroadcastToDims(extreme(y, v), y.Shape().Dimensions...) }
	return graph.Where(above, full(math.Inf(1)), graph.Where(below, full(math.Inf(-1)), y))
}

// convert is x in another type of elements, as the engines convert it but for small numbers of float16, which the Go engine loses.
func convert(x *node, d dtypes.DType) *node { return ops.Narrow(x, d) }

func castTo(to int) dtypes.DType {
	d, ok := engineTypes[onnx.DataType(to)]
	need(ok, "the engines have no type %s", onnx.DataType(to))
	return d
}

// typeOf is the type of a file for one of the engines'.
func typeOf(d dtypes.DType) onnx.DataType {
	for k, is := range engineTypes {
		if is == d {
			return k
		}
	}
	panic(fmt.Errorf("no file holds %s", d))
}

func viaFloat(f func(x *node) *node) func(x *node) *node {
	return func(x *node) *node {
		d := x.DType()
		if d == dtypes.Float16 || d == dtypes.BFloat16 {
			return convert(f(ops.Widen(x)), d)
		}
		return f(x)
	}
}

// widen is x with floats of 16 bits in 32, in which sums are taken; others are left as they are.
func widen(x *node) *node {
	if !x.DType().IsFloat() {
		return x
	}
	return ops.Widen(x)
}

// viaInt lets f work on bools as bytes.
func viaInt(x *node, f func(x *node) *node) *node {
	if x.DType() != dtypes.Bool {
		return f(x)
	}
	return cast(f(convert(x, dtypes.Int32)), dtypes.Bool)
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
