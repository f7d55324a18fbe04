package checkpoint_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/merge/checkpoint"
)

// Adapters behind + are added to a model before it is merged, in every form that a recipe may write it in.
func TestAdapters(t *testing.T) {
	cases, err := filepath.Abs("../adapter/testdata")
	if err != nil {
		t.Fatal(err)
	}
	base, adapter := filepath.Join(cases, "plain", "base.safetensors"), filepath.Join(cases, "plain", "adapter")
	merged := func(recipe string) weights.Set {
		r, err := checkpoint.ParseRecipe("recipe.yaml", []byte(strings.NewReplacer("BASE", base, "ADAPTER", adapter).Replace(recipe)))
		if err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "out.safetensors")
		p, err := checkpoint.NewPlan(r, checkpoint.Options{Out: out, Memory: 64 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close() //nolint:errcheck // it was only read
		result, err := p.Execute(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		files := 0
		for _, in := range result.Manifest.Inputs {
			if strings.HasPrefix(in.File, adapter) {
				files++
			}
		}
		if files != 2 {
			t.Errorf("%d files of the adapter have a checksum in the manifest, want 2", files)
		}
		w, err := weights.Load(out)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}

	plain, err := weights.Load(base)
	if err != nil {
		t.Fatal(err)
	}
	with, err := weights.Load(filepath.Join(cases, "plain", "merged.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	for _, recipe := range []string{
		"merge_method: passthrough\nmodels: [{model: BASE+ADAPTER}]",
		"merge_method: passthrough\nmodels: [{model: {model: {path: BASE}, lora: {path: ADAPTER}}}]",
	} {
		same(t, merged(recipe), with, func(_, w float32) float32 { return w }, plain)
	}
	half := merged("merge_method: linear\nmodels: [{model: BASE, parameters: {weight: 1}}, {model: BASE+ADAPTER, parameters: {weight: 3}}]")
	same(t, half, with, func(b, w float32) float32 { return float32(0.25*float64(b) + 0.75*float64(w)) }, plain)
}

// same compares a merged model with what is wanted of the base's value and that of the base with its adapter.
func same(t *testing.T, got, with weights.Set, want func(base, with float32) float32, base weights.Set) {
	t.Helper()
	if len(got) != len(with) {
		t.Fatalf("%d tensors, want %d", len(got), len(with))
	}
	for i, g := range got {
		for j, v := range g.Values {
			if w := want(base[i].Values[j], with[i].Values[j]); v-w > 1e-6 || w-v > 1e-6 {
				t.Fatalf("%s[%d] is %v, want %v", g.Name, j, v, w)
			}
		}
	}
}
