package zoo_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/zoo"
)

func smallEncoder() zoo.Encoder {
	n := zoo.NewEncoder()
	n.Vocabulary, n.Positions, n.Layers, n.Dim, n.Heads, n.Feed = 20, 12, 2, 8, 2, 16
	return n
}

// TestEncoder: what does not count changes nothing, nor do the other texts; vectors have length 1; every variable has its gradient.
func TestEncoder(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, pooling := range []string{zoo.PoolMean, zoo.PoolFirst} {
			n := smallEncoder()
			n.Pooling = pooling
			store := model.NewStore()
			run := func(tokens [][]int32, counts [][]bool) [][]float32 {
				exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, tokens, counts *graph.Node) *graph.Node {
					return n.Apply(scope, tokens, counts)
				})
				defer exec.Finalize()
				out := exec.MustCall(tensors.FromValue(tokens), tensors.FromValue(counts))
				flat := tensors.MustCopyFlatData[float32](out[0])
				var rows [][]float32
				for row := range slices.Chunk(flat, n.Dim) {
					rows = append(rows, row)
				}
				return rows
			}
			yes := func(count, time int) []bool {
				row := make([]bool, time)
				for i := range count {
					row[i] = true
				}
				return row
			}
			alone := run([][]int32{{2, 7, 9}}, [][]bool{yes(3, 3)})[0]
			both := run([][]int32{{2, 7, 9, 4, 4, 4}, {5, 1, 1, 8, 19, 0}}, [][]bool{yes(3, 6), yes(6, 6)})
			length := 0.0
			for i := range alone {
				length += float64(alone[i]) * float64(alone[i])
				if math.Abs(float64(alone[i]-both[0][i])) > 1e-6 {
					t.Errorf("%s: number %d is %v alone and %v beside a longer text", pooling, i, alone[i], both[0][i])
				}
			}
			if math.Abs(length-1) > 1e-5 || slices.Equal(both[0], both[1]) {
				t.Errorf("%s: squared length %v, vectors %v", pooling, length, both)
			}
		}
		n := smallEncoder()
		var names []string
		exec := model.MustNewExec(e.Backend, model.NewStore(), func(scope *model.Scope, tokens *graph.Node) []*graph.Node {
			y := n.Apply(scope, tokens, nil)
			weight := graph.IotaFull(y.Graph(), y.Shape())
			var values []*graph.Node
			for v := range scope.Store().IterVariables() {
				names, values = append(names, v.Path()), append(values, v.NodeValue(y.Graph()))
			}
			return graph.Gradient(graph.ReduceAllSum(graph.Mul(y, weight)), values...)
		})
		for i, gradient := range exec.MustCall([][]int32{{3, 1, 4}, {1, 5, 9}}) {
			largest := 0.0
			for _, v := range tensors.MustCopyFlatData[float32](gradient) {
				largest = max(largest, math.Abs(float64(v)))
			}
			// A bias of the keys moves all scores of a query alike: its gradient is rounding.
			if !strings.HasSuffix(names[i], "key/bias") && !(largest > 0 && largest < 1e4) {
				t.Errorf("the largest gradient of %s is %v", names[i], largest)
			}
		}
		for want, shape := range map[string][]int{"at most 12 of them": {1, 13}, "want whole numbers [batch, time]": {4}} {
			_, err := model.MustNewExec(e.Backend, model.NewStore(), func(scope *model.Scope, x *graph.Node) *graph.Node {
				return n.Apply(scope, graph.ConvertDType(x, dtypes.Int32), nil)
			}).Call(tensors.FromFlatDataAndDimensions(make([]float32, shape[0]*slices.Max(append(shape[1:], 1))), shape...))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		}
	})
}

func TestEncoderOptions(t *testing.T) {
	n, err := zoo.EncoderOfBERT(hf.NewBERT())
	if err != nil || n.Layers != 12 || n.Dim != 768 || n.Feed != 3072 || n.Epsilon != 1e-12 {
		t.Errorf("%+v, %v", n, err)
	}
	seen := map[string]bool{}
	for _, i := range zoo.NewEncoder().Imports("bert.") {
		if seen[i.Variable] || seen[i.Tensor] || !strings.HasPrefix(i.Tensor, "bert.") {
			t.Errorf("%+v twice, or without its prefix", i)
		}
		seen[i.Variable], seen[i.Tensor] = true, true
	}
	if len(seen) != 2*(5+6*16) {
		t.Errorf("%d names, want %d", len(seen), 2*(5+6*16))
	}
	relative, odd := hf.NewBERT(), hf.NewBERT()
	relative.PositionEmbedding, odd.Activation = "relative_key", "gelu_new"
	for want, c := range map[string]hf.BERT{`position_embedding_type is "relative_key"`: relative, `hidden_act is "gelu_new"`: odd} {
		if _, err := zoo.EncoderOfBERT(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	bad := zoo.Encoder{Layers: 1, Dim: 10, Heads: 3, Pooling: "max", Activation: linear.GELU}
	err = bad.Validate()
	for _, want := range []string{"vocabulary is 0", "3 heads do not divide dim 10", "eps is 0", `no pooling "max"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}
