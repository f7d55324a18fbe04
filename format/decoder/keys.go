package decoder

import (
	"math"
	"slices"
)

// Keys are the keys of GGUF that say what the config says, general.architecture among them.
func (c *Config) Keys() map[string]any {
	a := c.Architecture
	u := func(n int) uint32 { return uint32(min(max(n, 0), math.MaxUint32)) }
	epsilon := "attention.layer_norm_rms_epsilon"
	if a.Type == "phi" {
		epsilon = "attention.layer_norm_epsilon"
	}
	own := map[string]any{
		"block_count": u(c.Layers), "context_length": u(c.Positions), "embedding_length": u(c.HiddenSize), "feed_forward_length": u(c.IntermediateSize),
		"attention.head_count": u(c.Heads), "attention.head_count_kv": u(c.KeyValueHeads), epsilon: float32(c.Epsilon),
		"rope.dimension_count": u(c.rotaryDim()), "rope.freq_base": float32(c.Theta), "vocab_size": u(c.VocabSize),
	}
	if c.HeadDim*c.Heads != c.HiddenSize || a.headDim > 0 {
		own["attention.key_length"], own["attention.value_length"] = u(c.HeadDim), u(c.HeadDim)
	}
	for key, v := range c.ropeKeys() {
		own["rope.scaling."+key] = v
	}
	if c.Experts > 0 {
		own["expert_count"], own["expert_used_count"] = u(c.Experts), u(c.ExpertsUsed)
	}
	if c.ExpertSize > 0 {
		own["expert_feed_forward_length"] = u(c.ExpertSize)
	}
	if c.SharedSize > 0 {
		own["expert_shared_feed_forward_length"] = u(c.SharedSize)
	}
	c.windowKeys(own)
	keys := map[string]any{"general.architecture": a.GGUF}
	for key, v := range own {
		keys[a.GGUF+"."+key] = v
	}
	return keys
}

// windowKeys are those of models whose layers take turns in having a window, and of phi3, which has its key in any case.
func (c *Config) windowKeys(own map[string]any) {
	switch c.Architecture.Type {
	case "gemma2":
		own["attention.sliding_window"] = uint32(c.Window)
		own["attn_logit_softcapping"], own["final_logit_softcapping"] = float32(c.SoftcapAttention), float32(c.SoftcapLogits)
	case "gemma3_text":
		if c.Window > 0 {
			own["attention.sliding_window"], own["rope.freq_base_swa"] = uint32(c.Window), float32(c.LocalTheta)
		}
		if c.SoftcapLogits != 0 {
			own["final_logit_softcapping"] = float32(c.SoftcapLogits)
		}
	case "phi3":
		own["attention.sliding_window"] = uint32(c.Window)
		if c.Rope == nil || c.Rope.Original == 0 {
			own["rope.scaling.original_context_length"] = uint32(c.Positions)
		}
		return
	default:
		return
	}
	if every := c.pattern(); len(c.Windowed) > 0 && !slices.Equal(c.Windowed, turns(c.Layers, every)) {
		own["attention.sliding_window_pattern"] = c.Windowed
		c.remark("layer_types is not the usual pattern of one full layer in %d: it is stored in attention.sliding_window_pattern, which programs before 2026 do not read", every)
	}
}

// pattern is how many layers there are to each full one.
func (c *Config) pattern() int {
	if c.Architecture.Type == "gemma2" {
		return 2
	}
	return 6
}

// turns are the layers with a window where one in every has none.
func turns(layers, every int) []bool {
	out := make([]bool, layers)
	for i := range out {
		out[i] = (i+1)%every != 0
	}
	return out
}
