package checkpoint_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/merge/checkpoint"
)

// TestVocabularies merges embeddings of models whose tokens differ.
func TestVocabularies(t *testing.T) {
	dir := t.TempDir()
	const embeddings = "model.embed_tokens.weight"
	for name, m := range map[string]struct {
		tokens string
		values []float32
	}{
		"base": {`{"a": 0, "b": 1}`, []float32{1, 1, 2, 2}},
		"x":    {`{"b": 0, "a": 1, "c": 2}`, []float32{20, 20, 10, 10, 30, 30}},
		"y":    {`{"a": 0, "c": 1, "d": 2}`, []float32{100, 100, 300, 300, 400, 400}},
	} {
		at := filepath.Join(dir, name)
		writeTensors(t, at, []safetensors.Tensor{floats(embeddings, []int{len(m.values) / 2, 2}, m.values...)}, 0)
		put(t, at, "tokenizer.json", `{"model": {"vocab": `+m.tokens+`}, "added_tokens": []}`)
		put(t, at, "config.json", `{"model_type": "llama", "vocab_size": 2}`)
	}
	recipe := fmt.Sprintf("merge_method: linear\nmodels:\n- {model: %s/base, parameters: {weight: 1}}\n- {model: %s/x, parameters: {weight: 1}}\n- {model: %s/y, parameters: {weight: 2}}\n", dir, dir, dir)
	for name, c := range map[string]struct {
		more string
		want []float32
	}{
		"common": {"", []float32{(1 + 20 + 200) / 4., (1 + 20 + 200) / 4., (2 + 10 + 600) / 4., (2 + 10 + 600) / 4.}},
		"base":   {"tokenizer_source: base", []float32{(1 + 10 + 200) / 4., (1 + 10 + 200) / 4., (2 + 20 + 22) / 4., (2 + 20 + 22) / 4.}},
		"a base": {"base_model: " + dir + "/base\ntokenizer_source: base", []float32{(1 + 10 + 200) / 4., (1 + 10 + 200) / 4., (2 + 20 + 4) / 4., (2 + 20 + 4) / 4.}},
		"union": {"tokenizer_source: union", []float32{
			(1 + 10 + 200) / 4., (1 + 10 + 200) / 4., (2 + 20 + 22) / 4., (2 + 20 + 22) / 4., // a, b: y takes the mean of the others
			(165 + 30 + 600) / 4., (165 + 30 + 600) / 4., 400, 400, // c: the base takes the mean; d: all take the only owner's
		}},
		"padded": {"tokenizer: {source: " + dir + "/x, pad_to_multiple_of: 4}", []float32{
			(2 + 20 + 22) / 4., (2 + 20 + 22) / 4., (1 + 10 + 200) / 4., (1 + 10 + 200) / 4., (165 + 30 + 600) / 4., (165 + 30 + 600) / 4.,
			262.5 / 3, 262.5 / 3, // padding: the mean of the others
		}},
		"tokens": {"base_model: " + dir + "/base\n" + `tokenizer:
  source: union
  tokens:
    b: {source: ` + dir + `/x}
    c: {source: {kind: zero}, force: true}
    d: {source: {kind: model_token, model: ` + dir + `/x, token: a}}
    e: {source: {kind: model_token, model: {model: {path: ` + dir + `/y, revision: null}, lora: null}, token_id: 2}}
`, []float32{
			(1 + 10 + 200) / 4., (1 + 10 + 200) / 4., (2 + 20 + 40) / 4., (2 + 20 + 40) / 4., // y takes b of x
			0, 0, (10 + 10 + 800) / 4., (10 + 10 + 800) / 4., 400, 400,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(dir, "out-"+name)
			result := mustRun(t, recipe+c.more, checkpoint.Options{Out: out})
			if diff := cmp.Diff(c.want, read(t, out)[embeddings]); diff != "" {
				t.Error(diff)
			}
			files := contents(t, out)
			if rows := fmt.Sprintf(`"vocab_size": %d`, len(c.want)/2); !strings.Contains(files["config.json"], rows) {
				t.Errorf("config.json is %s, want %s", files["config.json"], rows)
			}
			if added := strings.Contains(files["tokenizer.json"], `"content": "d"`); added != (name == "union" || name == "tokens") {
				t.Errorf("tokenizer.json is %s", files["tokenizer.json"])
			}
			if noted := strings.Contains(strings.Join(result.Notes, " "), "the first 2 rows are merged"); noted != (name == "common") {
				t.Errorf("notes are %q", result.Notes)
			}
		})
	}
}

// TestTied merges a model without an output layer with one that has its own.
func TestTied(t *testing.T) {
	dir := t.TempDir()
	l := tiny
	l.tied = true
	l.write(t, dir+"/a", 0)
	tiny.write(t, dir+"/b", 1)
	out := filepath.Join(dir, "out")
	mustRun(t, fmt.Sprintf("merge_method: linear\nmodels: [{model: %s/a, parameters: {weight: 1}}, {model: %s/b, parameters: {weight: 0}}]", dir, dir), checkpoint.Options{Out: out})
	got := read(t, out)
	if diff := cmp.Diff(got["model.embed_tokens.weight"], got["lm_head.weight"]); diff != "" || len(got["lm_head.weight"]) == 0 {
		t.Errorf("the output layer is not that of the tied model: %s", diff)
	}
	if !strings.Contains(contents(t, out)["config.json"], `"tie_word_embeddings": false`) {
		t.Error("the config still ties the output layer")
	}
}

// TestSlices stacks layers of two models.
func TestSlices(t *testing.T) {
	dir := t.TempDir()
	three(t, dir, tiny)
	out := filepath.Join(dir, "out")
	mustRun(t, fmt.Sprintf("merge_method: passthrough\nslices:\n- {sources: [{model: %s/a, layer_range: [0, 2]}]}\n- {sources: [{model: %s/b, layer_range: [1, 3]}], parameters: {scale: [{filter: down_proj, value: 0.5}]}}\n", dir, dir), checkpoint.Options{Out: out})
	a, b, got := read(t, dir+"/a"), read(t, dir+"/b"), read(t, out)
	const gate = "model.layers.%d.mlp.gate_proj.weight"
	for layer, want := range [][]float32{a[fmt.Sprintf(gate, 0)], a[fmt.Sprintf(gate, 1)], b[fmt.Sprintf(gate, 1)], b[fmt.Sprintf(gate, 2)]} {
		if !cmp.Equal(got[fmt.Sprintf(gate, layer)], want) {
			t.Errorf("layer %d is not where it belongs", layer)
		}
	}
	if d := "model.layers.2.mlp.down_proj.weight"; got[d][0] != b["model.layers.1.mlp.down_proj.weight"][0]/2 {
		t.Errorf("the filter does not scale %s", d)
	}
	if !cmp.Equal(got["lm_head.weight"], b["lm_head.weight"]) || !cmp.Equal(got["model.embed_tokens.weight"], a["model.embed_tokens.weight"]) {
		t.Error("embeddings are not those of the first slice, or the output layer not that of the last")
	}
	if !strings.Contains(contents(t, out)["config.json"], `"num_hidden_layers": 4`) {
		t.Error("the config has another number of layers")
	}
}

// Rows and padding that no vocabulary has are refused before room is made for them, and so is a tokenizer that leads out of its folder.
func TestVocabulariesRefused(t *testing.T) {
	secret := t.TempDir()
	put(t, secret, "tokenizer.json", `{"model": {"vocab": {"a": 0}}}`)
	for name, c := range map[string]struct{ tokens, more, want string }{
		"row":    {`{"model": {"vocab": {"a": 16000000}}}`, "tokenizer_source: union", "its row is 16000000"},
		"listed": {`{"model": {"vocab": [["a", -1], "b"]}}`, "tokenizer_source: union", "model.vocab"},
		"pad":    {`{"model": {"vocab": {"a": 0}}}`, "tokenizer: {source: union, pad_to_multiple_of: 1000000000}", "at most 65536 is possible"},
		"values": {`{"model": {"vocab": {"a": 0}}, "added_tokens": [` + strings.Repeat("{},", 300_000) + `{}]}`, "tokenizer_source: union", "more than 250000 values"},
		"link":   {"", "tokenizer_source: union", "outside its folder"},
	} {
		dir := t.TempDir()
		for _, model := range []string{"x", "y"} {
			at := filepath.Join(dir, model)
			writeTensors(t, at, []safetensors.Tensor{floats("model.embed_tokens.weight", []int{1, 2}, 1, 2)}, 0)
			if c.tokens != "" {
				put(t, at, "tokenizer.json", c.tokens)
			} else if err := os.Symlink(filepath.Join(secret, "tokenizer.json"), filepath.Join(at, "tokenizer.json")); err != nil {
				t.Skip("no links here:", err)
			}
		}
		recipe := fmt.Sprintf("merge_method: linear\nmodels:\n- {model: %s/x, parameters: {weight: 1}}\n- {model: %s/y, parameters: {weight: 1}}\n%s", dir, dir, c.more)
		_, err := run(t, recipe, checkpoint.Options{Out: filepath.Join(dir, "out")})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
