package decoder

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// read reads a config.json.
func read(t *testing.T, text string) (*Config, error) {
	t.Helper()
	var keys map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &keys); err != nil {
		t.Fatal(err)
	}
	var modelType string
	if err := json.Unmarshal(keys["model_type"], &modelType); err != nil {
		t.Fatal(err)
	}
	return Read(modelType, keys)
}

const sizes = `"vocab_size": 40, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128`

// configs are one of each type, with what each needs beside its sizes.
var configs = map[string]string{
	"llama": `"rope_theta": 50000, "head_dim": 32`, "mistral": `"sliding_window": null, "rms_norm_eps": 1e-05`, "mixtral": `"num_local_experts": 3, "num_experts_per_tok": 2`,
	"qwen2": `"rope_theta": 1000000`, "qwen3": `"head_dim": 32`, "qwen2_moe": `"num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 48, "shared_expert_intermediate_size": 24`,
	"qwen3_moe": `"num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 48, "norm_topk_prob": true, "head_dim": 16`,
	"gemma":     `"head_dim": 16`, "gemma2": `"head_dim": 256, "query_pre_attn_scalar": 256, "sliding_window": 32`,
	"gemma3_text": `"head_dim": 256, "sliding_window": 32, "rope_local_base_freq": 20000, "rope_scaling": {"rope_type": "linear", "factor": 8}`,
	"phi3":        `"partial_rotary_factor": 0.75, "sliding_window": 20`, "phi": `"partial_rotary_factor": 0.5`,
}

func configOf(modelType string) string {
	return `{"model_type": "` + modelType + `", ` + sizes + `, ` + configs[modelType] + `}`
}

// Every type goes to GGUF's keys and back, and its config.json is read as the same.
func TestKeysAndBack(t *testing.T) {
	for _, modelType := range Types() {
		c, err := read(t, configOf(modelType))
		if err != nil {
			t.Errorf("%s: %v", modelType, err)
			continue
		}
		keys := c.Keys()
		back, err := FromKeys(func(key string) any { return keys[key] }, c.Tied, nil)
		if err != nil {
			t.Errorf("%s: %v", modelType, err)
			continue
		}
		text, err := json.Marshal(back.JSON())
		if err != nil {
			t.Fatal(err)
		}
		again, err := read(t, string(text))
		if modelType == "mistral" { // the llama of GGUF is both
			again.Architecture = c.Architecture
		}
		c.Remarks, again.Remarks = nil, nil
		if c.Architecture.Type == "phi3" {
			again.Rope, c.Rope = nil, nil
		}
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%s: %+v comes back as %+v (%v): %s", modelType, c, again, err, text)
		}
	}
}

// names are all tensors of a model of a type.
func names(c *Config) (out []Source) {
	a := c.Architecture
	add := func(name string, shape ...int) { out = append(out, Source{name, shape}) }
	for theirs := range a.top {
		switch {
		case theirs == "lm_head" && !c.Tied:
			add("lm_head.weight", c.VocabSize, c.HiddenSize)
		case theirs != "lm_head":
			add("model."+theirs+".weight", c.HiddenSize)
		}
	}
	for _, layer := range []string{"0", "1"} {
		for theirs := range a.block {
			add("model.layers."+layer+"."+theirs+".weight", 2*c.HeadDim*c.Heads, c.HiddenSize)
		}
		for theirs := range a.experts {
			for _, e := range []string{"2", "0", "1"} {
				add("model.layers."+layer+"."+a.expert+e+"."+theirs+".weight", 6, 5)
			}
		}
	}
	return out
}

// Every tensor of every type goes to GGUF and back to its own name, with its rows, values and experts where they were.
func TestTensorsAndBack(t *testing.T) {
	for _, modelType := range Types() {
		c, err := read(t, configOf(modelType))
		if err != nil {
			t.Fatal(err)
		}
		theirs := names(c)
		there, remarks, err := c.ToGGUF(theirs)
		if err != nil || len(remarks) != 0 {
			t.Errorf("%s: %v (%v)", modelType, err, remarks)
			continue
		}
		var ours []Source
		shifts := 0
		made := map[string]Tensor{}
		for _, x := range there {
			ours, made[x.Name] = append(ours, Source{x.Name, x.Shape}), x
			if x.Shift != 0 {
				shifts++
			}
			if wants := c.Architecture.interleaved && (strings.HasSuffix(x.Name, "attn_q.weight") || strings.HasSuffix(x.Name, "attn_k.weight")); wants != (x.Heads > 0) {
				t.Errorf("%s: %s is put in order for %d heads", modelType, x.Name, x.Heads)
			}
			if strings.HasSuffix(x.Name, "_exps.weight") && (!slices.Equal(x.Shape, []int{3, 6, 5}) || !strings.Contains(x.Parts[1].Name, ".experts.1.")) {
				t.Errorf("%s: %s is %v of %v", modelType, x.Name, x.Shape, x.Parts)
			}
		}
		if gemma := strings.HasPrefix(modelType, "gemma"); gemma != (shifts > 0) {
			t.Errorf("%s: %d norms are one more", modelType, shifts)
		}
		back, _, err := c.FromGGUF(ours)
		if err != nil {
			t.Errorf("%s: %v", modelType, err)
			continue
		}
		if len(back) != len(theirs) {
			t.Errorf("%s: %d tensors come back of %d", modelType, len(back), len(theirs))
		}
		for _, x := range back {
			gguf := made[x.Parts[0].Name]
			if !slices.ContainsFunc(theirs, func(s Source) bool { return s.Name == x.Name && slices.Equal(s.Shape, x.Shape) }) {
				t.Errorf("%s: %s %v comes back, which was none", modelType, x.Name, x.Shape)
			}
			if x.Heads != gguf.Heads || x.Shift != -gguf.Shift {
				t.Errorf("%s: %s: heads %d and %d, shift %g and %g", modelType, x.Name, x.Heads, gguf.Heads, x.Shift, gguf.Shift)
			}
		}
	}
}

// The order of the rows is that of the known reshape: [heads, 2, d/2] to [heads, d/2, 2] towards GGUF, and back.
func TestRows(t *testing.T) {
	const heads, d = 3, 8
	var order []int
	for h := range heads {
		for i := range d / 2 {
			for j := range 2 {
				order = append(order, h*d+j*(d/2)+i)
			}
		}
	}
	for r, want := range order {
		if got := Row(r, heads*d, heads, true); got != want {
			t.Errorf("row %d of GGUF's is %d of Hugging Face's, want %d", r, got, want)
		}
		if got := Row(want, heads*d, heads, false); got != r {
			t.Errorf("row %d of Hugging Face's is %d of GGUF's, want %d", want, got, r)
		}
	}
}

// What GGUF cannot say of a config is refused by name.
func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{"model_type": "llama", ` + sizes + `, "hidden_act": "gelu"}`:                                                               "hidden_act: config that GGUF cannot express: gelu, the llama of GGUF has silu",
		`{"model_type": "llama", ` + sizes + `, "partial_rotary_factor": 0.5}`:                                                       "partial_rotary_factor: config that GGUF cannot express: 0.5",
		`{"model_type": "llama", ` + sizes + `, "rope_scaling": {"rope_type": "spiral", "factor": 2}}`:                               "rope_scaling: config that GGUF cannot express: rope_type: spiral",
		`{"model_type": "qwen2", ` + sizes + `, "rope_scaling": {"rope_type": "llama3", "factor": 8}}`:                               "llama3, which the qwen2 of GGUF does not have",
		`{"model_type": "llama", ` + sizes + `, "rope_scaling": {"rope_type": "yarn"}}`:                                              "rope_scaling: config that GGUF cannot express: factor: 0",
		`{"model_type": "qwen2", ` + sizes + `, "head_dim": 8}`:                                                                      "head_dim: config that GGUF cannot express: 4 heads of 8",
		`{"model_type": "qwen3_moe", ` + sizes + `, "num_experts": 4}`:                                                               "norm_topk_prob: config that GGUF cannot express: false",
		`{"model_type": "qwen2_moe", ` + sizes + `, "num_experts": 4, "mlp_only_layers": [1]}`:                                       "mlp_only_layers: config that GGUF cannot express: some layers",
		`{"model_type": "gemma2", ` + sizes + `, "query_pre_attn_scalar": 144}`:                                                      "query_pre_attn_scalar: config that GGUF cannot express: 144, programs that run a gemma2 of GGUF have 256",
		`{"model_type": "gemma2", ` + sizes + `, "final_logit_softcapping": null}`:                                                   "attn_logit_softcapping: config that GGUF cannot express: null",
		`{"model_type": "llama", ` + sizes + `, "layer_types": ["full_attention"]}`:                                                  "layer_types: config that GGUF cannot express: 1 of them, num_hidden_layers is 2",
		`{"model_type": "llama", ` + sizes + `, "num_hidden_layers": "two"}`:                                                         `num_hidden_layers: config that GGUF cannot express: "two"`,
		`{"model_type": "mistral", "hidden_size": 64}`:                                                                               "vocab_size: config that GGUF cannot express: it is missing",
		`{"model_type": "phi3", ` + sizes + `, "rope_scaling": {"type": "longrope", "long_factor": [1, 2], "short_factor": [1, 2]}}`: "long_factor: 2 and 2 of short_factor, 16 values turn in a head",
		`{"model_type": "lama"}`: "model_type: a model type that GGUF's programs do not know by these names: lama; correct it if it should be llama",
	} {
		if _, err := read(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
	c, err := read(t, configOf("mixtral"))
	if err != nil {
		t.Fatal(err)
	}
	all := names(c)
	for want, list := range map[string][]Source{
		"the llama of GGUF has no place for score.weight, model.layers.0.novelty.weight": append(slices.Clone(all), Source{"score.weight", []int{1}}, Source{"model.layers.0.novelty.weight", []int{1}}),
		"2, the tensors are those of 1 layers":                                           slices.DeleteFunc(slices.Clone(all), func(s Source) bool { return strings.Contains(s.Name, "layers.1.") }),
		"layer 1 has 15 tensors, layer 0 has 16":                                         slices.DeleteFunc(slices.Clone(all), func(s Source) bool { return s.Name == "model.layers.1.self_attn.v_proj.weight" }),
		"none that would be output_norm.weight":                                          slices.DeleteFunc(slices.Clone(all), func(s Source) bool { return s.Name == "model.norm.weight" }),
		"2 experts, the config says 3":                                                   slices.DeleteFunc(slices.Clone(all), func(s Source) bool { return strings.Contains(s.Name, "experts.1.w") }),
	} {
		if _, _, err := c.ToGGUF(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// Stretched positions go to GGUF and back: llama3's by a tensor, whose factors give the settings again.
func TestRope(t *testing.T) {
	for _, scaling := range []string{
		`{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}`,
		`{"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}`,
		`{"rope_type": "llama3", "factor": 5.0, "low_freq_factor": 1.0, "high_freq_factor": 7.0, "original_max_position_embeddings": 3000}`,
		`{"rope_type": "linear", "factor": 2.5}`,
		`{"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "beta_fast": 32, "beta_slow": 1}`,
		`{"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "attention_factor": 1.25}`,
	} {
		c, err := read(t, `{"model_type": "llama", `+sizes+`, "head_dim": 128, "rope_theta": 500000, "rope_scaling": `+scaling+`}`)
		if err != nil {
			t.Errorf("%s: %v", scaling, err)
			continue
		}
		keys, factors := c.Keys(), map[string][]float32{}
		extra, err := c.ropeTensors()
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range extra {
			factors[x.Name] = x.Values
		}
		if (len(extra) == 1) != (c.Rope.Type == "llama3") {
			t.Errorf("%s: %d tensors", scaling, len(extra))
		}
		back, err := FromKeys(func(key string) any { return keys[key] }, c.Tied, factors)
		if err != nil {
			t.Errorf("%s: %v", scaling, err)
			continue
		}
		if a, b := c.Rope.Attention, back.Rope.Attention; a != nil && b != nil && math.Abs(*a-*b) < 1e-6 {
			*b = *a
		}
		if !reflect.DeepEqual(back.Rope, c.Rope) {
			t.Errorf("%s comes back as %+v", scaling, back.Rope)
		}
	}
	c := &Config{Architecture: &architectures[0], HeadDim: 8, Theta: 10000}
	if s := c.llama3Of([]float32{1, 3, 2, 7}); s != nil {
		t.Errorf("factors of none give %+v", s)
	}
}

// The factors of llama3's positions are those that transformers and llama.cpp compute for Llama 3.1 8B (theta 500000, heads of 128), by hand at
// three places: the first, one between, the last.
func TestLlama3Factors(t *testing.T) {
	c := &Config{HeadDim: 128, Theta: 500000}
	got := c.llama3Factors(&Rope{Type: "llama3", Factor: 8, Low: 1, High: 4, Original: 8192})
	wave := 2 * math.Pi * math.Pow(500000, 2*30.0/128)
	smooth := (8192/wave - 1) / 3
	if want := float32(1 / ((1-smooth)/8 + smooth)); len(got) != 64 || got[0] != 1 || got[63] != 8 || math.Abs(float64(got[30]-want)) > 1e-5 || !(want > 1 && want < 8) {
		t.Errorf("%v, want 1, %v at 30, 8", got, want)
	}
}
