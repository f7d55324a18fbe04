package convert

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/weights"
)

// carryGGUF and carryTensors begin the keys under which one format's metadata stand in the other's.
const (
	carryGGUF    = "gguf."
	carryTensors = "safetensors."
)

// carriedValue is a value of GGUF in the metadata of another format: its type in GGUF's words, "u32" or "array of string", and the
// value.
type carriedValue struct {
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value"`
}

// carry writes a value of GGUF as text. Texts that are not UTF-8 cannot be.
func carry(value any) (string, bool) {
	var list []any
	typ := ""
	switch v := value.(type) {
	case []uint8:
		typ, list = "array of u8", anys(v)
	case []int8:
		typ, list = "array of i8", anys(v)
	case []uint16:
		typ, list = "array of u16", anys(v)
	case []int16:
		typ, list = "array of i16", anys(v)
	case []uint32:
		typ, list = "array of u32", anys(v)
	case []int32:
		typ, list = "array of i32", anys(v)
	case []uint64:
		typ, list = "array of u64", anys(v)
	case []int64:
		typ, list = "array of i64", anys(v)
	case []float32:
		typ, list = "array of f32", anys(v)
	case []float64:
		typ, list = "array of f64", anys(v)
	case []bool:
		typ, list = "array of bool", anys(v)
	case []string:
		typ, list = "array of string", anys(v)
	default:
		one, name, ok := carryOne(value)
		if !ok {
			return "", false
		}
		text, err := json.Marshal(carriedValue{name, one})
		return string(text), err == nil
	}
	items := make([]json.RawMessage, len(list))
	for i, item := range list {
		var ok bool
		if items[i], _, ok = carryOne(item); !ok {
			return "", false
		}
	}
	raw, err := json.Marshal(items)
	if err != nil {
		return "", false
	}
	text, err := json.Marshal(carriedValue{typ, raw})
	return string(text), err == nil
}

func anys[T any](v []T) []any {
	out := make([]any, len(v))
	for i := range v {
		out[i] = v[i]
	}
	return out
}

func carryOne(value any) (raw json.RawMessage, typ string, ok bool) {
	switch v := value.(type) {
	case float32:
		return number(float64(v), 32), "f32", true
	case float64:
		return number(v, 64), "f64", true
	case string:
		raw, err := json.Marshal(v)
		return raw, "string", err == nil && utf8.ValidString(v)
	case bool:
		return json.RawMessage(strconv.FormatBool(v)), "bool", true
	case uint8, uint16, uint32, uint64:
		return json.RawMessage(fmt.Sprint(v)), strings.Replace(fmt.Sprintf("%T", v), "uint", "u", 1), true
	case int8, int16, int32, int64:
		return json.RawMessage(fmt.Sprint(v)), strings.Replace(fmt.Sprintf("%T", v), "int", "i", 1), true
	}
	return nil, "", false
}

// number writes a float with all its digits; what JSON cannot hold is text.
func number(v float64, bits int) json.RawMessage {
	text := strconv.FormatFloat(v, 'g', -1, bits)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		text = `"` + text + `"`
	}
	return json.RawMessage(text)
}

// uncarry reads a value that carry wrote; nil if it is none.
func uncarry(text string) any {
	var c carriedValue
	if json.Unmarshal([]byte(text), &c) != nil {
		return nil
	}
	item, isList := strings.CutPrefix(c.Type, "array of ")
	if !isList {
		return uncarryOne(c.Type, c.Value)
	}
	var raws []json.RawMessage
	if json.Unmarshal(c.Value, &raws) != nil {
		return nil
	}
	switch item {
	case "u8":
		return uncarryList[uint8](item, raws)
	case "i8":
		return uncarryList[int8](item, raws)
	case "u16":
		return uncarryList[uint16](item, raws)
	case "i16":
		return uncarryList[int16](item, raws)
	case "u32":
		return uncarryList[uint32](item, raws)
	case "i32":
		return uncarryList[int32](item, raws)
	case "u64":
		return uncarryList[uint64](item, raws)
	case "i64":
		return uncarryList[int64](item, raws)
	case "f32":
		return uncarryList[float32](item, raws)
	case "f64":
		return uncarryList[float64](item, raws)
	case "bool":
		return uncarryList[bool](item, raws)
	case "string":
		return uncarryList[string](item, raws)
	}
	return nil
}

func uncarryList[T any](item string, raws []json.RawMessage) any {
	out := make([]T, len(raws))
	for i, raw := range raws {
		v, ok := uncarryOne(item, raw).(T)
		if !ok {
			return nil
		}
		out[i] = v
	}
	return out
}

func uncarryOne(typ string, raw json.RawMessage) any {
	word := strings.Trim(string(raw), `"`)
	switch typ {
	case "string":
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return nil
		}
		return s
	case "bool":
		return word == "true"
	case "f32":
		v, err := strconv.ParseFloat(word, 32)
		return orNil(float32(v), err)
	case "f64":
		v, err := strconv.ParseFloat(word, 64)
		return orNil(v, err)
	case "u8":
		v, err := strconv.ParseUint(word, 10, 8)
		return orNil(uint8(v), err)
	case "u16":
		v, err := strconv.ParseUint(word, 10, 16)
		return orNil(uint16(v), err)
	case "u32":
		v, err := strconv.ParseUint(word, 10, 32)
		return orNil(uint32(v), err)
	case "u64":
		v, err := strconv.ParseUint(word, 10, 64)
		return orNil(v, err)
	case "i8":
		v, err := strconv.ParseInt(word, 10, 8)
		return orNil(int8(v), err)
	case "i16":
		v, err := strconv.ParseInt(word, 10, 16)
		return orNil(int16(v), err)
	case "i32":
		v, err := strconv.ParseInt(word, 10, 32)
		return orNil(int32(v), err)
	case "i64":
		v, err := strconv.ParseInt(word, 10, 64)
		return orNil(v, err)
	}
	return nil
}

func orNil(v any, err error) any {
	if err != nil {
		return nil
	}
	return v
}

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
		name, carried := strings.CutPrefix(key, carryGGUF)
		if carried && p.result.From != weights.GGUF {
			if v := uncarry(text); v != nil {
				keys[name] = v
			}
		} else if key != "format" && p.result.From != weights.GGUF {
			keys[carryTensors+key] = text
		}
	}
	delete(keys, alignmentKey)
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

// modelName is the name of the input's folder, or of its file.
func (p *plan) modelName() string {
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
		Type   string            `json:"type"`
		Vocab  json.RawMessage   `json:"vocab"`
		Merges []json.RawMessage `json:"merges"`
	} `json:"model"`
	Added []struct {
		ID      int    `json:"id"`
		Content string `json:"content"`
		Special bool   `json:"special"`
	} `json:"added_tokens"`
}

// Types of tokens in GGUF.
const (
	tokenNormal  = int32(1)
	tokenControl = int32(3)
	tokenOwn     = int32(4)
)

// tokenizerKeys puts a byte-pair tokenizer of tokenizer.json into the keys. Others stay beside the weights.
func (p *plan) tokenizerKeys(keys map[string]any) {
	const file, most = "tokenizer.json", 64 << 20
	path := filepath.Join(p.dir, file)
	if stat, err := os.Stat(path); err != nil || stat.Size() > most {
		return
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return
	}
	var t tokenizer
	var vocab map[string]int
	if json.Unmarshal(data, &t) != nil || t.Model.Type != "BPE" || json.Unmarshal(t.Model.Vocab, &vocab) != nil || len(vocab) == 0 {
		p.remark("%s is no byte-pair tokenizer, so it is not in the GGUF file", file)
		return
	}
	size := 0
	for _, id := range vocab {
		size = max(size, id+1)
	}
	for _, a := range t.Added {
		size = max(size, a.ID+1)
	}
	if size > 4*(len(vocab)+len(t.Added)) { // gaps no vocabulary has
		p.remark("%s numbers its tokens up to %d, so it is not in the GGUF file", file, size)
		return
	}
	tokens, types := make([]string, size), make([]int32, size)
	for i := range tokens {
		tokens[i], types[i] = fmt.Sprintf("[PAD%d]", i), tokenOwn
	}
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
	merges := make([]string, len(t.Model.Merges))
	for i, raw := range t.Model.Merges {
		var pair []string
		if json.Unmarshal(raw, &merges[i]) == nil {
			continue
		}
		if json.Unmarshal(raw, &pair) != nil || len(pair) != 2 {
			p.remark("%s has merges of an unknown form, so it is not in the GGUF file", file)
			return
		}
		merges[i] = pair[0] + " " + pair[1]
	}
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
