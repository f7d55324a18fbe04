package zoo_test

import (
	"encoding/json"
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
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/zoo"
)

func tinyTowers() zoo.Towers {
	n := zoo.NewTowers()
	images := zoo.MLP{Hidden: []int{5}, Classes: 3, Norm: norm.Choice{Layer: norm.NewLayerNorm(-1)}, Activation: linear.GELU}
	n.First, n.Second, n.Dim = zoo.Choice{Network: images}, zoo.Choice{Network: tinyDecoder()}, 3
	return n
}

// TestTowersGradient: of images in float64; of texts to every variable of their tower, and finite, where a text is nothing but padding.
func TestTowersGradient(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		n := tinyTowers()
		gradcheck.CheckModel(t, e.Backend, model.NewStore(), func(scope *model.Scope, x []*graph.Node) *graph.Node {
			return n.Apply(scope, x[0])
		}, gradcheck.Normal(1, 2, 2, 2, 1))

		var names []string
		out := model.MustNewExec(e.Backend, model.NewStore(), func(scope *model.Scope, tokens *graph.Node) []*graph.Node {
			y := graph.ReduceAllSum(graph.Mul(n.Embed(scope, 1, tokens), graph.Const(tokens.Graph(), [][]float32{{1, 2, -3}, {1, 2, -3}, {1, 2, -3}})))
			y = graph.Mul(y, n.Scale(scope, tokens.Graph()))
			names = nil
			var values []*graph.Node
			for v := range scope.Store().IterVariables() {
				names, values = append(names, v.Path()), append(values, v.NodeValue(tokens.Graph()))
			}
			return graph.Gradient(y, values...)
		}).MustCall([][]int32{{1, 0, 6, 3, 2}, {4, 4, -1, -1, -1}, {-1, -1, -1, -1, -1}})
		for i, gradient := range out {
			largest := 0.0
			for _, v := range tensors.MustCopyFlatData[float32](gradient) {
				if v != v {
					t.Fatalf("the gradient of %s has a %v", names[i], v)
				}
				largest = max(largest, math.Abs(float64(v)))
			}
			if largest == 0 && !strings.HasSuffix(names[i], "key/bias") {
				t.Errorf("no gradient reaches %s", names[i])
			}
		}
		if got := strings.Join(names, " "); !strings.Contains(got, "/second/projection/kernel") || !strings.Contains(got, "/log_scale") || strings.Contains(got, "output") {
			t.Errorf("variables are %s", got)
		}
	})
}

// TestTowersEmbed: vectors have length 1; padding and the other texts of a batch change nothing; the last token is the last that counts,
// and the mean is over those that count; the scale is bounded.
func TestTowersEmbed(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, pooling := range []string{zoo.PoolLast, zoo.PoolMean} {
			n := tinyTowers()
			n.Pooling, n.MaxScale = pooling, 5
			store := model.NewStore()
			exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, tokens *graph.Node) []*graph.Node {
				text := n.Second.Network.(zoo.Decoder)
				return []*graph.Node{n.Embed(scope, 1, tokens), text.Features(scope.At("second"), tokens), n.Scale(scope, tokens.Graph())}
			})
			alone := exec.MustCall([][]int32{{1, 0, 6}})
			got := tensors.MustCopyFlatData[float32](alone[0])
			padded := tensors.MustCopyFlatData[float32](exec.MustCall([][]int32{{2, 2, 2, 2, 2}, {1, 0, 6, -1, -1}, {-1, -1, -1, -1, -1}})[0])
			length := 0.0
			for i, v := range got {
				length += float64(v) * float64(v)
				if math.Abs(float64(v-padded[3+i])) > 1e-5 {
					t.Errorf("%s: number %d is %v alone and %v padded", pooling, i, v, padded[3+i])
				}
				if padded[6+i] != 0 {
					t.Errorf("%s: number %d of a text without tokens is %v", pooling, i, padded[6+i])
				}
			}
			if math.Abs(length-1) > 1e-5 {
				t.Errorf("%s: the square of the length is %v", pooling, length)
			}
			if scale := tensors.ToScalar[float32](alone[2]); scale != 5 {
				t.Errorf("the scale is %v, want 5, the largest", scale)
			}

			features := tensors.MustCopyFlatData[float32](alone[1]) // [1, 3, 4]
			kernel := tensors.MustCopyFlatData[float32](store.GetVariable("/second/projection/kernel").MustValue())
			var want [3]float64
			for i := range 4 {
				pooled := float64(features[8+i])
				if pooling == zoo.PoolMean {
					pooled = float64(features[i]+features[4+i]+features[8+i]) / 3
				}
				for j := range want {
					want[j] += pooled * float64(kernel[3*i+j])
				}
			}
			size := math.Sqrt(want[0]*want[0] + want[1]*want[1] + want[2]*want[2])
			for j := range want {
				if math.Abs(float64(got[j])-want[j]/size) > 1e-5 {
					t.Errorf("%s: number %d is %v, want %v", pooling, j, got[j], want[j]/size)
				}
			}
		}
		first := model.MustNewExec(e.Backend, model.NewStore(), func(scope *model.Scope, x *graph.Node) []*graph.Node {
			return []*graph.Node{zoo.NewTowers().Scale(scope, x.Graph()), tinyTowers().Apply(scope, x)}
		}).MustCall(random(1, 2, 2, 2, 1))
		if scale := tensors.ToScalar[float32](first[0]); math.Abs(float64(scale)-1/0.07) > 1e-4 {
			t.Errorf("the first scale is %v, want 1/0.07", scale)
		}
		if got := fmt.Sprint(first[1].Shape().Dimensions); got != "[2 3]" {
			t.Errorf("vectors are %s, want [2 3]", got)
		}
		message := gradcheck.Panics(e.Backend, func(x []*graph.Node) *graph.Node {
			return tinyTowers().Embed(model.NewStore().RootScope(), 2, x[0])
		}, gradcheck.Normal(1, 2, 4))
		if want := "no tower 2; there are 0 and 1"; !strings.Contains(message, want) {
			t.Errorf("got %q, want %q", message, want)
		}
	})
}

func TestTowersRefuses(t *testing.T) {
	for in, want := range map[string]string{
		`{"name":"towers","first":"cnnn"}`:                     "did you mean cnn?",
		`{"name":"towers","first":"unet"}`:                     "towers: first is unet, which has no features of whole examples",
		`{"name":"towers","second":"towers"}`:                  "towers: second is towers, which has no features",
		`{"name":"towers","dim":1}`:                            "towers: dim is 1; use at least 2",
		`{"name":"towers","pooling":"first"}`:                  `towers: no pooling "first"; there are last, mean`,
		`{"name":"towers","temperature":0}`:                    "towers: temperature is 0; use a number above 0",
		`{"name":"towers","max_scale":-1}`:                     "towers: max_scale is -1; use a number above 0",
		`{"name":"towers","seconds":"cnn"}`:                    "second",
		`{"name":"towers","first":{"name":"cnn","classes":0}}`: "classes is 0",
	} {
		var read zoo.Choice
		if err := json.Unmarshal([]byte(in), &read); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", in, err, want)
		}
	}
	if err := (zoo.Towers{}).Validate(); err == nil || !strings.Contains(err.Error(), "towers: first is missing") {
		t.Errorf("got %v", err)
	}
}
