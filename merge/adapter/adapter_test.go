package adapter_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/merge/adapter"
)

// cases are the folders that bench/peers/peft_adapters.py made.
var cases = []string{
	"plain", "rslora", "patterns", "embedding", "embedding_layer", "conv", "dora", "bias", "lora_bias", "saved", "transposed", "transposed_dora",
}

// on opens a base with an adapter applied.
func on(t testing.TB, base, dir string) weights.File {
	t.Helper()
	file, err := weights.Open(base)
	if err != nil {
		t.Fatal(err)
	}
	a, err := adapter.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	v, err := a.On(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

func TestMergesAsPEFT(t *testing.T) {
	for _, name := range cases {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("testdata", name)
			got := on(t, filepath.Join(dir, "base.safetensors"), filepath.Join(dir, "adapter"))
			want, err := weights.Load(filepath.Join(dir, "merged.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			base, err := weights.Load(filepath.Join(dir, "base.safetensors"))
			if err != nil {
				t.Fatal(err)
			}

			if len(got.Tensors()) != len(want) {
				t.Fatalf("%d tensors, want %d", len(got.Tensors()), len(want))
			}
			changed := 0
			for i, w := range want {
				values := make([]float32, len(w.Values))
				if err := got.ReadFloat32s(w.Name, 0, values); err != nil {
					t.Fatal(err)
				}
				for j, v := range values {
					// Both are rounded from float64 sums, whose order differs.
					if d := math.Abs(float64(v - w.Values[j])); d > 1.2e-7*math.Max(1, math.Abs(float64(v))) {
						t.Fatalf("%s[%d] is %v, want %v", w.Name, j, v, w.Values[j])
					}
				}
				if !slices.Equal(base[i].Values, w.Values) {
					changed++
				}
			}
			if changed == 0 {
				t.Error("the case changes nothing")
			}
		})
	}
}

// Any stretch reads as a part of the whole, whoever else reads.
func TestStretches(t *testing.T) {
	for _, name := range []string{"dora", "transposed_dora", "embedding", "lora_bias"} {
		dir := filepath.Join("testdata", name)
		f := on(t, filepath.Join(dir, "base.safetensors"), filepath.Join(dir, "adapter"))
		whole := map[string][]float32{}
		for _, info := range f.Tensors() {
			whole[info.Name] = make([]float32, info.Elements)
			if err := f.ReadFloat32s(info.Name, 0, whole[info.Name]); err != nil {
				t.Fatal(err)
			}
		}
		rapid.Check(t, func(t *rapid.T) {
			info := rapid.SampledFrom(f.Tensors()).Draw(t, "tensor")
			at := rapid.IntRange(0, info.Elements).Draw(t, "at")
			n := rapid.IntRange(0, info.Elements-at).Draw(t, "n")
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					part := make([]float32, n)
					if err := f.ReadFloat32s(info.Name, at, part); err != nil || !slices.Equal(part, whole[info.Name][at:at+n]) {
						t.Errorf("%s [%d, %d) reads otherwise than as a whole (%v)", info.Name, at, at+n, err)
					}
				})
			}
			all.Wait()
		})
	}
}

// What is not known, or does not fit, is refused by name.
func TestRefusals(t *testing.T) {
	linear := map[string][]int{"m.weight": {4, 6}, "m.bias": {4}, "other.weight": {2, 2}}
	pair := map[string][]int{"base_model.model.m.lora_A.weight": {2, 6}, "base_model.model.m.lora_B.weight": {4, 2}}
	with := func(more map[string][]int) map[string][]int {
		all := map[string][]int{}
		for _, from := range []map[string][]int{pair, more} {
			for k, v := range from {
				if v == nil {
					delete(all, k)
				} else {
					all[k] = v
				}
			}
		}
		return all
	}
	for name, c := range map[string]struct {
		config  map[string]any
		tensors map[string][]int
		want    string
	}{
		"kind":        {map[string]any{"peft_type": "IA3"}, pair, `peft_type: it is "IA3"; only LORA can be applied; merge it into its base`},
		"pissa":       {map[string]any{"init_lora_weights": "pissa_niter_4"}, pair, `init_lora_weights: it is "pissa_niter_4", which takes a part out of the base's weights`},
		"unknown key": {map[string]any{"layer_replication": [][]int{{0, 2}}}, pair, "layer_replication: it is [[0,2]], and is not applied here"},
		"rank":        {map[string]any{"r": 3}, pair, "m: its matrices have rank 2, and adapter_config.json says 3"},
		"no rank":     {map[string]any{"r": 0}, pair, "r: it is 0; use at least 1"},
		"bias":        {map[string]any{"bias": "some"}, pair, `bias: it is "some"; use none, all or lora_only`},
		"pattern":     {map[string]any{"rank_pattern": map[string]int{"(": 2}}, pair, "rank_pattern.(: error parsing regexp"},
		"two patterns": {
			map[string]any{"alpha_pattern": map[string]int{"m": 2, "[a-z]": 3}}, pair,
			"the patterns \"[a-z]\" and \"m\" both match it, and give 3 and 2",
		},
		"half":         {nil, map[string][]int{"base_model.model.m.lora_A.weight": {2, 6}}, "m: it has one of lora_A and lora_B without the other"},
		"empty":        {nil, map[string][]int{}, "it has no tensors"},
		"other tensor": {nil, with(map[string][]int{"m.lora_C.weight": {1}}), "m.lora_C.weight: it is not a known part of an adapter"},
		"kohya":        {nil, map[string][]int{"lora_unet_m.lora_down.weight": {2, 6}}, "lora_unet_m.lora_down.weight: it is not a known part of an adapter"},
		"dora":         {map[string]any{"use_dora": true}, pair, "m: use_dora is true, and a magnitude is there: false"},
		"magnitude":    {nil, with(map[string][]int{"base_model.model.m.lora_magnitude_vector": {4}}), "m: use_dora is false, and a magnitude is there: true"},
		"outputs": {
			map[string]any{"use_dora": true}, with(map[string][]int{"base_model.model.m.lora_magnitude_vector": {6}}),
			"the magnitude has 6 values for 4 outputs",
		},
		"shape":        {nil, map[string][]int{"m.lora_A.weight": {2, 5}, "m.lora_B.weight": {4, 2}}, "lora_A is [2 5] and lora_B is [4 2], which do not fit the base's [4 6]"},
		"no module":    {nil, map[string][]int{"model.m.lora_A.weight": {2, 6}, "model.m.lora_B.weight": {4, 2}}, "and the base has it as m: the adapter's names begin with model."},
		"one missing":  {nil, with(map[string][]int{"n.lora_A.weight": {2, 6}, "n.lora_B.weight": {4, 2}}), "has no n.weight"},
		"saved":        {map[string]any{"modules_to_save": []string{"score"}}, pair, `modules_to_save names "score", but the adapter has no tensor of it`},
		"not in base":  {nil, with(map[string][]int{"base_model.model.score.weight": {2, 2}}), "has no tensor score.weight that it could take the place of"},
		"larger":       {nil, with(map[string][]int{"base_model.model.other.weight": {3, 2}}), "it is [3 2], and other.weight in the base is [2 2]"},
		"both":         {nil, with(map[string][]int{"base_model.model.m.weight": {4, 6}}), "the adapter changes m.weight by a product and replaces it, too"},
		"lora_bias":    {map[string]any{"lora_bias": true}, with(map[string][]int{"m.lora_B.bias": {5}}), "lora_B.bias [5] needs a bias of the same shape in the base, which has [4]"},
		"no lora_bias": {nil, with(map[string][]int{"m.lora_B.bias": {4}}), "lora_bias is false, and lora_B.bias is there: true"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			base := save(t, filepath.Join(dir, "base.safetensors"), linear)
			save(t, filepath.Join(dir, "adapter", "adapter_model.safetensors"), c.tensors)
			config := map[string]any{"peft_type": "LORA", "r": 2, "lora_alpha": 4}
			for k, v := range c.config {
				config[k] = v
			}
			text, err := json.Marshal(config)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "adapter", adapter.ConfigFile), text, 0o600); err != nil {
				t.Fatal(err)
			}

			a, err := adapter.Open(filepath.Join(dir, "adapter"))
			if err == nil {
				defer a.Close() //nolint:errcheck // read only
				file, fileErr := weights.Open(base)
				if fileErr != nil {
					t.Fatal(fileErr)
				}
				defer file.Close() //nolint:errcheck // read only
				_, err = a.On(file)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if !fault.IsInput(err) {
				t.Errorf("%v is no input error", err)
			}
		})
	}
}

func TestMissingTensors(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, adapter.ConfigFile), []byte(`{"peft_type": "LORA", "r": 1, "lora_alpha": 1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var input *fault.Input
	if _, err := adapter.Open(dir); !errors.As(err, &input) || !strings.Contains(err.Error(), "neither of adapter_model.safetensors, adapter_model.bin") {
		t.Errorf("got %v", err)
	}
	if !adapter.Is(dir) || adapter.Is(t.TempDir()) {
		t.Error("an adapter's folder is not told from another")
	}
}

// save writes tensors of ones.
func save(t *testing.T, path string, shapes map[string][]int) string {
	t.Helper()
	write(t, path, shapes, func(string) float32 { return 1 })
	return path
}
