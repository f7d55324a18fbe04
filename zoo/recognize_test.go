package zoo_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/zoo"
)

// peerAnswers is what another library answers with a network: answers.json of testdata/peers, written by bench/peers/subjects.py.
type peerAnswers struct {
	Side   int         `json:"side"`
	Logits [][]float64 `json:"logits"`
}

// peerImages are the images that the answers are to: values follow from their places.
func peerImages(n, side int) *tensors.Tensor {
	x := make([]float32, n*side*side*3)
	for k := range x {
		x[k] = float32((73*k+41)%256) / 255
	}
	return tensors.FromFlatDataAndDimensions(x, n, side, side, 3)
}

// recognized opens a folder of testdata/peers.
func recognized(t *testing.T, folder string) (zoo.Recognized, error) {
	t.Helper()
	file, err := weights.Open(filepath.Join(folder, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	config, err := hf.LoadConfig(folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return zoo.Recognize(file, config)
}

// TestPeers: networks of torchvision, timm and transformers are recognised by their names and shapes, and answer as those libraries do.
func TestPeers(t *testing.T) {
	folders, err := filepath.Glob("testdata/peers/*")
	if err != nil || len(folders) < 10 {
		t.Fatalf("%d folders (%v)", len(folders), err)
	}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, folder := range folders {
			t.Run(filepath.Base(folder), func(t *testing.T) {
				r, err := recognized(t, folder)
				if err != nil {
					t.Fatal(err)
				}
				text, err := os.ReadFile(filepath.Join(folder, "answers.json"))
				if err != nil {
					t.Fatal(err)
				}
				var want peerAnswers
				if err := json.Unmarshal(text, &want); err != nil {
					t.Fatal(err)
				}
				comparePeer(t, e, r, want)
			})
		}
	})
}

func comparePeer(t *testing.T, e *engine.Engine, r zoo.Recognized, want peerAnswers) {
	store := model.NewStore()
	values, err := zoo.Values("/model", r.File, r.Imports, r.Beside...)
	if err != nil {
		t.Fatal(err)
	}
	param.From(store, values)
	exec, err := model.NewExec(e.Backend, store, func(root *model.Scope, x *graph.Node) *graph.Node { return r.Network.Apply(root.At("model"), x) })
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Finalize()
	out, err := exec.Call(peerImages(len(want.Logits), want.Side))
	if err != nil {
		t.Fatal(err)
	}
	got, classes := tensors.MustCopyFlatData[float32](out[0]), len(want.Logits[0])
	if r.Network.Outputs() != classes || r.Channels != 3 {
		t.Errorf("%d classes, %d channels", r.Network.Outputs(), r.Channels)
	}
	for i, row := range want.Logits {
		for k, v := range row {
			if d := math.Abs(float64(got[i*classes+k]) - v); !(d <= 1e-4) {
				t.Errorf("example %d, class %d: %v, want %v", i, k, got[i*classes+k], v)
			}
		}
	}
}

// TestRecognizeRefuses: files of no known network, of backbones and of variants are refused with what was found.
func TestRecognizeRefuses(t *testing.T) {
	one := func(name string, shape ...int) safetensors.Tensor {
		n := 1
		for _, d := range shape {
			n *= d
		}
		return safetensors.FromFloat32s(name, shape, make([]float32, n))
	}
	patches := one("patch_embed.proj.weight", 12, 3, 4, 4)
	block := []safetensors.Tensor{one("blocks.0.attn.qkv.weight", 36, 12), one("blocks.0.attn.proj.weight", 12, 12), one("blocks.0.mlp.fc1.weight", 20, 12), one("head.weight", 5, 12)}
	for _, c := range []struct {
		name, want string
		tensors    []safetensors.Tensor
	}{
		{"nothing known", "ResNet (torchvision, timm, transformers)", []safetensors.Tensor{one("a.weight", 2)}},
		{"backbone", "there is no last layer of a classifier", []safetensors.Tensor{one("conv1.weight", 4, 3, 7, 7), one("layer1.0.conv1.weight", 4, 4, 3, 3), one("layer1.0.conv2.weight", 4, 4, 3, 3)}},
		{"no stem", "conv1.weight", []safetensors.Tensor{one("layer1.0.conv1.weight", 4, 4, 3, 3)}},
		{"heads unknown", "the number of heads is unknown", append([]safetensors.Tensor{patches, one("pos_embed", 1, 17, 12)}, block...)},
		{"no class token", "want a class token and a square of patches", append([]safetensors.Tensor{patches, one("pos_embed", 1, 16, 12)}, block...)},
		{"part of a swin", "patch_embed.proj.weight", []safetensors.Tensor{one("layers.0.blocks.0.attn.qkv.weight", 36, 12)}},
		{"other kernels", "only 7 is known here", []safetensors.Tensor{one("stem.0.weight", 4, 3, 4, 4), one("stages.0.blocks.0.conv_dw.weight", 4, 1, 5, 5)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := safetensors.WriteFile(filepath.Join(dir, "model.safetensors"), c.tensors, nil); err != nil {
				t.Fatal(err)
			}
			_, err := recognized(t, dir)
			if !fault.IsInput(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v; want %q", err, c.want)
			}
		})
	}
}
