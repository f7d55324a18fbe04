package checkpoint_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/merge/checkpoint"
)

// stacks writes a model whose layers have one value each: the number of the layer, and 100 more in the second model.
func stacks(t *testing.T, dir, config string, prefixes map[string]int, plus float32) string {
	t.Helper()
	var list []safetensors.Tensor
	for prefix, layers := range prefixes {
		for i := range layers {
			list = append(list, floats(fmt.Sprintf("%s%d.mlp.up_proj.weight", prefix, i), []int{1}, float32(i)+plus))
		}
	}
	list = append(list, floats("model.embed_tokens.weight", []int{1, 1}, plus), floats("model.norm.weight", []int{1}, plus))
	if len(prefixes) > 1 {
		list = append(list, floats("vision_tower.post_layernorm.weight", []int{1}, 7+plus), floats("multi_modal_projector.weight", []int{1}, 8+plus))
	}
	put(t, dir, "config.json", config)
	return writeTensors(t, dir, list, 0)
}

// configOf reads a config.json.
func configOf(t *testing.T, dir string) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(contents(t, dir)["config.json"]), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func passthrough(slices ...string) string {
	text := "merge_method: passthrough\ndtype: float32\nslices:\n"
	for _, s := range slices {
		text += "- sources: [" + s + "]\n"
	}
	return text
}

// Of a model of several stacks the language model's is sliced; towers stay whole, and the config of the language model says the new number.
func TestSlicesLeaveTowersWhole(t *testing.T) {
	dir := t.TempDir()
	config := `{"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "num_hidden_layers": 6, "sliding_window_pattern": 3}, "vision_config": {"num_hidden_layers": 4}}`
	prefixes := map[string]int{"language_model.model.layers.": 6, "vision_tower.encoder.layers.": 4}
	a := stacks(t, filepath.Join(dir, "a"), config, prefixes, 0)
	b := stacks(t, filepath.Join(dir, "b"), config, prefixes, 100)
	out := filepath.Join(dir, "out")
	mustRun(t, passthrough("{model: "+a+", layer_range: [0, 4]}", "{model: "+b+", layer_range: [2, 6]}"), checkpoint.Options{Out: out})
	got := read(t, out)
	for i, want := range []float32{0, 1, 2, 3, 102, 103, 104, 105} {
		if v := got[fmt.Sprintf("language_model.model.layers.%d.mlp.up_proj.weight", i)]; len(v) != 1 || v[0] != want {
			t.Errorf("layer %d is %v, want %v", i, v, want)
		}
	}
	for i := range 4 {
		if v := got[fmt.Sprintf("vision_tower.encoder.layers.%d.mlp.up_proj.weight", i)]; len(v) != 1 || v[0] != float32(i) {
			t.Errorf("layer %d of the tower is %v", i, v)
		}
	}
	if len(got) != 8+4+4 || got["vision_tower.post_layernorm.weight"][0] != 7 || got["multi_modal_projector.weight"][0] != 8 || got["model.norm.weight"][0] != 100 {
		t.Errorf("%v", got)
	}
	c := configOf(t, out)
	text, vision := c["text_config"].(map[string]any), c["vision_config"].(map[string]any)
	full, windowed := "full_attention", "sliding_attention"
	if want := []any{windowed, windowed, full, windowed, full, windowed, windowed, full}; text["num_hidden_layers"] != 8.0 || vision["num_hidden_layers"] != 4.0 || !reflect.DeepEqual(text["layer_types"], want) {
		t.Errorf("%v", c)
	}
}

// What a config says of each layer follows the layers; what it cannot say any more is refused before anything is written.
func TestConfigFollowsSlices(t *testing.T) {
	one := map[string]int{"model.layers.": 4}
	for _, c := range []struct{ a, b, key, want string }{
		{`"layer_types": ["x", "y", "x", "z"]`, `"layer_types": ["p", "q", "r", "s"]`, "layer_types", `["x","y","x","r","s"]`},
		{`"no_rope_layers": [1, 1, 1, 0]`, `"no_rope_layers": [1, 1, 1, 0]`, "no_rope_layers", `[1,1,1,1,0]`},
		{`"mlp_only_layers": [0, 2]`, `"mlp_only_layers": [3]`, "mlp_only_layers", `[0,2,4]`},
		{`"mlp_only_layers": []`, `"mlp_only_layers": []`, "mlp_only_layers", `[]`},
		{`"first_k_dense_replace": 1`, `"first_k_dense_replace": 1`, "first_k_dense_replace", `1`},
		{`"decoder_sparse_step": 1`, `"decoder_sparse_step": 1`, "decoder_sparse_step", `1`},
		{`"n_layer": 4`, `"n_layer": 4`, "n_layer", `5`},
		{`"model_type": "gemma2"`, `"model_type": "gemma2"`, "layer_types", `["sliding_attention","full_attention","sliding_attention","sliding_attention","full_attention"]`},
		{`"layer_types": ["x", "y", "x", "z"]`, `"other": 1`, "", "layer_types: its config.json has no value for layer 2"},
		{`"decoder_sparse_step": 2`, `"decoder_sparse_step": 2`, "", "decoder_sparse_step: it is 2, and layer 3 of the output, which was layer 2, would change its kind; cut slices at multiples of 2"},
		{`"first_k_dense_replace": 3`, `"first_k_dense_replace": 3`, "first_k_dense_replace", `4`},
		{`"num_kv_shared_layers": 2`, `"num_kv_shared_layers": 2`, "", "num_kv_shared_layers: it is 2"},
	} {
		dir := t.TempDir()
		a := stacks(t, filepath.Join(dir, "a"), `{"model_type": "toy", "num_hidden_layers": 4, `+c.a+`}`, one, 0)
		b := stacks(t, filepath.Join(dir, "b"), `{"model_type": "toy", "num_hidden_layers": 4, `+c.b+`}`, one, 100)
		out := filepath.Join(dir, "out")
		_, err := run(t, passthrough("{model: "+a+", layer_range: [0, 3]}", "{model: "+b+", layer_range: [2, 4]}"), checkpoint.Options{Out: out})
		if c.key == "" {
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s: got %v, want %s", c.a, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.a, err)
			continue
		}
		config := configOf(t, out)
		if got, err := json.Marshal(config[c.key]); err != nil || string(got) != c.want || config["num_hidden_layers"] != 5.0 {
			t.Errorf("%s: %s is %s, want %s (%v)", c.a, c.key, got, c.want, config)
		}
	}
}

// Models of two stacks that are both of language are refused, and named.
func TestSlicesOfTwoStacks(t *testing.T) {
	dir := t.TempDir()
	a := stacks(t, filepath.Join(dir, "a"), "{}", map[string]int{"encoder.block.": 2, "decoder.block.": 3}, 0)
	_, err := run(t, passthrough("{model: "+a+", layer_range: [0, 1]}"), checkpoint.Options{Out: filepath.Join(dir, "out")})
	if want := "nothing says which is meant: decoder.block.* (3), encoder.block.* (2)"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	b := stacks(t, filepath.Join(dir, "b"), "{}", map[string]int{"model.layers.": 2, "visual.blocks.": 9}, 0)
	_, err = run(t, passthrough("{model: "+b+", layer_range: [0, 3]}"), checkpoint.Options{Out: filepath.Join(dir, "out")})
	if want := "it is [0 3]; the model has 2 layers"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}
