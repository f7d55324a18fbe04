package convert_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/convert"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/nn/mixer"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/residual"
	"github.com/ballast-ml/ballast/zoo"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// untrained is a model with random weights and statistics.
func untrained(t *testing.T, e *engine.Engine, network zoo.Network) *bundle.Bundle {
	t.Helper()
	b := &bundle.Bundle{
		Manifest: bundle.NewManifest(zoo.Choice{Network: network}, []int{8, 8, 1}, strings.Split("0123456789", "")), Store: model.NewStore(),
	}
	if err := b.Declare(e.Backend); err != nil {
		t.Fatal(err)
	}
	if err := b.Store.InitializeVariables(e.Backend, nil); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, v := range b.Variables() {
		if !v.DType().IsFloat() || v.Name() == "kernel" {
			continue
		}
		flat := make([]float32, v.Shape().Size())
		for i := range flat {
			flat[i] = float32(0.5 + r.Float64())
		}
		if err := v.SetValue(tensors.FromFlatDataAndDimensions(flat, v.Shape().Dimensions...)); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// TestFoldNorms: a folded model gives the logits of the first, has no statistics left, and can be saved and opened.
func TestFoldNorms(t *testing.T) {
	standard := zoo.NewConvNet()
	standard.Standardize = "unbiased_std_plus_eps"
	shortcut := zoo.NewResNet(8)
	shortcut.Shortcut = "B"
	power := norm.NewPower("running")
	power.GroupScaling = false
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for name, network := range map[string]zoo.Network{
			"mlp ghost": zoo.NewMLP().WithNorm(norm.NewGhost(4)), "cnn unified": zoo.NewCNN().WithNorm(norm.NewUnified()),
			"resnet": shortcut, "convnet estimated": standard.WithNorm(norm.NewEstimated()), "convnet power": standard.WithNorm(power),
		} {
			b := untrained(t, e, network)
			folded, report, err := convert.FoldNorms(b)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			x := make([]float32, 5*64)
			for i := range x {
				x[i] = float32(math.Sin(float64(i)))
			}
			if err := report.Compare(e, b, folded, x, 5); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if !(report.LargestChange <= 1e-5*(1+report.LargestLogit)) || report.LargestLogit == 0 {
				t.Errorf("%s: %+v", name, report)
			}
			for _, v := range folded.Variables() {
				if n := v.Name(); n != "kernel" && n != "bias" && n != "offset" {
					t.Errorf("%s: %s is left", name, v.Path())
				}
			}
			dir := t.TempDir() + "/model"
			if err := folded.Save(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := bundle.Open(dir); err != nil {
				t.Error(err)
			}
		}
		for want, network := range map[string]zoo.Network{
			"norm layer looks at the input at inference and cannot be folded":  zoo.NewCNN().WithNorm(norm.NewLayerNorm(-1)),
			"norm power at /model/layer_1/norm cannot be folded":               zoo.NewConvNet().WithNorm(norm.NewPower("running")),
			"network ibn-resnet has norms that look at the input at inference": zoo.NewIBNResNet(),
		} {
			if _, _, err := convert.FoldNorms(untrained(t, e, network)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		}
	})
}

// TestFoldDecoder: a language model whose norms went into the dense layers behind them gives the same logits, with no norm left.
func TestFoldDecoder(t *testing.T) {
	power := norm.NewPower("running")
	power.GroupScaling = false
	small := func(layer norm.Layer) zoo.Decoder {
		lm := zoo.NewDecoder()
		two := mixer.NewAttention()
		two.Heads = 2
		lm.Vocabulary, lm.Context, lm.Dim, lm.Mixer.Mixer = 11, 6, 8, two
		lm.Norm.Layer = layer
		return lm
	}
	logits := func(t *testing.T, e *engine.Engine, store *model.Store, lm zoo.Decoder) []float32 {
		t.Helper()
		tokens := [][]int32{{1, 5, 3, 0, 10, 2}, {7, 7, 4, 9, 8, 6}}
		return tensors.MustCopyFlatData[float32](model.MustNewExec(e.Backend, store, func(scope *model.Scope, tokens *graph.Node) *graph.Node {
			store.SetTraining(tokens.Graph(), false)
			return lm.Apply(scope.In("model"), tokens)
		}).MustCall(tokens)[0])
	}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, layer := range []norm.Layer{norm.NewUnified(), norm.NewBatch(), power} {
			lm, store := small(layer), model.NewStore()
			logits(t, e, store, lm)
			r := rand.New(rand.NewPCG(3, 4))
			for v := range store.IterVariables() { // statistics, scales, offsets and biases other than the first ones
				if !v.DType().IsFloat() || v.Name() == "kernel" {
					continue
				}
				flat := make([]float32, v.Shape().Size())
				for i := range flat {
					flat[i] = float32(0.5 + r.Float64())
				}
				if err := v.SetValue(tensors.FromFlatDataAndDimensions(flat, v.Shape().Dimensions...)); err != nil {
					t.Fatal(err)
				}
			}
			want := logits(t, e, store, lm)
			folded, err := convert.FoldDecoder(store, "/model", lm)
			if err != nil {
				t.Fatal(err)
			}
			if _, none := folded.Norm.Layer.(norm.Identity); !none {
				t.Errorf("%s: norm %s is left", norm.Name(layer), norm.Name(folded.Norm.Layer))
			}
			for i, got := range logits(t, e, store, folded) {
				if math.Abs(float64(got-want[i])) > 1e-5*(1+math.Abs(float64(want[i]))) {
					t.Fatalf("%s: logit %d is %v, want %v", norm.Name(layer), i, got, want[i])
				}
			}
		}
		after, tied, noBias := small(norm.NewUnified()), small(norm.NewUnified()), small(norm.NewUnified())
		after.Placement.Placement, tied.Tied, noBias.NoBias = residual.Post{}, true, true
		for want, lm := range map[string]zoo.Decoder{
			"only with placement pre; this one is post":                                 after,
			"the last norm is read by the embedding":                                    tied,
			"has no bias, into which":                                                   noBias,
			"only foldable norms can be folded into dense layers; this model has layer": small(norm.NewLayerNorm(-1)),
			"looks at the input at inference (group scaling?) and cannot":               small(norm.NewPower("running")),
		} {
			store := model.NewStore()
			logits(t, e, store, lm)
			if _, err := convert.FoldDecoder(store, "/model", lm); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		}
	})
}
