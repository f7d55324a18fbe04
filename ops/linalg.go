package ops

import (
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

// The factorisations here are loops in the graph, so that the time to compile does not grow with n; a loop has no gradient in
// GoMLX, so each has one by formula. Every step of a loop passes over the matrix a few times, so these are for n up to a few
// hundred. Measured on two cores in float64, value and gradient, n = 64: XLA compiles 0.2 to 0.8 s and runs 1 to 9 ms, the Go
// engine runs 20 to 140 ms; n = 200: XLA 35 to 350 ms, Go 0.6 to 4 s. The longest is SymmetricEigen.
//
// On XLA a loop may not reduce (its reductions are kept for the function that used them first), on Go it may not slice at a
// computed place: pickAxis, sumInLoop and fold do what the engine can.

// Solve returns the x with a x = b, for a [..., n, n] and b [..., n, m] with the same leading axes, float32 or float64, by
// elimination with row pivoting. The residual is that of a backward stable method: |a x - b| is a small multiple of
// n eps |a| |x|. Where a is singular x holds infinities or NaN. The gradient is the exact one of the equation,
//
//	db = inverse(a)^T v      da = -db x^T
//
// from the same factors, and can be differentiated again. Panics on other shapes or dtypes.
func Solve(a, b *graph.Node) *graph.Node {
	checkSquare("Solve", "a", a)
	checkRight("Solve", "a", a, b)
	dims := b.Shape().Dimensions
	a, b = flatten(a), flatten(b)
	return graph.Reshape(factor(a).solve(a, b, false), dims...)
}

// InverseMatrix is the inverse of a [..., n, n]: Solve with the identity, to its accuracy. To multiply by it, Solve instead.
// Panics as Solve does.
func InverseMatrix(a *graph.Node) *graph.Node {
	checkSquare("InverseMatrix", "a", a)
	dims := a.Shape().Dimensions
	a = flatten(a)
	return graph.Reshape(factor(a).solve(a, identityLike(a), false), dims...)
}

// LogDet returns log |det a| and the sign of det a, both [...], for a [..., n, n], from the factors of Solve. Where a is
// singular the logarithm is -Inf, the sign 0 and the gradient not finite. The gradient of the logarithm is inverse(a)^T and
// can be differentiated again; the sign has none. For positive definite a, twice the sum of the logarithms of the diagonal of
// Cholesky is the same at half the price. Panics as Solve.
func LogDet(a *graph.Node) (logAbs, sign *graph.Node) {
	checkSquare("LogDet", "a", a)
	dims := a.Shape().Dimensions[:a.Rank()-2]
	a = flatten(a)
	f := factor(a)
	d := diagonal(f.lu)
	sign = graph.Mul(f.sign, reduceProduct(graph.Sign(d)))
	logAbs = CustomGradient(graph.ReduceSum(graph.Log(graph.Abs(d)), -1), []*graph.Node{a}, func(v *graph.Node) []*graph.Node {
		return []*graph.Node{graph.Mul(f.solve(a, identityLike(a), true), perMatrix(v))}
	})
	return graph.Reshape(logAbs, dims...), graph.StopGradient(graph.Reshape(sign, dims...))
}

// factors is a[perm] = lower upper, with both in lu and the diagonal of lower, which is one, left out.
type factors struct{ lu, perm, sign *graph.Node }

// factor eliminates column by column, the largest element first.
func factor(a *graph.Node) factors {
	a = graph.StopGradient(a)
	d := a.Shape().Dimensions
	batch, n := d[0], d[1]
	out := loop(a.Graph(), n, func(k *graph.Node, s []*graph.Node) []*graph.Node {
		lu, perm, sign := s[0], s[1], s[2]
		g := lu.Graph()
		i := graph.Iota(g, shapes.Make(dtypes.Int32, batch, n), 1)
		isK := graph.Equal(i, broadcast(k, batch, n))
		column := pickColumn(lu, k)
		p := firstLargest(graph.Where(graph.GreaterOrEqual(i, broadcast(k, batch, n)), graph.Abs(column), full(column, -1)))
		isP := graph.Equal(i, across(p, []int{batch, n}, 1))
		rowK, rowP := pickRow(lu, k), pickRows(lu, p)
		swapped := graph.Where(across(isP, d, 1), across(rowK, d, 2), lu)
		swapped = graph.Where(across(isK, d, 1), across(rowP, d, 2), swapped)
		column = pickColumn(swapped, k)
		pivot := across(pick(column, k), []int{batch, n}, 1)
		after := graph.GreaterThan(i, broadcast(k, batch, n))
		multiplier := graph.Div(column, pivot)
		eliminated := graph.Sub(swapped, graph.Mul(across(multiplier, d, 1), across(rowP, d, 2)))
		eliminated = graph.Where(across(isK, d, 2), across(multiplier, d, 1), eliminated)
		touched := graph.And(across(after, d, 1), across(graph.GreaterOrEqual(i, broadcast(k, batch, n)), d, 2))
		permK, permP := pick(perm, k), graph.Squeeze(pickRows(graph.ExpandAxes(perm, -1), p), -1)
		newPerm := graph.Where(isP, across(permK, []int{batch, n}, 1), perm)
		newPerm = graph.Where(isK, across(permP, []int{batch, n}, 1), newPerm)
		same := graph.Equal(p, broadcast(k, batch))
		return []*graph.Node{graph.Where(touched, eliminated, swapped), newPerm, graph.Where(same, sign, graph.Neg(sign))}
	}, a, graph.Iota(a.Graph(), shapes.Make(dtypes.Int32, batch, n), 1), graph.Ones(a.Graph(), shapes.Make(a.DType(), batch)))
	return factors{out[0], out[1], out[2]}
}

// solve is inverse(a) b, or inverse(a)^T b; a serves the gradient alone.
func (f factors) solve(a, b *graph.Node, transposed bool) *graph.Node {
	d := b.Shape().Dimensions
	var y *graph.Node
	if transposed { // a^T = upper^T lower^T perm
		y = substitute(graph.Transpose(f.lu, 1, 2), graph.StopGradient(b), true, false)
		y = substitute(graph.Transpose(f.lu, 1, 2), y, false, true)
		n := d[1]
		wide := []int{d[0], n, n}
		r := graph.Iota(b.Graph(), shapes.Make(dtypes.Int32, wide...), 1)
		i := graph.Iota(b.Graph(), shapes.Make(dtypes.Int32, wide...), 2)
		y = permuteRows(y, graph.ReduceSum(graph.Where(graph.Equal(across(f.perm, wide, 1), i), r, full(r, 0)), 1))
	} else {
		y = substitute(f.lu, permuteRows(graph.StopGradient(b), f.perm), true, true)
		y = substitute(f.lu, y, false, false)
	}
	var x *graph.Node
	x = CustomGradient(y, []*graph.Node{a, b}, func(v *graph.Node) []*graph.Node {
		db := f.solve(a, v, !transposed)
		if transposed {
			return []*graph.Node{graph.Neg(product(x, db, false, true)), db}
		}
		return []*graph.Node{graph.Neg(product(db, x, false, true)), db}
	})
	return x
}

// Triangular says which equation TriangularSolve solves. The zero value is that of a lower triangle.
type Triangular struct {
	Upper        bool // the upper triangle of t holds the coefficients, instead of the lower one
	Transposed   bool // solve with the transpose of that triangle
	UnitDiagonal bool // take the diagonal as one
}

// TriangularSolve returns the x with t x = b, or t^T x = b, for t [..., n, n] of which one triangle is read and b [..., n, m]
// with the same leading axes, float32 or float64, by substitution. Where the diagonal holds a zero x holds infinities or
// NaN. The gradient of the other triangle is zero; it can be differentiated again. Panics on other shapes or dtypes.
func TriangularSolve(t, b *graph.Node, form Triangular) *graph.Node {
	checkSquare("TriangularSolve", "t", t)
	checkRight("TriangularSolve", "t", t, b)
	return graph.Reshape(form.solve(flatten(t), flatten(b)), b.Shape().Dimensions...)
}

func (form Triangular) solve(t, b *graph.Node) *graph.Node {
	constant := graph.StopGradient(t)
	if form.Transposed {
		constant = graph.Transpose(constant, 1, 2)
	}
	y := substitute(constant, graph.StopGradient(b), form.Upper == form.Transposed, form.UnitDiagonal)
	var x *graph.Node
	x = CustomGradient(y, []*graph.Node{t, b}, func(v *graph.Node) []*graph.Node {
		back := form
		back.Transposed = !back.Transposed
		db := back.solve(t, v)
		dt := product(db, x, false, true)
		if form.Transposed {
			dt = product(x, db, false, true)
		}
		return []*graph.Node{graph.Neg(triangle(dt, form.Upper, !form.UnitDiagonal)), db}
	})
	return x
}

// substitute solves a triangular equation from the first row on (lower), or from the last.
func substitute(t, b *graph.Node, lower, unit bool) *graph.Node {
	d := b.Shape().Dimensions
	batch, n := d[0], d[1]
	return loop(b.Graph(), n, func(k *graph.Node, s []*graph.Node) []*graph.Node {
		x, t := s[0], s[1]
		if !lower {
			k = graph.Sub(number(k.Graph(), k.DType(), float64(n-1)), k)
		}
		i := graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, batch, n), 1)
		isK := graph.Equal(i, broadcast(k, batch, n))
		column := pickColumn(t, k)
		value := pickRow(x, k)
		if !unit {
			value = graph.Div(value, across(pick(column, k), []int{batch, d[2]}, 1))
		}
		rest := graph.GreaterThan(i, broadcast(k, batch, n))
		if !lower {
			rest = graph.LessThan(i, broadcast(k, batch, n))
		}
		reduced := graph.Sub(x, graph.Mul(across(column, d, 1), across(value, d, 2)))
		x = graph.Where(across(rest, d, 1), reduced, x)
		return []*graph.Node{graph.Where(across(isK, d, 1), across(value, d, 2), x), t}
	}, b, t)[0]
}

// Cholesky returns the lower triangular l with a positive diagonal and l l^T = a, for a [..., n, n], float32 or float64. It
// reads the mean of a and its transpose, so that the gradient is symmetric. |l l^T - a| is a small multiple of n eps |a|. Where
// a matrix is not positive definite, or rounding makes it so, all of its l is NaN. Panics on other shapes or dtypes.
//
//	da = sym(l^-T low(l^T v) l^-1)      low: the lower triangle with half the diagonal
//
// It can be differentiated again. Source: Murray, Differentiation of the Cholesky decomposition, 2016.
func Cholesky(a *graph.Node) *graph.Node {
	checkSquare("Cholesky", "a", a)
	dims := a.Shape().Dimensions
	a = symmetrised(flatten(a))
	d := a.Shape().Dimensions
	batch, n := d[0], d[1]
	y := loop(a.Graph(), n, func(k *graph.Node, s []*graph.Node) []*graph.Node {
		rest := s[0]
		i := graph.Iota(rest.Graph(), shapes.Make(dtypes.Int32, batch, n), 1)
		isK := graph.Equal(i, broadcast(k, batch, n))
		column := pickColumn(rest, k)
		pivot := pick(column, k)
		nan := full(pivot, math.NaN())
		root := graph.Where(graph.GreaterThan(pivot, full(pivot, 0)), graph.Sqrt(pivot), nan)
		column = graph.Div(column, across(root, []int{batch, n}, 1))
		column = graph.Where(graph.GreaterOrEqual(i, broadcast(k, batch, n)), column, full(column, 0))
		reduced := graph.Sub(rest, graph.Mul(across(column, d, 1), across(column, d, 2)))
		rest = graph.Where(across(graph.GreaterThan(i, broadcast(k, batch, n)), d, 2), reduced, rest)
		return []*graph.Node{graph.Where(across(isK, d, 2), across(column, d, 1), rest)}
	}, a)[0]
	spoilt := times(graph.ReduceSum(diagonal(y), -1), 0.0) // NaN if the last steps are
	y = graph.Add(triangle(y, false, true), across(graph.ExpandAxes(spoilt, -1), d, 1))
	var l *graph.Node
	l = CustomGradient(y, []*graph.Node{a}, func(v *graph.Node) []*graph.Node {
		p := product(l, triangle(v, false, true), true, false)
		p = times(graph.Add(triangle(p, false, true), triangle(p, false, false)), 0.5)
		up := Triangular{Transposed: true}
		p = up.solve(l, p)
		return []*graph.Node{symmetrised(up.solve(l, graph.Transpose(p, 1, 2)))}
	})
	return graph.Reshape(l, dims...)
}

// SymmetricEigen returns the eigenvalues w [..., n], ascending, and the eigenvectors, the columns of q [..., n, n], of the mean
// of a [..., n, n] and its transpose: a q = q diag(w), float32 or float64. Of each vector the element of largest magnitude is
// positive. The method is Jacobi's with n/2 rotations at a time; errors of w, and |a q - q w|, are a small multiple of
// n eps max |w|, as is |q^T q - 1| of n eps. Where a holds NaN or an infinity, all of its results are NaN. Gradients are those of
//
//	da = q (diag(v_w) + K / (w_j - w_i)) q^T      K = (q^T v_q - v_q^T q) / 2
//
// and can be differentiated again. For eigenvalues that are equal, or nearer than 4 n eps max |w|, the vectors are not
// determined: the gradient of w is right nevertheless, but that of a loss in which q takes part is NaN, also where the loss does
// not depend on the choice of vectors. Panics on other shapes or dtypes.
//
// Source: Golub and Van Loan, Matrix computations, section 8.5, with the ordering of Brent and Luk, 1985; Giles, An extended
// collection of matrix derivative results, 2008.
func SymmetricEigen(a *graph.Node) (w, q *graph.Node) {
	checkSquare("SymmetricEigen", "a", a)
	dims := a.Shape().Dimensions
	a = symmetrised(flatten(a))
	d := a.Shape().Dimensions
	values, vectors := jacobi(graph.StopGradient(a))
	var columns, row *graph.Node
	columns = CustomGradient(vectors, []*graph.Node{a}, func(v *graph.Node) []*graph.Node {
		k := product(columns, v, true, false)
		k = times(graph.Sub(k, graph.Transpose(k, 1, 2)), 0.5)
		inner := overGap(k, graph.Sub(across(row, d, 2), across(row, d, 1)), row, d[1], true)
		return []*graph.Node{product(product(columns, inner, false, false), columns, false, true)}
	})
	row = CustomGradient(values, []*graph.Node{a}, func(v *graph.Node) []*graph.Node {
		return []*graph.Node{product(graph.Mul(columns, across(v, d, 2)), columns, false, true)}
	})
	return graph.Reshape(row, dims[:len(dims)-1]...), graph.Reshape(columns, dims...)
}

// jacobi returns the eigenvalues [batch, n] and the eigenvectors [batch, n, n] of a symmetric a.
func jacobi(a *graph.Node) (values, vectors *graph.Node) {
	g := a.Graph()
	batch, n := a.Shape().Dimensions[0], a.Shape().Dimensions[1]
	poison := graph.ReduceSum(times(a, 0.0), 1, 2)
	scale := atLeastSomething(largest(a))
	even := n + n%2
	d := []int{batch, even, even}
	scaled := PadConstant(graph.Div(a, perMatrix(scale)), 0, [][2]int{{}, {0, even - n}, {0, even - n}})
	h := even / 2
	tiny, eps := limits(a.DType())
	unfinished, out := loopWhile(g, sweeps*(even-1), func(s []*graph.Node) []*graph.Node {
		x, q := s[0], s[1]
		eye, off := pairMasks(x.Graph(), d)
		diag := stride(x, 0, even, even+1)
		app, aqq := graph.Slice(diag, graph.AxisRange(), graph.AxisRange(0, h)), graph.Slice(diag, graph.AxisRange(), graph.AxisRange(h, even))
		apq := stride(x, h, h, even+1)
		t, c, sn := rotation(app, aqq, apq, tiny)
		x = rotateRows(x, c, sn)
		x = graph.Transpose(rotateRows(graph.Transpose(x, 1, 2), c, sn), 1, 2)
		diag = graph.Concatenate([]*graph.Node{graph.Sub(app, graph.Mul(t, apq)), graph.Add(aqq, graph.Mul(t, apq))}, 1)
		x = graph.Where(eye, across(diag, d, 1), graph.Where(off, full(x, 0), x))
		left := graph.Abs(graph.Where(eye, full(x, 0), x))
		x = graph.Transpose(seats(graph.Transpose(seats(x), 1, 2)), 1, 2)
		q = seats(rotateRows(q, c, sn))
		return []*graph.Node{anyAbove(left, eps/8), x, q}
	}, scaled, identityLike(scaled))
	poison = graph.Add(poison, nanIf(unfinished, poison))
	w, q := diagonal(out[0]), out[1] // the rows of q are the vectors
	if even > n {
		last := graph.Reshape(graph.Slice(q, graph.AxisRange(), graph.AxisRange(), graph.AxisElem(even-1)), batch, even)
		w = graph.Where(graph.GreaterThan(last, full(last, 0.5)), full(w, math.Inf(1)), w)
	}
	order := ascending(w)
	w = graph.Slice(permuteRows(graph.ExpandAxes(w, -1), order), graph.AxisRange(), graph.AxisRange(0, n))
	q = graph.Slice(permuteRows(q, order), graph.AxisRange(), graph.AxisRange(0, n), graph.AxisRange(0, n))
	w = graph.Add(graph.Mul(w, perMatrix(scale)), perMatrix(poison))
	q = graph.Add(graph.Mul(q, signs(q)), perMatrix(poison))
	return graph.Reshape(w, batch, n), graph.Transpose(q, 1, 2)
}

// SVD returns u [..., m, k], s [..., k] and v [..., n, k] with a = u diag(s) v^T, for a [..., m, n], k = min(m, n), float32 or
// float64: s descends and is not negative, the columns of u and v are orthonormal also where a has less than full rank. Of each
// column of v (of u where m < n) the element of largest magnitude is positive. The method is Jacobi's on the columns of a, or
// its rows if m < n, k/2 rotations at a time; |a - u s v^T| is a small multiple of k eps max(s), and small singular values of a
// matrix with columns of different size are more exact than that. Where a holds NaN or an infinity, all of its results are
// NaN. Gradients can be differentiated again. For singular values that are equal, or nearer than 4 max(m, n) eps max(s), and
// for m unlike n those that are zero within that, the vectors are not determined: the gradient of s is right nevertheless (at
// zero, where |s| has a kink, it is one of its slopes), but that of a loss in which u or v takes part is NaN, also where
// the loss does not depend on the choice of vectors. Panics on other shapes or dtypes.
//
// Source: Hestenes, Inversion of matrices by biorthogonalization, 1958, with the ordering of Brent and Luk, 1985; the
// gradient: Townsend, Differentiating the singular value decomposition, 2016.
func SVD(a *graph.Node) (u, s, v *graph.Node) {
	checkReal("SVD", a, 2)
	dims := a.Shape().Dimensions
	lead := dims[:len(dims)-2]
	m, n := dims[len(dims)-2], dims[len(dims)-1]
	shape := func(x *graph.Node) *graph.Node {
		return graph.Reshape(x, append(slices.Clone(lead), x.Shape().Dimensions[1:]...)...)
	}
	a = flatten(a)
	if m < n {
		v, s, u = tallSVD(graph.Transpose(a, 1, 2))
	} else {
		u, s, v = tallSVD(a)
	}
	return shape(u), shape(s), shape(v)
}

// tallSVD is SVD for a [batch, m, n] with m >= n.
func tallSVD(a *graph.Node) (u, s, v *graph.Node) {
	d := a.Shape().Dimensions
	m, n := d[1], d[2]
	all := hestenes(graph.StopGradient(a))
	values := graph.Squeeze(cut(all, 1, m, m+1), 1)
	vectors := graph.Concatenate([]*graph.Node{cut(all, 1, 0, m), cut(all, 1, m+1, m+1+n)}, 1)
	parts := func(packed *graph.Node) (u, v *graph.Node) { return cut(packed, 1, 0, m), cut(packed, 1, m, m+n) }
	packed := CustomGradient(vectors, []*graph.Node{a}, func(adjoint *graph.Node) []*graph.Node {
		du, dv := parts(adjoint)
		square := []int{d[0], n, n}
		anti := func(x, dx *graph.Node) *graph.Node {
			k := product(x, dx, true, false)
			return times(graph.Sub(k, graph.Transpose(k, 1, 2)), 0.5)
		}
		ku, kv := anti(u, du), anti(v, dv)
		si, sj := across(s, square, 1), across(s, square, 2)
		// (2 ku sj + 2 si kv) / (sj^2 - si^2), without the squares:
		inner := overGap(graph.Add(ku, kv), graph.Sub(sj, si), s, m, true)
		inner = graph.Add(inner, overGap(graph.Sub(ku, kv), graph.Add(sj, si), s, m, true))
		da := product(u, inner, false, false)
		if m > n {
			beyond := graph.Sub(du, product(u, product(u, du, true, false), false, false))
			da = graph.Add(da, overGap(beyond, across(s, d, 2), s, m, false))
		}
		return []*graph.Node{product(da, v, false, true)}
	})
	u, v = parts(packed)
	s = CustomGradient(values, []*graph.Node{a}, func(adjoint *graph.Node) []*graph.Node {
		return []*graph.Node{product(graph.Mul(u, across(adjoint, d, 2)), v, false, true)}
	})
	return u, s, v
}

// hestenes returns u, s and v of a [batch, m, n] with m >= n, one above the other.
func hestenes(a *graph.Node) *graph.Node {
	g := a.Graph()
	d := a.Shape().Dimensions
	batch, m, n := d[0], d[1], d[2]
	poison := graph.ReduceSum(times(a, 0.0), 1, 2)
	scale := atLeastSomething(largest(a))
	even := n + n%2
	h := even / 2
	tiny, eps := limits(a.DType())
	x := graph.Transpose(graph.Div(a, perMatrix(scale)), 1, 2) // the rows are the columns of a
	x = PadConstant(x, 0, [][2]int{{}, {0, even - n}, {}})
	q := graph.BroadcastToDims(graph.ExpandAxes(graph.ConvertDType(graph.Diagonal(g, even), a.DType()), 0), batch, even, even)
	tolerance := eps * (8 + 2*math.Sqrt(float64(m))) // rounding alone leaves about half of it
	unfinished, out := loopWhile(g, sweeps*(even-1), func(s []*graph.Node) []*graph.Node {
		x, q, calm := s[0], s[1], s[2]
		top, bottom := graph.Slice(x, graph.AxisRange(), graph.AxisRange(0, h)), graph.Slice(x, graph.AxisRange(), graph.AxisRange(h, even))
		alpha, beta := sumInLoop(graph.Square(top), 2), sumInLoop(graph.Square(bottom), 2)
		gamma := sumInLoop(graph.Mul(top, bottom), 2)
		left := graph.Div(graph.Abs(gamma), plus(graph.Mul(graph.Sqrt(alpha), graph.Sqrt(beta)), tiny))
		gamma = graph.Where(graph.GreaterThan(left, full(left, tolerance)), gamma, full(gamma, 0))
		_, c, sn := rotation(alpha, beta, gamma, tiny)
		// It is done when no round of a whole sweep rotated anything.
		calm = graph.Where(graph.Equal(anyAbove(left, tolerance), number(calm.Graph(), dtypes.Int32, 1)), full(calm, 0), plus(calm, 1))
		more := graph.ConvertDType(graph.LessThan(calm, number(calm.Graph(), dtypes.Int32, float64(even-1))), dtypes.Int32)
		return []*graph.Node{more, seats(rotateRows(x, c, sn)), seats(rotateRows(q, c, sn)), calm}
	}, x, q, number(g, dtypes.Int32, 0))
	poison = graph.Add(poison, nanIf(unfinished, poison))
	x, q = out[0], out[1]
	s := graph.Sqrt(graph.ReduceSum(graph.Square(x), -1))
	if even > n {
		last := graph.Reshape(graph.Slice(q, graph.AxisRange(), graph.AxisRange(), graph.AxisElem(even-1)), batch, even)
		s = graph.Where(graph.GreaterThan(last, full(last, 0.5)), full(s, -1.0), s)
	}
	order := ascending(graph.Neg(s))
	first := func(v *graph.Node, columns int) *graph.Node {
		return graph.Slice(permuteRows(v, order), graph.AxisRange(), graph.AxisRange(0, n), graph.AxisRange(0, columns))
	}
	s = first(graph.ExpandAxes(s, -1), 1)
	x, q = first(x, m), first(q, n)
	zero := broadcast(graph.LessOrEqual(s, full(s, tiny)), batch, n, m)
	x = graph.Where(zero, full(x, 0), graph.Div(x, graph.Max(s, full(s, tiny))))
	sign := signs(q)
	u := graph.Transpose(orthonormal(graph.Transpose(graph.Mul(x, sign), 1, 2)), 1, 2)
	y := graph.Concatenate([]*graph.Node{u, graph.Mul(s, perMatrix(scale)), graph.Mul(q, sign)}, 2)
	return graph.Transpose(graph.Add(y, perMatrix(poison)), 1, 2)
}

// orthonormal returns x [batch, m, n], whose columns are of length one and orthogonal but for rounding, or zero, with
// orthonormal columns instead, by Householder's reflections: the zero ones are replaced by any that fit.
func orthonormal(x *graph.Node) *graph.Node {
	d := x.Shape().Dimensions
	batch, m, n := d[0], d[1], d[2]
	square, tall := []int{batch, n}, []int{batch, m}
	out := loop(x.Graph(), n, func(k *graph.Node, s []*graph.Node) []*graph.Node {
		r, reflectors, sign := s[0], s[1], s[2]
		row := graph.Iota(r.Graph(), shapes.Make(dtypes.Int32, batch, m), 1)
		isK := graph.Equal(graph.Iota(r.Graph(), shapes.Make(dtypes.Int32, square...), 1), broadcast(k, square...))
		column := pickColumn(r, k)
		column = graph.Where(graph.GreaterOrEqual(row, broadcast(k, batch, m)), column, full(column, 0))
		atK := graph.Equal(row, broadcast(k, batch, m))
		head := pick(column, k)
		minus := graph.LessThan(head, full(head, 0))
		length := graph.Sqrt(sumInLoop(graph.Square(column), 1))
		length = graph.Where(minus, graph.Neg(length), length)
		v := graph.Where(atK, graph.Add(column, across(length, tall, 1)), column)
		size := graph.Sqrt(sumInLoop(graph.Square(v), 1))
		some := graph.GreaterThan(size, full(size, 0.1)) // columns are of length one or zero
		v = times(graph.Div(v, across(graph.Where(some, size, full(size, 1)), tall, 1)), math.Sqrt2)
		v = graph.Where(across(some, tall, 1), v, full(v, 0))
		// The reflection takes the column to -length: a column of the result has the other sign, unless nothing was done.
		flip := graph.Where(graph.And(some, graph.Not(minus)), graph.Neg(full(size, 1)), full(size, 1))
		return []*graph.Node{
			reflect(r, v), graph.Where(across(isK, d, 2), across(v, d, 1), reflectors),
			graph.Where(isK, across(flip, square, 1), sign),
		}
	}, x, full(x, 0), graph.Ones(x.Graph(), shapes.Make(x.DType(), square...)))
	eye := graph.ConvertDType(graph.Equal(graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, d...), 1), graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, d...), 2)), x.DType())
	q := loop(x.Graph(), n, func(k *graph.Node, s []*graph.Node) []*graph.Node {
		q, reflectors := s[0], s[1]
		k = graph.Sub(number(k.Graph(), k.DType(), float64(n-1)), k)
		return []*graph.Node{reflect(q, pickColumn(reflectors, k)), reflectors}
	}, eye, out[1])[0]
	return graph.Mul(q, across(out[2], d, 2))
}

// reflect is x - v v^T x.
func reflect(x, v *graph.Node) *graph.Node {
	d := x.Shape().Dimensions
	along := sumInLoop(graph.Mul(x, across(v, d, 1)), 1)
	return graph.Sub(x, graph.Mul(across(v, d, 1), across(along, d, 2)))
}

// sweeps is how often Jacobi's methods meet every pair of columns at most; about ten is what they need, and what is not done
// by then is NaN.
const sweeps = 30

// limits are the size whose square is barely not zero, and the rounding unit.
func limits(dtype dtypes.DType) (tiny, eps float64) {
	if dtype == dtypes.Float32 {
		return 1e-18, 0x1p-23
	}
	return 1e-150, 0x1p-52
}

// rotation diagonalises [[p, x], [x, q]]: tangent, cosine and sine; x of at most tiny counts as zero.
func rotation(p, q, x *graph.Node, tiny float64) (t, c, s *graph.Node) {
	difference := graph.Sub(q, p)
	some := graph.GreaterThan(graph.Abs(x), full(x, tiny))
	double := times(graph.Where(some, x, full(x, 1)), 2.0)
	root := graph.Sqrt(graph.Add(graph.Square(difference), graph.Square(double)))
	t = graph.Div(double, graph.Add(graph.Abs(difference), root))
	t = graph.Where(graph.LessThan(difference, full(difference, 0)), graph.Neg(t), t)
	t = graph.Where(some, t, full(t, 0))
	c = graph.Div(full(t, 1), graph.Sqrt(plus(graph.Square(t), 1.0)))
	return t, c, graph.Mul(t, c)
}

// rotateRows turns each row i of the first half with row i of the second.
func rotateRows(x, c, s *graph.Node) *graph.Node {
	n := x.Shape().Dimensions[1]
	top, bottom := graph.Slice(x, graph.AxisRange(), graph.AxisRange(0, n/2)), graph.Slice(x, graph.AxisRange(), graph.AxisRange(n/2, n))
	c, s = across(c, top.Shape().Dimensions, 1), across(s, top.Shape().Dimensions, 1)
	return graph.Concatenate([]*graph.Node{graph.Sub(graph.Mul(top, c), graph.Mul(bottom, s)), graph.Add(graph.Mul(top, s), graph.Mul(bottom, c))}, 1)
}

// seats moves the rows on by one place, as players of a tournament where all meet all: the first one stays.
func seats(x *graph.Node) *graph.Node {
	n := x.Shape().Dimensions[1]
	h := n / 2
	if h == 1 {
		return x
	}
	rows := func(from, to int) *graph.Node { return graph.Slice(x, graph.AxisRange(), graph.AxisRange(from, to)) }
	parts := []*graph.Node{rows(0, 1), rows(h, h+1)}
	if h > 2 {
		parts = append(parts, rows(1, h-1))
	}
	return graph.Concatenate(append(parts, rows(h+1, n), rows(h-1, h)), 1)
}

// pairMasks are the diagonal, and the two places of each pair of rows that meet.
func pairMasks(g *graph.Graph, d []int) (eye, off *graph.Node) {
	i, j := graph.Iota(g, shapes.Make(dtypes.Int32, d...), 1), graph.Iota(g, shapes.Make(dtypes.Int32, d...), 2)
	return graph.Equal(i, j), graph.Equal(graph.Abs(graph.Sub(i, j)), number(g, dtypes.Int32, float64(d[1]/2)))
}

// anyAbove is 1 if an element of x is above the limit, else 0; NaN is not.
func anyAbove(x *graph.Node, limit float64) *graph.Node {
	over := graph.ConvertDType(graph.GreaterThan(x, full(x, limit)), dtypes.Float32)
	n := x.Shape().Size()
	count := graph.Reshape(graph.MatMul(graph.Reshape(over, 1, n), graph.Reshape(full(over, 1), n, 1)))
	return graph.ConvertDType(graph.GreaterThan(count, full(count, 0)), dtypes.Int32)
}

// atLeastSomething replaces zero, and what is not a finite number, by one.
func atLeastSomething(scale *graph.Node) *graph.Node {
	fine := graph.And(graph.GreaterThan(scale, full(scale, 0)), graph.LessThan(scale, full(scale, math.Inf(1))))
	return graph.Where(fine, scale, full(scale, 1))
}

// ascending is for each row of w [batch, n] the order of its elements.
func ascending(w *graph.Node) *graph.Node {
	batch, n := w.Shape().Dimensions[0], w.Shape().Dimensions[1]
	d := []int{batch, n, n}
	i, j := graph.Iota(w.Graph(), shapes.Make(dtypes.Int32, d...), 1), graph.Iota(w.Graph(), shapes.Make(dtypes.Int32, d...), 2)
	wi, wj := across(w, d, 1), across(w, d, 2)
	before := graph.Or(graph.LessThan(wj, wi), graph.And(graph.Equal(wj, wi), graph.LessThan(j, i)))
	rank := graph.ReduceSum(graph.ConvertDType(before, dtypes.Int32), -1)
	order := graph.ReduceSum(graph.Where(graph.Equal(across(rank, d, 1), j), i, full(i, 0)), 1)
	return graph.Min(order, full(order, float64(n-1))) // NaN has no order
}

// signs is for each row of x [batch, n, m] the sign of its element of largest magnitude, [batch, n, 1].
func signs(x *graph.Node) *graph.Node {
	d := x.Shape().Dimensions
	at := broadcast(graph.ExpandAxes(graph.ArgMax(graph.Abs(x), -1), -1), d...)
	value := graph.ReduceAndKeep(graph.Where(graph.Equal(graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, d...), 2), at), x, full(x, 0)), graph.ReduceSum, -1)
	return graph.Where(graph.LessThan(value, full(value, 0)), graph.Neg(full(value, 1)), full(value, 1))
}

// overGap is x / gap, and NaN where the gap is nothing beside the largest of the values [batch, .]: what the quotient tends to
// is not known there. The diagonal is zero if so wished.
func overGap(x, gap, values *graph.Node, n int, noDiagonal bool) *graph.Node {
	d := x.Shape().Dimensions
	_, eps := limits(x.DType())
	limit := times(largest(values), 4*eps*float64(n))
	closeBy := graph.LessOrEqual(graph.Abs(gap), graph.BroadcastToDims(perMatrix(limit), d...))
	y := graph.Where(closeBy, full(x, math.NaN()), graph.Div(x, graph.Where(closeBy, full(gap, 1), gap)))
	if noDiagonal {
		eye, _ := pairMasks(x.Graph(), d)
		y = graph.Where(eye, full(y, 0), y)
	}
	return y
}

// largest is the largest magnitude of each matrix or row.
func largest(x *graph.Node) *graph.Node {
	axes := []int{1, 2}
	return graph.ReduceMax(graph.Abs(graph.StopGradient(x)), axes[:x.Rank()-1]...)
}
