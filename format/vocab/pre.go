package vocab

import (
	"encoding/json"
	"slices"
	"strings"
)

// Parts of the patterns that texts are cut by. Those of a contraction are written in two ways.
const (
	anyCase   = `(?i:'s|'t|'re|'ve|'m|'ll|'d)`
	eachCase  = `(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])`
	ending    = `|\s*[\r\n]+|\s+(?!\S)|\s+`
	word      = `|[^\r\n\p{L}\p{N}]?\p{L}+`
	marks     = `| ?[^\s\p{L}\p{N}]+[\r\n]*`
	upper     = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+`
	lower     = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*`
	slashes   = `| ?[^\s\p{L}\p{N}]+[\r\n/]*`
	bytesOf   = "bytes"   // ByteLevel, which cuts nothing
	words     = "words"   // ByteLevel with its own pattern, GPT-2's
	digits    = "digits"  // each digit apart
	unmatched = "unknown" // any other step
)

// deepSeek is the last pattern of deepseek-v3.
const deepSeek = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"

// cuts are the ways to cut a text by llama.cpp's names, each a list of steps. whole tells those in which a word that is a token is not
// taken apart by merges, as ignore_merges of tokenizer.json says.
var cuts = []struct {
	pre   string
	whole bool
	steps []string
}{
	{"gpt-2", false, []string{words}},
	{"smollm", false, []string{digits, words}},
	{"llama-bpe", true, []string{anyCase + word + `|\p{N}{1,3}` + marks + ending, bytesOf}},
	{"smaug-bpe", false, []string{anyCase + word + `|\p{N}{1,3}` + marks + ending, bytesOf}},
	{"qwen2", false, []string{anyCase + word + `|\p{N}` + marks + ending, bytesOf}},
	{"qwen35", false, []string{anyCase + `|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*` + ending, bytesOf}},
	{"gpt-4o", false, []string{upper + anyCase + `?|` + lower + anyCase + `?|\p{N}{1,3}` + slashes + ending, bytesOf}},
	{"tekken", true, []string{upper + `|` + lower + `|\p{N}` + slashes + ending, bytesOf}},
	{"deepseek-v3", false, []string{`\p{N}{1,3}`, "[一-龥\u3040-ゟ゠-ヿ]+", deepSeek, bytesOf}},
	{"deepseek-coder", false, []string{"[\r\n]", `\s?\p{L}+`, `\s?\p{P}+`, "[一-龥ࠀ-一가-\ud7ff]+", digits, bytesOf}},
}

// pre names the way the tokenizer cuts a text; "default" and a remark for one that has no name.
func (t *tokenizer) pre() (name, remark string) {
	var steps []string
	for _, s := range t.PreTokenizer.all() {
		steps = append(steps, s.cut())
	}
	near := ""
	for _, c := range cuts {
		if !slices.Equal(steps, c.steps) {
			continue
		}
		if c.whole == t.Model.IgnoreMerges {
			return c.pre, ""
		}
		near = c.pre
	}
	if near != "" {
		return near, "the tokenizer cuts texts as " + near + " does, but treats ignore_merges the other way: some words may be cut differently"
	}
	return "default", "the tokenizer goes along with tokenizer.ggml.pre = default: how " + tokenizerFile + " splits text before its merges has no name in GGUF, so some texts may be cut differently"
}

// cut is a step in the words of cuts.
func (s step) cut() string {
	switch s.Type {
	case "ByteLevel":
		switch {
		case s.AddPrefix != nil && *s.AddPrefix:
			return unmatched
		case s.UseRegex != nil && !*s.UseRegex:
			return bytesOf
		}
		return words
	case "Digits":
		if s.Individual {
			return digits
		}
	case "Split":
		var pattern struct {
			Regex string `json:"Regex"`
		}
		if json.Unmarshal(s.Pattern, &pattern) != nil || s.Behavior != "Isolated" && (s.Behavior != "Removed" || !s.Invert) {
			return unmatched
		}
		if pattern.Regex == `\p{N}` || pattern.Regex == `\d` {
			return digits
		}
		return strings.ReplaceAll(pattern.Regex, eachCase, anyCase)
	}
	return unmatched
}
