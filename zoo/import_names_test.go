package zoo_test

import (
	"path/filepath"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/zoo"
)

// A prefix before all names, and buffers that networks compute, keep no file from being imported.
func TestImportByOtherNames(t *testing.T) {
	imports := []zoo.Import{{Variable: "a/kernel", Tensor: "a.weight"}, {Variable: "a/bias", Tensor: "a.bias"}}
	for _, prefix := range []string{"", "module.", "_orig_mod.", "net.backbone."} {
		path := filepath.Join(t.TempDir(), "model.safetensors")
		err := safetensors.WriteFile(path, []safetensors.Tensor{
			safetensors.FromFloat32s(prefix+"a.weight", []int{2}, []float32{1, 2}), safetensors.FromFloat32s(prefix+"a.bias", []int{1}, []float32{3}),
			safetensors.FromInt64s(prefix+"a.num_batches_tracked", nil, []int64{3}), safetensors.FromInt64s(prefix+"embeddings.position_ids", []int{1, 1}, []int64{0}),
			safetensors.FromFloat32s(prefix+"layers.0.rotary_emb.inv_freq", []int{1}, []float32{1}), safetensors.FromFloat32s(prefix+"h.0.attn.bias", []int{1, 1, 1, 1}, []float32{1}),
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		f, err := weights.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		source, err := zoo.Values("/model", f, imports)
		if err != nil {
			t.Errorf("%q: %v", prefix, err)
			continue
		}
		value, err := source("/model/a/kernel", shapes.Make(dtypes.Float32, 2))
		if err != nil || value.Shape().Size() != 2 {
			t.Errorf("%q: %v (%v)", prefix, value, err)
		}
		_ = f.Close()
	}
}
