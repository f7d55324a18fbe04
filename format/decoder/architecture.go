// Package decoder translates language models of the llama family between Hugging Face folders and GGUF files: the names and layouts of
// their tensors, the keys of config.json and of GGUF, and what only one of the two can express.
//
//	model_type            general.architecture  what differs between the sides beside names
//	llama, mistral        llama                 rows of query and key weights, head by head; frequencies of llama3's positions are a tensor
//	mixtral               llama                 the same, and all experts of a layer are one tensor
//	qwen2, qwen3          qwen2, qwen3          nothing
//	qwen2_moe, qwen3_moe  qwen2moe, qwen3moe    all experts of a layer are one tensor
//	gemma                 gemma                 norms are one more than Hugging Face's
//	gemma2, gemma3_text   gemma2, gemma3        the same
//	phi                   phi2                  nothing
//	phi3                  phi3                  factors of long positions are two tensors
//
// Plan translates the tensors in either direction, Keys translates a config into GGUF keys, and Config translates the keys back. Anything
// that the other side cannot store is named, in an error or in a remark.
//
// Sources: the names and keys of GGUF's specification, ggml-org/ggml docs/gguf.md, and of gguf-py's constants; the configuration classes of the
// transformers library.
package decoder

import (
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/format"
	"github.com/ballast-ml/ballast/internal/strict"
)

// decoder is the format as errors name it.
var decoder = format.Format{Name: "decoder", Tensor: "tensor"}

// Kinds of errors, for errors.Is.
var (
	ErrType    = decoder.Kind("a model type that GGUF's programs do not know by these names")
	ErrConfig  = decoder.Kind("config that GGUF cannot express")
	ErrKeys    = decoder.Kind("GGUF keys that no config can express")
	ErrTensors = decoder.Kind("tensors that do not fit the config")
)

// Error says what cannot be carried, and what to do about it.
type Error = format.Error

// Architecture is a kind of model as both sides know it.
type Architecture struct {
	Type  string // model_type of config.json
	Class string // of transformers, for architectures of config.json
	GGUF  string // general.architecture

	top     map[string]string // names without .weight and .bias, and without the "model." of the blocks' names
	block   map[string]string // within a layer
	experts map[string]string // within an expert of a layer
	expert  string            // what stands before the number of an expert

	interleaved bool    // the rows of query and key weights stand in another order, see Row
	shift       float32 // GGUF's norms are Hugging Face's plus this
	biased      bool    // query, key and value have a bias whatever the config says
	tied        bool    // the embeddings are the output layer where the file does not say
	head        bool    // GGUF has a place for an output layer of its own
	square      bool    // heads are as wide as the model
	headDim     int     // width of a head where the file does not say; 0: that of the model by the heads
	activations []string
	theta       float64
	epsilon     float64
	positions   int
	window      int // of those with sliding windows where the file does not say; 0: none
}

// names of layers that most decoders share.
func blocks(more ...string) map[string]string {
	out := map[string]string{
		"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
		"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
		"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
	}
	for i := 0; i < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	for theirs, ours := range out {
		if ours == "" {
			delete(out, theirs)
		}
	}
	return out
}

func top(more ...string) map[string]string {
	out := map[string]string{"embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output"}
	for i := 0; i < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

// Names that several share.
var (
	normed  = []string{"self_attn.q_norm", "attn_q_norm", "self_attn.k_norm", "attn_k_norm"}
	around  = []string{"post_attention_layernorm", "post_attention_norm", "pre_feedforward_layernorm", "ffn_norm", "post_feedforward_layernorm", "post_ffw_norm"}
	sparse  = []string{"mlp.gate", "ffn_gate_inp", "mlp.gate_proj", "", "mlp.up_proj", "", "mlp.down_proj", ""}
	shared  = []string{"mlp.shared_expert.gate_proj", "ffn_gate_shexp", "mlp.shared_expert.up_proj", "ffn_up_shexp", "mlp.shared_expert.down_proj", "ffn_down_shexp", "mlp.shared_expert_gate", "ffn_gate_inp_shexp"}
	silu    = []string{"silu", "swish"}
	gelu    = []string{"gelu_pytorch_tanh", "gelu_new", "gelu"}
	experts = map[string]string{"gate_proj": "ffn_gate_exps", "up_proj": "ffn_up_exps", "down_proj": "ffn_down_exps"}
)

// architectures are all that are known, those first that a file of GGUF is taken for.
var architectures = []Architecture{
	{
		Type: "llama", Class: "LlamaForCausalLM", GGUF: "llama", top: top(), block: blocks(),
		interleaved: true, head: true, activations: silu, theta: 10000, epsilon: 1e-6, positions: 2048,
	},
	{
		Type: "mistral", Class: "MistralForCausalLM", GGUF: "llama", top: top(), block: blocks(),
		interleaved: true, head: true, activations: silu, theta: 10000, epsilon: 1e-6, positions: 131072, window: 4096,
	},
	{
		Type: "mixtral", Class: "MixtralForCausalLM", GGUF: "llama", top: top(),
		block:   blocks("block_sparse_moe.gate", "ffn_gate_inp", "mlp.gate_proj", "", "mlp.up_proj", "", "mlp.down_proj", ""),
		experts: map[string]string{"w1": "ffn_gate_exps", "w2": "ffn_down_exps", "w3": "ffn_up_exps"}, expert: "block_sparse_moe.experts.",
		interleaved: true, head: true, activations: silu, theta: 1e6, epsilon: 1e-5, positions: 131072,
	},
	{
		Type: "qwen2", Class: "Qwen2ForCausalLM", GGUF: "qwen2", top: top(), block: blocks(),
		biased: true, head: true, square: true, activations: silu, theta: 10000, epsilon: 1e-6, positions: 32768,
	},
	{
		Type: "qwen3", Class: "Qwen3ForCausalLM", GGUF: "qwen3", top: top(), block: blocks(normed...),
		head: true, headDim: 128, activations: silu, theta: 10000, epsilon: 1e-6, positions: 32768,
	},
	{
		Type: "qwen2_moe", Class: "Qwen2MoeForCausalLM", GGUF: "qwen2moe", top: top(), block: blocks(slices.Concat(sparse, shared)...),
		experts: experts, expert: "mlp.experts.", biased: true, head: true, square: true, activations: silu, theta: 10000, epsilon: 1e-6, positions: 32768,
	},
	{
		Type: "qwen3_moe", Class: "Qwen3MoeForCausalLM", GGUF: "qwen3moe", top: top(), block: blocks(slices.Concat(normed, sparse)...),
		experts: experts, expert: "mlp.experts.", head: true, activations: silu, theta: 10000, epsilon: 1e-6, positions: 32768,
	},
	{
		Type: "gemma", Class: "GemmaForCausalLM", GGUF: "gemma", top: top(), block: blocks(),
		shift: 1, tied: true, headDim: 256, activations: gelu, theta: 10000, epsilon: 1e-6, positions: 8192,
	},
	{
		Type: "gemma2", Class: "Gemma2ForCausalLM", GGUF: "gemma2", top: top(), block: blocks(around...),
		shift: 1, tied: true, headDim: 256, activations: gelu, theta: 10000, epsilon: 1e-6, positions: 8192, window: 4096,
	},
	{
		Type: "gemma3_text", Class: "Gemma3ForCausalLM", GGUF: "gemma3", top: top(), block: blocks(slices.Concat(around, normed)...),
		shift: 1, tied: true, head: true, headDim: 256, activations: gelu, theta: 1e6, epsilon: 1e-6, positions: 131072, window: 4096,
	},
	{
		Type: "phi3", Class: "Phi3ForCausalLM", GGUF: "phi3", top: top(),
		block: blocks("self_attn.qkv_proj", "attn_qkv", "mlp.gate_up_proj", "ffn_up", "self_attn.q_proj", "", "self_attn.k_proj", "", "self_attn.v_proj", "", "mlp.gate_proj", "", "mlp.up_proj", ""),
		head:  true, square: true, activations: silu, theta: 10000, epsilon: 1e-5, positions: 4096,
	},
	{
		Type: "phi", Class: "PhiForCausalLM", GGUF: "phi2", top: map[string]string{"embed_tokens": "token_embd", "final_layernorm": "output_norm", "lm_head": "output"},
		block: map[string]string{
			"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
			"self_attn.dense": "attn_output", "mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down",
		},
		biased: true, head: true, square: true, activations: []string{"gelu_new", "gelu_pytorch_tanh"}, theta: 10000, epsilon: 1e-5, positions: 2048,
	},
}

// Types lists the model types that are known.
func Types() []string {
	var out []string
	for i := range architectures {
		out = append(out, architectures[i].Type)
	}
	return out
}

// ForType finds the architecture of a model_type; ok is false for one that is not known.
func ForType(modelType string) (a *Architecture, ok bool) {
	for i := range architectures {
		if architectures[i].Type == modelType {
			return &architectures[i], true
		}
	}
	return nil, false
}

// ForGGUF finds the architecture of general.architecture. A llama with experts is a mixtral.
func ForGGUF(name string, experts int) (a *Architecture, ok bool) {
	for i := range architectures {
		if a := &architectures[i]; a.GGUF == name && (a.experts != nil) == (experts > 0) {
			return a, true
		}
	}
	return nil, false
}

// UnknownType is the error for a model type that is none of Types.
func UnknownType(modelType string) *Error {
	fix := "convert with --keep-names for a GGUF file that programs for tensors read, and none for models; the types that are known are " + strings.Join(Types(), ", ")
	if near, ok := strict.Nearest(modelType, Types()); ok {
		fix = "correct it if it should be " + near + ", or " + fix
	}
	return &Error{Field: "model_type", Kind: ErrType, Text: strict.Short(modelType), Fix: fix}
}

// TypeOfClass is the model_type of a class of transformers; "" for one that is not known.
func TypeOfClass(class string) string {
	for i := range architectures {
		if architectures[i].Class == class {
			return architectures[i].Type
		}
	}
	return ""
}
