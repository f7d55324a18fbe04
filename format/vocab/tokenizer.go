package vocab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// space is what stands for a space in SentencePiece's tokens.
const space = "\u2581"

// tokenizer is what is read of a tokenizer.json.
type tokenizer struct {
	Model struct {
		Type         string          `json:"type"`
		Vocab        json.RawMessage `json:"vocab"`
		Merges       mergeList       `json:"merges"`
		Unknown      *string         `json:"unk_token"`
		ByteFallback bool            `json:"byte_fallback"`
		IgnoreMerges bool            `json:"ignore_merges"`
		Prefix       *string         `json:"continuing_subword_prefix"`
		Suffix       *string         `json:"end_of_word_suffix"`
	} `json:"model"`
	Added         []addedToken    `json:"added_tokens"`
	Normalizer    *step           `json:"normalizer"`
	PreTokenizer  *step           `json:"pre_tokenizer"`
	PostProcessor *step           `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
}

// step is a normalizer, a pre-tokenizer or a post-processor, or a sequence of them.
type step struct {
	Type          string          `json:"type"`
	Normalizers   []step          `json:"normalizers"`
	PreTokenizers []step          `json:"pretokenizers"`
	Processors    []step          `json:"processors"`
	Pattern       json.RawMessage `json:"pattern"`
	Content       string          `json:"content"`
	Prepend       string          `json:"prepend"`
	Behavior      string          `json:"behavior"`
	Invert        bool            `json:"invert"`
	UseRegex      *bool           `json:"use_regex"`
	AddPrefix     *bool           `json:"add_prefix_space"`
	Scheme        string          `json:"prepend_scheme"`
	Individual    bool            `json:"individual_digits"`
	Single        []templatePart  `json:"single"`
	BOS           json.RawMessage `json:"cls"`
}

// templatePart is a part of what becomes of one text.
type templatePart struct {
	Special *struct {
		ID string `json:"id"`
	} `json:"SpecialToken"`
}

// all lists a step and those within it.
func (s *step) all() []step {
	if s == nil {
		return nil
	}
	if inner := slices.Concat(s.Normalizers, s.PreTokenizers, s.Processors); s.Type == "Sequence" {
		var out []step
		for i := range inner {
			out = append(out, inner[i].all()...)
		}
		return out
	}
	return []step{*s}
}

// mergeList is the merges of a tokenizer, each a text "a b" in older files or a pair ["a", "b"]. Files hold hundreds of thousands, so
// they are read one after the other.
type mergeList struct {
	pairs [][2]string
	odd   bool // one is neither
}

// UnmarshalJSON reads the list; what is none makes it odd.
func (m *mergeList) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if token, err := d.Token(); err != nil || token != json.Delim('[') {
		m.odd = err != nil || token != nil // null is no list at all
		return nil
	}
	m.pairs = [][2]string{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		text, ok := token.(string)
		a, b, cut := strings.Cut(text, " ")
		ok = ok && cut
		if token == json.Delim('[') {
			var pair [3]any // "a", "b", and the end of the list
			for i := range pair {
				if pair[i], err = d.Token(); err != nil {
					return err
				}
			}
			var isText, isOther bool
			a, isText = pair[0].(string)
			b, isOther = pair[1].(string)
			ok = isText && isOther && pair[2] == json.Delim(']')
		}
		if !ok {
			m.odd = true
			return nil
		}
		m.pairs = append(m.pairs, [2]string{a, b})
	}
	return nil
}

// readTokenizer reads tokenizer.json; v is nil where there is none, or none that GGUF keeps.
func readTokenizer(dir string) (v *Vocabulary, remark string, err error) {
	var t tokenizer
	if ok, err := readJSON(dir, tokenizerFile, &t); err != nil || !ok {
		return nil, "", err
	}
	if slices.Contains([]string{"Unigram", "WordPiece", "WordLevel"}, t.Model.Type) {
		return nil, fmt.Sprintf("%s is not a byte-pair tokenizer but %s, which programs that run GGUF decoders do not support, so it is not in the GGUF file",
			tokenizerFile, t.Model.Type), nil
	}
	var vocab map[string]int
	if t.Model.Type != "BPE" || json.Unmarshal(t.Model.Vocab, &vocab) != nil || len(vocab) == 0 {
		return nil, tokenizerFile + " is not a byte-pair tokenizer, so it is not in the GGUF file", nil
	}
	if t.Model.Merges.odd {
		return nil, "", fmt.Errorf("%s has merges of an unknown form", tokenizerFile)
	}
	if filled(t.Model.Prefix) || filled(t.Model.Suffix) {
		return nil, "", fmt.Errorf("%s marks the parts of words (continuing_subword_prefix or end_of_word_suffix)", tokenizerFile)
	}
	v = &Vocabulary{}
	if err := v.number(vocab, t.Added); err != nil {
		return nil, "", err
	}
	if t.sentencePieces(vocab) {
		remark, err = v.asPieces(&t, vocab)
	} else {
		remark, err = v.asBytePairs(&t, vocab)
	}
	if err != nil {
		return nil, "", err
	}
	for _, a := range t.Added {
		v.add(a)
	}
	v.ends(&t)
	return v, remark, nil
}

func filled(s *string) bool { return s != nil && *s != "" }

// number puts the tokens into their places.
func (v *Vocabulary) number(vocab map[string]int, added []addedToken) error {
	last := 0
	for _, id := range vocab {
		last = max(last, id)
	}
	for _, a := range added {
		last = max(last, a.ID)
	}
	if last >= 4*(len(vocab)+len(added)) { // gaps no vocabulary has
		return fmt.Errorf("%s numbers its tokens up to %d", tokenizerFile, last)
	}
	v.Tokens, v.Types = make([]string, last+1), make([]int32, last+1)
	for token, id := range vocab {
		if id >= 0 {
			v.Tokens[id], v.Types[id] = token, Normal
		}
	}
	return nil
}

// looksSpecial tells added tokens that stand for something although their file does not say so, as GGUF's programs have it.
func looksSpecial(token string) bool {
	return slices.Contains([]string{"<pad>", "<mask>", "<2mass>", "[@BOS@]"}, token) || strings.HasPrefix(token, "<|") && strings.HasSuffix(token, "|>") ||
		strings.HasPrefix(token, "<\uff5c") && strings.HasSuffix(token, "\uff5c>") || strings.HasPrefix(token, "<unused") && strings.HasSuffix(token, ">")
}

// add puts an added token into its place. The one for what is unknown stays that.
func (v *Vocabulary) add(a addedToken) {
	if a.ID < 0 || a.ID >= len(v.Tokens) || a.Content == "" {
		return
	}
	if v.Tokens[a.ID] == a.Content && (v.Types[a.ID] == Unknown || v.Types[a.ID] == Byte) {
		return
	}
	v.Tokens[a.ID], v.Types[a.ID] = a.Content, Own
	if a.Special || looksSpecial(a.Content) {
		v.Types[a.ID] = Control
	} else {
		v.Tokens[a.ID] = strings.ReplaceAll(a.Content, space, " ") // they are matched in the text itself
	}
	if v.Scores != nil {
		v.Scores[a.ID] = -1000
	}
}

// addAll adds the tokens of the files beside a tokenizer.model, which may go beyond its own.
func (v *Vocabulary) addAll(dir string, s *settings) error {
	var byName map[string]int
	var t tokenizer
	if _, err := readJSON(dir, "added_tokens.json", &byName); err != nil {
		return err
	}
	if _, err := readJSON(dir, tokenizerFile, &t); err != nil {
		return err
	}
	var added []addedToken
	for content, id := range byName {
		added = append(added, addedToken{ID: id, Content: content})
	}
	slices.SortFunc(added, func(a, b addedToken) int { return a.ID - b.ID })
	for digits, a := range s.Added {
		if id, err := strconv.Atoi(digits); err == nil {
			a.ID = id
			added = append(added, a)
		}
	}
	added = append(added, t.Added...)
	for _, a := range added {
		if a.ID >= 4*(len(v.Tokens)+len(added)) {
			return fmt.Errorf("added tokens are numbered up to %d", a.ID)
		}
		for len(v.Tokens) <= a.ID {
			v.Tokens, v.Types, v.Scores = append(v.Tokens, ""), append(v.Types, 0), append(v.Scores, 0)
		}
		v.add(a)
	}
	if t.PostProcessor != nil {
		v.ends(&t)
	}
	return nil
}

// ends finds whether texts begin and end with a special token, where the file says.
func (v *Vocabulary) ends(t *tokenizer) {
	for _, s := range t.PostProcessor.all() {
		if s.Type == "ByteLevel" && v.Add == nil {
			v.Add = map[string]bool{"bos": false, "eos": false}
		}
		if s.Type == "TemplateProcessing" && len(s.Single) > 0 {
			v.Add = map[string]bool{"bos": s.Single[0].Special != nil, "eos": len(s.Single) > 1 && s.Single[len(s.Single)-1].Special != nil}
		}
	}
}

// sentencePieces tells the kind of SentencePiece, in which spaces are U+2581, from that of byte pairs.
func (t *tokenizer) sentencePieces(vocab map[string]int) bool {
	for _, s := range append(t.Normalizer.all(), t.PreTokenizer.all()...) {
		if s.Type == "Metaspace" || s.Type == "Prepend" && s.Prepend == space || s.Type == "Replace" && s.Content == space {
			return true
		}
	}
	_, bytes := vocab["<0x00>"]
	return t.Model.ByteFallback || bytes && !slices.ContainsFunc(t.PreTokenizer.all(), func(s step) bool { return s.Type == "ByteLevel" })
}

// afterSpecial is what differs for tokenizers that put a space before the first word of a text only.
const afterSpecial = "the tokenizer puts a space before a text alone; programs that run GGUF put one after a special token too, and before one that is there"

// asPieces makes scores of the merges: the sooner two tokens are joined, the higher the score of what they become.
func (v *Vocabulary) asPieces(t *tokenizer, vocab map[string]int) (remark string, err error) {
	v.Model, v.Pre, v.Scores = "llama", "default", make([]float32, len(v.Tokens))
	for i := range 256 {
		id, ok := vocab[fmt.Sprintf("<0x%02X>", i)]
		if !ok || id < 0 {
			return "", errors.New("tokenizer.json is of SentencePiece's kind and lacks tokens for bytes")
		}
		v.Types[id] = Byte
	}
	if t.Model.Unknown != nil {
		if id, ok := vocab[*t.Model.Unknown]; ok && id >= 0 {
			v.Types[id] = Unknown
		}
	}
	ranks := make(map[string]int, len(t.Model.Merges.pairs))
	pairs := make(map[[2]string]bool, len(t.Model.Merges.pairs))
	for rank, pair := range t.Model.Merges.pairs {
		pairs[pair] = true
		if _, twice := ranks[pair[0]+pair[1]]; !twice {
			ranks[pair[0]+pair[1]] = rank
		}
	}
	odd, never := 0, float32(-len(t.Model.Merges.pairs)-1)
	for token, id := range vocab {
		if id < 0 || v.Types[id] != Normal {
			continue
		}
		rank, joined := ranks[token]
		if joined {
			v.Scores[id] = float32(-rank)
		} else {
			v.Scores[id] = never
		}
		if otherwise(token, vocab, pairs) {
			odd++
		}
	}
	prefix := false
	for _, s := range append(t.Normalizer.all(), t.PreTokenizer.all()...) {
		prefix = prefix || s.Type == "Prepend" && s.Prepend == space || s.Type == "Metaspace" && s.Scheme != "never" && (s.AddPrefix == nil || *s.AddPrefix)
	}
	v.Prefix = &prefix
	if slices.ContainsFunc(t.PreTokenizer.all(), func(s step) bool { return s.Type == "Metaspace" && s.Scheme == "first" }) {
		remark = afterSpecial
	}
	if odd > 0 {
		remark = strings.TrimPrefix(remark+"; ", "; ") + fmt.Sprintf("%d tokens can be joined from pairs that are not merges of %s; programs that run GGUF join any two tokens that form a third, so some words may be cut differently", odd, tokenizerFile)
	}
	return remark, nil
}

// longest is how long a token may be that is looked at for its parts, in bytes; those of models are words and runs of spaces.
const longest = 1024

// otherwise tells whether a token is the sum of two tokens that are not merged into it.
func otherwise(token string, vocab map[string]int, pairs map[[2]string]bool) bool {
	if len(token) > longest {
		return false
	}
	for i := range token {
		if i == 0 {
			continue
		}
		_, a := vocab[token[:i]]
		_, b := vocab[token[i:]]
		if a && b && !pairs[[2]string{token[:i], token[i:]}] {
			return true
		}
	}
	return false
}

// asBytePairs keeps the merges. A space within a part would end it, so it is written as byte-pair tokenizers write one.
func (v *Vocabulary) asBytePairs(t *tokenizer, _ map[string]int) (remark string, err error) {
	v.Model, v.Merges = "gpt2", make([]string, len(t.Model.Merges.pairs))
	for i, pair := range t.Model.Merges.pairs {
		v.Merges[i] = strings.ReplaceAll(pair[0], " ", "\u0120") + " " + strings.ReplaceAll(pair[1], " ", "\u0120")
	}
	v.Pre, remark = t.pre()
	return remark, nil
}
