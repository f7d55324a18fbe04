package vocab

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// byteTokenizer is a tokenizer.json of byte pairs.
const byteTokenizer = `{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "<s>": 3}, "merges": ["a b"], "ignore_merges": true},
	"added_tokens": [{"id": 3, "content": "<s>", "special": true}, {"id": 4, "content": "own", "special": false}],
	"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, {"type": "ByteLevel", "use_regex": true}]},
	"post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}]}, "decoder": {"type": "ByteLevel"}}`

// FuzzRead: whatever the files of a tokenizer are, they are left out with a remark, or make a vocabulary that is whole.
func FuzzRead(f *testing.F) {
	const settings = `{"tokenizer_class": "LlamaTokenizer", "bos_token": {"content": "<s>"}, "eos_token": "own", "add_eos_token": true, "legacy": false,
		"added_tokens_decoder": {"3": {"content": "<s>", "special": true}}, "chat_template": [{"name": "default", "template": "x"}, {"name": "rag", "template": "y"}]}`
	f.Add([]byte(byteTokenizer), []byte(settings), []byte(nil), 5)
	f.Add([]byte(`{"model": {"type": "BPE", "vocab": {"\u2581a": 0, "<0x41>": 1}, "merges": [["\u2581", "a"]], "byte_fallback": true}, "normalizer": {"type": "Prepend", "prepend": "\u2581"}}`), []byte(`{}`), []byte(nil), 0)
	f.Add([]byte(`{"model": {"type": "Unigram"}}`), []byte(`{"chat_template": "x", "added_tokens_decoder": {"-1": {"content": "n"}}}`), []byte(pieceModel(bytePairs, 1)), 300)
	f.Add([]byte(`{"model": {"type": "BPE", "vocab": {"a": 9223372036854775807}}}`), []byte(`[]`), []byte(pieceModel(unigram, 0)), 1)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, tokenizer, settings, pieces []byte, rows int) {
		if rows < 0 || rows > 1000 || len(tokenizer)+len(settings)+len(pieces) > 1<<16 {
			return
		}
		for name, content := range map[string][]byte{tokenizerFile: tokenizer, settingsFile: settings, pieceFile: pieces} {
			path := filepath.Join(dir, name)
			if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if len(content) > 0 {
				if err := os.WriteFile(path, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		v, remarks := Read(dir, rows, map[string]json.RawMessage{"bos_token_id": settings, "eos_token_id": json.RawMessage("[3]")})
		if v == nil {
			if len(remarks) == 0 && len(tokenizer) > 0 {
				t.Fatal("a tokenizer is left out without a word")
			}
			return
		}
		whole := len(v.Types) == len(v.Tokens) && (v.Scores == nil || len(v.Scores) == len(v.Tokens)) && (rows == 0 || len(v.Tokens) == rows)
		for _, n := range v.Special {
			whole = whole && n >= 0 && n < len(v.Tokens)
		}
		if !whole || len(v.Tokens) > maxTokens {
			t.Fatalf("%d tokens, %d kinds, %d scores for %d rows; %v", len(v.Tokens), len(v.Types), len(v.Scores), rows, v.Special)
		}
		keys := v.Keys()
		checkFiles(t, func(key string) any { return keys[key] })
	})
}

// FuzzFiles: whatever the keys of a GGUF file say of a tokenizer, the files that are made of them are JSON.
func FuzzFiles(f *testing.F) {
	for _, model := range []string{"gpt2", "llama", "bert"} {
		f.Add([]byte(`{"tokenizer.ggml.model": "` + model + `", "tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.tokens": ["<s>", "a", "b", "ab"], "tokenizer.ggml.token_type": [3, 1, 1, 1],
			"tokenizer.ggml.scores": [0, 1.5, -2, 3], "tokenizer.ggml.merges": ["a b"], "tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.add_bos_token": true,
			"tokenizer.chat_template": "x", "tokenizer.chat_templates": ["rag"], "tokenizer.chat_template.rag": "y"}`))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var keys map[string]any
		if json.Unmarshal(text, &keys) == nil {
			checkFiles(t, func(key string) any { return keyOf(key, keys[key]) })
		}
	})
}

// checkFiles holds what Files makes of keys against what it promises.
func checkFiles(t *testing.T, value func(key string) any) {
	t.Helper()
	files, left := Files(value)
	for name, text := range files {
		if name != TemplateFile && !json.Valid(text) {
			t.Fatalf("%s is no JSON: %s", name, text)
		}
	}
	if _, made := files[tokenizerFile]; made && left != "" {
		t.Fatalf("a tokenizer is left (%s) and written", left)
	}
}

// keyOf is a value of JSON as a reader of GGUF gives one under a key.
func keyOf(key string, v any) any {
	switch v := v.(type) {
	case float64:
		if v >= 0 && v <= math.MaxUint32 {
			return uint32(v)
		}
		return int32(math.Mod(v, math.MaxInt32))
	case []any:
		var texts []string
		var kinds []int32
		var scores []float32
		for _, item := range v {
			switch item := item.(type) {
			case string:
				texts = append(texts, item)
			case float64:
				kinds, scores = append(kinds, int32(math.Mod(item, math.MaxInt32))), append(scores, float32(item))
			}
		}
		switch key {
		case "tokenizer.ggml.token_type":
			return kinds
		case "tokenizer.ggml.scores":
			return scores
		}
		return texts
	}
	return v
}
