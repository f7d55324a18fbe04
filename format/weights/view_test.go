package weights_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/format/decoder"
	"github.com/ballast-ml/ballast/format/gguf"
	"github.com/ballast-ml/ballast/format/weights"
)

// A view joins tensors, takes one apart, adds to one and computes one; any stretch of values and bytes is that of the whole.
func TestView(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.gguf")
	values := func(from, n int) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = float32(from+i) / 4
		}
		return out
	}
	var list []gguf.Tensor
	for i, name := range []string{"a", "b"} {
		for _, typ := range []gguf.Type{gguf.F16, gguf.Q8_0} {
			tensor, err := gguf.FromFloat32s(name+typ.String(), typ, []int{2, 64}, values(100*i, 128))
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, tensor)
		}
	}
	if err := gguf.WriteFile(path, nil, list); err != nil {
		t.Fatal(err)
	}
	f, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	part := func(name string, at, n int) decoder.Part { return decoder.Part{Name: name, At: at, Elements: n} }
	var plan []decoder.Tensor
	for _, typ := range []string{"F16", "Q8_0"} {
		plan = append(plan, decoder.Tensor{Name: "both" + typ, Shape: []int{2, 2, 64}, Parts: []decoder.Part{part("a"+typ, 0, 128), part("b"+typ, 0, 128)}},
			decoder.Tensor{Name: "row" + typ, Shape: []int{64}, Parts: []decoder.Part{part("b"+typ, 64, 64)}})
	}
	plan = append(plan, decoder.Tensor{Name: "more", Shape: []int{2, 64}, Parts: []decoder.Part{part("aF16", 0, 128)}, Shift: 1}, decoder.Tensor{Name: "made", Shape: []int{3}, Values: []float32{1, 2, 3}})
	v, err := weights.NewView(f, plan)
	if err != nil {
		t.Fatal(err)
	}
	if names := v.Origin("bothF16"); !slices.Equal(names, []string{"aF16", "bF16"}) || len(v.Origin("made")) != 0 || len(weights.Files(v)) != 1 {
		t.Errorf("%v", names)
	}
	for _, info := range v.Tensors() {
		whole, raw := make([]float32, info.Elements), make([]byte, info.Bytes)
		if v.ReadFloat32s(info.Name, 0, whole) != nil || v.ReadBytes(info.Name, 0, raw) != nil {
			t.Fatal(info.Name)
		}
		rapid.Check(t, func(r *rapid.T) {
			at := rapid.IntRange(0, len(whole)).Draw(r, "at")
			got := make([]float32, rapid.IntRange(0, len(whole)-at).Draw(r, "values"))
			if err := v.ReadFloat32s(info.Name, at, got); err != nil || !slices.Equal(got, whole[at:at+len(got)]) {
				r.Fatalf("%s at %d: %v (%v)", info.Name, at, got, err)
			}
			at = rapid.IntRange(0, len(raw)).Draw(r, "byte")
			bits := make([]byte, rapid.IntRange(0, len(raw)-at).Draw(r, "bytes"))
			if err := v.ReadBytes(info.Name, int64(at), bits); err != nil || !bytes.Equal(bits, raw[at:at+len(bits)]) {
				r.Fatalf("bytes of %s at %d differ (%v)", info.Name, at, err)
			}
		})
		if v.ReadFloat32s(info.Name, len(whole), make([]float32, 1)) == nil || v.ReadBytes(info.Name, info.Bytes, make([]byte, 1)) == nil || v.ReadBytes(info.Name, -1, nil) == nil {
			t.Errorf("%s is read beyond its end", info.Name)
		}
	}
	both, row, more := make([]float32, 256), make([]float32, 64), make([]byte, 8)
	if v.ReadFloat32s("bothF16", 0, both) != nil || !slices.Equal(both, append(values(0, 128), values(100, 128)...)) || v.ReadFloat32s("rowF16", 0, row) != nil || !slices.Equal(row, values(164, 64)) {
		t.Errorf("%v %v", both, row)
	}
	if v.ReadBytes("more", 4, more) != nil || math.Float32frombits(binary.LittleEndian.Uint32(more)) != 1.25 {
		t.Errorf("%v", more)
	}
	for _, bad := range []decoder.Tensor{
		{Name: "x", Parts: []decoder.Part{part("none", 0, 1)}}, {Name: "x", Shape: []int{256}, Parts: []decoder.Part{part("aF16", 0, 128), part("aQ8_0", 0, 128)}},
		{Name: "x", Shape: []int{2, 64}, Heads: 3, Parts: []decoder.Part{part("aF16", 0, 128)}}, plan[0],
	} {
		if _, err := weights.NewView(f, append([]decoder.Tensor{plan[0]}, bad)); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}
