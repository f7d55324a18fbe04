package checkpoint_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ballast-ml/ballast/merge/checkpoint"
)

// A merge that is encoded has its manifest beside the file; when encoding fails, the merged tensors stay for the next try.
func TestEncode(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "model.gguf")
	m := checkpoint.Manifest{SchemaVersion: 1, Method: "linear", Recipe: []byte("{}"), Versions: map[string]string{}, Inputs: []checkpoint.InputFile{}}
	if err := os.MkdirAll(checkpoint.Stage(out), 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, checkpoint.Stage(out), "model.safetensors", "tensors")

	failed := errors.New("no room")
	if _, err := checkpoint.Encode(t.Context(), m, out, "gguf", func(context.Context, string, string) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
	upper := func(_ context.Context, merged, encoded string) error {
		text, err := os.ReadFile(filepath.Join(merged, "model.safetensors"))
		return errors.Join(err, os.WriteFile(encoded, append(text, " encoded"...), 0o644))
	}
	m, err := checkpoint.Encode(t.Context(), m, out, "gguf Q8_0", upper)
	if err != nil {
		t.Fatal(err)
	}

	if text, err := os.ReadFile(out); err != nil || string(text) != "tensors encoded" {
		t.Errorf("the file is %q, %v", text, err)
	}
	if _, err := os.Stat(checkpoint.Stage(out)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the stage is still there: %v", err)
	}
	got, list, err := checkpoint.Verify(t.Context(), out, "")
	if err != nil || got.Encoding != "gguf Q8_0" || len(got.Outputs) != 1 || got.Outputs[0] != m.Outputs[0] || checkpoint.Damaged(out, list) != nil {
		t.Errorf("manifest %+v, files %v, %v", got, list, err)
	}
	put(t, dir, "model.gguf", "tensors encodeD")
	if _, list, err = checkpoint.Verify(t.Context(), out, ""); err != nil || checkpoint.Damaged(out, list) == nil {
		t.Errorf("a changed file is as its manifest says: %v, %v", list, err)
	}
}
