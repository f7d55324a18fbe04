package loss_test

import (
	"math"
	"testing"

	"github.com/gomlx/compute/distributed"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/ops"
)

// TestTableOfDevices: two devices with two examples each write the rows of all four.
func TestTableOfDevices(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		if e.Kind == engine.KindGo {
			return // which has one device
		}
		mesh, err := distributed.NewDeviceMesh([]int{2}, []string{"data"})
		if err != nil {
			t.Fatal(err)
		}
		store := model.NewStore()
		loss.Table(store.RootScope(), "rows", dtypes.Float32, 4, param.Constant(0.5), 1)

		// While a graph is built its variables must carry no sharding spec; the call that follows needs one.
		alone := model.MustNewExec(e.Backend, store, func(*model.Scope, []*Node) {})
		var exec *model.Exec
		exec = model.MustNewExec(e.Backend, store, func(scope *model.Scope, rank, index, values *Node) *Node {
			if err := alone.SetDefaultShardingSpec(nil); err != nil {
				panic(err)
			}
			ops.SetDevices(rank.Graph(), ops.Devices{Count: 2, Rank: rank})
			rows := loss.Table(scope, "rows", dtypes.Float32, 4, param.Constant(0.5), 1)
			rows.Set(index, values)
			written := Add(rows.Variable().NodeValue(rank.Graph()), ScalarZero(rank.Graph(), dtypes.Float32))
			mine := rows.At(index) // padding has the last row
			if err := exec.SetDefaultShardingSpec(nil); err != nil {
				panic(err)
			}
			return Concatenate([]*Node{written, mine}, 0)
		})
		out, err := exec.SPMD(mesh).Call(int32(0), []int32{0, -1}, [][]float32{{1}, {9}},
			int32(1), []int32{3, 1}, [][]float32{{4}, {2}})
		if err != nil {
			t.Fatal(err)
		}
		for i, mine := range [][]float64{{1, 0.5}, {4, 2}} {
			near(t, widened(tensors.MustCopyFlatData[float32](out[i])), append([]float64{1, 2, 0.5, 4, 0.5}, mine...))
		}

		// An example that both devices have is an example twice.
		out, err = exec.SPMD(mesh).Call(int32(0), []int32{0, 1}, [][]float32{{1}, {9}},
			int32(1), []int32{3, 1}, [][]float32{{4}, {2}})
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range out {
			table := tensors.MustCopyFlatData[float32](o)
			if table[0] != 1 || !math.IsNaN(float64(table[1])) || table[3] != 4 {
				t.Errorf("device %d has %v; want NaN for example 1 alone", i, table)
			}
		}
	})
}

func widened(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}
