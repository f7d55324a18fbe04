package checkpoint

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/durable"
)

// oneStyle opens the models. Where llamas of GGUF are among those of Hugging Face, they are seen by its names and in its order of rows.
func (p *Plan) oneStyle(models []Source, cut []Slice) error {
	sources := slices.Clone(models)
	for _, s := range cut {
		sources = append(sources, s.Sources...)
		if s.BaseModel != "" {
			sources = append(sources, Source{Model: s.BaseModel})
		}
	}

	if p.Recipe.BaseModel != "" {
		sources = append(sources, Source{Model: p.Recipe.BaseModel})
	}
	mixed := false
	for _, s := range sources {
		in, err := p.input(s.Model)
		if err != nil {
			return err
		}
		guess := hf.Guess(in.names)
		mixed = mixed || guess.Name == "llama" && guess.Style == "transformers"
	}

	if mixed {
		p.asTransformers()
	}
	reference := p.Inputs[0]
	if p.Recipe.BaseModel != "" {
		var err error
		if reference, err = p.input(p.Recipe.BaseModel); err != nil {
			return err
		}
	}
	p.alignNames(reference)
	return nil
}

// asTransformers shows llamas of GGUF as those of Hugging Face.
func (p *Plan) asTransformers() {
	for _, in := range p.Inputs {
		if view, ok := weights.AsTransformers(in.file); ok {
			in.see(view)
			p.note("%s is a llama of GGUF: its tensors are read with Hugging Face's names and order of rows", in.Model)
		}
	}
}

// carry keeps what the reference model has of GGUF's keys, so that the merged one can be written as GGUF.
func (p *Plan) carry(meta map[string]string) {
	carried, _ := weights.CarriedMetadata(p.donor.file)
	toGGUF := strings.HasSuffix(filepath.Dir(p.Out), durable.StageSuffix) // see Stage
	for key, text := range carried {
		name, ok := strings.CutPrefix(key, weights.CarriedGGUF)
		toGGUF = toGGUF || ok
		switch {
		case !ok, name == "general.name", name == "general.file_type", name == "general.quantization_version":
		case p.vocab != nil && strings.HasPrefix(name, "tokenizer."): // the merged one has other tokens
		case p.layers > 0 && strings.HasSuffix(name, ".block_count"):
			meta[key], _ = weights.Carry(uint32(p.layers)) // numbers can always be
		default:
			meta[key] = text
		}
	}
	if toGGUF && p.template != "" {
		meta[weights.CarriedGGUF+"tokenizer.chat_template"], _ = weights.Carry(p.template) // text always can be
	}
}
