package convert

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/safetensors"
)

// Loaders bring weights to the type that a config names, so it names that of the copy, also in its parts; a copy as it is keeps its config
// byte for byte.
func TestConfigNamesTheType(t *testing.T) {
	configs := map[string]string{
		"older": `{"model_type":"bert","torch_dtype":%q,  "layer_norm_eps": 1e-12}`,
		"newer": `{"model_type": "bert", "dtype": %q}`,
		"parts": `{"model_type": "pair", "dtype": %[1]q, "text_config": {"torch_dtype": %[1]q}, "vision_config": {"dtype": %[1]q}}`,
		"none":  `{"model_type": "bert", "note": %q}`,
	}
	for name, form := range configs {
		for _, to := range []string{ToSafetensors, ToSharded} {
			for _, typ := range []string{"", "F64", "F32", "F16", "BF16"} {
				dir, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
				text := fmt.Sprintf(form, "float32")
				put(t, dir, text, safetensors.FromFloat32s("w", []int{2, 2}, []float32{1, 2, 3, 4}), safetensors.FromInt64s("ids", []int{9}, make([]int64, 9)))
				r, err := Format(t.Context(), dir, out, Options{To: to, Type: typ})
				if err != nil {
					t.Fatal(err)
				}
				got, err := os.ReadFile(filepath.Join(out, hf.ConfigFile))
				if err != nil || !slices.Equal(r.Files, []string{hf.ConfigFile}) || len(r.Remarks) > 0 {
					t.Fatalf("%s %s: files %v, remarks %v (%v)", name, typ, r.Files, r.Remarks, err)
				}
				if typ == "" || typ == "F32" || name == "none" {
					if string(got) != text {
						t.Errorf("%s %s: config changed to %s", name, typ, got)
					}
					continue
				}
				word := torchTypes[typ]
				if n := strings.Count(form, "%"); strings.Count(string(got), `"`+word+`"`) != n || strings.Contains(string(got), "float32") {
					t.Errorf("%s %s %s: config is %s", name, to, typ, got)
				}
			}
		}
	}
}

// A copy of a quantised model holds values, and its config does not say that they are codes.
func TestConfigOfDequantised(t *testing.T) {
	for _, to := range []string{ToSafetensors, ToSharded, ToNPZ, ToGGUF} {
		dir, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
		put(t, dir, `{"model_type": "bert", "dtype": "bfloat16", "quantization_config": {"quant_method": "fp8", "weight_block_size": [2, 2]}}`,
			safetensors.Tensor{Name: "w", DType: safetensors.F8E4M3, Shape: []int{2, 2}, Data: []byte{0x38, 0x40, 0x38, 0x40}},
			safetensors.FromFloat32s("w_scale_inv", []int{1, 1}, []float32{0.5}))
		r, err := Format(t.Context(), dir, out, Options{To: to, Type: "F16"})
		if err != nil {
			t.Fatal(err)
		}
		c, err := hf.LoadConfig(out)
		if err != nil {
			t.Fatal(err)
		}
		said := slices.ContainsFunc(r.Remarks, func(s string) bool { return strings.Contains(s, "without quantization_config") })
		if c.Keys["quantization_config"] != nil || !said {
			t.Errorf("%s: config is %v, remarks %q", to, c.Keys, r.Remarks)
		}
	}
}

// put writes a model's folder.
func put(t *testing.T, dir, config string, tensors ...safetensors.Tensor) {
	t.Helper()
	if err := safetensors.WriteFile(filepath.Join(dir, "model.safetensors"), tensors, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, hf.ConfigFile), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}
