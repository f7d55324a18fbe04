package convert

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	second "github.com/gomlx/go-huggingface/models/gguf"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/format/gguf"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
)

// llamaFolder writes a small llama as Hugging Face does, with rows that blocks of 256 fit in.
func llamaFolder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "llama")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	value := func(seed, n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(math.Sin(float64(i*(seed+3))) * 0.7)
		}
		return v
	}
	var list []safetensors.Tensor
	for i, s := range []struct {
		name  string
		shape []int
	}{
		{"model.embed_tokens.weight", []int{40, 256}}, {"model.norm.weight", []int{256}}, {"lm_head.weight", []int{40, 256}},
		{"model.layers.0.self_attn.q_proj.weight", []int{256, 256}}, {"model.layers.0.self_attn.k_proj.weight", []int{128, 256}},
		{"model.layers.0.self_attn.v_proj.weight", []int{128, 256}}, {"model.layers.0.self_attn.o_proj.weight", []int{256, 256}},
		{"model.layers.0.mlp.gate_proj.weight", []int{96, 256}}, {"model.layers.0.mlp.up_proj.weight", []int{96, 256}}, {"model.layers.0.mlp.down_proj.weight", []int{256, 96}},
		{"model.layers.0.input_layernorm.weight", []int{256}}, {"model.layers.0.post_attention_layernorm.weight", []int{256}},
	} {
		n := 1
		for _, d := range s.shape {
			n *= d
		}
		list = append(list, safetensors.FromFloat32s(s.name, s.shape, value(i, n)))
	}
	config := `{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 40, "hidden_size": 256, "intermediate_size": 96,
 "num_hidden_layers": 1, "num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": 64, "rope_theta": 50000}`
	for name, write := range map[string]func(path string) error{
		"model.safetensors": func(path string) error {
			return safetensors.WriteFile(path, list, map[string]string{"format": "pt", "note": "n"})
		},
		"config.json": func(path string) error { return os.WriteFile(path, []byte(config), 0o644) },
	} {
		if err := write(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A model goes to GGUF and back: sizes, metadata, names and order, and each value within the bound of the type. The file in between
// is read by go-huggingface's reader too, with the same values.
func TestGGUFAndBack(t *testing.T) {
	in := llamaFolder(t)
	for _, typ := range []string{"", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"} {
		dir := t.TempDir()
		there, back := filepath.Join(dir, "x.gguf"), filepath.Join(dir, "back")
		o := Options{To: ToGGUF, Type: typ}
		r, err := Format(t.Context(), in, there, o)
		if err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
		check, err := Check(t.Context(), in, there, o)
		if err != nil || !check.Agrees || len(check.Tensors) != 12 {
			t.Fatalf("%s: %+v (%v)", typ, check, err)
		}
		f, err := gguf.Open(there)
		if err != nil {
			t.Fatal(err)
		}
		for key, want := range map[string]any{"general.architecture": "llama", "llama.attention.head_count_kv": uint32(4), "llama.rope.freq_base": float32(50000), "safetensors.note": "n"} {
			if got, _ := f.Value(key); got != want {
				t.Errorf("%s: %s is %v, want %v", typ, key, got, want)
			}
		}
		q, ok := f.Info("blk.0.attn_q.weight")
		norm, _ := f.Info("blk.0.attn_norm.weight")
		if want := (map[string]string{"": "F32"})[typ]; !ok || q.Type.String() != typ && q.Type.String() != want || norm.Type != gguf.F32 {
			t.Errorf("%s: q is %v, the norm %v", typ, q.Type, norm.Type)
		}
		elements, bytes := q.Type.Block()
		if size := int64(256 * 256 / elements * bytes); q.End-q.Begin != size {
			t.Errorf("%s: %d bytes, want %d", typ, q.End-q.Begin, size)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		secondReaderOfGGUF(t, there)
		if _, err := Format(t.Context(), there, back, Options{To: ToSafetensors}); err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
		backAgain(t, in, back, typ)
		if typ == "" && len(r.Remarks) > 2 { // no tokenizer, and config.json stays
			t.Errorf("remarks are %v", r.Remarks)
		}
	}
}

// backAgain compares a model with what came back from GGUF.
func backAgain(t *testing.T, in, back, typ string) {
	t.Helper()
	a, err := weights.Open(in)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close() //nolint:errcheck // it was only read
	b, err := weights.Open(back)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close() //nolint:errcheck // it was only read
	if len(a.Tensors()) != len(b.Tensors()) || b.Metadata()["note"] != "n" || !strings.Contains(b.Metadata()["gguf.llama.rope.freq_base"], "50000") {
		t.Errorf("%s: %d tensors, %v", typ, len(b.Tensors()), b.Metadata())
	}
	if _, err := os.Stat(filepath.Join(back, "config.json")); err != nil {
		t.Error(err)
	}
	for _, info := range a.Tensors() {
		x, y := make([]float32, info.Elements), make([]float32, info.Elements)
		if err := a.ReadFloat32s(info.Name, 0, x); err != nil {
			t.Fatal(err)
		}
		if err := b.ReadFloat32s(info.Name, 0, y); err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
		// The amplitude is 0.7: a whole step of the coarsest type, and nothing like the difference of two rows.
		for i := range x {
			if d := math.Abs(float64(x[i] - y[i])); d > 0.7*0.16 || typ == "" && d != 0 {
				t.Errorf("%s: %s[%d] is %v, was %v", typ, info.Name, i, y[i], x[i])
				break
			}
		}
	}
}

// secondReaderOfGGUF reads a file with go-huggingface's reader and ours.
func secondReaderOfGGUF(t *testing.T, path string) {
	t.Helper()
	ours, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close() //nolint:errcheck // it was only read
	theirs, err := second.NewFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for tensor, err := range theirs.IterTensors(nil) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		info, ok := ours.Info(tensor.Name)
		want := make([]float32, info.Elements)
		if err := ours.ReadFloat32s(tensor.Name, 0, want); err != nil || !ok {
			t.Fatal(err)
		}
		if tensor.Tensor.DType() != dtypes.Float32 {
			continue // F16 and BF16 are given as they stand
		}
		got := tensors.MustCopyFlatData[float32](tensor.Tensor)
		if !slices.Equal(got, want) {
			t.Errorf("%s (%s) differs", tensor.Name, info.Type)
		}
	}
	if n != len(ours.Tensors()) {
		t.Errorf("%d tensors there, %d here", n, len(ours.Tensors()))
	}
}
