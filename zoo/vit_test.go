package zoo_test

import (
	"fmt"
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
	"github.com/ballast-ml/ballast/nn/mixer"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/nn/residual"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/zoo"
)

func tinyViT() zoo.ViT {
	v := zoo.NewViT()
	v.Patch, v.Depth, v.Dim, v.MLPRatio, v.Classes = 2, 2, 4, 1.5, 3
	v.Mixer = mixer.Choice{Mixer: heads(2)}
	return v
}

// heads is attention with so many heads.
func heads(n int) mixer.Attention {
	a := mixer.NewAttention()
	a.Heads = n
	return a
}

// TestViTGradient: in float64, with a class token and with the mean, the norm before and behind, each kind of feed.
func TestViTGradient(t *testing.T) {
	mean := tinyViT()
	mean.Pooling, mean.Placement, mean.Feed = zoo.PoolMean, residual.Choice{Placement: residual.Post{}}, zoo.SwiGLU
	rope := heads(2)
	rope.Positions, rope.NoBias = attention.PositionsChoice{Positions: attention.NewRoPE()}, true
	mean.Mixer = mixer.Choice{Mixer: rope}
	mean.Norm, mean.Depth = norm.Choice{Layer: norm.NewRMS(-1)}, 1
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for name, v := range map[string]zoo.ViT{"class": tinyViT(), "mean": mean} {
			t.Run(name, func(t *testing.T) {
				gradcheck.CheckModel(t, e.Backend, model.NewStore(), func(scope *model.Scope, x []*graph.Node) *graph.Node {
					return v.Apply(scope, x[0])
				}, gradcheck.Normal(1, 2, 3, 4, 1))
			})
		}
	})
}

// TestViTParts: the parts make the whole; an image alone gets what it gets in a batch; padding at the bottom and on the right is zeros.
func TestViTParts(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		v := tinyViT()
		store := model.NewStore()
		run := func(x *tensors.Tensor, apply func(scope *model.Scope, x *graph.Node) *graph.Node) []float32 {
			return tensors.MustCopyFlatData[float32](model.MustNewExec(e.Backend, store, apply).MustCall(x)[0])
		}
		x := random(1, 2, 4, 6, 1)
		whole := run(x, v.Apply)
		same := func(what string, got, want []float32) {
			t.Helper()
			for i := range want {
				if len(got) != len(want) || math.Abs(float64(got[i]-want[i])) > 1e-5 {
					t.Fatalf("%s: got %v, want %v", what, got, want)
				}
			}
		}
		same("features and head", run(x, func(scope *model.Scope, x *graph.Node) *graph.Node {
			f := v.Features(scope, x)
			if want := "[2 4]"; fmt.Sprint(f.Shape().Dimensions) != want {
				t.Errorf("features are %s, want %s", f.Shape(), want)
			}
			return v.Head(scope, f)
		}), whole)
		flat := tensors.MustCopyFlatData[float32](x)
		same("alone", run(tensors.FromFlatDataAndDimensions(flat[24:], 1, 4, 6, 1), v.Apply), whole[3:])

		cut, padded := []float32{}, []float32{}
		for i, value := range flat[:24] {
			inside := i/6 < 3 && i%6 < 5
			if inside {
				cut = append(cut, value)
			} else {
				value = 0
			}
			padded = append(padded, value)
		}
		want := run(tensors.FromFlatDataAndDimensions(padded, 1, 4, 6, 1), v.Apply)
		same("3x5", run(tensors.FromFlatDataAndDimensions(cut, 1, 3, 5, 1), v.Apply), want)
	})
}

// TestViTPatches: pixel (i, j) of an image goes to token i/Patch columns + j/Patch, in the order of rows, behind the class token.
func TestViTPatches(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		v := tinyViT()
		if rows, columns := v.Grid(4, 5); rows != 2 || columns != 3 {
			t.Errorf("the grid of 4x5 is %d x %d, want 2 x 3", rows, columns)
		}
		begin := model.MustNewExec(e.Backend, model.NewStore(), v.Begin)
		tokens := func(pixel int) []float32 {
			flat := make([]float32, 24)
			if pixel >= 0 {
				flat[pixel] = 1
			}
			return tensors.MustCopyFlatData[float32](begin.MustCall(tensors.FromFlatDataAndDimensions(flat, 1, 4, 6, 1))[0])
		}
		none := tokens(-1)
		for pixel := range 24 {
			got := tokens(pixel)
			for i := range got {
				moved, want := got[i] != none[i], i/v.Dim == 1+pixel/6/2*3+pixel%6/2
				if moved && !want {
					t.Fatalf("pixel %d moved token %d", pixel, i/v.Dim)
				}
				if want && !moved {
					t.Fatalf("pixel %d did not move number %d of token %d", pixel, i%v.Dim, i/v.Dim)
				}
			}
		}
	})
}

// TestClassAttention: the tap gives the mean over the heads of softmax(q k / sqrt(d)) of the class token in the last block; whoever looks
// changes neither logits nor gradients; a network without a class token has nothing to show.
func TestClassAttention(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		v := tinyViT()
		store := model.NewStore()
		x := random(3, 2, 4, 6, 1)
		plain := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x *graph.Node) []*graph.Node {
			logits := v.Apply(scope.In("model"), x)
			return []*graph.Node{logits, graph.Gradient(graph.ReduceAllSum(graph.Square(logits)), x)[0]}
		}).MustCall(x)
		var seen []string
		out := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x *graph.Node) []*graph.Node {
			var a, q, k, logits *graph.Node
			seen = nil
			look := func(at pass.Site, x *graph.Node) *graph.Node {
				switch at.What {
				case pass.Query:
					q = x
				case pass.Key:
					k = x
				}
				if !strings.Contains("input kernel norm preactivation", at.What) {
					seen = append(seen, at.What+" "+at.Scope.Scope())
				}
				return x
			}
			pass.Through(x.Graph(), pass.Pass{Taps: []pass.Tap{look, v.ClassAttention(&a)}}, func() { logits = v.Apply(scope.In("model"), x) })
			return []*graph.Node{a, q, k, logits, graph.Gradient(graph.ReduceAllSum(graph.Square(logits)), x)[0]}
		}).MustCall(x)
		for i := range plain {
			want := tensors.MustCopyFlatData[float32](plain[i])
			for j, got := range tensors.MustCopyFlatData[float32](out[3+i]) {
				if math.Abs(float64(got-want[j])) > 1e-6*(1+math.Abs(float64(want[j]))) {
					t.Errorf("logits and gradient, %d, number %d: %v when seen, %v unseen", i, j, got, want[j])
				}
			}
		}
		if got := fmt.Sprint(out[0].Shape().Dimensions); got != "[2 6]" {
			t.Fatalf("the attention is %s, want [2 6]", got)
		}

		got := tensors.MustCopyFlatData[float32](out[0])
		q, k := tensors.MustCopyFlatData[float32](out[1]), tensors.MustCopyFlatData[float32](out[2])
		const heads, time, d = 2, 7, 2
		for n := range 2 {
			var want [time]float64
			for h := range heads {
				var p [time]float64
				sum := 0.0
				for j := range time {
					product := 0.0
					for i := range d {
						product += float64(q[((n*heads+h)*time+0)*d+i]) * float64(k[((n*heads+h)*time+j)*d+i])
					}
					p[j] = math.Exp(product / math.Sqrt(d))
					sum += p[j]
				}
				for j := range time {
					want[j] += p[j] / sum / heads
				}
			}
			for j := range time - 1 {
				if math.Abs(float64(got[n*6+j])-want[j+1]) > 1e-6 {
					t.Errorf("example %d attends to patch %d with %v, want %v", n, j, got[n*6+j], want[j+1])
				}
			}
		}
		var want []string
		for _, layer := range []string{"/model/layer_1/", "/model/layer_2/"} {
			for _, what := range []string{"query", "key", "value", "probabilities", "stream"} {
				want = append(want, what+" "+layer+"attention")
			}
			want = append(want, "stream "+layer+"feed")
		}
		want = append(want, "features /model")
		if got := fmt.Sprint(seen); got != fmt.Sprint(want) {
			t.Errorf("sites are %s, want %s", got, want)
		}

		var none *graph.Node
		v.Pooling = zoo.PoolMean
		model.MustNewExec(e.Backend, model.NewStore(), func(scope *model.Scope, x *graph.Node) (logits *graph.Node) {
			pass.Through(x.Graph(), pass.Pass{Taps: []pass.Tap{v.ClassAttention(&none)}}, func() { logits = v.Apply(scope, x) })
			return logits
		}).MustCall(x)
		if none != nil {
			t.Errorf("a network without a class token shows its attention: %s", none.Shape())
		}
	})
}

// TestViTDropout: training draws from the graph's stream, the same for the same key; inference does not; without a stream it is refused.
func TestViTDropout(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		v := tinyViT()
		v.Depth, v.Dropout = 1, 0.5
		store := model.NewStore()
		program := func(training bool) func(key uint32) string {
			exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x, key *graph.Node) *graph.Node {
				store.SetTraining(x.Graph(), training)
				ops.SetRandom(x.Graph(), func() ops.Random { return ops.RandomOf(key) })
				return v.Apply(scope, x)
			})
			return func(key uint32) string {
				return fmt.Sprint(tensors.MustCopyFlatData[float32](exec.MustCall(random(1, 2, 4, 6, 1), []uint32{0, key})[0]))
			}
		}
		train, infer := program(true), program(false)
		if one, again, two, still := train(1), train(1), train(2), infer(1); one != again || one == two || one == still {
			t.Errorf("training gives %s, %s for the same key, %s for another one; inference %s", one, again, two, still)
		}
		if one, two := infer(1), infer(2); one != two {
			t.Errorf("inference gives %s for one key and %s for another one", one, two)
		}
		_, err := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x *graph.Node) *graph.Node {
			store.SetTraining(x.Graph(), true)
			return v.Apply(scope, x)
		}).Call(random(1, 2, 4, 6, 1))
		if want := "nothing to draw from in training"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	})
}

func TestViTRefuses(t *testing.T) {
	for in, want := range map[string]string{
		`{"name":"vit","patch":0}`:                                                "vit: patch is 0; use at least 1",
		`{"name":"vit","depth":0}`:                                                "vit: depth is 0; use at least 1",
		`{"name":"vit","depth":3000}`:                                             "vit: depth is 3000; use at most 2048",
		`{"name":"vit","dim":63}`:                                                 "vit: attention: 4 heads do not divide dim 63",
		`{"name":"vit","mixer":{"name":"attention","heads":0}}`:                   "vit: attention: heads is 0; use at least 1",
		`{"name":"vit","mixer":"attentoin"}`:                                      `no mixer "attentoin" (did you mean attention?)`,
		`{"name":"vit","mixer":{"name":"attention","kernel":"softmaks"}}`:         `did you mean softmax?`,
		`{"name":"vit","mixer":{"name":"attention","positions":"ropes"}}`:         `did you mean rope?`,
		`{"name":"vit","dim":12,"mixer":{"name":"attention","positions":"rope"}}`: "rope: heads have 3 numbers, which do not make pairs",
		`{"name":"vit","placement":"pra"}`:                                        `did you mean pre?`,
		`{"name":"vit","feed":"swigluu"}`:                                         `vit: no feed "swigluu"; did you mean swiglu?`,
		`{"name":"vit","mlp_ratio":0}`:                                            "vit: mlp_ratio is 0 of dim 64",
		`{"name":"vit","mlp_ratio":1e300}`:                                        "vit: mlp_ratio is 1e+300 of dim 64",
		`{"name":"vit","dropout":1}`:                                              "vit: dropout is 1; use a share from 0 to below 1",
		`{"name":"vit","pooling":"klass"}`:                                        `vit: no pooling "klass"; there are class, mean`,
		`{"name":"vit","classes":1}`:                                              "vit: classes is 1; use at least 2",
		`{"name":"vit","head":3}`:                                                 "head",
	} {
		var read zoo.Choice
		if err := read.UnmarshalJSON([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", in, err, want)
		}
	}
	if err := (zoo.ViT{}).Validate(); err == nil {
		t.Error("a network of zeros is taken")
	}
}
