package checkpoint_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/merge/checkpoint"
)

// The config names the type of most values that were merged, wherever it names one: not that of the first tensor, which may be a buffer of
// whole numbers. Values that were dequantised are not said to be codes.
func TestConfigNamesTheType(t *testing.T) {
	dir := t.TempDir()
	config := `{"model_type": "pair", "dtype": "float32", "text_config": {"torch_dtype": "float32"}, "vision_config": {"dtype": "float32", "quantization_config": {"quant_method": "fp8"}}}`
	for i, name := range []string{"a", "b"} {
		model := filepath.Join(dir, name)
		if err := os.Mkdir(model, 0o755); err != nil {
			t.Fatal(err)
		}
		x := float32(i)
		err := safetensors.WriteFile(filepath.Join(model, "model.safetensors"), []safetensors.Tensor{
			safetensors.FromInt64s("a.position_ids", []int{9}, make([]int64, 9)), safetensors.FromFloat32s("w", []int{2, 2}, []float32{x, 2, 3, 4}),
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		put(t, model, "config.json", config)
	}
	for _, dtype := range []string{"float16", "bfloat16", "float64", "float32"} {
		out := filepath.Join(dir, dtype)
		mustRun(t, fmt.Sprintf("merge_method: linear\ndtype: %s\nparameters: {weight: 1}\nmodels: [{model: %s/a}, {model: %s/b}]\n", dtype, dir, dir), checkpoint.Options{Out: out})
		text, err := os.ReadFile(filepath.Join(out, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(text), `"`+dtype+`"`) != 3 || strings.Contains(string(text), "quant") {
			t.Errorf("merged to %s, the config says %s", dtype, text)
		}
	}
}
