package hf

import (
	"regexp"
	"slices"
)

// Family is what tensors' names tell about the network they belong to.
type Family struct {
	Name    string `json:"name"`    // "llama", "bert", "vit", "resnet", ...; "unknown"
	Style   string `json:"style"`   // who names tensors so: "transformers", "torchvision", "timm", "gguf", "ballast", ...
	Because string `json:"because"` // the tensor that gives it away
}

// families are tried in order; all patterns must match some name. Prefixes such as "model." and "module." may stand before.
var families = []struct {
	name, style string
	patterns    []*regexp.Regexp
}{
	family("qwen3", "transformers", `layers\.\d+\.self_attn\.q_norm\.weight$`, `layers\.\d+\.mlp\.gate_proj\.weight$`),
	family("mixtral", "transformers", `layers\.\d+\.block_sparse_moe\.experts\.\d+\.w1\.weight$`),
	family("qwen2", "transformers", `layers\.\d+\.self_attn\.q_proj\.bias$`, `layers\.\d+\.mlp\.gate_proj\.weight$`),
	family("gemma2", "transformers", `layers\.\d+\.pre_feedforward_layernorm\.weight$`, `layers\.\d+\.mlp\.gate_proj\.weight$`),
	family("llama", "transformers", `layers\.\d+\.self_attn\.q_proj\.weight$`, `layers\.\d+\.mlp\.gate_proj\.weight$`),
	family("llama", "gguf", `^blk\.\d+\.attn_q\.weight$`, `^blk\.\d+\.ffn_gate\.weight$`),
	family("bert", "gguf", `^blk\.\d+\.attn_output_norm\.weight$`, `^token_embd_norm\.weight$`),
	family("gpt2", "transformers", `(^|\.)h\.\d+\.attn\.c_attn\.weight$`),
	family("gpt-neox", "transformers", `layers\.\d+\.attention\.query_key_value\.weight$`),
	family("opt", "transformers", `decoder\.layers\.\d+\.self_attn\.k_proj\.weight$`, `decoder\.embed_positions\.weight$`),
	family("t5", "transformers", `encoder\.block\.\d+\.layer\.\d+\.SelfAttention\.q\.weight$`),
	family("distilbert", "transformers", `transformer\.layer\.\d+\.attention\.q_lin\.weight$`),
	family("vit", "transformers", `encoder\.layer\.\d+\.attention\.attention\.query\.weight$`, `embeddings\.patch_embeddings\.projection\.weight$`),
	family("bert", "transformers", `encoder\.layer\.\d+\.attention\.self\.query\.weight$`, `embeddings\.word_embeddings\.weight$`),
	family("clip", "transformers", `vision_model\.encoder\.layers\.\d+\.`, `text_model\.encoder\.layers\.\d+\.`),
	family("whisper", "transformers", `encoder\.conv1\.weight$`, `decoder\.layers\.\d+\.encoder_attn\.`),
	family("unet", "diffusers", `down_blocks\.\d+\.`, `up_blocks\.\d+\.`),
	family("vit", "timm", `blocks\.\d+\.attn\.qkv\.weight$`, `patch_embed\.proj\.weight$`),
	family("swin", "timm", `layers\.\d+\.blocks\.\d+\.attn\.relative_position_bias_table$`),
	family("mixer", "timm", `blocks\.\d+\.mlp_tokens\.fc1\.weight$`),
	family("convnext", "torchvision", `features\.\d+\.\d+\.layer_scale$`),
	family("resnet", "transformers", `encoder\.stages\.\d+\.layers\.\d+\.layer\.\d+\.convolution\.weight$`),
	family("resnet", "torchvision", `layer1\.\d+\.conv1\.weight$`, `layer1\.\d+\.bn1\.running_mean$`),
	family("efficientnet", "efficientnet_pytorch", `_blocks\.\d+\._depthwise_conv\.weight$`),
	family("efficientnet", "timm", `blocks\.\d+\.\d+\.conv_dw\.weight$`),
	family("densenet", "torchvision", `denseblock\d+\.denselayer\d+\.`),
	family("bundle", "ballast", `^model/.*/kernel$`),
	family("convolutional network with batch normalisation", "torch", `(running_mean|running_var)$`, `\.weight$`),
}

func family(name, style string, patterns ...string) (f struct {
	name, style string
	patterns    []*regexp.Regexp
},
) {
	f.name, f.style = name, style
	for _, p := range patterns {
		f.patterns = append(f.patterns, regexp.MustCompile(p))
	}
	return f
}

// mostNames is how many names are looked at. Those that tell a family stand in the first layers.
const mostNames = 20_000

// Guess tells the family from the names of a model's tensors, the first 20,000 of them.
func Guess(names []string) Family {
	names = names[:min(len(names), mostNames)]
	for _, f := range families {
		because := ""
		for _, p := range f.patterns {
			i := slices.IndexFunc(names, p.MatchString)
			if i < 0 {
				because = ""
				break
			}
			if because == "" {
				because = names[i]
			}
		}
		if because != "" {
			return Family{Name: f.name, Style: f.style, Because: because}
		}
	}
	return Family{Name: "unknown"}
}
