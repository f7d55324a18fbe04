package ops_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/ops"
)

// matrices are the matrices in an array of the last two axes m and n.
func matrices(data []float64, m, n int) []*mat.Dense {
	var list []*mat.Dense
	for i := 0; i+m*n <= len(data); i += m * n {
		list = append(list, mat.NewDense(m, n, append([]float64(nil), data[i:i+m*n]...)))
	}
	return list
}

// flat is the opposite of matrices.
func flat(list []*mat.Dense) []float64 {
	var data []float64
	for _, m := range list {
		data = append(data, m.RawMatrix().Data...)
	}
	return data
}

// positive draws symmetric matrices with eigenvalues above 1/2.
func positive(seed uint64, shape ...int) gradcheck.Input {
	in := gradcheck.Normal(seed, shape...)
	n := shape[len(shape)-1]
	for i, a := range matrices(in.Data, n, n) {
		var p mat.Dense
		p.Mul(a, a.T())
		for j := range n {
			p.Set(j, j, p.At(j, j)+0.5)
		}
		copy(in.Data[i*n*n:], p.RawMatrix().Data)
	}
	return in
}

func TestSolve(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, c := range []struct{ a, b []int }{
			{[]int{1, 1}, []int{1, 2}},
			{[]int{3, 3}, []int{3, 1}},
			{[]int{2, 1, 4, 4}, []int{2, 1, 4, 3}},
		} {
			t.Run(fmt.Sprint(c.a), func(t *testing.T) {
				a, b := gradcheck.Normal(1, c.a...), gradcheck.Normal(2, c.b...)
				for i := range a.Data { // near an exchange of rows: without pivoting this fails
					n := c.a[len(c.a)-1]
					row, column := i/n%n, i%n
					a.Data[i] *= 0.2
					if row+column == n-1 {
						a.Data[i] += 2
					} else if row == 0 && column == 0 {
						a.Data[i] = 0
					}
				}
				f := func(in []*Node) *Node { return ops.Solve(in[0], in[1]) }
				n, m := c.a[len(c.a)-1], c.b[len(c.b)-1]
				var want, inverses []*mat.Dense
				var logs, signs []float64
				right := matrices(b.Data, n, m)
				for i, am := range matrices(a.Data, n, n) {
					var x, inverse mat.Dense
					if err := x.Solve(am, right[i]); err != nil {
						t.Fatal(err)
					}
					if err := inverse.Inverse(am); err != nil {
						t.Fatal(err)
					}
					l, s := mat.LogDet(am)
					want, inverses, logs, signs = append(want, &x), append(inverses, &inverse), append(logs, l), append(signs, s)
				}
				got, shape := gradcheck.Eval(t, e.Backend, f, a, b)
				if fmt.Sprint(shape) != fmt.Sprint(c.b) {
					t.Fatalf("shape %v, want %v", shape, c.b)
				}
				near(t, got, flat(want), 1e-11)
				gradcheck.Check(t, e.Backend, f, a, b)
				checkTwice(t, e, f, a, b)
				inverse := func(in []*Node) *Node { return ops.InverseMatrix(in[0]) }
				got, _ = gradcheck.Eval(t, e.Backend, inverse, a)
				near(t, got, flat(inverses), 1e-11)
				gradcheck.Check(t, e.Backend, inverse, a)
				logDet := func(in []*Node) *Node { l, _ := ops.LogDet(in[0]); return l }
				got, shape = gradcheck.Eval(t, e.Backend, logDet, a)
				near(t, got, logs, 1e-12)
				if len(shape) != len(c.a)-2 {
					t.Fatalf("shape %v", shape)
				}
				gradcheck.Check(t, e.Backend, logDet, a)
				checkTwice(t, e, logDet, a)
				got, _ = gradcheck.Eval(t, e.Backend, func(in []*Node) *Node { _, s := ops.LogDet(in[0]); return s }, a)
				near(t, got, signs, 0)
			})
		}
		singular := gradcheck.Input{Shape: []int{2, 2}, Data: []float64{1, 2, 2, 4}}
		got, _ := gradcheck.Eval(t, e.Backend, func(in []*Node) *Node { l, s := ops.LogDet(in[0]); return Stack([]*Node{l, s}, 0) }, singular)
		if !math.IsInf(got[0], -1) || got[1] != 0 {
			t.Errorf("singular: %v", got)
		}
		got, _ = gradcheck.Eval(t, e.Backend, func(in []*Node) *Node { return ops.InverseMatrix(in[0]) }, singular)
		if !math.IsInf(got[3], 0) && !math.IsNaN(got[3]) {
			t.Errorf("inverse of a singular matrix: %v", got)
		}
	})
}

func TestTriangularSolve(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for i := range 8 {
			form := ops.Triangular{Upper: i&1 != 0, Transposed: i&2 != 0, UnitDiagonal: i&4 != 0}
			t.Run(fmt.Sprintf("%+v", form), func(t *testing.T) {
				a, b := gradcheck.Normal(3, 2, 3, 3), gradcheck.Normal(4, 2, 3, 2)
				f := func(in []*Node) *Node { return ops.TriangularSolve(in[0], in[1], form) }
				var want []*mat.Dense
				right := matrices(b.Data, 3, 2)
				for k, am := range matrices(a.Data, 3, 3) {
					am.Apply(func(i, j int, v float64) float64 {
						switch {
						case i == j && form.UnitDiagonal:
							return 1
						case i != j && (i < j) != form.Upper:
							return 0
						}
						return v
					}, am)
					var x mat.Dense
					var left mat.Matrix = am
					if form.Transposed {
						left = am.T()
					}
					if err := x.Solve(left, right[k]); err != nil {
						t.Fatal(err)
					}
					want = append(want, &x)
				}
				got, _ := gradcheck.Eval(t, e.Backend, f, a, b)
				near(t, got, flat(want), 1e-12)
				gradcheck.Check(t, e.Backend, f, a, b)
				if i%3 == 0 {
					checkTwice(t, e, f, a, b)
				}
			})
		}
	})
}

func TestCholesky(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		f := func(in []*Node) *Node { return ops.Cholesky(in[0]) }
		for _, shape := range [][]int{{1, 1}, {2, 3, 3}, {5, 5}} {
			a := positive(1, shape...)
			n := shape[len(shape)-1]
			var want []*mat.Dense
			for _, am := range matrices(a.Data, n, n) {
				var c mat.Cholesky
				if !c.Factorize(mat.NewSymDense(n, am.RawMatrix().Data)) {
					t.Fatal("not positive definite")
				}
				var l mat.TriDense
				c.LTo(&l)
				want = append(want, mat.DenseCopyOf(&l))
			}
			got, _ := gradcheck.Eval(t, e.Backend, f, a)
			near(t, got, flat(want), 1e-13)
			gradcheck.Check(t, e.Backend, f, a)
			if n < 5 {
				checkTwice(t, e, f, a)
			}
		}
		for _, data := range [][]float64{{1, 0, 0, -1}, {-1, 0, 0, 1}, {0, 0, 0, 0}, {1, 2, 2, 1}} {
			got, _ := gradcheck.Eval(t, e.Backend, f, gradcheck.Input{Shape: []int{2, 2, 2}, Data: append(data, 4, 0, 0, 9)})
			for i, v := range got[:4] {
				if !math.IsNaN(v) {
					t.Errorf("%v: value %d is %v, want NaN", data, i, v)
				}
			}
			near(t, got[4:], []float64{2, 0, 0, 3}, 0)
		}
	})
}

func TestSymmetricEigen(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		both := func(in []*Node) *Node {
			w, q := ops.SymmetricEigen(in[0])
			return Concatenate([]*Node{ExpandAxes(w, -2), q}, -2)
		}
		for _, shape := range [][]int{{1, 1}, {2, 2}, {2, 3, 3}, {5, 5}, {1, 2, 8, 8}} {
			t.Run(fmt.Sprint(shape), func(t *testing.T) {
				a := gradcheck.Normal(8, shape...)
				n := shape[len(shape)-1]
				var values []float64
				var symmetric []*mat.Dense
				for _, am := range matrices(a.Data, n, n) {
					var s mat.Dense
					s.Add(am, am.T())
					s.Scale(0.5, &s)
					var es mat.EigenSym
					if !es.Factorize(mat.NewSymDense(n, s.RawMatrix().Data), false) {
						t.Fatal("gonum failed")
					}
					values, symmetric = append(values, es.Values(nil)...), append(symmetric, &s)
				}
				got, _ := gradcheck.Eval(t, e.Backend, func(in []*Node) *Node { w, _ := ops.SymmetricEigen(in[0]); return w }, a)
				near(t, got, values, 1e-13)
				q, _ := gradcheck.Eval(t, e.Backend, func(in []*Node) *Node { _, q := ops.SymmetricEigen(in[0]); return q }, a)
				for k, qm := range matrices(q, n, n) {
					var aq, qw, qq mat.Dense
					aq.Mul(symmetric[k], qm)
					qw.Mul(qm, mat.NewDiagDense(n, values[k*n:k*n+n]))
					qq.Mul(qm.T(), qm)
					near(t, aq.RawMatrix().Data, qw.RawMatrix().Data, 1e-13)
					near(t, qq.RawMatrix().Data, identity(n), 1e-13)
					checkSigns(t, qm)
				}
				gradcheck.Check(t, e.Backend, both, a)
				if n < 5 {
					checkTwice(t, e, both, a)
				}
			})
		}
		// Equal eigenvalues: the values have their gradient, the vectors none.
		equal := gradcheck.Input{Shape: []int{3, 3}, Data: []float64{2, 0, 0, 0, 2, 0, 0, 0, 1}}
		gradcheck.Check(t, e.Backend, func(in []*Node) *Node {
			w, _ := ops.SymmetricEigen(in[0])
			return ReduceSum(Exp(w), -1)
		}, equal)
		got, _ := gradcheck.Eval(t, e.Backend, func(in []*Node) *Node {
			w, q := ops.SymmetricEigen(in[0])
			log := MatMul(Mul(q, ExpandAxes(Log(w), 0)), Transpose(q, 0, 1))
			return Gradient(ReduceAllSum(log), in[0])[0]
		}, equal)
		if !math.IsNaN(got[1]) {
			t.Errorf("gradient where vectors are not determined: %v, want NaN", got)
		}
		for _, scale := range []float64{0, 1e-200, 1e200} {
			got, _ := gradcheck.Eval(t, e.Backend, both, gradcheck.Input{Shape: []int{2, 2}, Data: []float64{0, scale, scale, 0}})
			near(t, got[:2], []float64{-scale, scale}, 1e-15)
		}
		got, _ = gradcheck.Eval(t, e.Backend, both, gradcheck.Input{Shape: []int{2, 2, 2}, Data: []float64{1, math.NaN(), 0, 1, 0, 1, 1, 0}})
		for i := range 6 {
			if !math.IsNaN(got[i]) {
				t.Errorf("value %d is %v where the input holds NaN", i, got[i])
			}
		}
		near(t, got[6:8], []float64{-1, 1}, 1e-15)
	})
}

func TestSVD(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		all := func(in []*Node) *Node {
			u, s, v := ops.SVD(in[0])
			return Concatenate([]*Node{u, ExpandAxes(s, -2), v}, -2)
		}
		for _, shape := range [][]int{{1, 1}, {1, 3}, {3, 2}, {2, 3, 3}, {2, 5}, {1, 2, 7, 4}} {
			t.Run(fmt.Sprint(shape), func(t *testing.T) {
				a := gradcheck.Normal(8, shape...)
				checkSVD(t, e, a, 1e-13)
				gradcheck.Check(t, e.Backend, all, a)
				if len(a.Data) < 10 {
					checkTwice(t, e, all, a)
				}
			})
		}
		// Less than full rank: everything but the gradient of what is not determined.
		low := gradcheck.Input{Shape: []int{4, 3}, Data: []float64{1, 2, 0, 2, 4, 0, 3, 6, 0, 4, 8, 0}}
		checkSVD(t, e, low, 1e-13)
		checkSVD(t, e, gradcheck.Input{Shape: []int{3, 3}, Data: make([]float64, 9)}, 1e-13)
		checkSVD(t, e, gradcheck.Input{Shape: []int{3, 3}, Data: identity(3)}, 1e-13)
		norm := func(in []*Node) *Node { _, s, _ := ops.SVD(in[0]); return ReduceAllSum(s) }
		var equal []float64
		for _, v := range identity(3) {
			equal = append(equal, 2*v)
		}
		gradcheck.Check(t, e.Backend, norm, gradcheck.Input{Shape: []int{3, 3}, Data: equal})
		got, _ := gradcheck.Eval(t, e.Backend, func(in []*Node) *Node {
			u, _, _ := ops.SVD(in[0])
			return Gradient(ReduceAllSum(Mul(u, Iota(u.Graph(), u.Shape(), 0))), in[0])[0]
		}, low)
		if !math.IsNaN(got[0]) {
			t.Errorf("gradient where vectors are not determined: %v, want NaN", got)
		}
		spoilt := gradcheck.Normal(1, 2, 3, 2)
		spoilt.Data[1] = math.Inf(1)
		got, _ = gradcheck.Eval(t, e.Backend, all, spoilt)
		for i, v := range got {
			if math.IsNaN(v) != (i < len(got)/2) {
				t.Errorf("value %d is %v where the first of two matrices holds an infinity", i, v)
			}
		}
		// Small singular values of columns of different size are exact.
		graded := gradcheck.Input{Shape: []int{2, 2}, Data: []float64{1, 1e-20, 1, -1e-20}}
		got, _ = gradcheck.Eval(t, e.Backend, func(in []*Node) *Node { _, s, _ := ops.SVD(in[0]); return s }, graded)
		if math.Abs(got[1]/(math.Sqrt2*1e-20)-1) > 1e-15 {
			t.Errorf("graded: %v", got)
		}
	})
}

// checkSVD compares the singular values with gonum's, and checks all that is promised of the vectors.
func checkSVD(t *testing.T, e *engine.Engine, a gradcheck.Input, tolerance float64) {
	t.Helper()
	m, n := a.Shape[len(a.Shape)-2], a.Shape[len(a.Shape)-1]
	k := min(m, n)
	part := func(which int) []float64 {
		got, _ := gradcheck.Eval(t, e.Backend, func(in []*Node) *Node {
			u, s, v := ops.SVD(in[0])
			return []*Node{u, s, v}[which]
		}, a)
		return got
	}
	us, ss, vs := matrices(part(0), m, k), part(1), matrices(part(2), n, k)
	for i, am := range matrices(a.Data, m, n) {
		var svd mat.SVD
		if !svd.Factorize(am, mat.SVDNone) {
			t.Fatal("gonum failed")
		}
		near(t, ss[i*k:i*k+k], svd.Values(nil), tolerance)
		var us1, back, uu, vv mat.Dense
		us1.Mul(us[i], mat.NewDiagDense(k, ss[i*k:i*k+k]))
		back.Mul(&us1, vs[i].T())
		near(t, back.RawMatrix().Data, am.RawMatrix().Data, tolerance)
		uu.Mul(us[i].T(), us[i])
		vv.Mul(vs[i].T(), vs[i])
		near(t, uu.RawMatrix().Data, identity(k), tolerance)
		near(t, vv.RawMatrix().Data, identity(k), tolerance)
		if m >= n {
			checkSigns(t, vs[i])
		} else {
			checkSigns(t, us[i])
		}
	}
}

// TestLinalgLarge logs times for n = 64 and checks accuracy there, float32 too.
func TestLinalgLarge(t *testing.T) {
	const n = 64
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		checkSVD(t, e, gradcheck.Normal(1, 70, n), 1e-12)
		for name, f := range map[string]func(x *Node) (value, back, want *Node){
			"solve": func(x *Node) (value, back, want *Node) {
				y := ops.Solve(x, x)
				return y, MatMul(x, y), x
			},
			"cholesky": func(x *Node) (value, back, want *Node) {
				p := MatMul(x, Transpose(x, 0, 1))
				l := ops.Cholesky(p)
				return l, MatMul(l, Transpose(l, 0, 1)), p
			},
			"eigen": func(x *Node) (value, back, want *Node) {
				p := Add(x, Transpose(x, 0, 1))
				w, q := ops.SymmetricEigen(p)
				return q, MatMul(Mul(q, ExpandAxes(w, 0)), Transpose(q, 0, 1)), p
			},
			"svd": func(x *Node) (value, back, want *Node) {
				u, s, v := ops.SVD(x)
				return u, MatMul(Mul(u, ExpandAxes(s, 0)), Transpose(v, 0, 1)), x
			},
		} {
			t.Run(name, func(t *testing.T) {
				x := gradcheck.Normal(1, n, n)
				exec := MustNewExec(e.Backend, func(x *Node) []*Node {
					value, back, want := f(x)
					lost := Div(Sqrt(ReduceAllSum(Square(Sub(back, want)))), Sqrt(ReduceAllSum(Square(want))))
					return []*Node{lost, Gradient(ReduceAllSum(Mul(value, x)), x)[0]}
				})
				wide, small := tensors.FromFlatDataAndDimensions(x.Data, n, n), tensors.FromFlatDataAndDimensions(narrow(x.Data), n, n)
				start := time.Now()
				lost := tensors.ToScalar[float64](exec.MustCall(wide)[0])
				first := time.Since(start)
				start = time.Now()
				exec.MustCall(wide)
				second := time.Since(start)
				lost32 := float64(tensors.ToScalar[float32](exec.MustCall(small)[0]))
				t.Logf("value and gradient: first %v, then %v; error %.2g, in float32 %.2g", first, second, lost, lost32)
				if !(lost < 1e-13) || !(lost32 < 5e-5) {
					t.Errorf("error %.2g, in float32 %.2g", lost, lost32)
				}
			})
		}
	})
}

// TestJacobiEnds checks that the methods get there for many small matrices in float32 and float64: if not, they are NaN.
func TestJacobiEnds(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, shape := range [][]int{{500, 2, 2}, {300, 5, 3}, {100, 6, 6}, {3, 33, 33}} {
			x := gradcheck.Normal(9, shape...)
			for i := range x.Data { // of very different size
				x.Data[i] *= math.Pow(10, float64(i%7-3))
			}
			exec := MustNewExec(e.Backend, func(x *Node) *Node {
				u, s, v := ops.SVD(x)
				lost := Abs(Sub(Einsum("bik,bjk->bij", Mul(u, ExpandAxes(s, 1)), v), x))
				gram := Einsum("bij,bik->bjk", x, x)
				w, q := ops.SymmetricEigen(gram)
				lost2 := Abs(Sub(Einsum("bik,bjk->bij", Mul(q, ExpandAxes(w, 1)), q), gram))
				return ConvertDType(Add(
					ReduceAllMax(Div(ReduceMax(lost, 1, 2), ReduceMax(s, -1))),
					ReduceAllMax(Div(ReduceMax(lost2, 1, 2), ReduceMax(w, -1))),
				), dtypes.Float64)
			})
			for limit, in := range map[float64]*tensors.Tensor{
				1e-13: tensors.FromFlatDataAndDimensions(x.Data, shape...),
				4e-5:  tensors.FromFlatDataAndDimensions(narrow(x.Data), shape...),
			} {
				if lost := tensors.ToScalar[float64](exec.MustCall(in)[0]); !(lost < limit) {
					t.Errorf("%v: error %v, want %v", shape, lost, limit)
				} else {
					t.Logf("%v: error %v", shape, lost)
				}
			}
		}
	})
}

func TestLinalgRefuses(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		a, b := gradcheck.Normal(1, 2, 3, 3), gradcheck.Normal(1, 2, 3, 4)
		for want, f := range map[string]func(in []*Node) *Node{
			"ops.Solve: a is":           func(in []*Node) *Node { return ops.Solve(in[1], in[0]) },
			"ops.Solve: b is":           func(in []*Node) *Node { return ops.Solve(in[0], Reshape(in[1], 1, 2, 3, 4)) },
			"b is nil":                  func(in []*Node) *Node { return ops.Solve(in[0], nil) },
			"ops.TriangularSolve: b is": func(in []*Node) *Node { return ops.TriangularSolve(in[0], Transpose(in[1], 1, 2), ops.Triangular{}) },
			"a is nil":                  func(_ []*Node) *Node { return ops.Cholesky(nil) },
			"ops.InverseMatrix: a is":   func(in []*Node) *Node { return ops.InverseMatrix(in[1]) },
			"ops.LogDet: a is":          func(in []*Node) *Node { l, _ := ops.LogDet(in[1]); return l },
			"ops.SymmetricEigen: a is":  func(in []*Node) *Node { w, _ := ops.SymmetricEigen(in[1]); return w },
			"ops.SVD: x is (Int32)":     func(in []*Node) *Node { _, s, _ := ops.SVD(Const(in[0].Graph(), [][]int32{{1, 2}, {3, 4}})); return s },
		} {
			if got := gradcheck.Panics(e.Backend, f, a, b); !strings.Contains(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}

func identity(n int) []float64 {
	data := make([]float64, n*n)
	for i := range n {
		data[i*n+i] = 1
	}
	return data
}

// checkSigns checks that of each column the element of largest magnitude is positive.
func checkSigns(t *testing.T, q *mat.Dense) {
	t.Helper()
	_, n := q.Dims()
	for j := range n {
		column := mat.Col(nil, j, q)
		largest := 0.0
		for _, v := range column {
			if math.Abs(v) > math.Abs(largest)+1e-9 {
				largest = v
			}
		}
		if largest < 0 {
			t.Errorf("column %d: %v", j, column)
		}
	}
}
