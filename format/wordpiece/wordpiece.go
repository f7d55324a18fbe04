// Package wordpiece turns text into token numbers for BERT and its relatives. [Open] reads a tokenizer.json of the Hugging Face
// tokenizers library with a WordPiece model; every other model is refused by its name.
//
//	clean       control characters, form feeds included, are dropped; other white space becomes a space
//	CJK         each Han character (Chinese, Japanese, Korean) is a word of its own
//	accents     decomposed (NFD), and the marks dropped
//	case        lower
//	words       cut at white space, and before and after each punctuation mark
//	pieces      the longest prefix of a word that the vocabulary has, then the same for the rest, where pieces begin with ##; a word
//	            that cannot be cut in this way, or is longer than 100 characters, becomes [UNK]
//	frame       [CLS] before, [SEP] after
//
// Names of special tokens in the text, such as "[SEP]", are the tokens themselves, as in that library.
//
// Sources: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", arXiv 1810.04805; Wu et al., "Google's Neural Machine
// Translation System", arXiv 1609.08144; the tokenizers library's BertNormalizer and BertPreTokenizer.
package wordpiece

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Error says what is wrong with a tokenizer file and what mends it.
type Error struct {
	File  string // path, "" for bytes in memory
	Field string // place in the file, "" for all of it
	Text  string // what was found
	Fix   string
}

// Error puts the parts into one line.
func (e *Error) Error() string {
	var parts []string
	for _, part := range []string{"wordpiece", e.File, e.Field, e.Text} {
		if part != "" {
			parts = append(parts, printable.Line(part))
		}
	}
	return strings.Join(parts, ": ") + "; " + e.Fix
}

// BadInput tells that the file is at fault.
func (e *Error) BadInput() bool { return true }

const (
	fixKind = "name the tokenizer.json of a BERT-like model"
	fixFile = "the file is damaged: get it again"
	maxFile = 64 << 20
)

// The most values in a tokenizer.json of any size, and then one for so many bytes: a token and its number take 12 bytes or more, and
// the largest vocabulary of this kind, LaBSE's, has 501,153 of them.
const (
	fewValues     = 250_000
	bytesPerValue = 8
)

// maxLongest bounds the characters of a word that is cut into pieces, since the time for it grows with their square; files say 100.
const maxLongest = 1000

// maxTokens bounds the special tokens: there are a hundred or so. Each text is searched for each of them.
const maxTokens = 10_000

// Tokenizer is a WordPiece tokenizer. Its methods may be called from several goroutines at once.
type Tokenizer struct {
	vocabulary map[string]int
	special    []special
	unknown    int
	pad        int
	before     []int // put before a text
	after      []int
	prefix     string
	longest    int // characters of a word
	widest     int // bytes of a piece

	clean, chinese, accents, lower bool
}

// special is a token that stands for itself wherever the text has it.
type special struct {
	text string
	id   int
}

// file is what of a tokenizer.json counts here.
type file struct {
	Padding *struct {
		ID int `json:"pad_id"`
	} `json:"padding"`
	Added []struct {
		ID         int    `json:"id"`
		Content    string `json:"content"`
		Normalized bool   `json:"normalized"`
		Single     bool   `json:"single_word"`
		Left       bool   `json:"lstrip"`
		Right      bool   `json:"rstrip"`
	} `json:"added_tokens"`
	Normalizer struct {
		Type    string `json:"type"`
		Clean   *bool  `json:"clean_text"`
		Chinese *bool  `json:"handle_chinese_chars"`
		Accents *bool  `json:"strip_accents"` // null: as lowercase
		Lower   *bool  `json:"lowercase"`
	} `json:"normalizer"`
	Pre struct {
		Type string `json:"type"`
	} `json:"pre_tokenizer"`
	Post struct {
		Type   string          `json:"type"`
		Single []piece         `json:"single"`
		Tokens map[string]ids  `json:"special_tokens"`
		Sep    json.RawMessage `json:"sep"` // ["[SEP]", 102]
		CLS    json.RawMessage `json:"cls"`
	} `json:"post_processor"`
	Model struct {
		Type       string         `json:"type"`
		Unknown    string         `json:"unk_token"`
		Prefix     *string        `json:"continuing_subword_prefix"`
		Longest    *int           `json:"max_input_chars_per_word"`
		Vocabulary map[string]int `json:"vocab"`
	} `json:"model"`
}

type ids struct {
	IDs []int `json:"ids"`
}

type piece struct {
	Special *struct {
		ID string `json:"id"`
	} `json:"SpecialToken"`
	Sequence *struct {
		ID string `json:"id"`
	} `json:"Sequence"`
}

// Open reads a tokenizer.json of at most 64 MB.
func Open(path string) (*Tokenizer, error) {
	data, err := untrusted.ReadFilled(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("wordpiece: %w", err)
	}
	t, err := Parse(data)
	if typed := new(Error); errors.As(err, &typed) {
		typed.File = path
	}
	return t, err
}

// Parse reads the text of a tokenizer.json.
func Parse(data []byte) (*Tokenizer, error) {
	if len(data) > maxFile {
		return nil, &Error{Text: fmt.Sprintf("%d bytes, at most %d are read", len(data), maxFile), Fix: fixKind}
	}
	if err := untrusted.CheckJSON("tokenizer.json", data, max(fewValues, len(data)/bytesPerValue)); err != nil {
		return nil, &Error{Text: err.Error(), Fix: fixFile}
	}
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, &Error{Text: untrusted.JSONError(err).Error(), Fix: fixFile}
	}
	for _, kind := range []struct{ field, got, want string }{
		{"model.type", f.Model.Type, "WordPiece"}, {"normalizer.type", f.Normalizer.Type, "BertNormalizer"}, {"pre_tokenizer.type", f.Pre.Type, "BertPreTokenizer"},
	} {
		if kind.got != kind.want {
			return nil, &Error{Field: kind.field, Text: fmt.Sprintf("%s, only %q is read", printable.Quote(kind.got), kind.want), Fix: fixKind}
		}
	}
	t := &Tokenizer{vocabulary: f.Model.Vocabulary, prefix: "##", longest: 100}
	or := func(v *bool, otherwise bool) bool {
		if v == nil {
			return otherwise
		}
		return *v
	}
	t.clean, t.chinese, t.lower = or(f.Normalizer.Clean, true), or(f.Normalizer.Chinese, true), or(f.Normalizer.Lower, true)
	t.accents = or(f.Normalizer.Accents, t.lower)
	if f.Model.Prefix != nil {
		t.prefix = *f.Model.Prefix
	}
	if f.Model.Longest != nil {
		t.longest = *f.Model.Longest
	}
	if f.Padding != nil {
		t.pad = f.Padding.ID
	}
	return t, t.complete(&f)
}

// complete looks up the special tokens and checks the numbers.
func (t *Tokenizer) complete(f *file) error {
	if n := max(len(f.Added), len(f.Post.Single), len(f.Post.Tokens)); n > maxTokens {
		return &Error{Text: fmt.Sprintf("%d special tokens, at most %d are read", n, maxTokens), Fix: fixKind}
	}
	most := 4 * (len(t.vocabulary) + len(f.Added) + 1) // numbers may have gaps, but not without end
	if t.longest > maxLongest {
		return &Error{Field: "model.max_input_chars_per_word", Text: fmt.Sprintf("%d, at most %d are read", t.longest, maxLongest), Fix: fixKind}
	}
	for word, id := range t.vocabulary {
		t.widest = max(t.widest, len(word))
		if id < 0 || id > most {
			return &Error{Field: "model.vocab", Text: fmt.Sprintf("%s has number %d", printable.Quote(word), id), Fix: fixFile}
		}
	}
	var ok bool
	if t.unknown, ok = t.vocabulary[f.Model.Unknown]; !ok {
		return &Error{Field: "model.unk_token", Text: fmt.Sprintf("%s is not in the vocabulary", printable.Quote(f.Model.Unknown)), Fix: fixFile}
	}
	for i, a := range f.Added {
		switch {
		case a.Content == "" || a.ID < 0 || a.ID > most:
			return &Error{Field: fmt.Sprintf("added_tokens.%d", i), Text: fmt.Sprintf("%s has number %d", printable.Quote(a.Content), a.ID), Fix: fixFile}
		case a.Normalized || a.Single || a.Left || a.Right:
			return &Error{Field: fmt.Sprintf("added_tokens.%d", i), Text: fmt.Sprintf("%s is to be found in a way that is not known here", printable.Quote(a.Content)), Fix: fixKind}
		}
		t.special = append(t.special, special{a.Content, a.ID})
	}
	// The longest first, so that none hides behind its own beginning.
	slices.SortStableFunc(t.special, func(a, b special) int { return len(b.text) - len(a.text) })
	switch f.Post.Type {
	case "TemplateProcessing":
		return t.template(f)
	case "BertProcessing":
		for _, end := range []struct {
			field string
			pair  json.RawMessage
			to    *[]int
		}{{"post_processor.cls", f.Post.CLS, &t.before}, {"post_processor.sep", f.Post.Sep, &t.after}} {
			var text string
			var id int
			if err := json.Unmarshal(end.pair, &[]any{&text, &id}); err != nil || id < 0 || id > most {
				return &Error{Field: end.field, Text: fmt.Sprintf("it is %s, want a token and its number", printable.Quote(string(end.pair))), Fix: fixFile}
			}
			*end.to = []int{id}
		}
		return nil
	case "":
		return nil
	}
	return &Error{Field: "post_processor.type", Text: fmt.Sprintf("%s, only TemplateProcessing and BertProcessing are read", printable.Quote(f.Post.Type)), Fix: fixKind}
}

// template reads what stands before and after a single text.
func (t *Tokenizer) template(f *file) error {
	seen := false
	for i, p := range f.Post.Single {
		field := fmt.Sprintf("post_processor.single.%d", i)
		switch {
		case p.Sequence != nil && !seen:
			seen = true
		case p.Special != nil:
			token, ok := f.Post.Tokens[p.Special.ID]
			if !ok {
				return &Error{Field: field, Text: fmt.Sprintf("%s is not among special_tokens", printable.Quote(p.Special.ID)), Fix: fixFile}
			}
			if seen {
				t.after = append(t.after, token.IDs...)
			} else {
				t.before = append(t.before, token.IDs...)
			}
		default:
			return &Error{Field: field, Text: "want one sequence with special tokens around it", Fix: fixFile}
		}
	}
	for _, id := range slices.Concat(t.before, t.after) {
		if id < 0 || id > 4*(len(t.vocabulary)+len(f.Added)+1) {
			return &Error{Field: "post_processor.special_tokens", Text: fmt.Sprintf("number %d", id), Fix: fixFile}
		}
	}
	if !seen {
		return &Error{Field: "post_processor.single", Text: "no sequence in it", Fix: fixFile}
	}
	return nil
}

// Pad is the number that fills up the shorter texts of a batch.
func (t *Tokenizer) Pad() int { return t.pad }

// Len is the number of words and pieces in the vocabulary.
func (t *Tokenizer) Len() int { return len(t.vocabulary) }

// Encode returns the numbers of a text, with the frame. If there are more than most of them, the last are dropped; 0 means unlimited.
func (t *Tokenizer) Encode(text string, most int) []int {
	var body []int
	found := make([]int, len(t.special)) // where each special token comes next
	for start := 0; start < len(text); {
		at, token := t.nextSpecial(text, start, found)
		body = t.words(body, text[start:at])
		if token == nil {
			break
		}
		body = append(body, token.id)
		start = at + len(token.text)
	}
	if frame := len(t.before) + len(t.after); most > 0 && len(body)+frame > most {
		body = body[:max(0, most-frame)]
	}
	return slices.Concat(t.before, body, t.after)
}

// nextSpecial finds the first special token in a text from start on; nil if there is none, and the text's length. It looks for a token
// anew only once the place that was found for it is passed, so that the whole text is searched once for each.
func (t *Tokenizer) nextSpecial(text string, start int, found []int) (at int, token *special) {
	at = len(text)
	for i := range t.special {
		if start == 0 || found[i] < start {
			found[i] = len(text)
			if n := strings.Index(text[start:], t.special[i].text); n >= 0 {
				found[i] = start + n
			}
		}
		if found[i] < at {
			at, token = found[i], &t.special[i]
		}
	}
	return at, token
}

// words appends the numbers of text without special tokens.
func (t *Tokenizer) words(to []int, text string) []int {
	text = t.normalise(text)
	start := 0
	for i, r := range text {
		space, mark := unicode.IsSpace(r), punctuation(r)
		if !space && !mark {
			continue
		}
		to = t.pieces(to, text[start:i])
		start = i + utf8.RuneLen(r)
		if mark {
			to = t.pieces(to, text[i:start])
		}
	}
	return t.pieces(to, text[start:])
}

// normalise cleans a text. What is no UTF-8 becomes the replacement character, and goes.
func (t *Tokenizer) normalise(text string) string {
	var b strings.Builder
	text = strings.ToValidUTF8(text, "\ufffd")
	for _, r := range text {
		switch {
		case t.clean && (r == '\t' || r == '\n' || r == '\r'):
			b.WriteByte(' ')
		case t.clean && (r == '\ufffd' || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs)):
		case t.clean && unicode.IsSpace(r):
			b.WriteByte(' ')
		case t.chinese && han(r):
			b.WriteByte(' ')
			b.WriteRune(r)
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
	}
	text = b.String()
	if t.accents {
		text = strings.Map(func(r rune) rune {
			if unicode.Is(unicode.Mn, r) {
				return -1
			}
			return r
		}, norm.NFD.String(text))
	}
	if t.lower {
		text = strings.ToLower(strings.ReplaceAll(text, "\u0130", "i\u0307")) // the one letter whose lower case is two characters
	}
	return text
}

// pieces appends the numbers of one word.
func (t *Tokenizer) pieces(to []int, word string) []int {
	if word == "" {
		return to
	}
	if utf8.RuneCountInString(word) > t.longest {
		return append(to, t.unknown)
	}
	known := len(to)
	for start := 0; start < len(word); {
		end, id := min(len(word), start+t.widest), -1
		for ; end > start; end-- {
			if end < len(word) && !utf8.RuneStart(word[end]) {
				continue
			}
			text := word[start:end]
			if start > 0 {
				text = t.prefix + text
			}
			if n, ok := t.vocabulary[text]; ok {
				id = n
				break
			}
		}
		if id < 0 {
			return append(to[:known], t.unknown)
		}
		to, start = append(to, id), end
	}
	return to
}

// punctuation is every ASCII character that is no letter, digit or space, and what Unicode calls punctuation.
func punctuation(r rune) bool {
	if r < utf8.RuneSelf {
		return r > ' ' && r < 0x7f && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}
	return unicode.IsPunct(r)
}

// han are the blocks of Han characters, with the limits that BERT's own code has.
func han(r rune) bool {
	for _, block := range [][2]rune{
		{0x4E00, 0x9FFF}, {0x3400, 0x4DBF}, {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF}, {0xF900, 0xFAFF}, {0x2F800, 0x2FA1F},
	} {
		if r >= block[0] && r <= block[1] {
			return true
		}
	}
	return false
}
