package loss

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/ops"
)

// Unit is x [n, d] with every row at length 1, in float32 or wider. A row of zeros stays one, and its gradient is 0.
func Unit(x *Node) *Node {
	if x.Rank() != 2 || !x.DType().IsFloat() {
		Panicf("loss.Unit: x is %s; want embeddings [batch, d]", x.Shape())
	}
	x = ops.Widen(x)
	return Mul(x, inverseRoot(ReduceAndKeep(Square(x), ReduceSum, -1)))
}

// inverseRoot is 1/sqrt(x), and 0 without a gradient where x is 0.
func inverseRoot(x *Node) *Node {
	none := LessOrEqual(x, ZerosLike(x))
	return Where(none, ZerosLike(x), ops.Rsqrt(Where(none, OnesLike(x), x)))
}

// distance is sqrt(x), without a gradient where x is 0 or below.
func distance(x *Node) *Node {
	none := LessOrEqual(x, ZerosLike(x))
	return Where(none, ZerosLike(x), Sqrt(Where(none, OnesLike(x), x)))
}

// dots are the products of the rows of a [n, d] and of b [m, d], [n, m].
func dots(a, b *Node) *Node { return DotGeneral(a, []int{1}, nil, b, []int{1}, nil) }

// meanWhere is the mean of x where which is true, as a scalar, and 0 without a gradient where it never is.
func meanWhere(x, which *Node) *Node {
	sum := ReduceAllSum(Where(which, x, ZerosLike(x)))
	return Div(sum, MaxScalar(count(which, x.DType()), 1.0))
}

// count is how often which is true, as a scalar constant.
func count(which *Node, dtype dtypes.DType) *Node { return ReduceAllSum(ConvertDType(which, dtype)) }

// paired are embeddings that are compared: sim [anchors, others] their cosines; share [anchors, others] how far a pair is of one class,
// 1 or 0, or between for others that were mixed; valid [anchors, others] bool, false for an anchor with itself and for padding; anchor
// [anchors] bool, false for padding.
type paired struct{ sim, share, valid, anchor *Node }

// pairs compares the embeddings of a batch: each of Features[0] with all others of it by their Labels; or, where In has Features[1]
// and Targets, with each of Features[1], whose shares of classes [others, classes] are in Targets. Panics for the Set named who if
// shapes do not fit.
func (in In) pairs(who string) paired {
	in.unweighted(who)
	if len(in.Features) == 0 || len(in.Features) > 2 || (len(in.Features) == 2) != (in.Targets != nil) {
		Panicf("loss.%s: %d features; want the embeddings of the batch, or with them those of mixed examples and the "+
			"shares of their classes as targets", who, len(in.Features))
	}
	u := Unit(in.Features[0])
	n := u.Shape().Dimensions[0]
	in.checkLabels(who, n)
	g := u.Graph()

	anchor := in.Mask
	if anchor == nil {
		anchor = BroadcastToDims(Const(g, true), n)
	}
	if len(in.Features) == 1 {
		same := Equal(BroadcastToDims(Reshape(in.Labels, n, 1), n, n), BroadcastToDims(Reshape(in.Labels, 1, n), n, n))
		return paired{dots(u, u), ConvertDType(same, u.DType()), LogicalAnd(both(anchor, anchor), others(g, n)), anchor}
	}

	v := Unit(in.Features[1])
	m := v.Shape().Dimensions[0]
	shares := in.Targets
	if shares.Rank() != 2 || shares.Shape().Dimensions[0] != m || !shares.DType().IsFloat() {
		Panicf("loss.%s: targets are %s for mixed embeddings %s; want the shares of their classes", who, shares.Shape(),
			v.Shape())
	}
	member := OneHot(in.Labels, shares.Shape().Dimensions[1], v.DType())
	share := dots(member, ConvertDType(StopGradient(shares), v.DType()))
	valid := BroadcastToDims(Reshape(anchor, n, 1), n, m)
	if in.Mask != nil && m%n == 0 { // mixed examples stand where those they were mixed from do
		valid = both(anchor, Reshape(BroadcastToDims(Reshape(anchor, 1, n), m/n, n), m))
	}
	return paired{dots(u, v), share, valid, anchor}
}

func (in In) checkLabels(who string, n int) {
	if l := in.Labels; l == nil || !l.DType().IsInt() || l.Rank() != 1 || l.Shape().Dimensions[0] != n {
		Panicf("loss.%s: labels are %s for %d embeddings; want integers [batch]", who, shapeOf(l), n)
	}
	if m := in.Mask; m != nil && (m.DType() != dtypes.Bool || m.Rank() != 1 || m.Shape().Dimensions[0] != n) {
		Panicf("loss.%s: the mask is %s for %d embeddings; want bools [batch]", who, m.Shape(), n)
	}
}

// unweighted panics for the Set named who where examples have weights, which its pairs have no place for.
func (in In) unweighted(who string) {
	if in.Weights != nil {
		Panicf("loss.%s: examples have weights, and its pairs take none; leave them out", who)
	}
}

// both is a_i and b_j, [n, m].
func both(a, b *Node) *Node {
	n, m := a.Shape().Dimensions[0], b.Shape().Dimensions[0]
	return LogicalAnd(BroadcastToDims(Reshape(a, n, 1), n, m), BroadcastToDims(Reshape(b, 1, m), n, m))
}

// others is i != j, [n, n].
func others(g *Graph, n int) *Node {
	shape := shapes.Make(dtypes.Int32, n, n)
	return NotEqual(Iota(g, shape, 0), Iota(g, shape, 1))
}

// logSum is log(sum of w exp(z)) along the last axis, or log(1 + that) where one is true. w, at least 0, are constants; a z without
// weight may be any finite number. some says where there is a weight; elsewhere the result is 0, and its gradient too.
func logSum(z, w *Node, one bool) (y, some *Node) {
	zero := ZerosLike(z)
	used := GreaterThan(w, zero)
	lowest := math.Inf(-1)
	z = Add(z, Log(Where(used, w, OnesLike(w))))

	top := ReduceMax(Where(used, z, FillScalar(z.Graph(), z.Shape(), lowest)), -1)
	some = GreaterThan(top, FillScalar(z.Graph(), top.Shape(), lowest))
	top = Where(some, top, ZerosLike(top))
	if one {
		top = Max(top, ZerosLike(top))
	}
	top = StopGradient(top)

	shifted := Sub(z, BroadcastToDims(ExpandAxes(top, -1), z.Shape().Dimensions...))
	sum := ReduceSum(Where(used, Exp(Where(used, shifted, zero)), zero), -1)
	if one {
		// exp(-top) + sum, less 1: exact where the sum is small, since top is 0 there.
		return Add(top, Log1p(Add(sum, AddScalar(Exp(Neg(top)), -1)))), some
	}
	return Where(some, Add(top, Log(Where(some, sum, OnesLike(sum)))), ZerosLike(top)), some
}
