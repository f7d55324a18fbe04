package convert

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/onnxtest"
)

// Elements of less than a byte come out as whole numbers or floats of the same value, and each is said by its type.
func TestNarrowTypes(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "m.onnx")
	raw := []byte{0x10, 0x98, 0x7f, 0x0d}
	model := onnxtest.Model{Opset: 21}
	cases := []struct {
		name         string
		code         int
		values       []float32
		plain, ggufs string // types in safetensors and npz, and in GGUF
	}{
		{"UINT4", 21, []float32{0, 1, 8, 9, 15, 7, 13}, "U8", "I16"},
		{"INT4", 22, []float32{0, 1, -8, -7, -1, 7, -3}, "I8", "I8"},
		{"FLOAT4E2M1", 23, []float32{0, 0.5, 0, -0.5, -6, 6, -3}, "F32", "F32"},
		{"UINT2", 25, []float32{0, 0, 1, 0, 0, 2, 1, 2, 3, 3, 3, 1, 1, 3}, "U8", "I16"},
		{"INT2", 26, []float32{0, 0, 1, 0, 0, -2, 1, -2, -1, -1, -1, 1, 1, -1}, "I8", "I8"},
	}
	for _, c := range cases {
		model.Tensors = append(model.Tensors, onnxtest.Tensor{Name: c.name, Type: c.code, Shape: []int{len(c.values)}, Raw: raw})
	}
	if err := os.WriteFile(in, model.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}

	for _, to := range []string{ToSafetensors, ToNPZ, ToGGUF} {
		out := filepath.Join(dir, "out."+to)
		result, err := Format(t.Context(), in, out, Options{To: to})
		if err != nil {
			t.Fatalf("%s: %v", to, err)
		}
		if _, err := Check(t.Context(), in, out, Options{To: to}); err != nil {
			t.Errorf("%s: the check says %v", to, err)
		}
		f, err := weights.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range cases {
			want := c.plain
			if to == ToGGUF {
				want = c.ggufs
			}
			r := result.Tensors[i]
			if r.FromType != c.name || r.ToType != want || !strings.Contains(r.Remark, c.name+" is unpacked to ") {
				t.Errorf("%s: %+v, want %s to %s", to, r, c.name, want)
			}
			got := make([]float32, len(c.values))
			if err := f.ReadFloat32s(c.name, 0, got); err != nil || !slices.Equal(got, c.values) {
				t.Errorf("%s: %s is %v (%v), want %v", to, c.name, got, err, c.values)
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}
