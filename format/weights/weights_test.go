package weights_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
)

func numbers(n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(i) - 3
	}
	return out
}

// TestSafetensors: any stretch of a tensor, of one file and of shards, is what the whole says.
func TestSafetensors(t *testing.T) {
	dir := t.TempDir()
	tensors := []safetensors.Tensor{safetensors.FromFloat32s("a", []int{300, 500}, numbers(150_000)), safetensors.FromInt64s("b", []int{3}, []int64{7, 8, 9})}
	one := filepath.Join(dir, "one.safetensors")
	if err := safetensors.WriteFile(one, tensors, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	many := filepath.Join(dir, "many")
	if err := os.Mkdir(many, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := safetensors.WriteSharded(many, tensors, nil, 1000); err != nil {
		t.Fatal(err)
	}
	for path, kind := range map[string]weights.Kind{one: weights.Safetensors, many: weights.Sharded, filepath.Join(many, "model.safetensors.index.json"): weights.Sharded} {
		f, err := weights.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if k, err := weights.Detect(path); err != nil || k != kind || f.Kind() != kind {
			t.Errorf("%s is %s and %s (%v), want %s", path, k, f.Kind(), err, kind)
		}
		info, ok := f.Info("a")
		if !ok || info.Type != "F32" || info.Bytes != 600_000 || info.BlockBytes != 4 || !slices.Equal(info.Shape, []int{300, 500}) || len(f.Tensors()) != 2 {
			t.Errorf("%s: %+v of %d", path, info, len(f.Tensors()))
		}
		rapid.Check(t, func(t *rapid.T) {
			at := rapid.IntRange(0, 150_000).Draw(t, "at")
			got := make([]float32, rapid.IntRange(0, 150_000-at).Draw(t, "n"))
			if err := f.ReadFloat32s("a", at, got); err != nil || !slices.Equal(got, numbers(150_000)[at:at+len(got)]) {
				t.Fatalf("elements from %d: %v", at, err)
			}
		})
		ints := make([]float32, 2)
		if err := f.ReadFloat32s("b", 1, ints); err != nil || ints[0] != 8 || ints[1] != 9 {
			t.Errorf("b: %v, %v", ints, err)
		}
		if err := f.ReadFloat32s("b", 2, ints); !errors.Is(err, safetensors.ErrSize) {
			t.Errorf("beyond the end: %v", err)
		}
		if err := f.ReadFloat32s("c", 0, ints); !errors.Is(err, safetensors.ErrNoTensor) {
			t.Errorf("no such tensor: %v", err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestUnknown(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.safetensors")
	if err := os.WriteFile(path, []byte("hello, I am no model"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, dir} {
		_, err := weights.Open(p)
		var typed *weights.Error
		if !errors.As(err, &typed) || !typed.BadInput() || !strings.Contains(err.Error(), p) {
			t.Errorf("%s: %v", p, err)
		}
	}
}

// TestRound compares with rounding by search: no other number of the type is nearer, and between two the even one is taken.
func TestRound(t *testing.T) {
	halves := map[string]func(uint16) float64{
		"F16": func(h uint16) float64 {
			exponent, mantissa := int(h>>10&31), float64(h&1023)
			v := math.Ldexp(1+mantissa/1024, exponent-15)
			if exponent == 0 {
				v = math.Ldexp(mantissa, -24)
			}
			return math.Copysign(v, float64(1-2*int(h>>15)))
		},
		"BF16": func(h uint16) float64 { return float64(math.Float32frombits(uint32(h) << 16)) },
	}
	rapid.Check(t, func(t *rapid.T) {
		v := math.Float32frombits(rapid.Uint32().Draw(t, "bits"))
		if rapid.Bool().Draw(t, "near") {
			v = float32(rapid.Float64Range(-70000, 70000).Draw(t, "v"))
		}
		for to, value := range halves {
			raw := make([]byte, 2)
			over, err := weights.Round(raw, to, []float32{v})
			if err != nil {
				t.Fatal(err)
			}
			h := uint16(raw[0]) | uint16(raw[1])<<8
			infinite := map[string]uint16{"F16": 0x7c00, "BF16": 0x7f80}[to]
			switch magnitude := h & 0x7fff; {
			case v != v:
				if magnitude <= infinite {
					t.Fatalf("%s(NaN) = %#x", to, h)
				}
			case magnitude == infinite:
				limit := value(infinite-1) + (value(infinite-1)-value(infinite-2))/2
				if math.Abs(float64(v)) < limit || (over == 1) != !math.IsInf(float64(v), 0) {
					t.Fatalf("%s(%v) is infinite, overflowed %d", to, v, over)
				}
			default:
				off := math.Abs(value(h) - float64(v))
				for _, other := range []uint16{h - 1, h + 1} {
					if other&0x7fff >= infinite {
						continue
					}
					d := math.Abs(value(other) - float64(v))
					if other>>15 == h>>15 && (d < off || d == off && h&1 == 1) {
						t.Fatalf("%s(%v) = %v, but %v is as near", to, v, value(h), value(other))
					}
				}
			}
		}
	})
}

// Links in a folder are followed within it and into the blobs of a Hugging Face cache, whatever the file's name, and nowhere else.
func TestFolderLinks(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "model", "snapshots", "r1")
	if err := errors.Join(os.MkdirAll(filepath.Join(root, "model", "blobs"), 0o755), os.MkdirAll(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	tensors := []safetensors.Tensor{safetensors.FromFloat32s("w", []int{1}, []float32{1})}
	for _, path := range []string{filepath.Join(root, "model", "blobs", "abc"), filepath.Join(root, "weights")} {
		if err := safetensors.WriteFile(path, tensors, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"model.safetensors", "diffusion_pytorch_model.safetensors", "model.safetensors.index.json", "pytorch_model.bin.index.json"} {
		for target, ok := range map[string]bool{"../../blobs/abc": true, "../../../weights": false, name: false, "nothing": false} {
			path := filepath.Join(dir, name)
			if err := os.Symlink(target, path); err != nil {
				t.Skip("no links here:", err)
			}
			f, err := weights.Open(dir)
			if err == nil {
				err = f.Close()
			}
			var bad interface{ BadInput() bool }
			if strings.HasSuffix(name, ".json") && ok { // a blob that is no index
				ok = false
			}
			if (err == nil) != ok || err != nil && (!errors.As(err, &bad) || !bad.BadInput()) {
				t.Errorf("%s to %s: got %v", name, target, err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
}
