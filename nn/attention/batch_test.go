package attention_test

import (
	"math"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/nn/attention"
	"github.com/ballast-ml/ballast/ops"
)

// still is the layer of the paper without dropout.
func still(heads int) attention.Batch {
	b := attention.NewBatch()
	b.Heads, b.Dropout = heads, 0
	return b
}

func TestBatchGradients(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		mask := []bool{true, true, false, true}
		for name, shape := range map[string][]int{"features": {4, 4}, "tokens": {4, 2, 4}} {
			if e.Kind != engine.KindGo && name == "tokens" {
				continue // a program for each; the golden cases have tokens on both engines
			}
			gradcheck.CheckModel(t, e.Backend, model.NewStore(), func(scope *model.Scope, in []*graph.Node) *graph.Node {
				g := in[0].Graph()
				return still(2).Apply(scope, in[0], graph.Const(g, mask), ops.NewRandom(g, 1))
			}, gradcheck.Normal(1, shape...))
		}
	})
}

// TestBatchMixes: the loss of one example has a gradient for every other, but for padding; and the first half is what came in.
func TestBatchMixes(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := gradcheck.Normal(1, 5, 8)
		exec := model.MustNewExec(e.Backend, model.NewStore(), func(scope *model.Scope, x *graph.Node) []*graph.Node {
			g := x.Graph()
			mask := graph.Const(g, []bool{true, true, true, false, true})
			y := still(4).Apply(scope, x, mask, ops.NewRandom(g, 1))
			// Of squares: the plain sum behind a norm has no gradient.
			moved := graph.MulScalar(graph.Add(y, graph.Const(g, 0.3)), 1.7)
			third := graph.ReduceAllSum(graph.Square(graph.Slice(moved, graph.AxisElem(7))))
			return []*graph.Node{y, graph.Gradient(third, x)[0]}
		})
		out := exec.MustCall(tensors.FromFlatDataAndDimensions(x.Data, 5, 8))
		y, gradient := tensors.MustCopyFlatData[float64](out[0]), tensors.MustCopyFlatData[float64](out[1])
		for i := range x.Data {
			if len(y) != 80 || y[i] != x.Data[i] {
				t.Fatal("the first stream is not what came in")
			}
		}
		for i := range 5 {
			sum := 0.0
			for _, v := range gradient[8*i : 8*i+8] {
				sum += math.Abs(v)
			}
			if (sum > 1e-9) != (i != 3) {
				t.Errorf("the loss of example 2 has a gradient of %v for example %d", sum, i)
			}
		}
	})
}

// TestBatchDrops: what is dropped depends on the key alone.
func TestBatchDrops(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		store := model.NewStore()
		b := attention.NewBatch()
		exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x, key *graph.Node) *graph.Node {
			z, _ := b.Mixed(scope, x, nil, ops.RandomOf(key))
			return z
		})
		x := gradcheck.Normal(1, 6, 8)
		call := func(key uint32) []float64 {
			out := exec.MustCall(tensors.FromFlatDataAndDimensions(x.Data, 6, 8), []uint32{key, 7})
			return tensors.MustCopyFlatData[float64](out[0])
		}
		first, again, other := call(1), call(1), call(2)
		same, different := true, false
		for i := range first {
			same = same && first[i] == again[i]
			different = different || first[i] != other[i]
		}
		if !same || !different {
			t.Errorf("the same key gives the same: %v; another one something else: %v", same, different)
		}
	})
}

func TestBatchAgain(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		streams := gradcheck.Normal(2, 4, 3, 4)
		exec := model.MustNewExec(e.Backend, model.NewStore(), func(scope *model.Scope, x *graph.Node) *graph.Node {
			return still(2).Again(scope, x, nil, ops.NewRandom(x.Graph(), 1))
		})
		y := tensors.MustCopyFlatData[float64](exec.MustCall(tensors.FromFlatDataAndDimensions(streams.Data, 4, 3, 4))[0])
		moved := false
		for i := range y {
			if i < 24 && y[i] != streams.Data[i] {
				t.Fatal("the plain stream went through the layer")
			}
			moved = moved || i >= 24 && y[i] != streams.Data[i]
		}
		if !moved {
			t.Error("the other stream did not go through the layer")
		}
	})
}

func TestBatchRefuses(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := gradcheck.Normal(1, 3, 6)
		for want, f := range map[string]func(s *model.Scope, x *graph.Node, r ops.Random) *graph.Node{
			"4 heads for x (Float64)[3, 6]; use a number that divides 6": func(s *model.Scope, x *graph.Node, r ops.Random) *graph.Node {
				return attention.NewBatch().Apply(s, x, nil, r)
			},
			"want features [batch, dim]": func(s *model.Scope, x *graph.Node, r ops.Random) *graph.Node {
				return still(2).Apply(s, graph.Reshape(x, 3, 1, 2, 3), nil, r)
			},
			"which are not two of one size": func(s *model.Scope, x *graph.Node, r ops.Random) *graph.Node {
				return still(2).Again(s, x, nil, r)
			},
			"heads 0, ff_dim 0, dropout 0": func(s *model.Scope, x *graph.Node, r ops.Random) *graph.Node {
				return attention.Batch{}.Apply(s, x, nil, r)
			},
			"want bools [batch]": func(s *model.Scope, x *graph.Node, r ops.Random) *graph.Node {
				return still(2).Apply(s, x, graph.Const(x.Graph(), []bool{true}), r)
			},
		} {
			got := gradcheck.Panics(e, func(in []*graph.Node) *graph.Node {
				return f(model.NewStore().RootScope(), in[0], ops.NewRandom(in[0].Graph(), 1))
			}, x)
			if !strings.Contains(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}
