package weights_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/format/pytorch"
	"github.com/ballast-ml/ballast/format/weights"
)

// TestOtherFormats: what other programs write is found by its bytes and read in stretches.
func TestOtherFormats(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	raw := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, math.Float32bits(1.5)), math.Float32bits(-2))
	open := func() (io.Reader, error) { return bytes.NewReader(raw), nil }
	err := errors.Join(
		npy.WriteArchiveFile(path("arrays"), []npy.Member{{Name: "w", DType: npy.Float32, Shape: []int{2}, Open: open}}, true),
		npy.WriteFile(path("one"), []int{2}, []float32{1.5, -2}),
		os.Mkdir(path("web"), 0o755),
		os.WriteFile(path("web/shard.bin"), raw, 0o644),
		os.WriteFile(path("web/model.json"), []byte(`{"weightsManifest":[{"paths":["shard.bin"],"weights":[{"name":"w","shape":[2],"dtype":"float32"}]}]}`), 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, name string
		kind       weights.Kind
		want       []float32
	}{
		{path("arrays"), "w", weights.NPZ, []float32{1.5, -2}},
		{path("one"), "array", weights.NPY, []float32{1.5, -2}},
		{path("web"), "w", weights.TFJS, []float32{1.5, -2}},
		{path("web/model.json"), "w", weights.TFJS, []float32{1.5, -2}},
		{"../pytorch/testdata/protocol2.pt", "half", weights.PyTorch, []float32{0.5, -1.5}},
		{"../pytorch/testdata/old.pth", "half", weights.PyTorch, []float32{0.5, -1.5}},
	} {
		f, err := weights.Open(c.path)
		if err != nil {
			t.Fatal(err)
		}
		info, ok := f.Info(c.name)
		got := make([]float32, len(c.want))
		if err := f.ReadFloat32s(c.name, 0, got); err != nil || !ok || f.Kind() != c.kind || !slices.Equal(got, c.want) || !slices.Equal(info.Shape, []int{2}) || f.Metadata() == nil {
			t.Errorf("%s: %s %+v %v (%v)", c.path, f.Kind(), info, got, err)
		}
		if err := f.ReadFloat32s(c.name, 1, got[:1]); err != nil || got[0] != c.want[1] {
			t.Errorf("%s: %v (%v)", c.path, got, err)
		}
		bytes := make([]byte, info.Bytes)
		if err := f.ReadBytes(c.name, 0, bytes); err != nil || int64(info.BlockBytes*info.Elements) != info.Bytes {
			t.Errorf("%s: %+v (%v)", c.path, info, err)
		}
		if len(f.Tensors()) == 0 || f.Tensors()[len(f.Tensors())-1].Name != c.name {
			t.Errorf("%s: %v", c.path, f.Tensors())
		}
		if err := f.ReadFloat32s("none", 0, got); err == nil || !strings.Contains(err.Error(), `"none"`) {
			t.Errorf("%s: %v", c.path, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	checkpoint, err := os.ReadFile("../pytorch/testdata/old.pth")
	if err != nil {
		t.Fatal(err)
	}
	index := func(text string) error {
		return os.WriteFile(path("bins/pytorch_model.bin.index.json"), []byte(text), 0o644)
	}
	err = errors.Join(os.Mkdir(path("bins"), 0o755), os.WriteFile(path("bins/a.bin"), checkpoint, 0o644), os.WriteFile(path("bins/b.bin"), checkpoint, 0o644),
		index(`{"metadata": {}, "weight_map": {"half": "a.bin", "fc.bias": "b.bin"}}`))
	if err != nil {
		t.Fatal(err)
	}
	f, err := weights.Open(path("bins"))
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float32, 2)
	if err := f.ReadFloat32s("half", 0, got); err != nil || f.Kind() != weights.PyTorch || len(f.Tensors()) != 2 || got[1] != -1.5 || len(weights.Files(f)) != 3 {
		t.Errorf("%v %v %v (%v)", f.Kind(), f.Tensors(), got, err)
	}
	if err := f.ReadBytes("none", 0, nil); !errors.Is(err, pytorch.ErrNoTensor) {
		t.Errorf("got %v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	for text, want := range map[string]string{
		`{"weight_map": {"half": "c.bin"}}`:         `shard "c.bin" is missing`,
		`{"weight_map": {"half": "../a.bin"}}`:      `shard "../a.bin" lies outside the model's folder`,
		`{"weight_map": {"nothing": "a.bin"}}`:      `tensor "nothing": storage cannot be read: shard "a.bin" lacks it`,
		`{"weight_map": {"half": "a.bin", "x": 7}}`: "a value that is not text",
	} {
		err := index(text)
		if err != nil {
			t.Fatal(err)
		}
		_, err = weights.Open(path("bins"))
		var typed *pytorch.Error
		if !errors.As(err, &typed) || !typed.BadInput() || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want %q, got %v", text, want, err)
		}
	}
	if _, err := weights.Open("../pytorch/testdata/calls.pt"); !errors.Is(err, pytorch.ErrCall) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(path("bare.pkl"), []byte{0x80, 2, '}', '.'}, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := weights.Open(path("bare.pkl")); err == nil || !strings.Contains(err.Error(), "a bare pickle") {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(path("cut.zip"), []byte("PK\x03\x04..."), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := weights.Open(path("cut.zip")); !errors.Is(err, weights.ErrKind) || !strings.Contains(err.Error(), "zip archive that cannot be read") {
		t.Errorf("got %v", err)
	}
}
