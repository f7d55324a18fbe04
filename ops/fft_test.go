package ops_test

import (
	"fmt"
	"math"
	"math/cmplx"
	"strings"
	"testing"
	"time"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/ops"
)

// stacked turns a function of pairs into one of a real array for each part, with the parts of its value stacked.
func stacked(f func(z ops.ComplexPair) ops.ComplexPair) func(in []*Node) *Node {
	return func(in []*Node) *Node {
		y := f(ops.ComplexPair{Re: in[0], Im: in[1]})
		return Stack([]*Node{y.Re, y.Im}, 0)
	}
}

// checkTwice checks second derivatives: it is gradcheck.Check of the gradient of a third of the sum of f cubed by the first
// input. Short tests leave it out.
func checkTwice(t *testing.T, e *engine.Engine, f func(in []*Node) *Node, inputs ...gradcheck.Input) {
	t.Helper()
	if testing.Short() {
		return
	}
	gradcheck.Check(t, e.Backend, func(in []*Node) *Node {
		y := f(in)
		return Gradient(ReduceAllSum(Mul(y, Mul(y, MulScalar(y, 1.0/3)))), in[0])[0]
	}, inputs...)
}

func TestDFT(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, shape := range [][]int{{1}, {2}, {3}, {2, 8}, {1, 3, 15}, {67}, {130}} {
			t.Run(fmt.Sprint(shape), func(t *testing.T) {
				n := shape[len(shape)-1]
				x, im := gradcheck.Normal(1, shape...), gradcheck.Normal(2, shape...)
				forward, back := stacked(ops.DFT), stacked(ops.InverseDFT)
				got, _ := gradcheck.Eval(t, e.Backend, forward, x, im)
				near(t, got, naiveDFT(x.Data, im.Data, n, -1, 1), 1e-11)
				got, _ = gradcheck.Eval(t, e.Backend, back, x, im)
				near(t, got, naiveDFT(x.Data, im.Data, n, 1, 1/float64(n)), 1e-12)
				real := func(in []*Node) *Node {
					y := ops.RealDFT(in[0])
					return Stack([]*Node{y.Re, y.Im}, 0)
				}
				got, _ = gradcheck.Eval(t, e.Backend, real, x)
				whole := naiveDFT(x.Data, make([]float64, len(x.Data)), n, -1, 1)
				var half []float64
				for i, v := range whole {
					if i%n <= n/2 {
						half = append(half, v)
					}
				}
				near(t, got, half, 1e-11)
				undo := func(in []*Node) *Node { return ops.InverseRealDFT(ops.RealDFT(in[0]), n) }
				got, _ = gradcheck.Eval(t, e.Backend, undo, x)
				near(t, got, x.Data, 1e-12)
				halfShape := append(append([]int(nil), shape[:len(shape)-1]...), n/2+1)
				re, ie := gradcheck.Normal(3, halfShape...), gradcheck.Normal(4, halfShape...)
				inverse := func(in []*Node) *Node {
					unused := MulScalar(ReduceAllSum(in[1]), 0.0) // the Go engine crashes where the last parameter is not used at all
					return Add(ops.InverseRealDFT(ops.ComplexPair{Re: in[0], Im: in[1]}, n), unused)
				}
				got, _ = gradcheck.Eval(t, e.Backend, inverse, re, ie)
				near(t, got, naiveInverseReal(re.Data, ie.Data, n), 1e-12)
				if n > 20 {
					return
				}
				gradcheck.Check(t, e.Backend, forward, x, im)
				gradcheck.Check(t, e.Backend, back, x, im)
				gradcheck.Check(t, e.Backend, real, x)
				gradcheck.Check(t, e.Backend, inverse, re, ie)
				for _, f := range []func([]*Node) *Node{forward, back} {
					checkTwice(t, e, f, x, im)
				}
				checkTwice(t, e, real, x)
				checkTwice(t, e, inverse, re, ie)
			})
		}
	})
}

func TestDFT2(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, shape := range [][]int{{1, 1}, {3, 4}, {2, 6, 5}, {2, 1, 2, 3}} {
			t.Run(fmt.Sprint(shape), func(t *testing.T) {
				x, im := gradcheck.Normal(1, shape...), gradcheck.Normal(2, shape...)
				rows, columns := shape[len(shape)-2], shape[len(shape)-1]
				got, _ := gradcheck.Eval(t, e.Backend, stacked(ops.DFT2), x, im)
				near(t, got, naiveDFT2(x.Data, im.Data, rows, columns, -1, 1), 1e-12)
				got, _ = gradcheck.Eval(t, e.Backend, stacked(ops.InverseDFT2), x, im)
				near(t, got, naiveDFT2(x.Data, im.Data, rows, columns, 1, 1/float64(rows*columns)), 1e-12)
				real := func(in []*Node) *Node {
					y := ops.RealDFT2(in[0])
					return Stack([]*Node{y.Re, y.Im}, 0)
				}
				got, _ = gradcheck.Eval(t, e.Backend, real, x)
				var half []float64
				for i, v := range naiveDFT2(x.Data, make([]float64, len(x.Data)), rows, columns, -1, 1) {
					if i%columns <= columns/2 {
						half = append(half, v)
					}
				}
				near(t, got, half, 1e-12)
				undo := func(in []*Node) *Node { return ops.InverseRealDFT2(ops.RealDFT2(in[0]), columns) }
				got, _ = gradcheck.Eval(t, e.Backend, undo, x)
				near(t, got, x.Data, 1e-12)
				gradcheck.Check(t, e.Backend, stacked(ops.DFT2), x, im)
				gradcheck.Check(t, e.Backend, stacked(ops.InverseDFT2), x, im)
				gradcheck.Check(t, e.Backend, real, x)
				filter := func(in []*Node) *Node { // a product between, whose gradient is wrong with complex numbers of the engine
					return ops.InverseRealDFT2(ops.RealDFT2(in[0]).Mul(ops.RealDFT2(in[1])), columns)
				}
				gradcheck.Check(t, e.Backend, filter, x, im)
				checkTwice(t, e, filter, x, im)
			})
		}
	})
}

// TestDFTLong checks the accuracy that is promised, and that a long transform takes neither a large constant nor long.
func TestDFTLong(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, n := range []int{4096, 4099, 3 * 5 * 7 * 11} {
			x, im := gradcheck.Normal(1, n), gradcheck.Normal(2, n)
			want := naiveDFT(x.Data, im.Data, n, -1, 1)
			exec := MustNewExec(e.Backend, func(re, im *Node) *Node {
				y := ops.DFT(ops.ComplexPair{Re: re, Im: im})
				return Stack([]*Node{y.Re, y.Im}, 0)
			})
			start := time.Now()
			got := tensors.MustCopyFlatData[float64](exec.MustCall(x.Data, im.Data)[0])
			first := time.Since(start)
			start = time.Now()
			exec.MustCall(x.Data, im.Data)
			second := time.Since(start)
			wide := rms(got, want)
			narrowed := tensors.MustCopyFlatData[float32](exec.MustCall(narrow(x.Data), narrow(im.Data))[0])
			t.Logf("n %d: first %v, then %v; error %.2g, in float32 %.2g", n, first, second, wide, rms(widen(narrowed), want))
			bits := math.Log2(float64(n))
			if wide > 1e-15*bits || rms(widen(narrowed), want) > 5e-7*bits {
				t.Errorf("n %d: error %.2g, in float32 %.2g", n, wide, rms(widen(narrowed), want))
			}
		}
	})
}

func TestComplexPair(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		a, b := complex(1, 2), complex(-3, 0.5)
		f := func(in []*Node) *Node {
			z := ops.ComplexPair{Re: in[0], Im: in[1]}
			w := ops.ComplexPair{Re: Scalar(in[0].Graph(), in[0].DType(), -3), Im: Scalar(in[0].Graph(), in[0].DType(), 0.5)}
			y := z.Add(w).Mul(z.Sub(w)).Mul(z.Conj()).Scale(2).MulReal(z.Abs2())
			return Stack([]*Node{y.Re, y.Im}, 0)
		}
		x, im := gradcheck.Input{Data: []float64{1}}, gradcheck.Input{Data: []float64{2}}
		want := (a + b) * (a - b) * cmplx.Conj(a) * 2 * 5
		got, _ := gradcheck.Eval(t, e.Backend, f, x, im)
		near(t, got, []float64{real(want), imag(want)}, 1e-14)
		gradcheck.Check(t, e.Backend, f, x, im)
	})
}

func TestDFTRefuses(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x, other := gradcheck.Normal(1, 3, 4), gradcheck.Normal(1, 3, 5)
		for want, f := range map[string]func(in []*Node) *Node{
			"ops.DFT: the parts of x are":    func(in []*Node) *Node { return ops.DFT(ops.ComplexPair{Re: in[0], Im: in[1]}).Re },
			"ops.InverseDFT: x is nil":       func(in []*Node) *Node { return ops.InverseDFT(ops.ComplexPair{Re: in[0]}).Re },
			"with 2 axes or more":            func(in []*Node) *Node { return ops.RealDFT2(Reshape(in[0], 12)).Re },
			"ops.RealDFT: x is (Int32)":      func(in []*Node) *Node { return ops.RealDFT(Const(in[0].Graph(), []int32{1, 2})).Re },
			"want 5 values in the last axis": func(in []*Node) *Node { return ops.InverseRealDFT(ops.ComplexPair{Re: in[0], Im: in[0]}, 8) },
			"InverseRealDFT2: x is":          func(in []*Node) *Node { return ops.InverseRealDFT2(ops.ComplexPair{Re: in[0], Im: in[0]}, 0) },
		} {
			if got := gradcheck.Panics(e.Backend, f, x, other); !strings.Contains(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}

func narrow(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}

func widen(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// rms is the root of the mean squared error relative to that of want.
func rms(got, want []float64) float64 {
	sum, size := 0.0, 0.0
	for i, w := range want {
		sum += (got[i] - w) * (got[i] - w)
		size += w * w
	}
	return math.Sqrt(sum / size)
}

// naiveDFT is the formula row by row: the real parts of all values, then the imaginary ones.
func naiveDFT(re, im []float64, n int, sign, scale float64) []float64 {
	y := make([]float64, 2*len(re))
	roots := make([]complex128, n)
	for j := range roots {
		s, c := math.Sincos(sign * 2 * math.Pi * float64(j) / float64(n))
		roots[j] = complex(c, s)
	}
	for i := range re {
		row, k := i/n*n, i%n
		sum := 0i
		for j := range n {
			sum += complex(re[row+j], im[row+j]) * roots[j*k%n]
		}
		y[i], y[len(re)+i] = real(sum)*scale, imag(sum)*scale
	}
	return y
}

func naiveDFT2(re, im []float64, rows, columns int, sign, scale float64) []float64 {
	y := naiveDFT(re, im, columns, sign, scale)
	size := len(re)
	swap := func(x []float64, rows, columns int) []float64 {
		z := make([]float64, len(x))
		for i := range x {
			image, r, c := i/(rows*columns), i/columns%rows, i%columns
			z[image*rows*columns+c*rows+r] = x[i]
		}
		return z
	}
	y = naiveDFT(swap(y[:size], rows, columns), swap(y[size:], rows, columns), rows, sign, 1)
	return append(swap(y[:size], columns, rows), swap(y[size:], columns, rows)...)
}

func naiveInverseReal(re, im []float64, n int) []float64 {
	half := n/2 + 1
	var y []float64
	for row := 0; row < len(re); row += half {
		for j := range n {
			sum := re[row]
			for k := 1; k < n; k++ {
				s, c := math.Sincos(2 * math.Pi * float64(j*k%n) / float64(n))
				switch {
				case 2*k == n:
					sum += re[row+k] * c
				case k < half:
					sum += 2 * (re[row+k]*c - im[row+k]*s)
				}
			}
			y = append(y, sum/float64(n))
		}
	}
	return y
}
