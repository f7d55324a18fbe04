package ops

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// What the factorisations of linalg.go are made of: loops in the graph, rows and columns at computed places, and sums that a loop may have.

// loop calls body with k = 0 to n-1 and the state; it has no gradient. Body may use nothing but what it is given.
func loop(g *graph.Graph, n int, body func(k *graph.Node, state []*graph.Node) []*graph.Node, state ...*graph.Node) []*graph.Node {
	return while(g, state, func(k, _ *graph.Node) *graph.Node { return graph.LessThan(k, number(k.Graph(), k.DType(), float64(n))) },
		func(k, _ *graph.Node, state []*graph.Node) (*graph.Node, []*graph.Node) {
			return number(k.Graph(), k.DType(), 1), body(k, state)
		})[1:]
}

// loopWhile calls body up to n times, until the first value it returns is zero; that value is returned too.
func loopWhile(g *graph.Graph, n int, body func(state []*graph.Node) []*graph.Node, state ...*graph.Node) (more *graph.Node, out []*graph.Node) {
	out = while(g, state, func(k, more *graph.Node) *graph.Node {
		return graph.And(graph.LessThan(k, number(k.Graph(), k.DType(), float64(n))), graph.GreaterThan(more, full(more, 0)))
	}, func(_, _ *graph.Node, state []*graph.Node) (*graph.Node, []*graph.Node) {
		out := body(state)
		return out[0], out[1:]
	})
	return out[0], out[1:]
}

// nanIf is NaN of x's shape if the scalar flag is not zero, else 0.
func nanIf(flag, x *graph.Node) *graph.Node {
	set := graph.BroadcastToDims(graph.GreaterThan(flag, full(flag, 0)), x.Shape().Dimensions...)
	return graph.Where(set, full(x, math.NaN()), full(x, 0))
}

// while returns the last value of more and the state.
func while(g *graph.Graph, state []*graph.Node, more func(k, more *graph.Node) *graph.Node, body func(k, more *graph.Node, state []*graph.Node) (*graph.Node, []*graph.Node)) []*graph.Node {
	all := []*graph.Node{number(g, dtypes.Int32, 0), number(g, dtypes.Int32, 1)}
	for _, s := range state {
		all = append(all, graph.StopGradient(s))
	}
	parameters := func(g *graph.Graph) []*graph.Node {
		var p []*graph.Node
		for i, s := range all {
			p = append(p, graph.Parameter(g, fmt.Sprint("state", i), s.Shape()))
		}
		return p
	}
	cond := graph.NewClosure(g, func(g *graph.Graph) []*graph.Node { p := parameters(g); return []*graph.Node{more(p[0], p[1])} })
	step := graph.NewClosure(g, func(g *graph.Graph) []*graph.Node {
		p := parameters(g)
		next, out := body(p[0], p[1], p[2:])
		return append([]*graph.Node{graph.Add(p[0], number(g, dtypes.Int32, 1)), next}, out...)
	})
	out := graph.While(cond, step, all...)[1:]
	for i := range out {
		out[i] = graph.StopGradient(out[i])
	}
	return out
}

// number is a constant of its own. GoMLX keeps those of Scalar, ZerosLike and the like for the whole graph, also for what is
// outside of the loop that made one, where it is not valid; full, times and plus stand in for them.
func number(g *graph.Graph, dtype dtypes.DType, value float64) *graph.Node {
	return graph.Const(g, shapes.CastAsDType(value, dtype))
}

func full(x *graph.Node, value float64) *graph.Node {
	return graph.BroadcastToDims(number(x.Graph(), x.DType(), value), x.Shape().Dimensions...)
}

func times(x *graph.Node, value float64) *graph.Node { return graph.Mul(x, full(x, value)) }

func plus(x *graph.Node, value float64) *graph.Node { return graph.Add(x, full(x, value)) }

// flatten makes the leading axes one.
func flatten(x *graph.Node) *graph.Node {
	d := x.Shape().Dimensions
	m, n := d[len(d)-2], d[len(d)-1]
	return graph.Reshape(x, x.Shape().Size()/(m*n), m, n)
}

// broadcast repeats x, of fewer axes or with axes of size one, up to dims; k of a loop is a scalar.
func broadcast(x *graph.Node, dims ...int) *graph.Node { return graph.BroadcastToDims(x, dims...) }

// perMatrix makes [batch, 1, 1] of [batch].
func perMatrix(x *graph.Node) *graph.Node { return graph.Reshape(x, x.Shape().Size(), 1, 1) }

// across lays x [batch, n] along an axis of [batch, m, n], and repeats it along the other; x [batch] along [batch, n]. It adds
// the axis and repeats in one step: where a loop on the Go engine repeats an axis of size one, the graph is spoilt when it
// is optimised.
func across(x *graph.Node, dims []int, axis int) *graph.Node {
	return graph.ExpandAndBroadcast(x, dims, []int{len(dims) - axis})
}

// pick is element k of each row of x [batch, n], [batch]; pickRow and pickColumn are row and column k of matrices [batch, m, n].
// k is a scalar of the loop. On XLA a loop cannot reduce, on Go it cannot slice at k.
func pick(x, k *graph.Node) *graph.Node { return pickAxis(x, k, 1) }

func pickRow(x, k *graph.Node) *graph.Node { return pickAxis(x, k, 1) }

func pickColumn(x, k *graph.Node) *graph.Node { return pickAxis(x, k, 2) }

func pickAxis(x, k *graph.Node, axis int) *graph.Node {
	d := slices.Clone(x.Shape().Dimensions)
	if onGo(x) {
		at := graph.Equal(graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, d...), axis), broadcast(k, d...))
		return graph.ReduceSum(graph.Where(at, x, full(x, 0)), axis)
	}
	starts := make([]*graph.Node, len(d))
	for i := range starts {
		starts[i] = number(x.Graph(), dtypes.Int32, 0)
	}
	starts[axis] = k
	d[axis] = 1
	return graph.Squeeze(graph.DynamicSlice(x, starts, d), axis)
}

// pickRows is row p [batch] of each matrix of x [batch, n, m].
func pickRows(x, p *graph.Node) *graph.Node {
	d := x.Shape().Dimensions
	first := times(graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, d[0]), 0), float64(d[1]))
	return GatherRows(graph.Reshape(x, d[0]*d[1], d[2]), graph.Add(p, first))
}

// firstLargest is the first place of the largest element of each row of x [batch, n]; the last place where NaN is in the way.
func firstLargest(x *graph.Node) *graph.Node {
	d := x.Shape().Dimensions
	i := graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, d...), 1)
	last := full(i, float64(d[1]-1))
	return fold(graph.Where(graph.Equal(x, across(fold(x, 1, graph.Max), d, 1)), i, last), 1, graph.Min)
}

// sumInLoop is ReduceSum, also where XLA refuses it.
func sumInLoop(x *graph.Node, axis int) *graph.Node {
	if onGo(x) {
		return graph.ReduceSum(x, axis)
	}
	return fold(x, axis, graph.Add)
}

// fold reduces an axis by halves.
func fold(x *graph.Node, axis int, f func(a, b *graph.Node) *graph.Node) *graph.Node {
	part := func(from, to int) *graph.Node {
		spec := make([]graph.SliceAxisSpec, x.Rank())
		for i := range spec {
			spec[i] = graph.AxisRange()
		}
		spec[axis] = graph.AxisRange(from, to)
		return graph.Slice(x, spec...)
	}
	for n := x.Shape().Dimensions[axis]; n > 1; n = x.Shape().Dimensions[axis] {
		h := n / 2
		half := f(part(0, h), part(h, 2*h))
		if n > 2*h {
			half = graph.Concatenate([]*graph.Node{half, part(2*h, n)}, axis)
		}
		x = half
	}
	return graph.Squeeze(x, axis)
}

// stride takes n elements of each matrix of x [batch, m, m], by rows, from the first one on, a step apart.
func stride(x *graph.Node, first, n, step int) *graph.Node {
	d := x.Shape().Dimensions
	return graph.Slice(graph.Reshape(x, d[0], d[1]*d[2]), graph.AxisRange(), graph.AxisRange(first, first+(n-1)*step+1).Stride(step))
}

// permuteRows takes the rows of each matrix of x [batch, n, m] in the order [batch, n].
func permuteRows(x, order *graph.Node) *graph.Node {
	d := x.Shape().Dimensions
	at := graph.Add(order, times(graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, d[0], d[1]), 0), float64(d[1])))
	return graph.Reshape(GatherRows(graph.Reshape(x, d[0]*d[1], d[2]), graph.Reshape(at, d[0]*d[1])), d...)
}

// product multiplies matrices [batch, ., .], either of them transposed if so wished.
func product(a, b *graph.Node, transposeA, transposeB bool) *graph.Node {
	left, right := "bij", "bjk"
	if transposeA {
		left = "bji"
	}
	if transposeB {
		right = "bkj"
	}
	return graph.Einsum(left+","+right+"->bik", a, b)
}

// triangle keeps one triangle of each matrix and makes the rest zero.
func triangle(x *graph.Node, upper, diagonal bool) *graph.Node {
	d := x.Shape().Dimensions
	i, j := graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, d...), 1), graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, d...), 2)
	if upper {
		i, j = j, i
	}
	keep := graph.GreaterThan(i, j)
	if diagonal {
		keep = graph.GreaterOrEqual(i, j)
	}
	return graph.Where(keep, x, full(x, 0))
}

// diagonal is that of each matrix.
func diagonal(x *graph.Node) *graph.Node {
	eye, _ := pairMasks(x.Graph(), x.Shape().Dimensions)
	return graph.ReduceSum(graph.Where(eye, x, full(x, 0)), -1)
}

func identityLike(x *graph.Node) *graph.Node {
	eye, _ := pairMasks(x.Graph(), x.Shape().Dimensions)
	return graph.ConvertDType(eye, x.DType())
}

func symmetrised(x *graph.Node) *graph.Node {
	return times(graph.Add(x, graph.Transpose(x, 1, 2)), 0.5)
}

// reduceProduct is the product of each row of signs [batch, n].
func reduceProduct(x *graph.Node) *graph.Node { return graph.ReduceMultiply(graph.StopGradient(x), -1) }

func checkSquare(name, what string, a *graph.Node) {
	if a == nil {
		Panicf("ops.%s: %s is nil; want float32 or float64 [..., n, n]", name, what)
	}
	if a.Rank() < 2 || a.Shape().Size() == 0 || lastDim(a) != a.Shape().Dim(-2) || (a.DType() != dtypes.Float32 && a.DType() != dtypes.Float64) {
		Panicf("ops.%s: %s is %s; want float32 or float64 [..., n, n], not empty", name, what, a.Shape())
	}
}

func checkRight(name, what string, a, b *graph.Node) {
	if b == nil {
		Panicf("ops.%s: b is nil; want [..., n, m]", name)
	}
	d := a.Shape().Dimensions
	if b.DType() != a.DType() || b.Rank() != a.Rank() || b.Shape().Size() == 0 || !slices.Equal(d[:len(d)-1], b.Shape().Dimensions[:len(d)-1]) {
		Panicf("ops.%s: b is %s and %s is %s; want [..., n, m] of the same dtype, with the leading axes of %s, not empty", name, b.Shape(), what, a.Shape(), what)
	}
}
