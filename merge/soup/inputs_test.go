package soup_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/merge/soup"
)

// Files of one network are averaged as what they stand for: with a prefix before the names of one, and 8-bit codes by their scales.
func TestInputsOfOthers(t *testing.T) {
	write := func(config string, list ...safetensors.Tensor) string {
		dir := t.TempDir()
		if err := safetensors.WriteFile(filepath.Join(dir, "model.safetensors"), list, nil); err != nil {
			t.Fatal(err)
		}
		if config != "" {
			if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	plain := write("", safetensors.FromFloat32s("w.weight", []int{1, 2}, []float32{1, 3}))
	parallel := write("", safetensors.FromFloat32s("module.w.weight", []int{1, 2}, []float32{3, 5}))
	coded := write(`{"quantization_config": {"quant_method": "fp8"}}`,
		safetensors.Tensor{Name: "w.weight", DType: safetensors.F8E4M3, Shape: []int{1, 2}, Data: []byte{0x38, 0x38}},
		safetensors.FromFloat32s("w.weight_scale_inv", []int{1, 1}, []float32{5}))
	packed := write(`{"quantization_config": {"quant_method": "gptq"}}`,
		safetensors.Tensor{Name: "w.qweight", DType: safetensors.I32, Shape: []int{1, 2}, Data: make([]byte, 8)})

	out := filepath.Join(t.TempDir(), "out")
	r, err := soup.Uniform{}.Files(t.Context(), []string{plain, parallel, coded}, out, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := weights.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	got := make([]float32, 2)
	if err := f.ReadFloat32s("w.weight", 0, got); err != nil || got[0] < 2.999 || got[0] > 3.001 || got[1] < 4.33 || got[1] > 4.34 {
		t.Errorf("the mean is %v (%v)", got, err)
	}
	if !slices.ContainsFunc(r.Warnings, func(w string) bool { return strings.Contains(w, "1 tensors are dequantised") }) {
		t.Errorf("warnings are %v", r.Warnings)
	}

	none := filepath.Join(t.TempDir(), "none")
	if _, err := (soup.Uniform{}).Files(t.Context(), []string{packed, packed}, none, nil); err == nil || !strings.Contains(err.Error(), "quantised by gptq") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("something was written")
	}
}
