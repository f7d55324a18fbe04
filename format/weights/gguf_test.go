package weights_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ballast-ml/ballast/format/gguf"
	"github.com/ballast-ml/ballast/format/weights"
)

// TestGGUF: a GGUF file is found by its bytes, with shapes in row-major order, blocks and printed values.
func TestGGUF(t *testing.T) {
	values := make([]float32, 128)
	for i := range values {
		values[i] = float32(i%9 - 4)
	}
	blocks, err := gguf.FromFloat32s("a.weight", gguf.Q8_0, []int{2, 64}, values)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := gguf.FromFloat32s("a.bias", gguf.F32, []int{3}, []float32{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model")
	metadata := []gguf.KeyValue{{Key: "general.architecture", Value: "toy"}, {Key: "toy.heads", Value: []uint32{1, 2, 3, 4, 5, 6, 7, 8, 9}}}
	if err := gguf.WriteFile(path, metadata, []gguf.Tensor{blocks, plain}); err != nil {
		t.Fatal(err)
	}
	f, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it is read
	list := f.Tensors()
	want := weights.Info{Name: "a.weight", Type: "Q8_0", Shape: []int{2, 64}, Elements: 128, Bytes: 136, Block: 32, BlockBytes: 34}
	if f.Kind() != weights.GGUF || f.Path() != path || len(list) != 2 || !slices.Equal(list[0].Shape, want.Shape) || list[0].Name != want.Name || list[0].Type != want.Type ||
		list[0].Elements != want.Elements || list[0].Bytes != want.Bytes || list[0].Block != want.Block || list[0].BlockBytes != want.BlockBytes {
		t.Errorf("%s %+v, want %+v", f.Kind(), list, want)
	}
	if m := f.Metadata(); m["general.architecture"] != "toy" || m["toy.heads"] != "[1 2 3 4 5 6 7 8 ... (9 of u32)]" {
		t.Errorf("%v", m)
	}
	got := make([]float32, 5)
	if err := f.ReadFloat32s("a.weight", 60, got); err != nil || got[0] < 1.98 || got[0] > 2.02 {
		t.Errorf("%v (%v)", got, err)
	}
	if err := f.ReadBytes("a.bias", 4, make([]byte, 9)); !errors.Is(err, gguf.ErrRange) {
		t.Errorf("got %v", err)
	}
	if g, ok := weights.AsGGUF(f); !ok || g.Version() != 3 {
		t.Error("there is no GGUF file behind it")
	}
	if err := os.WriteFile(path, []byte("GGUF\x01\x00\x00\x00"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := weights.Open(path); !errors.Is(err, gguf.ErrVersion) {
		t.Errorf("got %v", err)
	}
}
