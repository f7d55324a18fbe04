package checkpoint_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/merge/checkpoint"
)

// Models that were trained apart have seen different numbers of batches, which nothing is computed from: the output has that of the base, or of
// the first model, and it is said.
func TestCountersOfBatches(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"a", "b", "base"} {
		err := safetensors.WriteFile(filepath.Join(dir, name+".safetensors"), []safetensors.Tensor{
			safetensors.FromFloat32s("norm.running_mean", []int{2}, []float32{float32(i), 1}), safetensors.FromInt64s("norm.num_batches_tracked", nil, []int64{int64(7 + i)}),
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	for method, c := range map[string]struct {
		more string
		want int64
	}{
		"linear": {"", 7}, "task_arithmetic": {"base_model: %s/base.safetensors\n", 9}, "slerp": {"base_model: %s/b.safetensors\n", 8},
	} {
		out, more := filepath.Join(dir, method), c.more
		if more != "" {
			more = fmt.Sprintf(more, dir)
		}
		r := mustRun(t, fmt.Sprintf("merge_method: %s\nparameters: {weight: 1, t: 0.5}\n%smodels: [{model: %s/a.safetensors}, {model: %s/b.safetensors}]\n", method, more, dir, dir),
			checkpoint.Options{Out: out})
		f, err := weights.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		raw := make([]byte, 8)
		if err := f.ReadBytes("norm.num_batches_tracked", 0, raw); err != nil || int64(raw[0]) != c.want {
			t.Errorf("%s: the counter is %v, want %d (%v)", method, raw, c.want, err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(r.Notes, func(s string) bool { return strings.Contains(s, "counters of batches") }) {
			t.Errorf("%s: notes are %q", method, r.Notes)
		}
	}
}
