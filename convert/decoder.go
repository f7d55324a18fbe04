package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/decoder"
	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/vocab"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/printable"
)

// findDecoder sees whether the model is a decoder that both sides know, and if so looks at its tensors as the other side has them. One of a
// kind that programs for GGUF cannot run from what would be written is refused.
func (p *plan) findDecoder() error {
	if p.options.KeepNames {
		return nil
	}
	switch fromGGUF, toGGUF := p.result.From == weights.GGUF, p.options.To == ToGGUF; {
	case fromGGUF && !toGGUF:
		return p.decoderFromGGUF()
	case toGGUF && !fromGGUF:
		return p.decoderToGGUF()
	}
	return nil
}

// looksLike tells the family that the tensors' names show.
func (p *plan) looksLike() hf.Family {
	var names []string
	for _, t := range p.file.Tensors() {
		names = append(names, t.Name)
	}
	return hf.Guess(names)
}

// llamaKin are families whose layers are a llama's, or nearly.
var llamaKin = []string{"llama", "mixtral", "qwen2", "qwen3", "gemma2"}

func (p *plan) decoderToGGUF() error {
	guess := p.looksLike()
	kin := guess.Style == "transformers" && slices.Contains(llamaKin, guess.Name)
	switch c, err := p.configDecoder(kin); {
	case err != nil:
		return p.refused(err)
	case c != nil:
		p.decoder, p.configured = c, true
	case !kin:
		return nil
	default: // without a config, what the file carries from GGUF may tell
		c, err := weights.DecoderNames(p.file)
		if err != nil {
			p.remark("the tensors are named like a llama's, but nothing says how many heads it has, so they keep their names and order; put config.json beside the weights")
			return nil
		}
		if full, err := weights.DecoderOf(p.file); err == nil {
			c = full
		} else {
			c.Layers = p.layers()
		}
		p.decoder = c
	}
	view, remarks, err := weights.ToGGUF(p.file, p.decoder)
	return p.see(view, remarks, err)
}

// layers counts the layers of a model that says nothing about them.
func (p *plan) layers() int {
	n := 0
	for _, t := range p.file.Tensors() {
		var layer int
		if _, err := fmt.Sscanf(t.Name, "model.layers.%d.", &layer); err == nil {
			n = max(n, layer+1)
		}
	}
	return n
}

// configDecoder is what config.json says; nil where there is none, or it is that of another kind of model.
func (p *plan) configDecoder(kin bool) (*decoder.Config, error) {
	if p.config == nil {
		return nil, nil
	}
	modelType := p.config.ModelType
	if modelType == "" && len(p.config.Architectures) > 0 {
		modelType = decoder.TypeOfClass(p.config.Architectures[0])
	}
	if _, known := decoder.ForType(modelType); known {
		c, err := decoder.Read(modelType, p.config.Keys)
		if err == nil {
			c.VocabSize = p.rows(c.VocabSize)
		}
		return c, err
	}
	if p.config.Keys["text_config"] != nil {
		return nil, &decoder.Error{Field: "text_config", Kind: decoder.ErrConfig, Text: modelType + " is a model of several parts, and a GGUF file holds only one",
			Fix: "save the language model to its own folder, with text_config as its config.json; or convert with --keep-names, for tensors alone"}
	}
	if modelType != "" && (kin || slices.ContainsFunc(p.config.Architectures, isLanguageModel)) {
		return nil, decoder.UnknownType(modelType)
	}
	if modelType != "" {
		p.remark("model_type is %s, which is not a known language model: tensors keep their names, and the file has only tensors", printable.Line(modelType))
	}
	return nil, nil
}

// isLanguageModel tells the classes that programs for GGUF run.
func isLanguageModel(class string) bool {
	return strings.HasSuffix(class, "ForCausalLM") || strings.HasSuffix(class, "LMHeadModel") || strings.HasSuffix(class, "ForConditionalGeneration")
}

// rows is the number of rows of the embeddings, else what the config says.
func (p *plan) rows(config int) int {
	for _, name := range []string{"model.embed_tokens.weight", "embed_tokens.weight"} {
		if info, ok := p.file.Info(name); ok && len(info.Shape) == 2 && info.Shape[0] > 0 {
			return info.Shape[0]
		}
	}
	return config
}

func (p *plan) decoderFromGGUF() error {
	names, err := weights.DecoderNames(p.file)
	if err != nil {
		if guess := p.looksLike(); guess.Name == "llama" && guess.Style == "gguf" {
			p.remark("the tensors are named like a llama's, but %v; so they keep their names and order", err)
		}
		return nil
	}
	c, err := weights.DecoderOf(p.file)
	switch kind := new(decoder.Error); {
	case err == nil:
		p.decoder, p.configured = c, true
	case errors.As(err, &kind) && kind.Tensor != "": // what no config has a word for
		return p.refused(err)
	default:
		p.decoder = names
	}
	view, remarks, err := weights.FromGGUF(p.file, p.decoder)
	return p.see(view, remarks, err)
}

// see goes on with the tensors of a view.
func (p *plan) see(view *weights.View, remarks []string, err error) error {
	if err != nil {
		return p.refused(err)
	}
	for _, r := range remarks {
		p.remark("%s", printable.Line(r))
	}
	p.file, p.view = view, view
	return nil
}

// refused says which file an error is about.
func (p *plan) refused(err error) error {
	if e := new(decoder.Error); errors.As(err, &e) && e.File == "" {
		e.File = p.file.Path()
		if e.Tensor == "" && e.Kind != decoder.ErrTensors && p.result.From != weights.GGUF {
			e.File = filepath.Join(p.dir, hf.ConfigFile)
		}
	}
	return err
}

// origin is what a tensor is called in the input.
func (p *plan) origin(t *planned) string {
	if p.view == nil {
		return t.from.Name
	}
	names := p.view.Origin(t.from.Name)
	switch len(names) {
	case 0:
		return ""
	case 1:
		return names[0]
	}
	return fmt.Sprintf("%s and %d more", names[0], len(names)-1)
}

// torchTypes are the types of weights in a config's words.
var torchTypes = map[string]string{"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}

// tokenIDs are the ids that GGUF and a config.json both hold.
var tokenIDs = [][2]string{{"tokenizer.ggml.bos_token_id", "bos_token_id"}, {"tokenizer.ggml.eos_token_id", "eos_token_id"}, {"tokenizer.ggml.padding_token_id", "pad_token_id"}}

// configJSON is a config.json from what the keys of a GGUF file say.
func (p *plan) configJSON() ([]byte, error) {
	c := p.decoder
	_, c.AttentionBias = p.file.Info("model.layers.0.self_attn.q_proj.bias")
	_, c.MLPBias = p.file.Info("model.layers.0.mlp.gate_proj.bias")
	if _, whole := p.file.Info("model.layers.0.self_attn.o_proj.bias"); c.Architecture.Type == "llama" && c.AttentionBias != whole {
		p.remark("some of the layers' four attention weights have a bias and some have none, which no config.json of a llama says: transformers leaves some out, or makes some up")
	}
	config := c.JSON()
	if info, ok := p.file.Info("model.embed_tokens.weight"); ok && len(info.Shape) == 2 {
		config["vocab_size"] = info.Shape[0]
	}
	if g, ok := weights.AsGGUF(p.file); ok {
		for _, id := range tokenIDs {
			if n, err := g.Int(id[0]); err == nil {
				config[id[1]] = n
			}
		}
	}
	if t := torchTypes[p.mostly()]; t != "" {
		config["torch_dtype"] = t
	}
	text, err := json.MarshalIndent(config, "", "  ")
	return append(text, '\n'), err
}

// writeConfig gives the output's folder a config.json where the input was a GGUF file of a decoder and had none beside it.
func (p *plan) writeConfig(dir string) error {
	if p.result.From != weights.GGUF || p.decoder == nil || slices.Contains(p.result.Files, hf.ConfigFile) {
		return nil
	}
	if !p.configured {
		p.remark("the keys of the GGUF file do not say enough for a config.json")
		return nil
	}
	text, err := p.configJSON()
	if err != nil {
		return err
	}
	if _, err := hf.ParseConfig(text); err != nil {
		return &fault.Input{File: p.file.Path(), Err: err, Fix: "convert with --keep-names, for tensors alone"}
	}
	files, left := vocab.Files(weights.KeysOf(p.file))
	if left != "" {
		p.remark("%s", printable.Line(left))
	}
	files[hf.ConfigFile] = text
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if slices.Contains(p.result.Files, name) {
			continue // the folder has its own
		}
		err := durable.WriteFile(filepath.Join(dir, name), func(w io.Writer) error {
			_, err := w.Write(files[name])
			return err
		})
		if err != nil {
			return err
		}
		p.result.Files = append(p.result.Files, name)
	}
	p.remark("made from the keys of the GGUF file: %s", strings.Join(slices.Sorted(maps.Keys(files)), ", "))
	return nil
}
