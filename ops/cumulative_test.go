package ops_test

import (
	"fmt"
	"math"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/ops"
)

func TestCumulative(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, shape := range [][]int{{1}, {8}, {2, 7}, {3, 5, 1}} {
			for axis := range shape {
				for _, exclusive := range []bool{false, true} {
					for _, reverse := range []bool{false, true} {
						c := ops.Cumulative{Axis: axis - len(shape), Exclusive: exclusive, Reverse: reverse}
						t.Run(fmt.Sprint(shape, c), func(t *testing.T) {
							x := gradcheck.Normal(1, shape...)
							if len(x.Data) > 3 {
								x.Data[1], x.Data[3] = 0, 0 // the gradient of a product must not divide by them
							}
							sum := func(in []*Node) *Node { return c.Sum(in[0]) }
							product := func(in []*Node) *Node { return c.Product(in[0]) }
							got, _ := gradcheck.Eval(t, e, sum, x)
							near(t, got, naiveScan(c, axis, x, 0, func(a, b float64) float64 { return a + b }), 1e-13)
							got, _ = gradcheck.Eval(t, e, product, x)
							near(t, got, naiveScan(c, axis, x, 1, func(a, b float64) float64 { return a * b }), 1e-13)
							twice(t, e, sum, x)
							twice(t, e, product, x)
						})
					}
				}
			}
		}
		got, _ := gradcheck.Eval(t, e, func(in []*Node) *Node { return ops.Cumulative{}.Sum(in[0]) }, list(1, math.Inf(1), 2, math.NaN(), 3))
		if got[0] != 1 || !math.IsInf(got[2], 1) || !math.IsNaN(got[4]) {
			t.Errorf("a NaN and an infinity reach what comes after them alone; got %v", got)
		}

		x := gradcheck.Normal(1, 2, 3, 2)
		twice(t, e, func(in []*Node) *Node { return ops.Reverse(in[0], 0, -1) }, x)
		got, _ = gradcheck.Eval(t, e, func(in []*Node) *Node { return ops.Reverse(in[0], 1) }, gradcheck.Input{Shape: []int{1, 3}, Data: []float64{1, 2, 3}})
		near(t, got, []float64{3, 2, 1}, 0)
		for _, n := range []int{1, 2, 3, 7} {
			x := gradcheck.Normal(2, 2, n)
			x.Data[n-1] = 0
			f := func(in []*Node) *Node { return ops.ReduceProduct(in[0], -1) }
			want := []float64{1, 1}
			for i, v := range x.Data {
				want[i/n] *= v
			}
			got, _ := gradcheck.Eval(t, e, f, x)
			near(t, got, want, 1e-14)
			twice(t, e, f, x)
		}
	})
}

func naiveScan(c ops.Cumulative, axis int, x gradcheck.Input, neutral float64, join func(a, b float64) float64) []float64 {
	inner := 1
	for _, n := range x.Shape[axis+1:] {
		inner *= n
	}
	n := x.Shape[axis]
	out := make([]float64, len(x.Data))
	for start := range x.Data {
		if start/inner%n != 0 {
			continue
		}
		total := neutral
		for k := range n {
			i := start + k*inner
			if c.Reverse {
				i = start + (n-1-k)*inner
			}
			if c.Exclusive {
				out[i] = total
			}
			total = join(total, x.Data[i])
			if !c.Exclusive {
				out[i] = total
			}
		}
	}
	return out
}
