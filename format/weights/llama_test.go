package weights_test

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/format/gguf"
	"github.com/ballast-ml/ballast/format/weights"
)

// TestAsTransformers reads stretches of a llama of GGUF through its view and compares them with rows put in order one by one.
func TestAsTransformers(t *testing.T) {
	const heads, keyValueHeads, d, width = 4, 2, 8, 32
	r := rand.New(rand.NewPCG(1, 2))
	for _, typ := range []gguf.Type{gguf.F32, gguf.Q8_0} {
		var tensors []gguf.Tensor
		for name, rows := range map[string]int{"blk.0.attn_q.weight": heads * d, "blk.0.attn_k.weight": keyValueHeads * d, "blk.0.ffn_gate.weight": 24} {
			values := make([]float32, rows*width)
			for i := range values {
				values[i] = float32(r.NormFloat64())
			}
			tensor, err := gguf.FromFloat32s(name, typ, []int{rows, width}, values)
			if err != nil {
				t.Fatal(err)
			}
			tensors = append(tensors, tensor)
		}
		path := filepath.Join(t.TempDir(), "x.gguf")
		meta := []gguf.KeyValue{{Key: "general.architecture", Value: "llama"}, {Key: "llama.attention.head_count", Value: uint32(heads)}, {Key: "llama.attention.head_count_kv", Value: uint32(keyValueHeads)}}
		if err := gguf.WriteFile(path, meta, tensors); err != nil {
			t.Fatal(err)
		}
		f, err := weights.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		view, ok := weights.AsTransformers(f)
		if !ok {
			t.Fatal("it is not seen as a llama")
		}
		if _, ok := view.Info("blk.0.attn_q.weight"); ok || len(view.Tensors()) != 3 {
			t.Errorf("the view has %v", view.Tensors())
		}
		for theirs, is := range map[string]struct {
			name  string
			heads int
		}{
			"model.layers.0.self_attn.q_proj.weight": {"blk.0.attn_q.weight", heads},
			"model.layers.0.self_attn.k_proj.weight": {"blk.0.attn_k.weight", keyValueHeads},
			"model.layers.0.mlp.gate_proj.weight":    {"blk.0.ffn_gate.weight", 0},
		} {
			info, ok := view.Info(theirs)
			if !ok || info.Name != theirs {
				t.Fatalf("%s: %v", theirs, info)
			}
			values, raw := make([]float32, info.Elements), make([]byte, info.Bytes)
			row, rowBytes := width, int(info.Bytes)/info.Shape[0]
			for k := range info.Shape[0] {
				from := k
				if is.heads > 0 { // value i of half j of a head is value 2i+j of GGUF's
					head, at := k/d, k%d
					from = head*d + at%(d/2)*2 + at/(d/2)
				}
				if err := f.ReadFloat32s(is.name, from*row, values[k*row:(k+1)*row]); err != nil {
					t.Fatal(err)
				}
				if err := f.ReadBytes(is.name, int64(from*rowBytes), raw[k*rowBytes:(k+1)*rowBytes]); err != nil {
					t.Fatal(err)
				}
			}
			rapid.Check(t, func(r *rapid.T) {
				at := rapid.IntRange(0, len(values)).Draw(r, "at")
				got := make([]float32, rapid.IntRange(0, len(values)-at).Draw(r, "values"))
				if err := view.ReadFloat32s(theirs, at, got); err != nil || !slices.Equal(got, values[at:at+len(got)]) {
					r.Fatalf("%s at %d: %v, want %v (%v)", theirs, at, got, values[at:at+len(got)], err)
				}
				at = rapid.IntRange(0, len(raw)).Draw(r, "byte")
				bits := make([]byte, rapid.IntRange(0, len(raw)-at).Draw(r, "bytes"))
				if err := view.ReadBytes(theirs, int64(at), bits); err != nil || !bytes.Equal(bits, raw[at:at+len(bits)]) {
					r.Fatalf("bytes of %s at %d differ (%v)", theirs, at, err)
				}
			})
			if view.ReadFloat32s(theirs, len(values), make([]float32, 1)) == nil || view.ReadBytes(theirs, -1, make([]byte, 1)) == nil {
				t.Errorf("%s is read beyond its end", theirs)
			}
		}
		if view.ReadFloat32s("none", 0, make([]float32, 1)) == nil {
			t.Error("a tensor that is not there is read")
		}
	}
}
