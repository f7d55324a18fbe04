package adapter

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/format/weights"
)

// renaming is a part of modules' names in the classes of a library, and the same part in the files of their models. A part is whole
// components of a name: "^" begins the name, and "^" alone is nothing at all there; "#" is a number.
type renaming struct{ class, file string }

// renamings are how version 5 of the transformers library renamed modules without renaming what stands in files: an adapter is saved by
// the names of the classes, its base by those of files.
var renamings = [][]renaming{
	{ // ViT, AST, BEiT, DeiT, I-JEPA, ViT-MAE, ViT-MSN, ViViT
		{"attention.q_proj", "attention.attention.query"},
		{"attention.k_proj", "attention.attention.key"},
		{"attention.v_proj", "attention.attention.value"},
		{"attention.o_proj", "attention.output.dense"},
		{"mlp.fc1", "intermediate.dense"},
		{"mlp.fc2", "output.dense"},
		{"layers", "encoder.layer"},
	},
	{ // DINOv2
		{"attention.q_proj", "attention.attention.query"},
		{"attention.k_proj", "attention.attention.key"},
		{"attention.v_proj", "attention.attention.value"},
		{"attention.o_proj", "attention.output.dense"},
		{"mlp.down_proj", "mlp.weights_out"},
	},
	{ // Swin
		{"attention.q_proj", "attention.self.query"},
		{"attention.k_proj", "attention.self.key"},
		{"attention.v_proj", "attention.self.value"},
		{"attention.o_proj", "attention.output.dense"},
		{"mlp.fc1", "intermediate.dense"},
		{"mlp.fc2", "output.dense"},
	},
	{ // SegFormer
		{"stages.#.blocks", "encoder.block.#"},
		{"stages.#.patch_embeddings", "encoder.patch_embeddings.#"},
		{"stages.#.layer_norm", "encoder.layer_norm.#"},
		{"attention.q_proj", "attention.self.query"},
		{"attention.k_proj", "attention.self.key"},
		{"attention.v_proj", "attention.self.value"},
		{"attention.sequence_reduction.sequence_reduction", "attention.self.sr"},
		{"attention.sequence_reduction.layer_norm", "attention.self.layer_norm"},
		{"attention.o_proj", "attention.output.dense"},
		{"mlp.fc1", "mlp.dense1"},
		{"mlp.fc2", "mlp.dense2"},
		{"layernorm_before", "layer_norm_1"},
		{"layernorm_after", "layer_norm_2"},
		{"decode_head.linear_projections", "decode_head.linear_c"},
	},
	{ // DETR and those after it
		{"o_proj", "out_proj"},
		{"layers.#.mlp.fc1", "layers.#.fc1"},
		{"layers.#.mlp.fc2", "layers.#.fc2"},
		{"backbone", "backbone.conv_encoder"},
	},
	{{"^", "^vision_model"}}, // a tower of CLIP or SigLIP alone
	{{"^", "^text_model"}},
	{ // LLaVA and others of a language model, a tower and a projector
		{"^model.language_model", "^language_model.model"},
		{"^lm_head", "^language_model.lm_head"},
		{"^model.vision_tower", "^vision_tower"},
		{"^model.audio_tower", "^audio_tower"},
		{"^model.multi_modal_projector", "^multi_modal_projector"},
	},
	{ // the same with a tower of CLIP
		{"^model.language_model", "^language_model.model"},
		{"^lm_head", "^language_model.lm_head"},
		{"^model.vision_tower", "^vision_tower.vision_model"},
		{"^model.multi_modal_projector", "^multi_modal_projector"},
	},
	{ // Qwen2-VL
		{"^model.language_model", "^model"},
		{"^model.visual", "^visual"},
	},
	{{"mlp.gate", "block_sparse_moe.gate"}}, // Mixtral
}

// translation gives the base's name for a name of the adapter.
type translation func(name string) string

// same is the translation where the names are the base's.
func same(name string) string { return name }

// translate finds how the names of an adapter become those of its base: as they are, or by the first renaming, in either direction, by
// which the base has all of its modules and tensors. It is nil where there is none.
func (a *Adapter) translate(base weights.File) translation {
	has := func(by translation) bool {
		for _, name := range a.order {
			if _, ok := base.Info(by(name) + ".weight"); !ok {
				return false
			}
		}
		for name := range a.whole {
			if _, ok := base.Info(by(name)); !ok {
				return false
			}
		}
		return true
	}
	if has(same) {
		return same
	}
	for _, all := range renamings {
		for _, back := range []bool{false, true} {
			var steps []func(string) string
			for _, r := range all {
				if back {
					r.class, r.file = r.file, r.class
				}
				steps = append(steps, r.replacer())
			}
			by := func(name string) string {
				for _, step := range steps {
					name = step(name)
				}
				return name
			}
			if has(by) {
				return by
			}
		}
	}
	return nil
}

// replacer puts the part of files in the place of that of classes.
func (r renaming) replacer() func(string) string {
	switch {
	case r.class == "^":
		return func(name string) string { return r.file[1:] + "." + name }
	case r.file == "^":
		return func(name string) string { return strings.TrimPrefix(name, r.class[1:]+".") }
	}
	part, begins := strings.CutPrefix(r.class, "^")
	before := `(^|\.)`
	if begins {
		before = `(^)`
	}
	from := regexp.MustCompile(before + strings.ReplaceAll(regexp.QuoteMeta(part), "#", `(\d+)`) + `(\.|$)`)
	to := "${1}" + strings.TrimPrefix(r.file, "^")
	numbers := strings.Count(part, "#")
	for k := range numbers {
		to = strings.Replace(to, "#", "${"+strconv.Itoa(k+2)+"}", 1)
	}
	to += "${" + strconv.Itoa(numbers+2) + "}"
	return func(name string) string { return from.ReplaceAllString(name, to) }
}
