//go:build unix

package main

import (
	"errors"
	"math"
	"os"
	"path/filepath"

	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/internal/onnxtest"
)

// readerFiles makes what the commands of the documents find in their folder, as a reader would bring it:
//
//	logits.npy, labels.npy            what another framework's classifier of ten classes said of 400 examples, too sure of itself
//	x.npy                             two digits of 8 x 8 pixels
//	base, math, code                  a small llama, and two that were fine-tuned from it, as transformers writes them
//	adapter                           a LoRA adapter of base
//	model.onnx, ids.npy, mask.npy     a graph with two inputs, ids and mask, and arrays for them
//	digits.onnx, digit.png            a classifier of 8x8 digits, and a digit
//	named.onnx, own                   the same with names, and digits as people have their data: see ownData
//	resnet-norms.onnx, resnet-folded.onnx, vit.onnx   networks exported by torch.onnx, of the same digits
//	checkpoint.pth                    a PyTorch checkpoint
//	docs/example                      the saved answers that README.md is about
func readerFiles(dir string) error {
	checkpoint, err := os.ReadFile(filepath.Join("..", "..", "format", "pytorch", "testdata", "old.pth"))
	if err != nil {
		return err
	}
	pixels := make([]float32, 2*64)
	for i := range pixels {
		pixels[i] = float32(math.Abs(math.Sin(float64(i))))
	}
	graph := onnxtest.Model{
		Opset: 13,
		Inputs: []onnxtest.Value{
			{Name: "ids", Type: onnxtest.Int64, Shape: []any{"n", 3}}, {Name: "mask", Type: onnxtest.Int64, Shape: []any{"n", 3}},
		},
		Tensors: []onnxtest.Tensor{onnxtest.Ints("two", []int{1}, 2)},
		Outputs: []onnxtest.Value{{Name: "kept", Type: onnxtest.Int64, Shape: []any{"n", 3}}},
		Nodes: []onnxtest.Node{
			{Op: "Mul", Inputs: []string{"ids", "mask"}, Outputs: []string{"h"}}, {Op: "Mul", Inputs: []string{"h", "two"}, Outputs: []string{"kept"}},
		},
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	return errors.Join(
		sureLogits(dir), subjectFiles(dir), ownData(dir), exportedFiles(dir), os.CopyFS(filepath.Join(dir, "docs", "example"), os.DirFS(filepath.Join("..", "..", "docs", "example"))), npy.WriteFile(file("x.npy"), []int{2, 8, 8, 1}, pixels),
		smallLlama(file("base"), 0), smallLlama(file("math"), 0.02), smallLlama(file("code"), -0.03), smallAdapter(file("adapter")),
		os.WriteFile(file("model.onnx"), graph.Bytes(), 0o600), os.WriteFile(file("checkpoint.pth"), checkpoint, 0o600),
		npy.WriteFile(file("ids.npy"), []int{1, 3}, []int64{7, 8, 9}), npy.WriteFile(file("mask.npy"), []int{1, 3}, []int64{1, 1, 0}),
	)
}

// sureLogits writes logits of which nine tenths are right and nearly all are sure.
func sureLogits(dir string) error {
	const n, classes = 400, 10
	logits, labels := make([]float32, n*classes), make([]int64, n)
	for i := range n {
		labels[i] = int64(i * 7 % classes)
		answer := int(labels[i])
		if i%10 == 3 {
			answer = (answer + 1 + i%3) % classes
		}
		for c := range classes {
			logits[i*classes+c] = float32(2 * math.Sin(float64(3*i+5*c)))
		}
		logits[i*classes+answer] += float32(8 + 4*math.Sin(float64(i)))
	}
	return errors.Join(npy.WriteFile(filepath.Join(dir, "logits.npy"), []int{n, classes}, logits), npy.WriteFile(filepath.Join(dir, "labels.npy"), []int{n}, labels))
}

// smallLlama writes a folder with a llama of two layers, by away from the others.
func smallLlama(dir string, away float64) error {
	tensor := func(name string, shape ...int) safetensors.Tensor {
		size := 1
		for _, n := range shape {
			size *= n
		}
		v := make([]float32, size)
		for i := range v {
			v[i] = float32(math.Sin(float64(i+len(name)))/4 + away*math.Cos(float64(3*i)))
		}
		return safetensors.FromFloat32s(name, shape, v)
	}
	all := []safetensors.Tensor{tensor("model.embed_tokens.weight", 40, 64), tensor("model.norm.weight", 64)}
	for _, layer := range []string{"model.layers.0.", "model.layers.1."} {
		all = append(all,
			tensor(layer+"self_attn.q_proj.weight", 64, 64), tensor(layer+"self_attn.k_proj.weight", 32, 64), tensor(layer+"self_attn.v_proj.weight", 32, 64),
			tensor(layer+"self_attn.o_proj.weight", 64, 64), tensor(layer+"mlp.gate_proj.weight", 96, 64), tensor(layer+"mlp.up_proj.weight", 96, 64),
			tensor(layer+"mlp.down_proj.weight", 64, 96), tensor(layer+"input_layernorm.weight", 64), tensor(layer+"post_attention_layernorm.weight", 64),
		)
	}
	config := `{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 40, "hidden_size": 64, "intermediate_size": 96,
 "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": true}`
	return errors.Join(
		os.MkdirAll(dir, 0o750), os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600),
		safetensors.WriteFile(filepath.Join(dir, "model.safetensors"), all, map[string]string{"format": "pt"}),
	)
}

// smallAdapter writes an adapter of rank 1 for one layer of a small llama.
func smallAdapter(dir string) error {
	ones := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = 0.01
		}
		return v
	}
	const layer = "base_model.model.model.layers.0.self_attn.q_proj."
	return errors.Join(
		os.MkdirAll(dir, 0o750),
		os.WriteFile(filepath.Join(dir, "adapter_config.json"), []byte(`{"peft_type": "LORA", "r": 1, "lora_alpha": 2, "target_modules": ["q_proj"]}`), 0o600),
		safetensors.WriteFile(filepath.Join(dir, "adapter_model.safetensors"), []safetensors.Tensor{
			safetensors.FromFloat32s(layer+"lora_A.weight", []int{1, 64}, ones(64)), safetensors.FromFloat32s(layer+"lora_B.weight", []int{64, 1}, ones(64)),
		}, nil),
	)
}
