package convert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"strings"

	"github.com/ballast-ml/ballast/format/gguf"
	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// ggufKeys are the keys of the output: what config, tokenizer and card of the folder say, what a file carries from a GGUF one, and
// what the tensors make true.
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
	if p.config != nil && p.config.Llama != nil {
		p.llamaKeys(keys, p.config.Llama)
	}
	if p.result.From == weights.GGUF {
		if err := p.keepKeys(keys); err != nil {
			return nil, err
		}
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
	delete(keys, gguf.AlignmentKey)
	mostly := p.mostly()
	delete(keys, "general.file_type")
	if n, ok := fileTypes[mostly]; ok {
		keys["general.file_type"] = n
	}
	if blockOf(mostly).elements > 0 {
		keys["general.quantization_version"] = uint32(2)
	}
	return keys, nil
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

func (p *plan) llamaKeys(keys map[string]any, l *hf.Llama) {
	u := func(n int) uint32 { return uint32(min(n, math.MaxUint32)) }
	maps.Copy(keys, map[string]any{
		"llama.block_count": u(l.Layers), "llama.context_length": u(l.MaxPositions), "llama.embedding_length": u(l.HiddenSize),
		"llama.feed_forward_length": u(l.IntermediateSize), "llama.attention.head_count": u(l.Heads), "llama.attention.head_count_kv": u(l.KeyValueHeads),
		"llama.attention.layer_norm_rms_epsilon": float32(l.RMSNormEpsilon), "llama.rope.dimension_count": u(l.HeadDim),
		"llama.rope.freq_base": float32(l.RopeTheta), "llama.vocab_size": u(l.VocabSize),
	})
	if l.HeadDim*l.Heads != l.HiddenSize {
		keys["llama.attention.key_length"], keys["llama.attention.value_length"] = u(l.HeadDim), u(l.HeadDim)
	}
	switch s := l.RopeScaling; {
	case s == nil:
	case s.Type == "linear" || s.Type == "yarn":
		keys["llama.rope.scaling.type"], keys["llama.rope.scaling.factor"] = s.Type, float32(s.Factor)
		if s.OriginalMaximum > 0 {
			keys["llama.rope.scaling.original_context_length"] = u(s.OriginalMaximum)
		}
	default:
		p.remark("rotary positions are stretched by %q, which GGUF keeps in a tensor that is not made here: longer texts will be off", s.Type)
	}
}

// tokenizer is what is read of a tokenizer.json.
type tokenizer struct {
	Model struct {
		Type   string          `json:"type"`
		Vocab  json.RawMessage `json:"vocab"`
		Merges mergeList       `json:"merges"`
	} `json:"model"`
	Added []struct {
		ID      int    `json:"id"`
		Content string `json:"content"`
		Special bool   `json:"special"`
	} `json:"added_tokens"`
}

// The most values in a tokenizer.json of any size, and then one for so many bytes. Those of models have ten bytes or more for each.
const (
	fewTokens     = 250_000
	bytesPerToken = 4
)

// mergeList is the merges of a tokenizer, each a text "a b" in older files or a pair ["a", "b"]. Files hold hundreds of thousands, so
// they are read one after the other.
type mergeList struct {
	texts []string
	odd   bool // one is neither
}

// UnmarshalJSON reads the list; what is none makes it odd.
func (m *mergeList) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if token, err := d.Token(); err != nil || token != json.Delim('[') {
		m.odd = err != nil || token != nil // null is no list at all
		return nil
	}
	m.texts = []string{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		text, ok := token.(string)
		if token == json.Delim('[') {
			var pair [3]any // "a", "b", and the end of the list
			for i := range pair {
				if pair[i], err = d.Token(); err != nil {
					return err
				}
			}
			a, isText := pair[0].(string)
			b, isOther := pair[1].(string)
			text, ok = a+" "+b, isText && isOther && pair[2] == json.Delim(']')
		}
		if !ok {
			m.odd = true
			return nil
		}
		m.texts = append(m.texts, text)
	}
	return nil
}

// Types of tokens in GGUF.
const (
	tokenNormal  = int32(1)
	tokenControl = int32(3)
	tokenOwn     = int32(4)
)

// tokenizerKeys puts a byte-pair tokenizer of tokenizer.json into the keys. Others stay beside the weights.
func (p *plan) tokenizerKeys(keys map[string]any) {
	const file = "tokenizer.json"
	data, err := hf.ReadCompanion(p.dir, file)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			p.remark("%v, so it is not in the GGUF file", err)
		}
		return
	}
	if err := untrusted.CheckJSON(file, data, max(fewTokens, len(data)/bytesPerToken)); err != nil {
		p.remark("%v, so it is not in the GGUF file", err)
		return
	}
	var t tokenizer
	var vocab map[string]int
	if json.Unmarshal(data, &t) != nil || t.Model.Type != "BPE" || json.Unmarshal(t.Model.Vocab, &vocab) != nil || len(vocab) == 0 {
		p.remark("%s is no byte-pair tokenizer, so it is not in the GGUF file", file)
		return
	}
	last := 0
	for _, id := range vocab {
		last = max(last, id)
	}
	for _, a := range t.Added {
		last = max(last, a.ID)
	}
	if last >= 4*(len(vocab)+len(t.Added)) { // gaps no vocabulary has
		p.remark("%s numbers its tokens up to %d, so it is not in the GGUF file", file, last)
		return
	}
	size := last + 1
	tokens, types := make([]string, size), make([]int32, size)
	for token, id := range vocab {
		if id >= 0 {
			tokens[id], types[id] = token, tokenNormal
		}
	}
	for _, a := range t.Added {
		if a.ID < 0 {
			continue
		}
		tokens[a.ID], types[a.ID] = a.Content, tokenOwn
		if a.Special {
			types[a.ID] = tokenControl
		}
	}
	for i := range tokens {
		if types[i] == 0 {
			tokens[i], types[i] = fmt.Sprintf("[PAD%d]", i), tokenOwn
		}
	}
	if t.Model.Merges.odd {
		p.remark("%s has merges of an unknown form, so it is not in the GGUF file", file)
		return
	}
	merges := t.Model.Merges.texts
	maps.Copy(keys, map[string]any{"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "default", "tokenizer.ggml.tokens": tokens,
		"tokenizer.ggml.token_type": types, "tokenizer.ggml.merges": merges})
	p.remark("the tokenizer goes along with tokenizer.ggml.pre = default; how it splits text before its merges is not told by %s", file)
	if p.config == nil || p.config.Llama == nil {
		return
	}
	if b := p.config.Llama.BeginToken; b != nil && *b >= 0 {
		keys["tokenizer.ggml.bos_token_id"] = uint32(*b)
	}
	if e := p.config.Llama.EndTokens; len(e) > 0 && e[0] >= 0 {
		keys["tokenizer.ggml.eos_token_id"] = uint32(e[0])
	}
	if b := p.config.Llama.PadToken; b != nil && *b >= 0 {
		keys["tokenizer.ggml.padding_token_id"] = uint32(*b)
	}
}
