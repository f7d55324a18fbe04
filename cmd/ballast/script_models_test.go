package main

import (
	"errors"
	"math"
	"os"
	"path/filepath"

	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/format/safetensors"
)

// modelFiles writes the model files that scripts work on: hf, a folder with weights, config and tokenizer of a small llama;
// checkpoint.pth and calls.pt, PyTorch checkpoints of which the second calls something.
func modelFiles(dir string) error {
	value := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(math.Sin(float64(i)))
		}
		return v
	}
	block := "model.layers.0."
	tensors := []safetensors.Tensor{
		safetensors.FromFloat32s("model.embed_tokens.weight", []int{40, 64}, value(40*64)),
		safetensors.FromFloat32s("model.norm.weight", []int{64}, value(64)),
		safetensors.FromFloat32s(block+"self_attn.q_proj.weight", []int{64, 64}, value(64*64)),
		safetensors.FromFloat32s(block+"self_attn.k_proj.weight", []int{32, 64}, value(32*64)),
		safetensors.FromFloat32s(block+"self_attn.v_proj.weight", []int{32, 64}, value(32*64)),
		safetensors.FromFloat32s(block+"self_attn.o_proj.weight", []int{64, 64}, value(64*64)),
		safetensors.FromFloat32s(block+"mlp.gate_proj.weight", []int{96, 64}, value(96*64)),
		safetensors.FromFloat32s(block+"mlp.up_proj.weight", []int{96, 64}, value(96*64)),
		safetensors.FromFloat32s(block+"mlp.down_proj.weight", []int{64, 96}, value(64*96)),
		safetensors.FromFloat32s(block+"input_layernorm.weight", []int{64}, value(64)),
		safetensors.FromFloat32s(block+"post_attention_layernorm.weight", []int{64}, value(64)),
	}
	hf := filepath.Join(dir, "hf")
	copyOf := func(name, from string) error {
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), data, 0o644)
	}
	config := `{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 40, "hidden_size": 64, "intermediate_size": 96,
 "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": true}`
	return errors.Join(
		os.Mkdir(hf, 0o755),
		safetensors.WriteFile(filepath.Join(hf, "model.safetensors"), tensors, map[string]string{"format": "pt"}),
		os.WriteFile(filepath.Join(hf, "config.json"), []byte(config), 0o644),
		os.WriteFile(filepath.Join(hf, "tokenizer.json"), []byte("{}\n"), 0o644),
		os.WriteFile(filepath.Join(hf, "README.md"), []byte("---\nlicense: mit\n---\n# Small\n"), 0o644),
		copyOf("checkpoint.pth", "../../format/pytorch/testdata/old.pth"),
		copyOf("calls.pt", "../../format/pytorch/testdata/calls.pt"),
		npy.WriteFile(filepath.Join(dir, "digits.npy"), []int{2, 8, 8, 1}, value(128)),
	)
}
