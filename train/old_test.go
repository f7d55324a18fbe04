package train_test

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/train"
)

// The recipe of testdata/old/recipe.yaml, which an earlier version ran, as it is written today.
const renewed = `
name: old
network: {name: mlp, hidden: [4]}
average: {decay: 0.9}
rules: [{name: clip-norm, most: 1}]
schedule: {large_batch: {rule: sqrt, small_batch: 32}}
weigh: {gradient_noise: 0.5}
watch: [{name: distance, points: 5}]
prepare: [{name: subset, examples: 160}, {name: label-noise, kind: symmetric, rate: 0.2}]
objective: {loss: {name: cross-entropy, label_smoothing: 0.1}}
batch_size: 16
steps: 16
log_every: 4
checkpoint: {every_steps: 8, every_seconds: 0, keep_last: 2, keep_best: false}
`

// A run folder that an earlier version left at update 8 goes on to where that version came alone, testdata/old/end, on the Go engine; so
// does a run of today from the beginning. The bits are those of
// amd64 without vector code: the compiler elsewhere, and that code, round otherwise.
func TestOldRunFolder(t *testing.T) {
	r, err := train.DecodeYAML([]byte(renewed))
	if err != nil {
		t.Fatal(err)
	}
	old := filepath.Join("testdata", "old")
	resumed, whole := t.TempDir(), t.TempDir()
	if err := os.CopyFS(resumed, os.DirFS(old)); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{resumed, whole} {
		result := run(t, r, train.Options{Engine: goEngine(t), Dir: dir, Resume: true})
		if want := dir == resumed; result.Resumed != want || want && result.From != 8 {
			t.Errorf("resumed is %v, from %d", result.Resumed, result.From)
		}
		if points := result.Watched["distance"]; len(points) == 0 {
			t.Error("no distance is left")
		}
		end := filepath.Join(dir, "checkpoints", "step-00000016", "model.safetensors")
		alike(t, filepath.Join(old, "end", "model.safetensors"), end)
		if err := result.Bundle.Save(filepath.Join(dir, "model-now")); err != nil {
			t.Fatal(err)
		}
		alike(t, filepath.Join(old, "model", "model.safetensors"), filepath.Join(dir, "model-now", "model.safetensors"))
	}
}

// alike compares files of tensors: byte for byte where the fixture was made, within 1e-4 elsewhere.
func alike(t *testing.T, want, got string) {
	t.Helper()
	a, errA := os.ReadFile(want)
	b, errB := os.ReadFile(got)
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	if runtime.GOARCH == "amd64" && !strings.Contains(runtime.Version(), "simd") {
		if !bytes.Equal(a, b) {
			t.Errorf("%s has other bits than %s", got, want)
		}
		return
	}
	x, errX := safetensors.Open(want)
	y, errY := safetensors.Open(got)
	if err := errors.Join(errX, errY); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = errors.Join(x.Close(), y.Close()) }() // only read
	for _, name := range x.Names() {
		if info, _ := x.Info(name); info.DType != safetensors.F32 {
			continue
		}
		p, errP := x.Float32s(name)
		q, errQ := y.Float32s(name)
		if err := errors.Join(errP, errQ); err != nil {
			t.Fatal(err)
		}
		for i := range p {
			if d := math.Abs(float64(p[i]) - float64(q[i])); !(d <= 1e-4) {
				t.Fatalf("%s of %s is %v at %d, was %v", name, got, q[i], i, p[i])
			}
		}
	}
}

// A bundle of an earlier version opens and answers; its recipe says which of its keys has moved where.
func TestOldBundle(t *testing.T) {
	b, err := bundle.Open(filepath.Join("testdata", "old", "model"))
	if err != nil {
		t.Fatal(err)
	}
	forward, err := b.NewForward(goEngine(t), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer forward.Close()
	if answers, err := forward.Logits(make([]float32, 2*64), 2); err != nil || len(answers) != 20 || answers[0] != answers[10] {
		t.Errorf("answers are %v, %v", answers, err)
	}

	recipe, err := os.ReadFile(filepath.Join("testdata", "old", "recipe.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	const want = "recipe: clip_norm has moved; write rules: [{name: clip-norm, most: NUMBER}]"
	if _, err := train.DecodeYAML(recipe); err == nil || err.Error() != want {
		t.Errorf("error is %v; want %q", err, want)
	}
}
