package decoder

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Config is what the two sides have to know of a model of llama's kind.
type Config struct {
	Architecture *Architecture

	VocabSize        int
	HiddenSize       int
	IntermediateSize int
	Layers           int
	Heads            int
	KeyValueHeads    int
	HeadDim          int
	Positions        int // longest text
	Epsilon          float64
	Theta            float64 // base of the rotary frequencies
	LocalTheta       float64 // of layers with a window; 0 where there are none of their own
	Rotary           float64 // share of a head that turns
	Rope             *Rope
	Tied             bool // the output layer is the embeddings
	Window           int  // of layers with a sliding window; 0 for none
	Windowed         []bool
	AttentionBias    bool // in config.json only: the tensors tell
	MLPBias          bool
	Experts          int
	ExpertsUsed      int
	ExpertSize       int // width inside an expert
	SharedSize       int // of the shared expert
	SoftcapAttention float64
	SoftcapLogits    float64
	Remarks          []string
}

// Rope stretches rotary positions beyond the length that was trained.
type Rope struct {
	Type      string    `json:"rope_type"`
	Factor    float64   `json:"factor"`
	Low       float64   `json:"low_freq_factor"`
	High      float64   `json:"high_freq_factor"`
	Original  int       `json:"original_max_position_embeddings"`
	Attention *float64  `json:"attention_factor"`
	BetaFast  *float64  `json:"beta_fast"`
	BetaSlow  *float64  `json:"beta_slow"`
	Scale     float64   `json:"mscale"`
	ScaleAll  float64   `json:"mscale_all_dim"`
	Long      []float64 `json:"long_factor"`
	Short     []float64 `json:"short_factor"`
}

// reader takes values out of a config.json, and keeps the first that is wrong.
type reader struct {
	keys map[string]json.RawMessage
	err  error
}

// get decodes one key; false if the file lacks it, or has null.
func (r *reader) get(key string, into any) bool {
	raw := r.keys[key]
	if raw == nil || string(raw) == "null" || r.err != nil {
		return false
	}
	if err := json.Unmarshal(raw, into); err != nil {
		r.err = &Error{Field: key, Kind: ErrConfig, Text: strict.Short(string(raw)), Err: untrusted.JSONError(err), Fix: "correct the value"}
		return false
	}
	return true
}

// size is a number that must be there and above 0, unless there is a default.
func (r *reader) size(key string, standard int) int {
	n := standard
	if !r.get(key, &n) && standard == 0 && r.err == nil {
		r.err = &Error{Field: key, Kind: ErrConfig, Text: "it is missing", Fix: "add it to config.json"}
	}
	if (n < 1 || n > math.MaxInt32) && r.err == nil {
		r.err = &Error{Field: key, Kind: ErrConfig, Text: fmt.Sprint(n), Fix: "it must be at least 1"}
	}
	return n
}

// number is a number that float32, in which GGUF keeps it, can hold.
func (r *reader) number(key string, standard float64) float64 {
	v := standard
	r.get(key, &v)
	if !holds(v) {
		r.refuse(key, fmt.Sprintf("%g, which is more than float32 holds", v), "correct the value")
	}
	return v
}

// holds reports whether float32 has a finite number for this one.
func holds(v float64) bool { return math.Abs(v) <= math.MaxFloat32 }

func (r *reader) flag(key string, standard bool) bool {
	v := standard
	r.get(key, &v)
	return v
}

// refuse keeps an error about a value that GGUF has no word for.
func (r *reader) refuse(key, text, fix string) {
	if r.err == nil {
		r.err = &Error{Field: key, Kind: ErrConfig, Text: text, Fix: fix}
	}
}

// The most layers, experts of a layer and values of a head, far beyond those of any model.
const (
	mostLayers  = 100_000
	mostExperts = 1 << 16
	mostWide    = 1 << 16
)

// fixKeep is the way out where a model cannot be carried as a model.
const fixKeep = "convert with --keep-names, for tensors alone"

// Defaults of llama's sizes, which its files may leave out.
var llamaSizes = map[string]int{"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32}

// Read reads the keys of a config.json of a known model_type, and refuses what GGUF cannot say of it. Keys that are missing take the
// defaults of the class; sizes other than llama's have none.
func Read(modelType string, keys map[string]json.RawMessage) (*Config, error) {
	a, ok := ForType(modelType)
	if !ok {
		return nil, UnknownType(modelType)
	}
	r := &reader{keys: keys}
	standard := func(key string) int {
		if modelType == "llama" {
			return llamaSizes[key]
		}
		return 0
	}
	c := &Config{Architecture: a, Rotary: 1}
	c.VocabSize, c.HiddenSize = r.size("vocab_size", standard("vocab_size")), r.size("hidden_size", standard("hidden_size"))
	c.IntermediateSize, c.Layers = r.size("intermediate_size", standard("intermediate_size")), r.size("num_hidden_layers", standard("num_hidden_layers"))
	c.Heads = r.size("num_attention_heads", standard("num_attention_heads"))
	c.KeyValueHeads = r.size("num_key_value_heads", max(c.Heads, 1))
	c.Positions, c.Epsilon = r.size("max_position_embeddings", a.positions), r.number("rms_norm_eps", a.epsilon)
	if modelType == "phi" {
		c.Epsilon = r.number("layer_norm_eps", a.epsilon)
	}
	c.Tied = r.flag("tie_word_embeddings", a.tied)
	c.AttentionBias, c.MLPBias = r.flag("attention_bias", false), r.flag("mlp_bias", false)
	if c.Layers > mostLayers {
		r.refuse("num_hidden_layers", fmt.Sprintf("%d, at most %d", c.Layers, mostLayers), "correct the value")
	}
	if r.err != nil {
		return nil, r.err
	}
	c.readHeads(r)
	c.readRope(r)
	c.readWindow(r)
	c.readExperts(r)
	c.readRest(r)
	if r.err != nil {
		return nil, r.err
	}
	return c, nil
}

// readHeads takes the width of a head.
func (c *Config) readHeads(r *reader) {
	a := c.Architecture
	if c.HeadDim = a.headDim; c.HeadDim == 0 {
		c.HeadDim = c.HiddenSize / c.Heads
	}
	r.get("head_dim", &c.HeadDim)
	switch {
	case c.HeadDim < 1 || c.HeadDim%2 != 0 || c.HeadDim > mostWide:
		r.refuse("head_dim", fmt.Sprintf("%d, heads are of an even width of at most %d", c.HeadDim, mostWide), "correct the value")
	case a.square && c.HeadDim*c.Heads != c.HiddenSize:
		r.refuse("head_dim", fmt.Sprintf("%d heads of %d, the %s of GGUF has heads of %d/%d", c.Heads, c.HeadDim, a.GGUF, c.HiddenSize, c.Heads), fixKeep)
	case c.Heads%c.KeyValueHeads != 0:
		r.refuse("num_key_value_heads", fmt.Sprintf("%d does not divide num_attention_heads %d", c.KeyValueHeads, c.Heads), "correct the value")
	}
}

// readWindow takes sliding windows. The architectures of GGUF that have some know which layers have them by a pattern.
func (c *Config) readWindow(r *reader) {
	a := c.Architecture
	c.Window = a.window
	if raw, ok := r.keys["sliding_window"]; ok && string(raw) == "null" {
		c.Window = 0
	}
	r.get("sliding_window", &c.Window)
	if written := a.Type == "phi3" || strings.HasPrefix(a.Type, "gemma"); written && (c.Window < 0 || c.Window > math.MaxInt32) {
		r.refuse("sliding_window", fmt.Sprint(c.Window), "it must be at least 0")
	}
	var kinds []string
	r.get("layer_types", &kinds)
	if len(kinds) > 0 && len(kinds) != c.Layers {
		r.refuse("layer_types", fmt.Sprintf("%d of them, num_hidden_layers is %d", len(kinds), c.Layers), "correct the config")
		return
	}
	for _, kind := range kinds {
		if kind != "full_attention" && kind != "sliding_attention" {
			r.refuse("layer_types", strict.Short(kind), fixKeep)
			return
		}
	}
	switch c.Architecture.Type {
	case "gemma2", "gemma3_text":
		every := 2
		if a.Type == "gemma3_text" {
			every = int(min(max(r.number("_sliding_window_pattern", r.number("sliding_window_pattern", 6)), 0), mostLayers+1))
		}
		for i := range c.Layers {
			windowed := every < 1 || (i+1)%every != 0
			if len(kinds) > 0 {
				windowed = kinds[i] == "sliding_attention"
			}
			c.Windowed = append(c.Windowed, windowed && c.Window > 0)
		}
		return
	}
	uses := r.flag("use_sliding_window", strings.HasPrefix(a.Type, "mi") || a.Type == "phi3")
	if len(kinds) > 0 {
		uses = slices.Contains(kinds, "sliding_attention")
	}
	if !uses {
		c.Window = 0
	}
	if c.Window > 0 && c.Window < c.Positions {
		c.remark("sliding_window is %d: programs that run GGUF give a %s no window, so texts beyond %d tokens differ", c.Window, a.GGUF, c.Window)
	}
}

// readExperts takes what the mixtures have.
func (c *Config) readExperts(r *reader) {
	count := 0 // under either name
	for _, key := range []string{"num_experts", "num_local_experts"} {
		r.get(key, &count)
	}
	or := func(usual int) int {
		if count > 0 {
			return count
		}
		return usual
	}
	switch c.Architecture.Type {
	case "mixtral":
		c.Experts, c.ExpertsUsed = or(8), r.size("num_experts_per_tok", 2)
	case "qwen2_moe":
		c.Experts, c.ExpertsUsed = or(60), r.size("num_experts_per_tok", 4)
		c.ExpertSize, c.SharedSize = r.size("moe_intermediate_size", 1408), r.size("shared_expert_intermediate_size", 5632)
		if r.flag("norm_topk_prob", false) {
			r.refuse("norm_topk_prob", "true, programs that run a qwen2moe of GGUF do not add the experts' weights up to 1", fixKeep)
		}
	case "qwen3_moe":
		c.Experts, c.ExpertsUsed, c.ExpertSize = or(128), r.size("num_experts_per_tok", 8), r.size("moe_intermediate_size", 768)
		if !r.flag("norm_topk_prob", false) {
			r.refuse("norm_topk_prob", "false, programs that run a qwen3moe of GGUF add the experts' weights up to 1", fixKeep)
		}
	default:
		return
	}
	if c.Experts > mostExperts {
		r.refuse("num_experts", fmt.Sprintf("%d, at most %d", c.Experts, mostExperts), "correct the value")
	}
	var dense []int
	if r.get("mlp_only_layers", &dense); len(dense) > 0 || r.number("decoder_sparse_step", 1) != 1 {
		r.refuse("mlp_only_layers", "some layers have no experts", fixKeep)
	}
}

// readRest refuses what changes the numbers and has no word in GGUF.
func (c *Config) readRest(r *reader) {
	a := c.Architecture
	act := a.activations[0]
	for _, key := range []string{"hidden_act", "hidden_activation"} {
		if r.get(key, &act); !slices.Contains(a.activations, act) {
			r.refuse(key, strict.Short(act)+", the "+a.GGUF+" of GGUF has "+a.activations[0], fixKeep)
		}
	}
	if strings.HasPrefix(a.Type, "gemma") && a.Type != "gemma" {
		scalar := r.number("query_pre_attn_scalar", 256)
		// The largest of each is told by its layers, and has the width of the model by the heads.
		want := float64(c.HeadDim)
		if a.Type == "gemma2" && c.Layers == 46 || a.Type == "gemma3_text" && c.Layers == 62 {
			want = float64(c.HiddenSize / c.Heads)
		}
		if scalar != want {
			r.refuse("query_pre_attn_scalar", fmt.Sprintf("%g, programs that run a %s of GGUF have %g", scalar, a.GGUF, want), fixKeep)
		}
		c.SoftcapLogits = r.number("final_logit_softcapping", map[string]float64{"gemma2": 30}[a.Type])
		c.SoftcapAttention = r.number("attn_logit_softcapping", map[string]float64{"gemma2": 50}[a.Type])
		if raw := r.keys["final_logit_softcapping"]; string(raw) == "null" {
			c.SoftcapLogits = 0
		}
		if raw := r.keys["attn_logit_softcapping"]; string(raw) == "null" {
			c.SoftcapAttention = 0
		}
		switch {
		case a.Type == "gemma3_text" && c.SoftcapAttention != 0:
			r.refuse("attn_logit_softcapping", fmt.Sprintf("%g, the gemma3 of GGUF has none", c.SoftcapAttention), fixKeep)
		case a.Type == "gemma2" && (c.SoftcapAttention == 0 || c.SoftcapLogits == 0):
			r.refuse("attn_logit_softcapping", "null, the gemma2 of GGUF has both", fixKeep)
		}
		if r.flag("use_bidirectional_attention", false) {
			r.refuse("use_bidirectional_attention", "true", fixKeep)
		}
	}
	if a.Type == "phi" && r.flag("qk_layernorm", false) {
		r.refuse("qk_layernorm", "true, the phi2 of GGUF has none", fixKeep)
	}
}

func (c *Config) remark(format string, args ...any) {
	c.Remarks = append(c.Remarks, fmt.Sprintf(format, args...))
}
