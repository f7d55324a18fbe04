// Package vocab reads the tokenizer of a Hugging Face folder in the form that GGUF stores: tokens with their kinds and their scores or
// merges, the tokens that begin and end a text, and the chat template.
//
// Decoders have tokenizers of two kinds, and programs that run GGUF files know both:
//
//	llama  SentencePiece: spaces are U+2581, bytes without a token become the 256 tokens <0x00> to <0xFF>, and the pair with the
//	       highest-scoring joined token is joined first. Read from tokenizer.model, or from a tokenizer.json, where merges give the scores.
//	gpt2   byte pairs: each byte is one letter, Vocabulary.Pre names the pattern that splits text, and merges are applied in order.
//
// Other kinds (Unigram, WordPiece, words) do not belong to decoders and stay in files beside the weights; Read says so.
//
// Sources: the keys of GGUF's specification, ggml-org/ggml docs/gguf.md; sentencepiece_model.proto of google/sentencepiece; the JSON of the
// tokenizers library.
package vocab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"

	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Kinds of tokens, by GGUF's and SentencePiece's numbers.
const (
	Normal  = int32(1)
	Unknown = int32(2)
	Control = int32(3)
	Own     = int32(4) // added by a user: matched in the text before it is cut
	Unused  = int32(5)
	Byte    = int32(6)
)

// Vocabulary is a tokenizer.
type Vocabulary struct {
	Model   string    // "llama" or "gpt2"
	Pre     string    // how a text is cut before its merges, by llama.cpp's names
	Tokens  []string  // by their numbers
	Types   []int32   // as many
	Scores  []float32 // as many, of a llama
	Merges  []string  // "a b", of a gpt2
	Special map[string]int
	Add     map[string]bool // "bos", "eos": whether it is put before or behind a text
	Prefix  *bool           // a space is put before a text; nil where nothing says

	Templates []Template
}

// Template is a chat template; the usual one has the name "default".
type Template struct {
	Name string `json:"name"`
	Text string `json:"template"`
}

// specialKeys are the special tokens by the names of tokenizer_config.json, and the keys of GGUF. One of them is misspelt there.
var specialKeys = [][2]string{
	{"bos", "bos_token_id"}, {"eos", "eos_token_id"}, {"unk", "unknown_token_id"}, {"sep", "sep" + "erator_token_id"}, {"pad", "padding_token_id"},
	{"cls", "cls_token_id"}, {"mask", "mask_token_id"},
}

// settings are what is read of tokenizer_config.json.
type settings struct {
	Class     string                     `json:"tokenizer_class"`
	AddBOS    *bool                      `json:"add_bos_token"`
	AddEOS    *bool                      `json:"add_eos_token"`
	Prefix    *bool                      `json:"add_prefix_space"`
	Legacy    *bool                      `json:"legacy"`
	Template  json.RawMessage            `json:"chat_template"`
	Added     map[string]addedToken      `json:"added_tokens_decoder"`
	All       map[string]json.RawMessage `json:"-"`
	SpecialOf map[string]string          `json:"-"` // "bos" -> its text
}

// addedToken is a token beside the vocabulary.
type addedToken struct {
	ID      int    `json:"id"`
	Content string `json:"content"`
	Special bool   `json:"special"`
}

// Files that are read.
const (
	settingsFile  = "tokenizer_config.json"
	tokenizerFile = "tokenizer.json"
	pieceFile     = "tokenizer.model"
)

// The most values in a JSON file of any size, and then one for so many bytes. Those of models have ten bytes or more for each.
const (
	fewValues     = 250_000
	bytesPerValue = 4
)

// readJSON reads a file of the folder into a value; ok is false, without an error, where it is missing.
func readJSON(dir, name string, into any) (ok bool, err error) {
	data, err := hf.ReadCompanion(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := untrusted.CheckJSON(name, data, max(fewValues, len(data)/bytesPerValue)); err != nil {
		return false, err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return false, fmt.Errorf("%s: %w", name, untrusted.JSONError(err))
	}
	return true, nil
}

// Read reads the tokenizer of a folder for a model whose embeddings have so many rows, 0 for any. v is nil where there is none that GGUF
// keeps; remarks say why, and what may differ.
func Read(dir string, rows int, config map[string]json.RawMessage) (v *Vocabulary, remarks []string) {
	s, err := readSettings(dir)
	if err != nil {
		return nil, []string{fmt.Sprintf("%v, so the tokenizer is not in the GGUF file", err)}
	}
	v, remark, err := readPieces(dir, s)
	if remark != "" {
		remarks = append(remarks, remark)
	}
	if v == nil && err == nil {
		v, remark, err = readTokenizer(dir)
		if remark != "" {
			remarks = append(remarks, remark)
		}
	}
	if err == nil && v != nil {
		v.specials(s, config)
		err = v.fit(rows)
	}
	if err != nil {
		return nil, append(remarks, fmt.Sprintf("%v, so it is not in the GGUF file", err))
	}
	if v == nil {
		return nil, remarks
	}
	v.Templates, err = readTemplates(dir, s)
	if err != nil {
		remarks = append(remarks, fmt.Sprintf("%v, so the chat template is not in the GGUF file", err))
	}
	return v, remarks
}

// readSettings reads tokenizer_config.json, and special_tokens_map.json for the special tokens it leaves out.
func readSettings(dir string) (*settings, error) {
	s := &settings{SpecialOf: map[string]string{}}
	if _, err := readJSON(dir, settingsFile, &s.All); err != nil {
		return nil, err
	}
	if text, err := json.Marshal(s.All); err == nil {
		if err := json.Unmarshal(text, s); err != nil {
			return nil, fmt.Errorf("%s: %w", settingsFile, untrusted.JSONError(err))
		}
	}
	var byMap map[string]json.RawMessage
	if _, err := readJSON(dir, "special_tokens_map.json", &byMap); err != nil {
		return nil, err
	}
	for _, key := range specialKeys {
		for _, from := range []map[string]json.RawMessage{s.All, byMap} {
			if text := tokenText(from[key[0]+"_token"]); text != "" && s.SpecialOf[key[0]] == "" {
				s.SpecialOf[key[0]] = text
			}
		}
	}
	return s, nil
}

// tokenText is a token written as a text, or as {"content": text}.
func tokenText(raw json.RawMessage) string {
	var text string
	var long addedToken
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	if json.Unmarshal(raw, &long) == nil {
		return long.Content
	}
	return ""
}

// startsTexts are the classes that put the first token before a text unless they are told otherwise.
var startsTexts = []string{"LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer"}

// specials finds the numbers of special tokens, by tokenizer_config.json and then by config.json, and whether texts begin and end with them.
func (v *Vocabulary) specials(s *settings, config map[string]json.RawMessage) {
	number := make(map[string]int, len(v.Tokens))
	for i, t := range v.Tokens {
		number[t] = i
	}
	v.Special = map[string]int{}
	for _, key := range specialKeys {
		if n, ok := number[s.SpecialOf[key[0]]]; ok && s.SpecialOf[key[0]] != "" {
			v.Special[key[0]] = n
			continue
		}
		var one int
		var several []int
		raw := config[key[0]+"_token_id"]
		if json.Unmarshal(raw, &several) == nil && len(several) > 0 {
			one = several[0]
		} else if string(raw) == "null" || json.Unmarshal(raw, &one) != nil {
			continue
		}
		if one >= 0 && one < len(v.Tokens) {
			v.Special[key[0]] = one
		}
	}
	if v.Add == nil {
		v.Add = map[string]bool{"eos": false}
		for _, class := range startsTexts {
			v.Add["bos"] = v.Add["bos"] || strings.TrimSuffix(s.Class, "Fast") == class || s.Class == "" && v.Model == "llama"
		}
		for name, flag := range map[string]*bool{"bos": s.AddBOS, "eos": s.AddEOS} {
			if flag != nil {
				v.Add[name] = *flag
			}
		}
	}
	for name := range v.Add {
		if _, there := v.Special[name]; !there {
			v.Add[name] = false
		}
	}
}

// fit gives the tokenizer as many tokens as the embeddings have rows, and refuses what programs would stop at.
func (v *Vocabulary) fit(rows int) error {
	if rows > 0 && len(v.Tokens) > rows {
		return fmt.Errorf("the tokenizer has tokens up to number %d, and the embeddings have %d rows", len(v.Tokens)-1, rows)
	}
	for i := len(v.Tokens); i < rows; i++ {
		v.Tokens, v.Types = append(v.Tokens, ""), append(v.Types, 0)
		if v.Scores != nil {
			v.Scores = append(v.Scores, 0)
		}
	}
	seen := make(map[string]int, len(v.Tokens))
	for i := range v.Tokens {
		if v.Types[i] == 0 {
			v.Tokens[i], v.Types[i] = fmt.Sprintf("[PAD%d]", i), Unused
			if v.Scores != nil {
				v.Scores[i] = -10000
			}
		}
		if other, twice := seen[v.Tokens[i]]; twice {
			return fmt.Errorf("tokens %d and %d of the tokenizer are both %q", other, i, v.Tokens[i])
		}
		seen[v.Tokens[i]] = i
	}
	return nil
}

// Keys are the keys of GGUF.
func (v *Vocabulary) Keys() map[string]any {
	keys := map[string]any{"tokenizer.ggml.model": v.Model, "tokenizer.ggml.pre": v.Pre, "tokenizer.ggml.tokens": v.Tokens, "tokenizer.ggml.token_type": v.Types}
	if v.Scores != nil {
		keys["tokenizer.ggml.scores"] = v.Scores
	}
	if v.Model == "gpt2" {
		keys["tokenizer.ggml.merges"] = v.Merges
	}
	for _, key := range specialKeys {
		if n, ok := v.Special[key[0]]; ok {
			keys["tokenizer.ggml."+key[1]] = uint32(n)
		}
	}
	for name, add := range v.Add {
		keys["tokenizer.ggml.add_"+name+"_token"] = add
	}
	if v.Prefix != nil {
		keys["tokenizer.ggml.add_space_prefix"] = *v.Prefix
	}
	maps.Copy(keys, TemplateKeys(v.Templates))
	return keys
}
