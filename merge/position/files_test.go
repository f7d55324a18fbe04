package position_test

import (
	"context"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights/weightstest"
	"github.com/ballast-ml/ballast/merge/position"
)

// TestPositionFiles: what is streamed from files is what the search found in memory.
func TestPositionFiles(t *testing.T) {
	models := weightstest.Family(12, 3, 0.4)
	for _, perTensor := range []bool{false, true} {
		method := position.New()
		method.PerTensor, method.Keep, method.Steps = perTensor, []string{"a/bias"}, 7
		search, err := method.NewSearch(models[0], models[1:], nil)
		if err != nil {
			t.Fatal(err)
		}
		fit, found, err := search.Fit(bowl(models[2]))
		if err != nil {
			t.Fatal(err)
		}
		out := t.TempDir()
		if _, err := fit.Files(context.Background(), weightstest.Written(t, models[0], "F32", 4), []string{weightstest.Written(t, models[1], "F32", 5), weightstest.Written(t, models[2], "F32", 6)}, out, nil); err != nil {
			t.Fatal(err)
		}
		f, err := safetensors.Open(filepath.Join(out, "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		for _, tensor := range found {
			got, err := f.Float32s(tensor.Name)
			if err != nil {
				t.Fatal(err)
			}
			for j, v := range got {
				if math.Abs(float64(v)-float64(tensor.Values[j])) > 1e-6 {
					t.Fatalf("%s[%d] is %v, want %v", tensor.Name, j, v, tensor.Values[j])
				}
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := fit.Files(context.Background(), "a", []string{"b"}, out, nil); err == nil || !strings.Contains(err.Error(), "1 models for a fit of 2") {
			t.Errorf("got %v", err)
		}
	}
}
