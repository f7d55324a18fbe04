package convert

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/format/gguf"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
)

// decoderFolder writes a small decoder of llama's names in a type, with files beside it.
func decoderFolder(t *testing.T, typ string, files map[string]string, more ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "m")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	shapes := map[string][]int{"model.embed_tokens.weight": {6, 8}, "model.norm.weight": {8}, "lm_head.weight": {6, 8}}
	for _, part := range []string{"input_layernorm", "post_attention_layernorm"} {
		shapes["model.layers.0."+part+".weight"] = []int{8}
	}
	for _, part := range []string{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"} {
		shapes["model.layers.0."+part+".weight"] = []int{8, 8}
	}
	for _, name := range more {
		shapes[name] = []int{8}
	}
	var list []safetensors.Tensor
	for name, shape := range shapes {
		n := shape[0]
		if len(shape) > 1 {
			n *= shape[1]
		}
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(i%13) / 8
		}
		raw := make([]byte, n*weights.Width(typ))
		if _, err := weights.Round(raw, typ, values); err != nil {
			t.Fatal(err)
		}
		list = append(list, safetensors.Tensor{Name: name, DType: safetensors.DType(typ), Shape: shape, Data: raw})
	}
	if err := safetensors.WriteFile(filepath.Join(dir, "model.safetensors"), list, nil); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func decoderConfig(modelType, more string) map[string]string {
	return map[string]string{"config.json": fmt.Sprintf(`{"model_type": %q, "vocab_size": 6, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
		"num_key_value_heads": 2, "max_position_embeddings": 64%s}`, modelType, more)}
}

// toGGUF converts and opens what was written.
func toGGUF(t *testing.T, in string, o Options) (*gguf.File, Result, string) {
	t.Helper()
	o.To = ToGGUF
	out := filepath.Join(t.TempDir(), "x.gguf")
	r, err := Format(t.Context(), in, out, o)
	if err != nil {
		t.Fatal(err)
	}
	check, err := Check(t.Context(), in, out, o)
	if err != nil || !check.Agrees {
		t.Errorf("%+v (%v)", check, err)
	}
	f, err := gguf.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f, r, out
}

// Vectors are F32 in GGUF whatever the type of the model and whatever is asked for, matrices keep theirs; so from GGUF to GGUF.
func TestVectorsAreWide(t *testing.T) {
	for _, from := range []string{"F16", "BF16", "F32", "F64"} {
		for _, ask := range []string{"", "F16", "BF16", "Q8_0"} {
			f, _, out := toGGUF(t, decoderFolder(t, from, decoderConfig("llama", `, "attention_bias": true`), "model.layers.0.self_attn.q_proj.bias"), Options{Type: ask})
			for _, name := range f.Names() {
				info, _ := f.Info(name)
				want := ask
				switch {
				case len(info.Shape) == 1 || ask == "" && from == "F64" || ask == "Q8_0": // too small for blocks
					want = "F32"
				case ask == "":
					want = from
				}
				if info.Type.String() != want {
					t.Errorf("%s to %q: %s is %s, want %s", from, ask, name, info.Type, want)
				}
			}
			again, _, _ := toGGUF(t, out, Options{})
			if !slices.Equal(again.Names(), f.Names()) {
				t.Errorf("%v, then %v", f.Names(), again.Names())
			}
		}
	}
	// A file that an older program wrote with narrow vectors is mended.
	old := filepath.Join(t.TempDir(), "old.gguf")
	vector, err := gguf.FromFloat32s("blk.0.attn_norm.weight", gguf.BF16, []int{4}, []float32{1, 2, 3, 4})
	if err != nil {
		t.Fatal(err)
	}
	if err := gguf.WriteFile(old, nil, []gguf.Tensor{vector}); err != nil {
		t.Fatal(err)
	}
	f, _, _ := toGGUF(t, old, Options{})
	if info, _ := f.Info("blk.0.attn_norm.weight"); info.Type != gguf.F32 {
		t.Errorf("it is %s", info.Type)
	}
}

// A decoder whose tokenizer GGUF's programs cannot use: that is said by name before anything is written, and the file says it has none.
func TestTokenizerOfAnotherKind(t *testing.T) {
	for kind, text := range map[string]string{
		"Unigram":   `{"model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["a", -1.5]]}}`,
		"WordPiece": `{"model": {"type": "WordPiece", "vocab": {"a": 0}}}`,
		"":          "",
	} {
		files := decoderConfig("llama", "")
		if text != "" {
			files["tokenizer.json"] = text
		}
		in, out := decoderFolder(t, "F32", files), filepath.Join(t.TempDir(), "x.gguf")
		warned := ""
		r, err := Format(t.Context(), in, out, Options{To: ToGGUF, Warn: func(text string) {
			if _, err := os.Stat(out); err == nil || warned != "" {
				t.Errorf("%s: it is said when the file is there, or twice", kind)
			}
			warned = text
		}})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{kind, "the file has no tokenizer: programs that run it take and give numbers of tokens"} {
			if !strings.Contains(warned, want) || !strings.Contains(strings.Join(r.Remarks, "; "), want) {
				t.Errorf("%q is not in %q, or not in %q", want, warned, r.Remarks)
			}
		}
		f, err := gguf.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		if model, _ := f.Text("tokenizer.ggml.model"); model != "none" {
			t.Errorf("%s: the model of the tokenizer is %q", kind, model)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Models of llama's kind get the architecture and the keys of theirs; llama3's positions are a tensor, and come back into config.json.
func TestDecodersToGGUF(t *testing.T) {
	f, r, _ := toGGUF(t, decoderFolder(t, "F32", decoderConfig("mistral", `, "sliding_window": 32`)), Options{})
	if name, _ := f.Text("general.architecture"); name != "llama" || !slices.Contains(f.Names(), "blk.0.attn_q.weight") {
		t.Errorf("%s %v", name, f.Names())
	}
	if n, err := f.Int("llama.attention.head_count"); err != nil || n != 2 {
		t.Errorf("%d (%v)", n, err)
	}
	if model, _ := f.Text("tokenizer.ggml.model"); model != "none" || !slices.ContainsFunc(r.Remarks, func(s string) bool { return strings.HasPrefix(s, "sliding_window is 32") }) {
		t.Errorf("%s %v", model, r.Remarks)
	}

	files := decoderConfig("llama", `, "head_dim": 4, "rope_parameters": {"rope_type": "llama3", "rope_theta": 100, "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 32}`)
	files["tokenizer.json"] = `{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}, "added_tokens": [{"id": 3, "content": "<s>", "special": true}]}`
	files["tokenizer_config.json"] = `{"bos_token": "<s>", "add_bos_token": true, "chat_template": "{{ hello }}"}`
	f, _, out := toGGUF(t, decoderFolder(t, "F32", files), Options{})
	factors := make([]float32, 2)
	if err := f.ReadFloat32s("rope_freqs.weight", 0, factors); err != nil || factors[0] != 1 || factors[1] != 8 {
		t.Errorf("%v (%v)", factors, err)
	}
	for key, want := range map[string]any{"tokenizer.ggml.pre": "gpt-2", "tokenizer.ggml.add_bos_token": true, "tokenizer.ggml.bos_token_id": uint32(3), "tokenizer.chat_template": "{{ hello }}",
		"tokenizer.ggml.tokens": []string{"a", "b", "ab", "<s>", "[PAD4]", "[PAD5]"}} {
		if got, _ := f.Value(key); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	back := filepath.Join(t.TempDir(), "back")
	r, err := Format(t.Context(), out, back, Options{To: ToSafetensors})
	if err != nil || !slices.Equal(r.Files, []string{"chat_template.jinja", "config.json", "tokenizer.json", "tokenizer_config.json"}) {
		t.Fatalf("%v (%v)", r.Files, err)
	}
	config, err1 := os.ReadFile(filepath.Join(back, "config.json"))
	template, err2 := os.ReadFile(filepath.Join(back, "chat_template.jinja"))
	if err1 != nil || err2 != nil || !strings.Contains(string(config), `"rope_type": "llama3"`) || !strings.Contains(string(config), `"factor": 8.0`) || string(template) != "{{ hello }}" {
		t.Errorf("%s %s", config, template)
	}
	again, _, _ := toGGUF(t, back, Options{})
	for _, key := range []string{"tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.merges", "tokenizer.ggml.pre", "llama.rope.freq_base"} {
		a, _ := f.Value(key)
		b, _ := again.Value(key)
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s is %v, then %v", key, a, b)
		}
	}
}

// What programs for GGUF could not run is refused by name, unless names are kept.
func TestDecodersRefused(t *testing.T) {
	for want, files := range map[string]map[string]string{
		"model_type: a model type that GGUF's programs do not know by these names: granite":           decoderConfig("granite", ""),
		"text_config: config that GGUF cannot express: llava is a model of several parts":             {"config.json": `{"model_type": "llava", "text_config": {}}`},
		"num_hidden_layers: tensors that do not fit the config: 3, the tensors are those of 1 layers": {"config.json": strings.Replace(decoderConfig("llama", "")["config.json"], `"num_hidden_layers": 1`, `"num_hidden_layers": 3`, 1)},
		"hidden_act: config that GGUF cannot express: relu":                                           decoderConfig("qwen2", `, "hidden_act": "relu"`),
	} {
		in := decoderFolder(t, "F32", files)
		out := filepath.Join(t.TempDir(), "x.gguf")
		if _, err := Format(t.Context(), in, out, Options{To: ToGGUF}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: something was written", want)
		}
		if r, err := Format(t.Context(), in, out, Options{To: ToGGUF, KeepNames: true}); err != nil || !slices.ContainsFunc(r.Tensors, func(t Tensor) bool { return t.To == "model.norm.weight" }) {
			t.Errorf("%+v (%v)", r, err)
		}
	}
}

// A model in several GGUF files is one, from any of them or their folder; the copy is in one, and does not say that it is a part.
func TestSplitGGUF(t *testing.T) {
	_, _, whole := toGGUF(t, decoderFolder(t, "F32", decoderConfig("llama", "")), Options{})
	f, err := gguf.Open(whole)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	dir := t.TempDir()
	var paths []string
	for part := range 3 {
		keys := []gguf.KeyValue{{Key: gguf.SplitNumberKey, Value: uint16(part)}, {Key: gguf.SplitCountKey, Value: uint16(3)}, {Key: gguf.SplitTensorsKey, Value: int32(len(f.Names()))}}
		if part == 0 {
			keys = append(f.Metadata(), keys...)
		}
		var list []gguf.Tensor
		for i, name := range f.Names() {
			if i%2+1 != part { // the first part has none
				continue
			}
			info, _ := f.Info(name)
			raw := make([]byte, info.End-info.Begin)
			if err := f.ReadBytes(name, 0, raw); err != nil {
				t.Fatal(err)
			}
			list = append(list, gguf.Tensor{Name: name, Type: info.Type, Shape: info.Shape, Data: raw})
		}
		path := filepath.Join(dir, fmt.Sprintf("m-%05d-of-00003.gguf", part+1))
		if err := gguf.WriteFile(path, keys, list); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	for _, in := range append(paths, dir) {
		again, r, _ := toGGUF(t, in, Options{})
		if _, there := again.ValueInfo(gguf.SplitCountKey); there || len(r.Tensors) != len(f.Names()) {
			t.Errorf("%s: %d tensors of %d", in, len(r.Tensors), len(f.Names()))
		}
		out := filepath.Join(t.TempDir(), "out")
		if r, err := Format(t.Context(), in, out, Options{To: ToSafetensors}); err != nil || len(r.Tensors) != len(f.Names()) || !slices.Contains(r.Files, "config.json") {
			t.Errorf("%s: %+v (%v)", in, r, err)
		}
	}
	opened, err := weights.Open(paths[1])
	if err != nil || !slices.Equal(weights.Files(opened), paths) {
		t.Errorf("%v (%v)", weights.Files(opened), err)
	}
	if err := opened.Close(); err != nil {
		t.Error(err)
	}
	if err := os.Remove(paths[2]); err != nil {
		t.Fatal(err)
	}
	for _, in := range []string{paths[0], paths[1], dir} {
		if _, err := weights.Open(in); err == nil || !strings.Contains(err.Error(), "1 of its 3 parts are missing: m-00003-of-00003.gguf") {
			t.Errorf("%s: got %v", in, err)
		}
	}
}
