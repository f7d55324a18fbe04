package adapter_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/merge/adapter"
)

// write makes a file of tensors, all of whose values are the one given.
func write(t *testing.T, path string, shapes map[string][]int, value func(name string) float32) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	var tensors []safetensors.Tensor
	for name, shape := range shapes {
		n := 1
		for _, d := range shape {
			n *= d
		}
		tensors = append(tensors, safetensors.FromFloat32s(name, shape, slices.Repeat([]float32{value(name)}, n)))
	}
	slices.SortFunc(tensors, func(a, b safetensors.Tensor) int { return strings.Compare(a.Name, b.Name) })
	if err := safetensors.WriteFile(path, tensors, nil); err != nil {
		t.Fatal(err)
	}
}

// Names of modules as version 5 of transformers has them, and as files have them: each finds the other.
func TestNamesOfClassesAndFiles(t *testing.T) {
	for name, pairs := range map[string]map[string]string{
		"vit": {
			"vit.layers.0.attention.q_proj": "vit.encoder.layer.0.attention.attention.query",
			"vit.layers.0.attention.k_proj": "vit.encoder.layer.0.attention.attention.key",
			"vit.layers.1.attention.v_proj": "vit.encoder.layer.1.attention.attention.value",
			"vit.layers.1.attention.o_proj": "vit.encoder.layer.1.attention.output.dense",
			"vit.layers.1.mlp.fc1":          "vit.encoder.layer.1.intermediate.dense",
			"vit.layers.1.mlp.fc2":          "vit.encoder.layer.1.output.dense",
			"classifier":                    "classifier",
		},
		"vit without its prefix": {"layers.11.attention.q_proj": "encoder.layer.11.attention.attention.query", "layers.1.mlp.fc2": "encoder.layer.1.output.dense"},
		"vit-mae": {
			"vit.layers.0.attention.q_proj":             "vit.encoder.layer.0.attention.attention.query",
			"decoder.decoder_layers.0.attention.o_proj": "decoder.decoder_layers.0.attention.output.dense",
		},
		"dinov2": {"encoder.layer.3.attention.q_proj": "encoder.layer.3.attention.attention.query", "encoder.layer.3.mlp.fc1": "encoder.layer.3.mlp.fc1"},
		"swin": {
			"swin.encoder.layers.0.blocks.1.attention.q_proj": "swin.encoder.layers.0.blocks.1.attention.self.query",
			"swin.encoder.layers.0.blocks.1.attention.o_proj": "swin.encoder.layers.0.blocks.1.attention.output.dense",
			"swin.encoder.layers.0.blocks.1.mlp.fc2":          "swin.encoder.layers.0.blocks.1.output.dense",
		},
		"segformer": {
			"segformer.stages.2.blocks.1.attention.v_proj":                                "segformer.encoder.block.2.1.attention.self.value",
			"segformer.stages.2.blocks.1.attention.sequence_reduction.sequence_reduction": "segformer.encoder.block.2.1.attention.self.sr",
			"segformer.stages.2.blocks.1.mlp.fc1":                                         "segformer.encoder.block.2.1.mlp.dense1",
			"segformer.stages.2.patch_embeddings.proj":                                    "segformer.encoder.patch_embeddings.2.proj",
		},
		"detr":        {"model.encoder.layers.0.self_attn.o_proj": "model.encoder.layers.0.self_attn.out_proj", "model.decoder.layers.5.mlp.fc1": "model.decoder.layers.5.fc1"},
		"clip vision": {"encoder.layers.0.self_attn.q_proj": "vision_model.encoder.layers.0.self_attn.q_proj", "encoder.layers.0.mlp.fc1": "vision_model.encoder.layers.0.mlp.fc1"},
		"llava": {
			"model.language_model.layers.0.self_attn.q_proj": "language_model.model.layers.0.self_attn.q_proj",
			"model.vision_tower.encoder.layers.0.mlp.fc1":    "vision_tower.vision_model.encoder.layers.0.mlp.fc1",
			"model.multi_modal_projector.linear_1":           "multi_modal_projector.linear_1",
			"lm_head":                                        "language_model.lm_head",
		},
		"qwen2-vl": {"model.language_model.layers.0.self_attn.q_proj": "model.layers.0.self_attn.q_proj", "model.visual.blocks.0.attn.qkv": "visual.blocks.0.attn.qkv"},
		"mixtral":  {"model.layers.0.mlp.gate": "model.layers.0.block_sparse_moe.gate", "model.layers.0.self_attn.q_proj": "model.layers.0.self_attn.q_proj"},
	} {
		for _, back := range []bool{false, true} {
			which := map[bool]string{false: ", the adapter by classes", true: ", the adapter by files"}[back]
			t.Run(name+which, func(t *testing.T) {
				dir := t.TempDir()
				base, factors := map[string][]int{}, map[string][]int{}
				own := map[string]float32{} // of each module, by the adapter's name
				other := map[string]string{}
				for class, file := range pairs {
					if back {
						class, file = file, class
					}
					own[class], other[class] = float32(len(own)+1), file
					base[file+".weight"] = []int{4, 6}
					factors["base_model.model."+class+".lora_A.weight"] = []int{2, 6}
					factors["base_model.model."+class+".lora_B.weight"] = []int{4, 2}
				}
				base["untouched.weight"] = []int{2}
				write(t, filepath.Join(dir, "base.safetensors"), base, func(string) float32 { return 100 })
				write(t, filepath.Join(dir, "adapter", "adapter_model.safetensors"), factors, func(name string) float32 {
					if module, ok := strings.CutSuffix(name, ".lora_A.weight"); ok {
						return own[strings.TrimPrefix(module, "base_model.model.")]
					}
					return 0.5
				})
				// The patterns are of the adapter's names.
				first := slices.Sorted(maps.Keys(own))[0]
				config, err := json.Marshal(map[string]any{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "alpha_pattern": map[string]any{first: 8}})
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "adapter", adapter.ConfigFile), config, 0o600); err != nil {
					t.Fatal(err)
				}

				f := on(t, filepath.Join(dir, "base.safetensors"), filepath.Join(dir, "adapter"))
				for module, value := range own {
					scale := float32(4) / 2
					if module == first || strings.HasSuffix(module, "."+first) {
						scale = 8.0 / 2
					}
					want := 100 + scale*2*value*0.5 // of the rank 2
					got := make([]float32, 4*6)
					if err := f.ReadFloat32s(other[module]+".weight", 0, got); err != nil {
						t.Fatal(err)
					}
					if !slices.Equal(got, slices.Repeat([]float32{want}, 4*6)) {
						t.Errorf("%s in the base is %v, want %v", other[module], got[:2], want)
					}
				}
				untouched := make([]float32, 2)
				if err := f.ReadFloat32s("untouched.weight", 0, untouched); err != nil || untouched[0] != 100 {
					t.Errorf("untouched: %v, %v", untouched, err)
				}
			})
		}
	}
}
