package checkpoint_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
)

// llama is the shape of a checkpoint.
type llama struct {
	layers, hidden, inner, vocabulary int
	dtype                             safetensors.DType
	shard                             int64 // bytes; 0 = one file
	tied                              bool  // no output layer
}

// tiny is the usual one in tests: 27 tensors, 60 kB in bfloat16.
var tiny = llama{layers: 3, hidden: 32, inner: 48, vocabulary: 100, dtype: safetensors.BF16, shard: 20_000}

// shapes lists the tensors in the order of the model.
func (l llama) shapes() (names []string, shapes [][]int) {
	add := func(name string, shape ...int) { names, shapes = append(names, name), append(shapes, shape) }
	add("model.embed_tokens.weight", l.vocabulary, l.hidden)
	for i := range l.layers {
		at := fmt.Sprintf("model.layers.%d.", i)
		add(at+"input_layernorm.weight", l.hidden)
		for _, p := range []string{"q", "k", "v", "o"} {
			rows := l.hidden
			if p == "k" || p == "v" {
				rows = l.hidden / 4
			}
			if p == "o" {
				add(at+"self_attn.o_proj.weight", l.hidden, l.hidden)
				continue
			}
			add(at+"self_attn."+p+"_proj.weight", rows, l.hidden)
		}
		add(at+"post_attention_layernorm.weight", l.hidden)
		add(at+"mlp.gate_proj.weight", l.inner, l.hidden)
		add(at+"mlp.up_proj.weight", l.inner, l.hidden)
		add(at+"mlp.down_proj.weight", l.hidden, l.inner)
	}
	add("model.norm.weight", l.hidden)
	if !l.tied {
		add("lm_head.weight", l.vocabulary, l.hidden)
	}
	return names, shapes
}

// values are a tensor's: those of seed 0, and a small difference for any other.
func (l llama) values(name string, n int, seed uint64) []float32 {
	draw := func(seed uint64) *rand.Rand {
		h := uint64(14695981039346656037)
		for _, c := range []byte(name) {
			h = (h ^ uint64(c)) * 1099511628211
		}
		return rand.New(rand.NewPCG(seed, h))
	}
	out := make([]float32, n)
	r := draw(0)
	for i := range out {
		out[i] = float32(r.Float64()-0.5) * 0.2
	}
	if seed > 0 {
		r = draw(seed)
		for i := range out {
			out[i] += float32(r.Float64()-0.5) * 0.02
		}
	}
	return out
}

// write writes a checkpoint with its config and tokenizer.
func (l llama) write(t testing.TB, dir string, seed uint64) string {
	t.Helper()
	names, shapes := l.shapes()
	var list []safetensors.Tensor
	for i, name := range names {
		n := 1
		for _, d := range shapes[i] {
			n *= d
		}
		list = append(list, safetensors.Tensor{Name: name, DType: l.dtype, Shape: shapes[i], Open: func() (io.Reader, error) {
			raw := make([]byte, n*weights.Width(string(l.dtype)))
			_, err := weights.Round(raw, string(l.dtype), l.values(name, n, seed))
			return bytes.NewReader(raw), err
		}})
	}
	put(t, dir, "config.json", fmt.Sprintf(`{"model_type": "llama", "num_hidden_layers": %d, "hidden_size": %d, "vocab_size": %d, "torch_dtype": "bfloat16", "tie_word_embeddings": %v}`,
		l.layers, l.hidden, l.vocabulary, l.tied))
	put(t, dir, "tokenizer_config.json", "{}")
	return writeTensors(t, dir, list, l.shard)
}

func writeTensors(t testing.TB, dir string, list []safetensors.Tensor, shard int64) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	err := error(nil)
	if shard == 0 {
		err = safetensors.WriteFile(filepath.Join(dir, "model.safetensors"), list, map[string]string{"format": "pt"})
	} else {
		err = safetensors.WriteSharded(dir, list, map[string]string{"format": "pt"}, shard)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// floats makes a tensor of float32.
func floats(name string, shape []int, values ...float32) safetensors.Tensor {
	raw := make([]byte, 0, 4*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return safetensors.Tensor{Name: name, DType: safetensors.F32, Shape: shape, Data: raw}
}

func put(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// read is all tensors of a model as float32.
func read(t testing.TB, path string) map[string][]float32 {
	t.Helper()
	f, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string][]float32{}
	for _, info := range f.Tensors() {
		out[info.Name] = make([]float32, info.Elements)
		if err := f.ReadFloat32s(info.Name, 0, out[info.Name]); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// contents are the files of a folder.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(text)
	}
	return out
}
