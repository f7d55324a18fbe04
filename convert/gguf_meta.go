package convert

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/format/decoder"
	"github.com/ballast-ml/ballast/format/gguf"
	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/vocab"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/printable"
)

// ggufKeys are the keys of the output: what tokenizer and card of the folder say, what a file carries from a GGUF one, what config.json says,
// and what the tensors make true; what comes later wins.
func (p *plan) ggufKeys() (map[string]any, error) {
	keys := map[string]any{"general.architecture": "unknown", "general.name": p.modelName()}
	if p.config != nil && p.config.ModelType != "" {
		keys["general.architecture"] = p.config.ModelType
	}
	if p.dir != "" {
		if card, err := hf.LoadCard(filepath.Join(p.dir, hf.CardFile)); err == nil && card.Licence != "" {
			keys["general.license"] = card.Licence
		}
		p.tokenizerKeys(keys)
	}
	if p.result.From == weights.GGUF {
		p.keepKeys(keys)
	}
	for key, text := range p.meta {
		name, carried := strings.CutPrefix(key, weights.CarriedGGUF)
		if carried && p.result.From != weights.GGUF {
			if v := weights.Uncarry(text); v != nil {
				keys[name] = v
			}
		} else if key != "format" && p.result.From != weights.GGUF {
			keys[weights.CarriedTensors+key] = text
		}
	}
	if err := p.decoderKeys(keys); err != nil {
		return nil, err
	}
	for _, key := range []string{gguf.AlignmentKey, gguf.SplitNumberKey, gguf.SplitCountKey, gguf.SplitTensorsKey, "general.file_type"} {
		delete(keys, key)
	}
	mostly := p.mostly()
	if n, ok := fileTypes[mostly]; ok {
		keys["general.file_type"] = n
	}
	if blockOf(mostly).elements > 0 {
		keys["general.quantization_version"] = uint32(2)
	}
	return keys, nil
}

// decoderKeys puts what config.json says into the keys, and what programs need that run the file.
func (p *plan) decoderKeys(keys map[string]any) error {
	if p.options.KeepNames && p.config != nil {
		if c, err := decoder.Read(p.config.ModelType, p.config.Keys); err == nil {
			maps.Copy(keys, c.Keys())
		}
	}
	if p.decoder == nil || !p.configured {
		return nil
	}
	maps.Copy(keys, p.decoder.Keys())
	for _, r := range p.decoder.Remarks {
		p.remark("%s", printable.Line(r))
	}
	p.nameOfPhi(keys)
	if keys["tokenizer.ggml.model"] == nil {
		keys["tokenizer.ggml.model"] = "none"
		const text = "the file has no tokenizer: programs that run it take and give numbers of tokens"
		p.remark(text)
		if p.options.Warn != nil {
			p.options.Warn(strings.Join(append(p.leftOut, text), "; "))
		}
	}
	return nil
}

// phiTokens are those that llama.cpp looks for in a model whose name is that of Phi-3, and stops without.
var phiTokens = []string{"</s>", "<unk>", "<s>", "<|endoftext|>"}

// nameOfPhi keeps the name of Phi-3 from a model that has not its tokens.
func (p *plan) nameOfPhi(keys map[string]any) {
	name, _ := keys["general.name"].(string)
	tokens, _ := keys["tokenizer.ggml.tokens"].([]string)
	lower := strings.ToLower(name)
	if tokens == nil || !strings.Contains(lower, "phi-3") && !strings.Contains(lower, "phi3") {
		return
	}
	if slices.ContainsFunc(phiTokens, func(t string) bool { return !slices.Contains(tokens, t) }) {
		keys["general.name"] = strings.NewReplacer("phi3", "phi 3", "phi-3", "phi 3").Replace(lower)
		p.remark("general.name is %q: llama.cpp stops at a model named %q that does not have the tokens of Phi-3", keys["general.name"], name)
	}
}

// modelName is the name that was asked for, or that of the input's folder, or of its file.
func (p *plan) modelName() string {
	if p.options.Name != "" {
		return p.options.Name
	}
	if p.dir != "" {
		if abs, err := filepath.Abs(p.dir); err == nil {
			return filepath.Base(abs)
		}
	}
	base := filepath.Base(p.file.Path())
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// tokenizerKeys puts the tokenizer and the chat template of the folder into the keys.
func (p *plan) tokenizerKeys(keys map[string]any) {
	var config map[string]json.RawMessage
	rows := 0
	if p.config != nil {
		config = maps.Clone(p.config.Keys)
		if l := p.config.Llama; l != nil && config["bos_token_id"] == nil && l.BeginToken != nil {
			config["bos_token_id"] = json.RawMessage(strconv.Itoa(*l.BeginToken))
		}
		if l := p.config.Llama; l != nil && config["eos_token_id"] == nil && len(l.EndTokens) > 0 {
			config["eos_token_id"] = json.RawMessage(strconv.Itoa(l.EndTokens[0]))
		}
	}
	if p.decoder != nil {
		rows = p.decoder.VocabSize
	}
	v, remarks := vocab.Read(p.dir, rows, config)
	for _, r := range remarks {
		p.remark("%s", printable.Line(r))
	}
	if v == nil {
		p.leftOut = remarks
		return
	}
	maps.Copy(keys, v.Keys())
}
