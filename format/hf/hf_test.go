package hf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/internal/untrusted"
)

func TestDefaults(t *testing.T) {
	for text, want := range map[string]any{
		`{"model_type": "bert"}`:   NewBERT(),
		`{"model_type": "vit"}`:    NewViT(),
		`{"model_type": "resnet"}`: NewResNet(),
	} {
		c, err := ParseConfig([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]any{"bert": c.BERT, "vit": c.ViT, "resnet": c.ResNet}[c.ModelType]
		if !reflect.DeepEqual(reflect.ValueOf(got).Elem().Interface(), want) {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
	c, err := ParseConfig([]byte(`{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "torch_dtype": "float16", "dtype": "bfloat16", "head_dim": null, "novelty": {"a": 1}}`))
	if err != nil {
		t.Fatal(err)
	}
	l := c.Llama
	if l.KeyValueHeads != 32 || l.HeadDim != 128 || l.RopeTheta != 10000 || l.RopeScaling != nil || !slices.Equal(l.EndTokens, Tokens{2}) || *l.BeginToken != 1 || l.PadToken != nil {
		t.Errorf("llama is %+v", l)
	}
	if c.DType != "bfloat16" || c.Architecture() != "LlamaForCausalLM" || string(c.Keys["novelty"]) != `{"a": 1}` || c.TieWordEmbeddings {
		t.Errorf("config is %+v", c)
	}
}

// Configs as they are published: older and newer spellings of rotary positions, several end tokens, labels.
func TestForms(t *testing.T) {
	parse := func(text string) *Config {
		c, err := ParseConfig([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	l := parse(`{"model_type":"llama","hidden_size":576,"num_attention_heads":9,"num_key_value_heads":3,"eos_token_id":[128001,128009],"tie_word_embeddings":true,
		"rope_theta":500000.0,"rope_scaling":{"factor":8.0,"high_freq_factor":4.0,"low_freq_factor":1.0,"original_max_position_embeddings":8192,"rope_type":"llama3"}}`).Llama
	if l.HeadDim != 64 || !slices.Equal(l.EndTokens, Tokens{128001, 128009}) || l.RopeScaling.Type != "llama3" || l.RopeScaling.OriginalMaximum != 8192 || l.RopeTheta != 500000 {
		t.Errorf("llama is %+v", l)
	}
	if l := parse(`{"model_type":"llama","rope_scaling":{"type":"linear","factor":2}}`).Llama; l.RopeScaling.Type != "linear" || l.RopeScaling.Factor != 2 {
		t.Errorf("older spelling: %+v", l.RopeScaling)
	}
	if l := parse(`{"model_type":"llama","rope_parameters":{"rope_type":"default","rope_theta":1000000}}`).Llama; l.RopeScaling != nil || l.RopeTheta != 1e6 {
		t.Errorf("newer spelling: %+v", l)
	}
	if l := parse(`{"model_type":"llama","rope_parameters":{"rope_type":"yarn","factor":4,"rope_theta":10}}`).Llama; l.RopeScaling.Type != "yarn" || l.RopeTheta != 10 {
		t.Errorf("newer spelling: %+v", l)
	}
	c := parse(`{"model_type":"vit","id2label":{"1":"dog","0":"cat"}}`)
	if !slices.Equal(c.Labels(), []string{"cat", "dog"}) {
		t.Errorf("labels are %v", c.Labels())
	}
	if c := parse(`{"model_type":"mamba","state_size":16}`); c.Architecture() != "mamba" || string(c.Keys["state_size"]) != "16" || c.Llama != nil || c.Labels() != nil {
		t.Errorf("a type that is not known: %+v", c)
	}
	if c := parse(`{}`); c.Architecture() != "unknown" {
		t.Errorf("nothing: %+v", c)
	}
}

func TestConfigRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"model_type": "bert", "hidden_size": "wide"}`:      `hidden_size: config is not of the right form: got a string, want int`,
		`{"model_type": "bert", "num_attention_heads": 7}`:   `num_attention_heads: config is not of the right form: 7 does not divide hidden_size 768`,
		`{"model_type": "bert", "num_hidden_layers": 0}`:     `num_hidden_layers: config is not of the right form: 0; it must be at least 1`,
		`{"model_type": "llama", "num_key_value_heads": 5}`:  `5 does not divide num_attention_heads 32`,
		`{"model_type": "llama", "num_attention_heads": 30}`: `30 does not divide hidden_size 4096; give head_dim`,
		`{"model_type": "llama", "eos_token_id": "</s>"}`:    `want a number or a list of numbers`,
		`{"model_type": "resnet", "depths": [1, 2]}`:         `[1 2] with hidden_sizes [256 512 1024 2048]`,
		`{"model_type": "resnet", "layer_type": "wide"}`:     `it is basic or bottleneck`,
		`{"model_type": 7}`:    `model_type: config`,
		`{"model_type": "vit"`: `unexpected EOF`,
		`{} {}`:                `text after its end`,
		`null`:                 `want an object`,
		`[]`:                   `cannot unmarshal array`,
		`{"model_type":"llama","rope_parameters":7}`:                     `rope_parameters`,
		`{"model_type":"bert","x":"` + strings.Repeat("x", 4<<20) + `"}`: `more than 4194304 bytes`,
	} {
		_, err := ParseConfig([]byte(text))
		var typed *Error
		if !errors.As(err, &typed) || !typed.BadInput() || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: want %q, got %v", text, want, err)
		}
	}
	path := filepath.Join(t.TempDir(), ConfigFile)
	if err := os.WriteFile(path, []byte(`{"model_type": 7}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadConfig(filepath.Dir(path)); err == nil || !strings.HasPrefix(err.Error(), "hf: "+path+": model_type: ") {
		t.Errorf("got %v", err)
	}
	if _, err := LoadConfig(filepath.Join(filepath.Dir(path), "none.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

const card = "---\nlicense: apache-2.0\nlanguage:\n- en\nbase_model: a/b\ntags: [x, y]\npipeline_tag: text-generation\nlibrary_name: transformers\n---\n# Model\n\n---\ntext\n"

func TestCard(t *testing.T) {
	c, err := ParseCard([]byte(card))
	if err != nil {
		t.Fatal(err)
	}
	if c.Licence != "apache-2.0" || !slices.Equal(c.Languages, []string{"en"}) || !slices.Equal(c.BaseModels, []string{"a/b"}) || !slices.Equal(c.Tags, []string{"x", "y"}) ||
		c.Task != "text-generation" || c.Library != "transformers" || c.Text != "# Model\n\n---\ntext\n" || string(c.Bytes()) != card {
		t.Errorf("card is %+v", c)
	}
	odd := "---\r\nlicense: 'mit' \r\ntags: # none\nmodel-index:\n- name: x\n  tags: [no]\nlicense: other\ndatasets:\n  - \"a b\"\n  - c # why\n---\n"
	c, err = ParseCard([]byte(odd))
	if err != nil || c.Licence != "mit" || c.Tags != nil || !slices.Equal(c.Datasets, []string{"a b", "c"}) {
		t.Errorf("card is %+v (%v)", c, err)
	}
	for _, plain := range []string{"# Model\n", "", "---\n---\nx"} {
		if c, err := ParseCard([]byte(plain)); err != nil || c.Licence != "" || string(c.Bytes()) != plain {
			t.Errorf("%q: %+v (%v)", plain, c, err)
		}
	}
	for text, want := range map[string]string{
		"---\nlicense: mit\n":       "the front matter has no end; close it with a line of ---",
		"---\nlicense: mit\n --- x": "no end",
	} {
		_, err := ParseCard([]byte(text))
		if !errors.Is(err, ErrCard) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: want %q, got %v", text, want, err)
		}
	}
}

func TestCompanions(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "new")
	files := map[string]string{"config.json": "{}", "tokenizer.json": "t", "1_Pooling/config.json": "p", "LICENSE.txt": "l", "README.md": card, "model.safetensors": "no", "notes.txt": "no"}
	for name, text := range files {
		path := filepath.Join(from, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.MkdirAll(to, 0o755), os.WriteFile(filepath.Join(to, "config.json"), []byte("mine"), 0o644)); err != nil {
		t.Fatal(err)
	}
	copied, err := CopyCompanions(from, to)
	want := []string{"README.md", "tokenizer.json", "1_Pooling/config.json", "LICENSE.txt"}
	if err != nil || !slices.Equal(copied, want) {
		t.Fatalf("%v, want %v (%v)", copied, want, err)
	}
	for _, name := range append(want, "config.json") {
		text, err := os.ReadFile(filepath.Join(to, name))
		expect := files[name]
		if name == "config.json" {
			expect = "mine"
		}
		if err != nil || string(text) != expect {
			t.Errorf("%s is %q (%v)", name, text, err)
		}
	}
	if got := Tokenizer(want); !slices.Equal(got, []string{"tokenizer.json"}) {
		t.Errorf("tokenizer is %v", got)
	}
	if _, err := Companions(filepath.Join(to, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// What leads out of the folder is neither copied nor read, whatever its name; the blobs of a Hugging Face cache are its own.
func TestLinksOut(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "model", "snapshots", "r1")
	for path, text := range map[string]string{"secret": "---\nlicense: secret\n---\n", "model/blobs/abc": "{}", "model/snapshots/r1/model.safetensors": ""} {
		path = filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "1_Pooling"), 0o755); err != nil {
		t.Fatal(err)
	}
	names := append(slices.Clone(companions), "LICENSE", "licence.txt", "NOTICE", "USE_POLICY.md", "COPYING")
	for _, name := range names {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		up := strings.Repeat("../", strings.Count(name, "/"))
		for target, ok := range map[string]bool{"../../../secret": false, "../../blobs/abc": true, "nothing": true} {
			if err := os.Symlink(up+target, path); err != nil {
				t.Skip("no links here:", err)
			}
			to := filepath.Join(t.TempDir(), "to")
			_, err := CopyCompanions(dir, to)
			var out *untrusted.Error
			if ok && err != nil || !ok && !errors.As(err, &out) {
				t.Errorf("%s to %s: got %v", name, target, err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}

	for name, load := range map[string]func(path string) error{
		ConfigFile: func(path string) error { _, err := LoadConfig(path); return err },
		CardFile:   func(path string) error { _, err := LoadCard(path); return err },
	} {
		path := filepath.Join(dir, name)
		if err := os.Symlink("../../../secret", path); err != nil {
			t.Fatal(err)
		}
		var out *untrusted.Error
		if err := load(path); !errors.As(err, &out) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestGuess(t *testing.T) {
	for want, names := range map[Family][]string{
		{"llama", "transformers", "model.layers.0.self_attn.q_proj.weight"}:                    {"model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.gate_proj.weight"},
		{"qwen2", "transformers", "model.layers.0.self_attn.q_proj.bias"}:                      {"model.layers.0.self_attn.q_proj.bias", "model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.gate_proj.weight"},
		{"llama", "gguf", "blk.0.attn_q.weight"}:                                               {"blk.0.attn_q.weight", "blk.0.ffn_gate.weight"},
		{"bert", "transformers", "bert.encoder.layer.11.attention.self.query.weight"}:          {"bert.embeddings.word_embeddings.weight", "bert.encoder.layer.11.attention.self.query.weight"},
		{"efficientnet", "efficientnet_pytorch", "_blocks.0._depthwise_conv.weight"}:           {"_blocks.0._depthwise_conv.weight", "_bn0.running_mean"},
		{"resnet", "torchvision", "module.layer1.0.conv1.weight"}:                              {"module.layer1.0.conv1.weight", "module.layer1.0.bn1.running_mean"},
		{"bundle", "ballast", "model/output/kernel"}:                                           {"model/output/kernel"},
		{"convolutional network with batch normalisation", "torch", "features.1.running_mean"}: {"features.0.weight", "features.1.running_mean"},
		{"unknown", "", ""}: {"x"},
	} {
		if got := Guess(names); got != want {
			t.Errorf("%v: %+v, want %+v", names, got, want)
		}
	}
}

func bounded(t *testing.T, data []byte, parse func() error) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := parse()
	runtime.ReadMemStats(&after)
	if spent, most := after.TotalAlloc-before.TotalAlloc, uint64(64<<20+4*len(data)); spent > most {
		t.Fatalf("%d bytes allocated for a file of %d, at most %d", spent, len(data), most)
	}
	if typed := new(Error); err != nil && !errors.As(err, &typed) {
		t.Fatalf("want *Error, got %T: %v", err, err)
	}
}

// FuzzConfig reads anything: no panic, typed errors, memory within bounds.
func FuzzConfig(f *testing.F) {
	for _, kind := range []string{"bert", "llama", "vit", "resnet", "x"} {
		f.Add([]byte(`{"model_type": "` + kind + `", "hidden_size": 64, "eos_token_id": [1], "id2label": {"0": "a"}, "rope_parameters": {"rope_type": "yarn"}}`))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		bounded(t, data, func() error {
			c, err := ParseConfig(data)
			if err == nil {
				_ = c.Labels()
			}
			return err
		})
	})
}

// FuzzCard reads anything: no panic, typed errors, memory within bounds, and the same bytes back.
func FuzzCard(f *testing.F) {
	f.Add([]byte(card))
	f.Add([]byte("---\na: &x [1]\nb: *x\n---\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		bounded(t, data, func() error {
			c, err := ParseCard(data)
			if err == nil && string(c.Bytes()) != string(data) {
				t.Fatal("the card changed")
			}
			return err
		})
	})
}

func ExampleParseConfig() {
	c, err := ParseConfig([]byte(`{"model_type": "llama", "hidden_size": 576, "num_attention_heads": 9, "num_key_value_heads": 3}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Architecture(), c.Llama.HeadDim, c.Llama.Layers, c.Llama.RMSNormEpsilon)
	// Output: llama 64 32 1e-06
}
