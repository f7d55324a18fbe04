package ops_test

import (
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/ops"
)

func TestGather(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := gradcheck.Normal(1, 2, 3, 2)
		at := func(i, j, k int) float64 { return x.Data[(i*3+j)*2+k] }

		along := func(in []*Node) *Node {
			return ops.TakeAlongAxis(in[0], Const(in[0].Graph(), [][][]int32{{{2, 0}, {2, 1}}, {{1, -4}, {9, 0}}}), 1)
		}
		got, _ := gradcheck.Eval(t, e, along, x)
		near(t, got, []float64{at(0, 2, 0), at(0, 0, 1), at(0, 2, 0), at(0, 1, 1), at(1, 1, 0), at(1, 0, 1), at(1, 2, 0), at(1, 0, 1)}, 0)
		twice(t, e, along, x)

		batch := func(in []*Node) *Node {
			return ops.GatherBatch(in[0], Const(in[0].Graph(), [][]int32{{2, 2, 0}, {1, 0, 7}}), 1)
		}
		got, shape := gradcheck.Eval(t, e, batch, x)
		if len(shape) != 3 || shape[1] != 3 || shape[2] != 2 {
			t.Errorf("shape %v", shape)
		}
		near(t, got, []float64{at(0, 2, 0), at(0, 2, 1), at(0, 2, 0), at(0, 2, 1), at(0, 0, 0), at(0, 0, 1), at(1, 1, 0), at(1, 1, 1), at(1, 0, 0), at(1, 0, 1), at(1, 2, 0), at(1, 2, 1)}, 0)
		twice(t, e, batch, x)
		twice(t, e, func(in []*Node) *Node {
			return ops.GatherBatch(in[0], Const(in[0].Graph(), [][]int32{{1, 1}, {0, 1}}), 0)
		}, x)

		rows, updates := gradcheck.Normal(2, 4, 2), gradcheck.Normal(3, 3, 2)
		for name, scatter := range map[string]func(x, i, u *Node) *Node{"add": ops.ScatterAdd, "update": ops.ScatterUpdate} {
			f := func(in []*Node) *Node { return scatter(in[0], Const(in[0].Graph(), []int32{1, 3, 1}), in[1]) }
			want := append([]float64{}, rows.Data...)
			for j, row := range []int{1, 3, 1} {
				for k := range 2 {
					if name == "update" {
						want[row*2+k] = 0
					}
					want[row*2+k] += updates.Data[j*2+k]
				}
			}
			got, _ := gradcheck.Eval(t, e, f, rows, updates)
			near(t, got, want, 1e-15)
			twice(t, e, f, rows, updates)
		}

		// Rows 3 and 1 are replaced, to the bit; a negative index is left out, twice.
		distinct := func(in []*Node) *Node {
			return ops.ScatterDistinct(in[0], Const(in[0].Graph(), []int32{3, -1, 1, -1}), in[1])
		}
		four := gradcheck.Normal(6, 4, 2)
		want := slices.Concat(rows.Data[0:2], four.Data[4:6], rows.Data[4:6], four.Data[0:2])
		got, _ = gradcheck.Eval(t, e, distinct, rows, four)
		near(t, got, want, 0)
		twice(t, e, distinct, rows, four)

		part := func(in []*Node) *Node { return ops.SliceAt(in[0], Const(in[0].Graph(), []int32{1, 5, 0}), 1, 2, 2) }
		got, _ = gradcheck.Eval(t, e, part, x)
		near(t, got, []float64{at(1, 1, 0), at(1, 1, 1), at(1, 2, 0), at(1, 2, 1)}, 0)
		twice(t, e, part, x)

		for want, f := range map[string]func(x *Node) *Node{
			"want integers of x's shape but for axis 1": func(x *Node) *Node { return ops.TakeAlongAxis(x, Const(x.Graph(), []int32{1}), 1) },
			"with 1 batch axes":                         func(x *Node) *Node { return ops.GatherBatch(x, Const(x.Graph(), [][]int32{{1}}), 1) },
			"integers [m] and [m, re":                   func(x *Node) *Node { return ops.ScatterAdd(x, Const(x.Graph(), []int32{1}), x) },
			"size [1 4 2] of x":                         func(x *Node) *Node { return ops.SliceAt(x, Const(x.Graph(), []int32{0, 0, 0}), 1, 4, 2) },
			"axis 3 does not fit":                       func(x *Node) *Node { return ops.TakeAlongAxis(x, Const(x.Graph(), []int32{1}), 3) },
			"ops.ScatterUpdate: x is ":                  func(x *Node) *Node { return ops.ScatterUpdate(x, Const(x.Graph(), []float32{1}), x) },
		} {
			if got := gradcheck.Panics(e, func(in []*Node) *Node { return f(in[0]) }, x); !strings.Contains(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}
