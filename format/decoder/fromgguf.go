package decoder

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/internal/strict"
)

// lookup finds keys of GGUF behind the name of an architecture.
type lookup struct {
	prefix string
	value  func(key string) any
	err    error
}

// number is a value of any numeric type; ok is false where there is none.
func (l *lookup) number(key string) (v float64, ok bool) {
	switch n := l.value(l.prefix + key).(type) {
	case uint8:
		return float64(n), true
	case int8:
		return float64(n), true
	case uint16:
		return float64(n), true
	case int16:
		return float64(n), true
	case uint32:
		return float64(n), true
	case int32:
		return float64(n), true
	case uint64:
		return float64(n), true
	case int64:
		return float64(n), true
	case float32:
		v, ok = shortest(n), true
	case float64:
		v, ok = n, true
	}
	if !holds(v) {
		l.refuse(key, v)
		return 0, false
	}
	return v, ok
}

// refuse keeps an error about a number that no config.json can say.
func (l *lookup) refuse(key string, v float64) {
	if l.err == nil {
		l.err = &Error{Field: l.prefix + key, Kind: ErrKeys, Text: fmt.Sprint(v), Fix: "get the file again"}
	}
}

// whole is a number of at least 0 whose fraction is left off; 0 where there is none.
func (l *lookup) whole(key string) int {
	v, _ := l.number(key)
	if v < 0 || v > math.MaxInt32 {
		l.refuse(key, v)
		return 0
	}
	return int(v)
}

// shortest is the number with fewest digits that float32 holds as this: 1e-05 and not 9.999999747378752e-06.
func shortest(v float32) float64 {
	var out float64
	if _, err := fmt.Sscan(fmt.Sprint(v), &out); err != nil {
		return float64(v)
	}
	return out
}

// size is a whole number that must be there unless there is a default above 0.
func (l *lookup) size(key string, standard int) int {
	v, ok := l.number(key)
	if !ok && standard > 0 {
		return standard
	}
	if l.err == nil && (!ok || v < 1 || v > math.MaxInt32 || v != math.Trunc(v)) {
		text := "it is missing, or a list"
		if ok {
			text = fmt.Sprint(v)
		}
		l.err = &Error{Field: l.prefix + key, Kind: ErrKeys, Text: text, Fix: fixKeep}
	}
	return int(v)
}

func (l *lookup) text(key string) string {
	s, _ := l.value(l.prefix + key).(string)
	return s
}

// NamesFromKeys reads of the keys of a GGUF file what its tensors' names and layout need: the architecture and the numbers of heads and experts.
// value gives a key, nil where there is none.
func NamesFromKeys(value func(key string) any) (*Config, error) {
	name, _ := value("general.architecture").(string)
	if name == "" && value("llama.attention.head_count") != nil {
		name = "llama"
	}
	l := &lookup{prefix: name + ".", value: value}
	experts, _ := l.number("expert_count")
	if !(experts >= 0 && experts <= mostExperts) {
		return nil, &Error{Field: l.prefix + "expert_count", Kind: ErrKeys, Text: fmt.Sprint(experts), Fix: fixKeep}
	}
	a, ok := ForGGUF(name, int(experts))
	if !ok {
		return nil, &Error{Field: "general.architecture", Kind: ErrType, Text: strict.Short(name), Fix: fixKeep}
	}
	c := &Config{Architecture: a, Rotary: 1, Experts: int(experts), Heads: l.size("attention.head_count", 0)}
	c.KeyValueHeads = l.size("attention.head_count_kv", max(c.Heads, 1))
	if l.err != nil {
		return nil, l.err
	}
	return c, nil
}

// FromKeys reads all that a config.json says. tied tells that the file has no output layer of its own, factors are the values of its tensor of
// frequencies, or of the two of long positions.
func FromKeys(value func(key string) any, tied bool, factors map[string][]float32) (*Config, error) {
	c, err := NamesFromKeys(value)
	if err != nil {
		return nil, err
	}
	a := c.Architecture
	l := &lookup{prefix: a.GGUF + ".", value: value}
	c.Tied, c.Layers, c.HiddenSize = tied, l.size("block_count", 0), l.size("embedding_length", 0)
	c.IntermediateSize, c.Positions = l.size("feed_forward_length", 0), l.size("context_length", a.positions)
	if l.err == nil && c.Layers > mostLayers {
		l.err = &Error{Field: l.prefix + "block_count", Kind: ErrKeys, Text: fmt.Sprint(c.Layers), Fix: "get the file again"}
	}
	if l.err != nil {
		return nil, l.err
	}
	c.HeadDim = l.size("attention.key_length", c.HiddenSize/c.Heads)
	c.Theta, c.Epsilon = a.theta, a.epsilon
	if v, ok := l.number("rope.freq_base"); ok {
		c.Theta = v
	} else {
		c.Theta = 10000 // what programs take
	}
	for _, key := range []string{"attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"} {
		if v, ok := l.number(key); ok {
			c.Epsilon = v
		}
	}
	c.sizesFrom(l)
	c.ropeFrom(l, factors)
	switch {
	case l.err != nil:
		return nil, l.err
	case c.HeadDim < 2 || c.HeadDim%2 != 0 || c.Heads%c.KeyValueHeads != 0:
		return nil, &Error{Field: a.GGUF + ".attention.head_count", Kind: ErrKeys, Text: fmt.Sprintf("%d and %d heads of %d", c.Heads, c.KeyValueHeads, c.HeadDim), Fix: "get the file again"}
	}
	return c, nil
}

// sizesFrom reads what some architectures have.
func (c *Config) sizesFrom(l *lookup) {
	if tokens, ok := l.value("tokenizer.ggml.tokens").([]string); ok {
		c.VocabSize = len(tokens)
	}
	if v, ok := l.number("vocab_size"); ok && v >= 1 && v <= math.MaxInt32 {
		c.VocabSize = int(v)
	}
	if c.Experts > 0 {
		c.ExpertsUsed = l.size("expert_used_count", 0)
		if c.Architecture.Type != "mixtral" {
			c.ExpertSize = l.size("expert_feed_forward_length", 0)
		}
	}
	if c.Architecture.Type == "qwen2_moe" {
		c.SharedSize = l.size("expert_shared_feed_forward_length", 0)
	}
	if rotary, ok := l.number("rope.dimension_count"); ok && c.HeadDim > 0 {
		c.Rotary = rotary / float64(c.HeadDim)
	}
	c.Window = l.whole("attention.sliding_window")
	c.SoftcapAttention, _ = l.number("attn_logit_softcapping")
	c.SoftcapLogits, _ = l.number("final_logit_softcapping")
	switch c.Architecture.Type {
	case "gemma2", "gemma3_text":
		if c.Architecture.Type == "gemma3_text" {
			c.LocalTheta = 10000
			if v, ok := l.number("rope.freq_base_swa"); ok {
				c.LocalTheta = v
			}
		}
		if c.Windowed = turns(c.Layers, c.pattern()); c.Window == 0 {
			c.Windowed = make([]bool, c.Layers)
		}
		switch pattern := l.value(l.prefix + "attention.sliding_window_pattern").(type) {
		case []bool:
			if len(pattern) == c.Layers {
				c.Windowed = pattern
			}
		case uint32:
			if pattern > 0 && c.Window > 0 {
				c.Windowed = turns(c.Layers, int(pattern))
			}
		}
	}
}

// ropeFrom reads stretched positions.
func (c *Config) ropeFrom(l *lookup, factors map[string][]float32) {
	factor, _ := l.number("rope.scaling.factor")
	if factor == 0 {
		factor, _ = l.number("rope.scale_linear")
	}
	original := l.whole("rope.scaling.original_context_length")
	attention, scaled := l.number("rope.scaling.attn_factor")
	kind := l.text("rope.scaling.type")
	switch {
	case factors[ropeFrequencies] != nil:
		if c.Rope = c.llama3Of(factors[ropeFrequencies]); c.Rope == nil && l.err == nil {
			l.err = &Error{Tensor: ropeFrequencies, Field: ropeFrequencies, Kind: ErrKeys, Text: "its factors are not those of llama3's positions, and no config has a word for others", Fix: fixKeep}
		}
	case factors[ropeLong] != nil || factors[ropeShort] != nil:
		for _, v := range slices.Concat(factors[ropeLong], factors[ropeShort]) {
			if !holds(float64(v)) && l.err == nil {
				l.err = &Error{Tensor: ropeLong, Field: ropeLong, Kind: ErrKeys, Text: fmt.Sprintf("a factor is %v", v), Fix: "get the file again"}
			}
		}
		c.Rope = &Rope{Type: "longrope", Original: original, Long: widen(factors[ropeLong]), Short: widen(factors[ropeShort])}
		if scaled {
			c.Rope.Attention = &attention
		}
	case factor == 0 || factor == 1 || kind == "none":
	case kind == "linear" || kind == "":
		c.Rope = &Rope{Type: "linear", Factor: factor}
	case kind == "yarn":
		c.Rope = &Rope{Type: "yarn", Factor: factor, Original: original}
		if scaled && attention != 1 {
			attention *= magnitude(factor, 1)
			c.Rope.Attention = &attention
		}
		for key, to := range map[string]**float64{"yarn_beta_fast": &c.Rope.BetaFast, "yarn_beta_slow": &c.Rope.BetaSlow} {
			if v, ok := l.number("rope.scaling." + key); ok {
				*to = &v
			}
		}
	default:
		if l.err == nil {
			l.err = &Error{Field: l.prefix + "rope.scaling.type", Kind: ErrKeys, Text: strict.Short(kind), Fix: fixKeep}
		}
	}
}

func widen(values []float32) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = shortest(v)
	}
	return out
}

// JSON are the keys of a config.json that says what the config says. It names the class that transformers opens the model with.
func (c *Config) JSON() map[string]any {
	a := c.Architecture
	out := map[string]any{
		"architectures": []string{a.Class}, "model_type": a.Type, "hidden_act": a.activations[0], "tie_word_embeddings": c.Tied,
		"vocab_size": c.VocabSize, "hidden_size": c.HiddenSize, "intermediate_size": c.IntermediateSize, "num_hidden_layers": c.Layers,
		"num_attention_heads": c.Heads, "num_key_value_heads": c.KeyValueHeads, "head_dim": c.HeadDim, "max_position_embeddings": c.Positions,
		"rms_norm_eps": decimal(c.Epsilon), "rope_theta": decimal(c.Theta),
	}
	if c.VocabSize == 0 {
		delete(out, "vocab_size")
	}
	if c.AttentionBias && !a.biased {
		out["attention_bias"] = true
	}
	if c.MLPBias {
		out["mlp_bias"] = true
	}
	switch a.Type {
	case "mixtral":
		out["num_local_experts"], out["num_experts_per_tok"], out["sliding_window"] = c.Experts, c.ExpertsUsed, nil
	case "qwen2_moe", "qwen3_moe":
		out["num_experts"], out["num_experts_per_tok"], out["moe_intermediate_size"] = c.Experts, c.ExpertsUsed, c.ExpertSize
		out["norm_topk_prob"], out["decoder_sparse_step"], out["mlp_only_layers"] = a.Type == "qwen3_moe", 1, []int{}
		if c.SharedSize > 0 {
			out["shared_expert_intermediate_size"] = c.SharedSize
		}
	case "gemma", "gemma2", "gemma3_text":
		out["hidden_activation"] = a.activations[0]
		c.gemmaJSON(out)
	case "phi3":
		out["sliding_window"], out["partial_rotary_factor"] = nil, decimal(c.Rotary)
		if c.Window > 0 {
			out["sliding_window"] = c.Window
		}
		out["original_max_position_embeddings"] = c.Positions
		if c.Rope != nil && c.Rope.Original > 0 {
			out["original_max_position_embeddings"] = c.Rope.Original
		}
	case "phi":
		delete(out, "rms_norm_eps")
		delete(out, "head_dim")
		out["layer_norm_eps"], out["partial_rotary_factor"] = decimal(c.Epsilon), decimal(c.Rotary)
	}
	if c.Rope != nil {
		out["rope_scaling"] = c.Rope.json()
	}
	return out
}

func (c *Config) gemmaJSON(out map[string]any) {
	if c.Architecture.Type == "gemma" {
		return
	}
	out["query_pre_attn_scalar"] = c.HeadDim
	if c.Architecture.Type == "gemma2" && c.Layers == 46 || c.Architecture.Type == "gemma3_text" && c.Layers == 62 {
		out["query_pre_attn_scalar"] = c.HiddenSize / c.Heads
	}
	out["attn_logit_softcapping"], out["final_logit_softcapping"] = orNull(c.SoftcapAttention), orNull(c.SoftcapLogits)
	out["sliding_window"] = max(c.Window, 1)
	kinds := make([]string, 0, c.Layers)
	for _, windowed := range c.Windowed {
		kinds = append(kinds, map[bool]string{true: "sliding_attention", false: "full_attention"}[windowed])
	}
	out["layer_types"] = kinds
	if c.LocalTheta > 0 {
		out["rope_local_base_freq"] = decimal(c.LocalTheta)
	}
}

func orNull(v float64) any {
	if v == 0 {
		return nil
	}
	return decimal(v)
}

// decimal is a number that is read as a float whatever its value: transformers refuses 30 where it wants 30.0.
type decimal float64

// MarshalJSON writes the shortest form, with a point or an exponent.
func (d decimal) MarshalJSON() ([]byte, error) {
	text := strconv.FormatFloat(float64(d), 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return []byte(text), nil
}

// json are the keys of rope_scaling.
func (r *Rope) json() map[string]any {
	out := map[string]any{"rope_type": r.Type}
	if r.Factor != 0 {
		out["factor"] = decimal(r.Factor)
	}
	if r.Original > 0 {
		out["original_max_position_embeddings"] = r.Original
	}
	for key, v := range map[string]*float64{"attention_factor": r.Attention, "beta_fast": r.BetaFast, "beta_slow": r.BetaSlow} {
		if v != nil {
			out[key] = decimal(*v)
		}
	}
	if r.Type == "llama3" {
		out["low_freq_factor"], out["high_freq_factor"] = decimal(r.Low), decimal(r.High)
	}
	if r.Type == "longrope" {
		out["long_factor"], out["short_factor"] = r.Long, r.Short
	}
	return out
}
