package decoder

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
)

// A number that GGUF's float32 would make infinite is refused by its key, wherever a config.json has numbers.
func TestNumbersBeyondFloat32(t *testing.T) {
	with := func(modelType, more string) string {
		return strings.TrimSuffix(configOf(modelType), "}") + ", " + more + "}"
	}
	cases := map[string]string{
		with("llama", `"rms_norm_eps": 1e300`):                                                 "rms_norm_eps",
		with("llama", `"rope_theta": 1e300`):                                                   "rope_theta",
		with("phi", `"layer_norm_eps": 1e39`):                                                  "layer_norm_eps",
		with("gemma2", `"final_logit_softcapping": 1e300`):                                     "final_logit_softcapping",
		with("gemma3_text", `"rope_local_base_freq": 1e300`):                                   "rope_local_base_freq",
		with("gemma3_text", `"rope_parameters": {"sliding_attention": {"rope_theta": 1e300}}`): "rope_theta",
		with("gemma3_text", `"rope_parameters": {"sliding_attention": {"rope_theta": "x"}}`):   "rope_theta",
		with("gemma2", `"sliding_window": -1`):                                                 "sliding_window",
		with("phi3", `"sliding_window": 9223372036854775807`):                                  "sliding_window",
		with("llama", `"rope_scaling": {"rope_type": "longrope", "original_max_position_embeddings": 1, "long_factor": [`+
			strings.TrimSuffix(strings.Repeat("1,", 16), ",")+`], "short_factor": [`+strings.TrimSuffix(strings.Repeat("1,", 16), ",")+`]}`): "attn_factor would be +Inf",
	}
	for _, key := range []string{"factor", "mscale", "mscale_all_dim", "attention_factor", "beta_fast", "beta_slow"} {
		factor := `"factor": 2, `
		if key == "factor" {
			factor = ""
		}
		cases[with("llama", `"rope_scaling": {"rope_type": "yarn", `+factor+fmt.Sprintf("%q: 1e300}", key))] = "rope_scaling"
	}
	for text, want := range cases {
		if _, err := read(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

// The same the other way: no number of a GGUF file comes into a config.json that JSON has no word for.
func TestKeysThatAreNotFinite(t *testing.T) {
	for _, modelType := range Types() {
		c, err := read(t, configOf(modelType))
		if err != nil {
			t.Fatal(err)
		}
		keys := c.Keys()
		c.Rope = &Rope{Type: "yarn", Factor: 2, Original: 64}
		for key, v := range c.ropeKeys() {
			keys[c.Architecture.GGUF+".rope.scaling."+key] = v
		}
		for odd, was := range keys {
			if _, number := was.(float32); !number {
				continue
			}
			for _, v := range []any{float32(math.Inf(1)), float32(math.NaN()), math.Inf(-1), 1e300} {
				back, err := FromKeys(func(key string) any {
					if key == odd {
						return v
					}
					return keys[key]
				}, c.Tied, nil)
				if err == nil {
					_, err = json.Marshal(back.JSON())
					t.Errorf("%s of %v comes through (%v)", odd, v, err)
				} else if !strings.Contains(err.Error(), odd) {
					t.Errorf("%s of %v: %v", odd, v, err)
				}
			}
		}
	}
	if _, err := FromKeys(func(key string) any {
		return map[string]any{
			"general.architecture": "llama", "llama.block_count": uint32(1), "llama.embedding_length": uint32(8), "llama.feed_forward_length": uint32(8),
			"llama.attention.head_count": uint32(1), "llama.context_length": uint32(8),
		}[key]
	}, true, map[string][]float32{ropeLong: {1, float32(math.Inf(1))}}); err == nil || !strings.Contains(err.Error(), "a factor is +Inf") {
		t.Errorf("an infinite factor: %v", err)
	}
}
