package ops_test

import (
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/ops"
)

func TestPadReflectAndPixelShuffle(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := gradcheck.Normal(1, 2, 3, 4, 8)
		at := func(b, i, j, c int) float64 { return x.Data[((b*3+i)*4+j)*8+c] }
		run := func(f func(x *graph.Node) *graph.Node) []float64 {
			return tensors.MustCopyFlatData[float64](graph.MustNewExec(e.Backend, f).MustCall(tensors.FromFlatDataAndDimensions(x.Data, x.Shape...))[0])
		}
		mirror := func(i, n int) int {
			if i < 0 {
				return -i
			}
			if i >= n {
				return 2*n - 2 - i
			}
			return i
		}
		padded := run(func(x *graph.Node) *graph.Node { return ops.PadReflect(x, 2) })
		k := 0
		for b := range 2 {
			for i := -2; i < 5; i++ {
				for j := -2; j < 6; j++ {
					for c := range 8 {
						if want := at(b, mirror(i, 3), mirror(j, 4), c); padded[k] != want {
							t.Fatalf("mirrored pixel (%d, %d) is %v, want %v", i, j, padded[k], want)
						}
						k++
					}
				}
			}
		}
		shuffled := run(func(x *graph.Node) *graph.Node { return ops.PixelShuffle(x, 2) })
		k = 0
		for b := range 2 {
			for i := range 6 {
				for j := range 8 {
					for c := range 2 {
						if want := at(b, i/2, j/2, c*4+i%2*2+j%2); shuffled[k] != want {
							t.Fatalf("shuffled pixel (%d, %d) is %v, want %v", i, j, shuffled[k], want)
						}
						k++
					}
				}
			}
		}
		gradcheck.Check(t, e.Backend, func(x []*graph.Node) *graph.Node { return ops.PixelShuffle(ops.PadReflect(x[0], 1), 2) }, gradcheck.Normal(2, 1, 2, 3, 4))
		for want, f := range map[string]func(x []*graph.Node) *graph.Node{
			"ops.PadReflect: x is (Float64)[2, 3, 4, 8], to be mirrored by 3": func(x []*graph.Node) *graph.Node { return ops.PadReflect(x[0], 3) },
			"with channels that 3 x 3 divides":                                func(x []*graph.Node) *graph.Node { return ops.PixelShuffle(x[0], 3) },
		} {
			if got := gradcheck.Panics(e.Backend, f, x); !strings.Contains(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}
