package convert

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
)

// planned for GGUF, a folder's tensors have these types.
func TestTypesForGGUF(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	f32 := func(name string, shape ...int) safetensors.Tensor {
		n := 1
		for _, d := range shape {
			n *= d
		}
		return safetensors.FromFloat32s(name, shape, make([]float32, n))
	}
	err := safetensors.WriteFile(path, []safetensors.Tensor{f32("a.weight", 8, 256), f32("b.weight", 16, 96), f32("c.weight", 64, 30), f32("bias", 2048), f32("small.weight", 4, 32),
		f32("x_norm.weight", 32, 64), {Name: "mask", DType: safetensors.Bool, Shape: []int{1}, Data: []byte{1}}, {Name: "f8", DType: safetensors.F8E4M3, Shape: []int{1}, Data: []byte{1}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for typ, want := range map[string]map[string]string{
		"":     {"a.weight": "F32", "bias": "F32", "mask": "I8", "f8": "F32"},
		"F16":  {"a.weight": "F16", "c.weight": "F16", "bias": "F32", "small.weight": "F16", "mask": "I8"},
		"Q8_0": {"a.weight": "Q8_0", "b.weight": "Q8_0", "c.weight": "F16", "bias": "F32", "small.weight": "F32", "x_norm.weight": "F32", "f8": "F32"},
		"Q4_K": {"a.weight": "Q4_K", "b.weight": "Q5_0", "c.weight": "F16"},
		"Q6_K": {"a.weight": "Q6_K", "b.weight": "Q8_0"},
	} {
		p := planFor(t, path, Options{To: ToGGUF, Type: typ})
		got := map[string]string{}
		for _, t := range p.tensors {
			got[t.name] = t.to
		}
		for name, w := range want {
			if got[name] != w {
				t.Errorf("--type %s: %s is %s, want %s", typ, name, got[name], w)
			}
		}
		if p.mostly() == "" {
			t.Error("no type")
		}
	}
	for want, tensor := range map[string]safetensors.Tensor{
		"GGUF takes at most 4 dimensions":               f32("a", 1, 1, 1, 1, 1),
		"has 64 bytes, GGUF takes at most 63":           f32(strings.Repeat("x", 64), 1),
		"type F4, GGUF has none like it; take it out":   {Name: "a", DType: safetensors.F4, Shape: []int{2}, Data: []byte{1}},
		"type C64 cannot be written to gguf; take it o": {Name: "a", DType: safetensors.C64, Shape: []int{1}, Data: make([]byte, 8)},
	} {
		if err := safetensors.WriteFile(path, []safetensors.Tensor{tensor}, nil); err != nil {
			t.Fatal(err)
		}
		f, err := weights.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := newPlan(f, path, Options{To: ToGGUF}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func planFor(t *testing.T, path string, o Options) *plan {
	t.Helper()
	f, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	p, err := newPlan(f, path, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What config, tokenizer and card of a folder say stands in GGUF's keys, and what a file carries from GGUF wins.
func TestKeysForGGUF(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "small-llama")
	write := func(name, text string) error { return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644) }
	carried, ok := weights.Carry([]string{"x"})
	err := errors.Join(os.Mkdir(dir, 0o755),
		safetensors.WriteFile(filepath.Join(dir, "model.safetensors"), []safetensors.Tensor{safetensors.FromFloat32s("model.embed_tokens.weight", []int{6, 1}, make([]float32, 6)), safetensors.FromFloat32s("model.norm.weight", []int{1}, []float32{1}), safetensors.FromFloat32s("model.layers.0.input_layernorm.weight", []int{1}, []float32{1})},
			map[string]string{"format": "pt", "gguf.general.tags": carried, "note": "n"}),
		write("config.json", `{"model_type": "llama", "num_attention_heads": 9, "num_key_value_heads": 3, "hidden_size": 576, "num_hidden_layers": 1, "rope_scaling": {"type": "linear", "factor": 2}, "eos_token_id": 2}`),
		write("README.md", "---\nlicense: apache-2.0\n---\n"),
		write("tokenizer.json", `{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 3}, "merges": [["a", "b"], "a b"]}, "added_tokens": [{"id": 2, "content": "<s>", "special": true}, {"id": 5, "content": "<x>"}]}`))
	if err != nil || !ok {
		t.Fatal(err)
	}
	keys, err := planFor(t, dir, Options{To: ToGGUF}).ggufKeys()
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"general.architecture": "llama", "general.name": "small-llama", "general.license": "apache-2.0", "general.file_type": uint32(0), "general.tags": []string{"x"}, "safetensors.note": "n",
		"llama.attention.head_count": uint32(9), "llama.attention.head_count_kv": uint32(3), "llama.rope.dimension_count": uint32(64), "llama.rope.freq_base": float32(10000),
		"llama.rope.scaling.type": "linear", "llama.attention.layer_norm_rms_epsilon": float32(1e-6), "tokenizer.ggml.bos_token_id": uint32(1), "tokenizer.ggml.eos_token_id": uint32(2),
		"tokenizer.ggml.tokens": []string{"a", "b", "<s>", "ab", "[PAD4]", "<x>"}, "tokenizer.ggml.token_type": []int32{1, 1, 3, 1, 5, 4}, "tokenizer.ggml.merges": []string{"a b", "a b"},
	} {
		if !reflect.DeepEqual(keys[key], want) {
			t.Errorf("%s is %T %v, want %T %v", key, keys[key], keys[key], want, want)
		}
	}
	if _, there := keys["safetensors.format"]; there {
		t.Error("format goes along")
	}
}
