package ops_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/ops"
)

func TestOrder(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, n := range []int{1, 2, 3, 8, 13, 100} {
			for _, descending := range []bool{false, true} {
				values := make([]float64, n)
				for i := range values { // many equal ones, all special ones
					values[i] = []float64{0, math.Copysign(0, -1), 1.5, -1.5, -2, 1e-300, -1e-300, math.Inf(1), math.Inf(-1), math.NaN(), 7}[r.IntN(11)]
				}
				want := make([]int32, n)
				for i := range want {
					want[i] = int32(i)
				}
				slices.SortStableFunc(want, func(a, b int32) int {
					x, y := values[a], values[b]
					switch less, more := x < y || y != y && x == x, x > y || x != x && y == y; {
					case less && !descending, more && descending:
						return -1
					case less, more:
						return 1
					}
					return 0
				})
				for _, dtype := range []dtypes.DType{dtypes.Float64, dtypes.Float32, dtypes.BFloat16} {
					exec := MustNewExec(e.Backend, func(x *Node) []*Node {
						if dtype != dtypes.Float64 {
							x = ConvertDType(Where(LessThan(Abs(x), Scalar(x.Graph(), x.DType(), 1e-200)), x, x), dtype)
						}
						return []*Node{ops.ArgSort(x, 0, descending), ops.Rank(x, 0, descending)}
					})
					if dtype != dtypes.Float64 && slices.ContainsFunc(values, func(v float64) bool { return v != 0 && math.Abs(v) < 1e-200 }) {
						continue // such values become equal to 0
					}
					out := exec.MustCall(values)
					if got := tensors.MustCopyFlatData[int32](out[0]); !slices.Equal(got, want) {
						t.Fatalf("%v %v descending %v: got %v, want %v", dtype, values, descending, got, want)
					}
					for place, from := range want {
						if got := tensors.MustCopyFlatData[int32](out[1])[from]; got != int32(place) {
							t.Fatalf("rank of element %d is %d, want %d", from, got, place)
						}
					}
				}
			}
		}

		for _, axis := range []int{0, 1, -1} {
			x := gradcheck.Normal(9, 3, 4, 2)
			for name, f := range map[string]func(in []*Node) *Node{
				"sort": func(in []*Node) *Node { return ops.Sort(in[0], axis, true) },
				"topk": func(in []*Node) *Node { v, _ := ops.TopK(in[0], 2, axis); return v },
			} {
				t.Run(fmt.Sprint(name, axis), func(t *testing.T) { twice(t, e, f, x) })
			}
		}
		got, _ := gradcheck.Eval(t, e, func(in []*Node) *Node { v, _ := ops.TopK(in[0], 2, 0); return v }, list(3, 9, -1, 9, 4))
		near(t, got, []float64{9, 9}, 0)
		out := MustNewExec(e.Backend, func(x *Node) *Node { return ops.ArgSort(x, 0, true) }).MustCall([]int32{5, -7, 5, math.MinInt32, math.MaxInt32})
		if got := tensors.MustCopyFlatData[int32](out[0]); !slices.Equal(got, []int32{4, 0, 2, 1, 3}) {
			t.Errorf("integers: got %v", got)
		}
		if got := gradcheck.Panics(e, func(in []*Node) *Node { v, _ := ops.TopK(in[0], 6, 0); return v }, list(1, 2)); !strings.Contains(got, "use 1 to 2") {
			t.Errorf("got %q", got)
		}
	})
}

// BenchmarkSort sorts 100,000 numbers.
func BenchmarkSort(b *testing.B) {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		b.Fatal(err)
	}
	values := make([]float32, 100_000)
	for i := range values {
		values[i] = rand.Float32()
	}
	exec := MustNewExec(e.Backend, func(x *Node) *Node { return ops.Sort(x, 0, false) })
	got := tensors.MustCopyFlatData[float32](exec.MustCall(values)[0])
	if !slices.IsSorted(got) {
		b.Fatal("not sorted")
	}
	began := time.Now()
	for b.Loop() {
		exec.MustCall(values)[0].MustFinalizeAll()
	}
	b.ReportMetric(float64(time.Since(began).Nanoseconds())/float64(b.N)/float64(len(values)), "ns/element")
}
