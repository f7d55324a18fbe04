package zoo_test

import (
	"fmt"
	"math"
	"slices"
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
	"github.com/ballast-ml/ballast/nn/residual"
	"github.com/ballast-ml/ballast/zoo"
)

func tinyDecoder() zoo.Decoder {
	n := zoo.NewDecoder()
	n.Vocabulary, n.Context, n.Layers, n.Dim, n.MLPRatio = 7, 5, 2, 4, 1.5
	n.Mixer = mixer.Choice{Mixer: heads(2)}
	return n
}

// leanDecoder is of LLaMA's kind: root mean squares, turned queries and keys, SwiGLU, no biases; with tied embeddings.
func leanDecoder() zoo.Decoder {
	n := tinyDecoder()
	rope := heads(2)
	rope.Positions, rope.NoBias = attention.PositionsChoice{Positions: attention.NewRoPE()}, true
	n.Mixer, n.Norm = mixer.Choice{Mixer: rope}, norm.Choice{Layer: norm.NewRMS(-1)}
	n.Feed, n.NoBias, n.Tied = zoo.SwiGLU, true, true
	return n
}

// TestDecoderGradient: of the blocks and the output in float64; every variable of the whole gets a gradient.
func TestDecoderGradient(t *testing.T) {
	post, lean := tinyDecoder(), leanDecoder()
	post.Placement = residual.Choice{Placement: residual.Post{}}
	post.Layers, lean.Layers = 1, 1 // XLA takes its time to compile
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for name, n := range map[string]zoo.Decoder{"pre": tinyDecoder(), "post": post, "lean": lean} {
			t.Run(name, func(t *testing.T) {
				gradcheck.CheckModel(t, e.Backend, model.NewStore(), func(scope *model.Scope, h []*graph.Node) *graph.Node {
					x := h[0]
					for i := range n.Blocks() {
						x = n.Block(scope, i, x, mixer.Context{Causal: true, Most: n.Context})
					}
					return n.End(scope, x)
				}, gradcheck.Normal(1, 2, 3, 4))

				var names []string
				out := model.MustNewExec(e.Backend, model.NewStore(), func(scope *model.Scope, tokens *graph.Node) []*graph.Node {
					y := graph.ReduceAllSum(graph.Square(n.Apply(scope, tokens)))
					names = nil
					var values []*graph.Node
					for v := range scope.Store().IterVariables() {
						names, values = append(names, v.Path()), append(values, v.NodeValue(tokens.Graph()))
					}
					return graph.Gradient(y, values...)
				}).MustCall([][]int32{{1, 0, 6, 3, 2}, {4, 4, 5, 1, 0}})
				for i, gradient := range out {
					largest := 0.0
					for _, v := range tensors.MustCopyFlatData[float32](gradient) {
						largest = max(largest, math.Abs(float64(v)))
					}
					// The same number for all keys of a query moves no softmax: the gradient of a bias of keys is rounding.
					if !(largest > 0) && !strings.HasSuffix(names[i], "key/bias") {
						t.Errorf("no gradient reaches %s", names[i])
					}
				}
			})
		}
	})
}

// TestDecoderSees: a token sees those before it and no later one, all of them if not causal; a text alone gets what it gets in a batch;
// padding changes nothing before it.
func TestDecoderSees(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for name, n := range map[string]zoo.Decoder{"learned": tinyDecoder(), "lean": leanDecoder()} {
			for _, causal := range []bool{true, false} {
				n.Causal = causal
				store := model.NewStore()
				exec := model.MustNewExec(e.Backend, store, n.Apply)
				run := func(tokens [][]int32) []float32 { return tensors.MustCopyFlatData[float32](exec.MustCall(tokens)[0]) }
				text := []int32{1, 0, 6, 3}
				before := run([][]int32{text})
				for place := range text {
					other := slices.Clone(text)
					other[place] = 5
					after := run([][]int32{other})
					for at := range text {
						changed := !slices.Equal(before[7*at:7*at+7], after[7*at:7*at+7])
						if want := !causal || place <= at; changed != want {
							t.Errorf("%s, causal %v: token %d saw token %d: %v", name, causal, at, place, changed)
						}
					}
				}
				if !causal {
					continue
				}

				near := func(what string, got, want []float32) {
					t.Helper()
					for i := range want {
						if math.Abs(float64(got[i]-want[i])) > 1e-5 {
							t.Fatalf("%s, %s: number %d is %v, want %v", name, what, i, got[i], want[i])
						}
					}
				}
				near("in a batch", run([][]int32{{2, 2, 2, 2}, text})[28:], before)
				near("cut short", run([][]int32{text[:3]}), before[:21])
				hidden := model.MustNewExec(e.Backend, store, func(scope *model.Scope, tokens, padding *graph.Node) *graph.Node {
					return n.Head(scope, n.Hidden(scope, tokens, padding))
				})
				padded := hidden.MustCall([][]int32{{1, 0, 6, 0, 0}}, [][]bool{{false, false, false, true, true}})[0]
				near("padded", tensors.MustCopyFlatData[float32](padded), before[:21])
			}
		}
	})
}

// TestDecoderPaths: the variables of the language model that this network took the place of, and the lists that walk over them.
func TestDecoderPaths(t *testing.T) {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	paths := func(n zoo.Decoder) []string {
		store := model.NewStore()
		model.MustNewExec(e.Backend, store, func(scope *model.Scope, tokens *graph.Node) *graph.Node {
			return n.Apply(scope.In("model"), tokens)
		}).MustCall([][]int32{{1, 2, 3}})
		var all []string
		for v := range store.IterVariables() {
			all = append(all, fmt.Sprint(v.Path(), v.Shape().Dimensions))
		}
		slices.Sort(all)
		return all
	}
	n := tinyDecoder()
	n.Layers = 1
	want := []string{
		"/model/last/norm/offset[4]", "/model/last/norm/scale[4]",
		"/model/layer_1/attention/key/bias[4]", "/model/layer_1/attention/key/kernel[4 4]",
		"/model/layer_1/attention/norm/offset[4]", "/model/layer_1/attention/norm/scale[4]",
		"/model/layer_1/attention/out/bias[4]", "/model/layer_1/attention/out/kernel[4 4]",
		"/model/layer_1/attention/query/bias[4]", "/model/layer_1/attention/query/kernel[4 4]",
		"/model/layer_1/attention/value/bias[4]", "/model/layer_1/attention/value/kernel[4 4]",
		"/model/layer_1/feed/in/bias[6]", "/model/layer_1/feed/in/kernel[4 6]",
		"/model/layer_1/feed/norm/offset[4]", "/model/layer_1/feed/norm/scale[4]",
		"/model/layer_1/feed/out/bias[4]", "/model/layer_1/feed/out/kernel[6 4]",
		"/model/output/bias[7]", "/model/output/kernel[4 7]", "/model/positions/kernel[5 4]", "/model/tokens/kernel[7 4]",
	}
	if got := paths(n); !slices.Equal(got, want) {
		t.Errorf("variables\n%q, want\n%q", got, want)
	}
	lean := leanDecoder()
	lean.Layers = 1
	want = []string{
		"/model/last/norm/scale[4]",
		"/model/layer_1/attention/key/kernel[4 4]", "/model/layer_1/attention/norm/scale[4]", "/model/layer_1/attention/out/kernel[4 4]",
		"/model/layer_1/attention/query/kernel[4 4]", "/model/layer_1/attention/value/kernel[4 4]",
		"/model/layer_1/feed/gate/kernel[4 6]", "/model/layer_1/feed/in/kernel[4 6]", "/model/layer_1/feed/norm/scale[4]",
		"/model/layer_1/feed/out/kernel[6 4]", "/model/tokens/kernel[7 4]",
	}
	if got := paths(lean); !slices.Equal(got, want) {
		t.Errorf("variables\n%q, want\n%q", got, want)
	}

	store := model.NewStore()
	model.MustNewExec(e.Backend, store, zoo.NewDecoder().Apply).MustCall([][]int32{{1, 2, 3}})
	if got, want := store.NumParameters(), 256*64+32*64+2*(4*65*64+65*256+257*64+4*64)+2*64+65*256; got != want || want != 135168 {
		t.Errorf("the default has %d parameters, want %d", got, want)
	}
	blocks := fmt.Sprint(lean.Blocks())
	if want := "[{layer_1 [[attention/query attention/key attention/value] [attention/out] [feed/in feed/gate] [feed/out]]" +
		" map[attention/key:attention attention/out:attention attention/query:attention attention/value:attention feed/gate:feed feed/in:feed feed/out:feed]}]"; blocks != want {
		t.Errorf("blocks are %s, want %s", blocks, want)
	}
}

func TestDecoderRefuses(t *testing.T) {
	for in, want := range map[string]string{
		`{"name":"decoder","vocabulary":1}`:          "decoder: vocabulary is 1; use at least 2",
		`{"name":"decoder","context":0}`:             "decoder: context is 0; use at least 1",
		`{"name":"decoder","layers":4000}`:           "decoder: layers is 4000; use at most 2048",
		`{"name":"decoder","dim":30}`:                "decoder: attention: 4 heads do not divide dim 30",
		`{"name":"decoder","feed":"gelo"}`:           `decoder: no feed "gelo"; did you mean gelu?`,
		`{"name":"decoder","heads":2}`:               "heads",
		`{"name":"decoder","norm":"layr"}`:           "did you mean layer?",
		`{"name":"decoder","dropout":-0.5}`:          "decoder: dropout is -0.5; use a share from 0 to below 1",
		`{"name":"decoder","placement":"postt"}`:     "did you mean post?",
		`{"name":"decoder","mlp_ratio":0.001}`:       "decoder: mlp_ratio is 0.001 of dim 64; use a ratio that makes 1",
		`{"name":"decoder","vocabulary":1000000000}`: "decoder: vocabulary is 1000000000; use at most",
	} {
		var read zoo.Choice
		if err := read.UnmarshalJSON([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", in, err, want)
		}
	}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		_, err := model.MustNewExec(e.Backend, model.NewStore(), tinyDecoder().Apply).Call([][]int32{{1, 2, 3, 4, 5, 6}})
		if want := "want whole numbers [batch, time], at most 5 of them"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	})
}
