package convert

import (
	"encoding/json"
	"io"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/durable"
)

// configKeys are the numbers that GGUF and a config.json both hold, by their names on both sides.
var configKeys = [][2]string{
	{"llama.vocab_size", "vocab_size"}, {"llama.embedding_length", "hidden_size"}, {"llama.feed_forward_length", "intermediate_size"},
	{"llama.block_count", "num_hidden_layers"}, {"llama.attention.head_count", "num_attention_heads"}, {"llama.attention.head_count_kv", "num_key_value_heads"},
	{"llama.rope.dimension_count", "head_dim"}, {"llama.context_length", "max_position_embeddings"}, {"llama.attention.layer_norm_rms_epsilon", "rms_norm_eps"},
	{"llama.rope.freq_base", "rope_theta"}, {"tokenizer.ggml.bos_token_id", "bos_token_id"}, {"tokenizer.ggml.eos_token_id", "eos_token_id"},
	{"tokenizer.ggml.padding_token_id", "pad_token_id"},
}

// llamaConfig writes a config.json from the keys of a GGUF file of a llama; nil if they do not say enough.
func llamaConfig(meta map[string]string, tied bool, dtype string) []byte {
	config := map[string]any{"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "hidden_act": "silu", "tie_word_embeddings": tied}
	for _, keys := range configKeys {
		if v, err := strconv.ParseFloat(meta[keys[0]], 64); err == nil {
			config[keys[1]] = json.Number(meta[keys[0]])
			if v == float64(int64(v)) {
				config[keys[1]] = int64(v)
			}
		}
	}
	if dtype != "" {
		config["torch_dtype"] = dtype
	}
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return nil
	}
	text = append(text, '\n')
	if c, err := hf.ParseConfig(text); err != nil || config["hidden_size"] == nil || config["num_attention_heads"] == nil || c.Llama == nil {
		return nil
	}
	return text
}

// torchTypes are the types of weights in a config's words.
var torchTypes = map[string]string{"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}

// writeConfig gives the output's folder a config.json where the input was a GGUF file of a llama and had none beside it.
func (p *plan) writeConfig(dir string) error {
	if p.result.From != weights.GGUF || p.llama == nil || slices.Contains(p.result.Files, hf.ConfigFile) {
		return nil
	}
	tied := !slices.ContainsFunc(p.tensors, func(t planned) bool { return t.name == "lm_head.weight" })
	text := llamaConfig(p.meta, tied, torchTypes[p.mostly()])
	if text == nil {
		p.remark("the keys of the GGUF file do not say enough for a config.json")
		return nil
	}
	p.remark("config.json is made from the keys of the GGUF file; its tokenizer stands in the metadata alone")
	p.result.Files = append(p.result.Files, hf.ConfigFile)
	return durable.WriteFile(filepath.Join(dir, hf.ConfigFile), func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}
