package ops_test

import (
	"math"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/ops"
)

func TestCondAndLoop(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := list(-4, 0.5, 2)
		for _, taken := range []bool{false, true} {
			f := func(in []*Node) *Node {
				return ops.Cond(Const(in[0].Graph(), taken), in,
					func(x []*Node) []*Node { return []*Node{Log(x[0])} }, // NaN at -4, and its gradient too
					func(x []*Node) []*Node { return []*Node{Square(x[0])} })[0]
			}
			if !taken {
				got, _ := gradcheck.Eval(t, e, f, x)
				near(t, got, []float64{16, 0.25, 4}, 1e-15)
				twice(t, e, f, x)
			} else {
				twice(t, e, f, list(0.5, 2))
			}
		}
		loop := func(in []*Node) *Node {
			return ops.Loop(5, in, func(i int, s []*Node) []*Node {
				return []*Node{Add(Tanh(MatMul(s[0], s[1])), MulScalar(s[0], float64(i)*0.1)), s[1]}
			})[0]
		}
		twice(t, e, loop, gradcheck.Normal(1, 2, 3), gradcheck.Normal(2, 3, 3))
		for want, f := range map[string]func(x *Node) []*Node{
			"want one bool": func(x *Node) []*Node { return ops.Cond(x, nil, nil, nil) },
			"the other 0": func(x *Node) []*Node {
				return ops.Cond(Const(x.Graph(), true), []*Node{x}, func(x []*Node) []*Node { return x }, func([]*Node) []*Node { return nil })
			},
			"result 0 is": func(x *Node) []*Node {
				return ops.Cond(Const(x.Graph(), true), []*Node{x}, func(x []*Node) []*Node { return x }, func(x []*Node) []*Node { return []*Node{ReduceAllSum(x[0])} })
			},
			"turns state 0": func(x *Node) []*Node {
				return ops.Loop(1, []*Node{x}, func(_ int, s []*Node) []*Node { return []*Node{ReduceAllSum(s[0])} })
			},
			"returns 0 sta": func(x *Node) []*Node { return ops.Loop(1, []*Node{x}, func(int, []*Node) []*Node { return nil }) },
		} {
			if got := gradcheck.Panics(e, func(in []*Node) *Node { return f(in[0])[0] }, x); !strings.Contains(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}

func TestMaskedSoftmax(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := gradcheck.Normal(1, 3, 4)
		mask := func(g *Graph) *Node {
			return Const(g, [][]bool{{true, false, true, true}, {false, false, false, false}, {true, true, true, true}})
		}
		soft := func(in []*Node) *Node { return ops.MaskedSoftmax(in[0], mask(in[0].Graph()), -1) }
		logs := func(in []*Node) *Node { return ops.MaskedLogSoftmax(in[0], mask(in[0].Graph()), 1) }
		keep := [][]int{{0, 2, 3}, {}, {0, 1, 2, 3}}
		want, wantLog := make([]float64, 12), make([]float64, 12)
		for i, columns := range keep {
			sum := 0.0
			for _, k := range columns {
				sum += math.Exp(x.Data[i*4+k])
			}
			for _, k := range columns {
				want[i*4+k] = math.Exp(x.Data[i*4+k]) / sum
				wantLog[i*4+k] = x.Data[i*4+k] - math.Log(sum)
			}
		}
		got, _ := gradcheck.Eval(t, e, soft, x)
		near(t, got, want, 1e-14)
		got, _ = gradcheck.Eval(t, e, logs, x)
		near(t, got, wantLog, 1e-14)
		sums := func(in []*Node) *Node { return ops.MaskedLogSumExp(in[0], mask(in[0].Graph()), 1) }
		got, _ = gradcheck.Eval(t, e, sums, x)
		if !math.IsInf(got[1], -1) {
			t.Errorf("the sum over nothing has the logarithm %v, want minus infinity", got[1])
		}
		near(t, []float64{got[0], got[2]}, []float64{x.Data[0] - wantLog[0], x.Data[8] - wantLog[8]}, 1e-14)
		twice(t, e, soft, x)
		twice(t, e, logs, x)
		twice(t, e, func(in []*Node) *Node { return ops.MaskedSoftmax(in[0], nil, 0) }, x)

		// What is hidden, and large values, do no harm; neither in the gradient.
		wild := gradcheck.Input{Shape: []int{3, 4}, Data: []float64{1e300, math.NaN(), 1e300, -1e300, math.NaN(), math.Inf(1), math.Inf(-1), 0, 1, 2, 3, 4}}
		got, _ = gradcheck.Eval(t, e, soft, wild)
		near(t, got[:8], []float64{0.5, 0, 0.5, 0, 0, 0, 0, 0}, 0)
		got, _ = gradcheck.Eval(t, e, func(in []*Node) *Node { return Gradient(ReduceAllSum(Square(soft(in))), in[0])[0] }, wild)
		for i, v := range got {
			if v != v {
				t.Errorf("gradient %d is %v", i, v)
			}
		}

		for _, dtype := range []dtypes.DType{dtypes.BFloat16, dtypes.Float16} {
			narrow := func(in []*Node) *Node {
				y := ops.MaskedSoftmax(ConvertDType(in[0], dtype), mask(in[0].Graph()), -1)
				if y.DType() != dtype {
					t.Errorf("%s gives %s", dtype, y.DType())
				}
				return ConvertDType(y, dtypes.Float64)
			}
			got, _ := gradcheck.Eval(t, e, narrow, x)
			near(t, got, want, 0.02)
			got, _ = gradcheck.Eval(t, e, func(in []*Node) *Node { return Gradient(ReduceAllSum(Square(narrow(in))), in[0])[0] }, x)
			exact, _ := gradcheck.Eval(t, e, func(in []*Node) *Node { return Gradient(ReduceAllSum(Square(soft(in))), in[0])[0] }, x)
			near(t, got, exact, 0.02)
		}
		if got := gradcheck.Panics(e, func(in []*Node) *Node { return ops.MaskedSoftmax(in[0], in[0], -1) }, x); !strings.Contains(got, "want bools of x's rank") {
			t.Errorf("got %q", got)
		}
	})
}

// TestEinsum shows that GoMLX's own is right where methods use it.
func TestEinsum(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		twice(t, e, func(in []*Node) *Node { return Einsum("bqhd,bkhd->bhqk", in[0], in[1]) }, gradcheck.Normal(1, 2, 2, 1, 3), gradcheck.Normal(2, 2, 3, 1, 3))
		twice(t, e, func(in []*Node) *Node { return Einsum("ij,jk->ki", in[0], in[1]) }, gradcheck.Normal(1, 2, 3), gradcheck.Normal(2, 3, 2))
	})
}

func TestAttention(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		q, k, v := gradcheck.Normal(1, 2, 1, 3, 4), gradcheck.Normal(2, 2, 1, 5, 4), gradcheck.Normal(3, 2, 1, 5, 2)
		for _, masked := range []bool{false, true} {
			mask := func(g *Graph) *Node {
				if !masked {
					return nil
				}
				return Const(g, [][][][]bool{{{{true, false, true, true, false}, {false, false, false, false, false}, {true, true, true, true, true}}}})
			}
			f := func(in []*Node) *Node { return ops.Attention(in[0], in[1], in[2], mask(in[0].Graph())) }
			plain := func(in []*Node) *Node {
				s := MulScalar(Einsum("bhqd,bhkd->bhqk", in[0], in[1]), 0.5)
				return Einsum("bhqk,bhke->bhqe", ops.MaskedSoftmax(s, mask(s.Graph()), -1), in[2])
			}
			got, _ := gradcheck.Eval(t, e, f, q, k, v)
			want, _ := gradcheck.Eval(t, e, plain, q, k, v)
			near(t, got, want, 1e-13)
			twice(t, e, f, q, k, v)
		}
		if got := gradcheck.Panics(e, func(in []*Node) *Node { return ops.Attention(in[0], in[1], in[0], nil) }, q, k); !strings.Contains(got, "ops.Attention") {
			t.Errorf("got %q", got)
		}
	})
}
