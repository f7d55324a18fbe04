package vocab

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// folder writes files into a new folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func field(number int, text string) string {
	return string(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(number)<<3|2), uint64(len(text)))) + text
}

func whole(number int, value uint64) string {
	return string(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(number)<<3), value))
}

// piece is an entry of a tokenizer.model.
func piece(text string, score float32, kind int32) string {
	out := field(1, text) + string(binary.LittleEndian.AppendUint32(binary.AppendUvarint(nil, 2<<3|5), math.Float32bits(score)))
	if kind != Normal {
		out += whole(3, uint64(kind))
	}
	return field(1, out)
}

// pieceModel is a tokenizer.model of byte pairs with tokens for bytes.
func pieceModel(kind uint64, dummyPrefix uint64) string {
	out := piece("<unk>", 0, Unknown) + piece("<s>", 0, Control) + piece("</s>", 0, Control)
	for i := range 256 {
		out += piece(fmt.Sprintf("<0x%02X>", i), 0, Byte)
	}
	return out + piece("\u2581a", -1, Normal) + piece("b", -2, Normal) + field(2, whole(3, kind)+field(1, "x")) + field(3, field(1, "identity")+whole(3, dummyPrefix))
}

// A tokenizer.model gives tokens, scores and kinds as they stand, with the tokens that files beside it add and as many as there are rows.
func TestPieces(t *testing.T) {
	dir := folder(t, map[string]string{
		"tokenizer.model": pieceModel(bytePairs, 1), "added_tokens.json": `{"<|end|>": 261, "<own\u2581one>": 262}`,
		"tokenizer_config.json": `{"tokenizer_class": "LlamaTokenizer", "bos_token": {"content": "<s>"}, "eos_token": "</s>", "add_eos_token": true, "chat_template": "{{ x }}",
			"added_tokens_decoder": {"0": {"content": "<unk>", "special": true}, "1": {"content": "<s>", "special": true}}}`,
	})
	v, remarks := Read(dir, 265, map[string]json.RawMessage{"pad_token_id": json.RawMessage("2"), "eos_token_id": json.RawMessage("[1, 2]")})
	if v == nil || len(remarks) != 0 {
		t.Fatal(remarks)
	}
	if v.Model != "llama" || len(v.Tokens) != 265 || len(v.Scores) != 265 || !slices.Equal(v.Tokens[259:], []string{"\u2581a", "b", "<|end|>", "<own one>", "[PAD263]", "[PAD264]"}) {
		t.Errorf("%s %d %q", v.Model, len(v.Scores), v.Tokens[255:])
	}
	if !slices.Equal(v.Types[:4], []int32{Unknown, Control, Control, Byte}) || !slices.Equal(v.Types[259:], []int32{Normal, Normal, Control, Own, Unused, Unused}) || v.Scores[260] != -2 || v.Scores[261] != -1000 {
		t.Errorf("%v %v", v.Types[255:], v.Scores[255:])
	}
	keys := v.Keys()
	for key, want := range map[string]any{
		"tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default", "tokenizer.ggml.bos_token_id": uint32(1), "tokenizer.ggml.eos_token_id": uint32(2), "tokenizer.ggml.padding_token_id": uint32(2),
		"tokenizer.ggml.add_bos_token": true, "tokenizer.ggml.add_eos_token": true, "tokenizer.ggml.add_space_prefix": true, "tokenizer.chat_template": "{{ x }}",
	} {
		if !reflect.DeepEqual(keys[key], want) {
			t.Errorf("%s is %v, want %v", key, keys[key], want)
		}
	}
	if v, _ := Read(folder(t, map[string]string{"tokenizer.model": pieceModel(bytePairs, 0)}), 0, nil); v == nil || *v.Prefix || len(v.Tokens) != 261 || !v.Add["bos"] == (v.Special["bos"] > 0) {
		t.Errorf("%+v", v)
	}
}

// byteJSON is a tokenizer.json of SentencePiece's kind.
func byteJSON(merges, normalizer string) string {
	var b strings.Builder
	b.WriteString(`{"model": {"type": "BPE", "byte_fallback": true, "unk_token": "<unk>", "vocab": {"<unk>": 0, "<s>": 1, "</s>": 2`)
	for i := range 256 {
		fmt.Fprintf(&b, `, "<0x%02X>": %d`, i, i+3)
	}
	fmt.Fprintf(&b, `, "\u2581": 259, "t": 260, "h": 261, "\u2581t": 262, "he": 263, "e": 264, "\u2581the": 265}, "merges": [%s]}, "normalizer": %s,
		"added_tokens": [{"id": 0, "content": "<unk>", "special": true}, {"id": 1, "content": "<s>", "special": true}, {"id": 2, "content": "</s>", "special": true}]}`, merges, normalizer)
	return b.String()
}

const prepend = `{"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}`

// A tokenizer.json of SentencePiece's kind is one: scores by the order of its merges, tokens for bytes, what is unknown.
func TestPiecesOfJSON(t *testing.T) {
	dir := folder(t, map[string]string{"tokenizer.json": byteJSON(`"\u2581 t", ["h", "e"], "\u2581t he"`, prepend), "tokenizer_config.json": `{"tokenizer_class": "LlamaTokenizerFast", "bos_token": "<s>"}`})
	v, remarks := Read(dir, 0, nil)
	if v == nil || len(remarks) != 0 {
		t.Fatal(remarks)
	}
	if v.Model != "llama" || !*v.Prefix || !v.Add["bos"] || v.Add["eos"] || v.Merges != nil {
		t.Errorf("%+v", v)
	}
	if !slices.Equal(v.Types[:4], []int32{Unknown, Control, Control, Byte}) || v.Types[258] != Byte || v.Types[259] != Normal {
		t.Errorf("kinds %v", v.Types)
	}
	if s := v.Scores; !(s[262] > s[263] && s[263] > s[265] && s[265] > s[259] && s[259] == s[260]) {
		t.Errorf("scores %v", s[259:])
	}
	for _, normalizer := range []string{`null`, `{"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}`} {
		if v, _ := Read(folder(t, map[string]string{"tokenizer.json": byteJSON(`"h e"`, normalizer)}), 0, nil); v == nil || v.Model != "llama" || *v.Prefix {
			t.Errorf("%s: %+v", normalizer, v)
		}
	}
	if _, remarks := Read(folder(t, map[string]string{"tokenizer.json": byteJSON(`"h e"`, prepend)}), 0, nil); len(remarks) != 1 || !strings.HasPrefix(remarks[0], "2 tokens can be joined from pairs that are not merges") {
		t.Errorf("%v", remarks)
	}
	for _, template := range []struct {
		single   string
		bos, eos bool
	}{
		{`[{"Sequence": {"id": "A"}}]`, false, false}, {`[{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]`, true, false},
		{`[{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "</s>"}}]`, true, true},
	} {
		text := strings.Replace(byteJSON(`"h e"`, prepend), `"normalizer"`, `"post_processor": {"type": "TemplateProcessing", "single": `+template.single+`}, "normalizer"`, 1)
		v, _ := Read(folder(t, map[string]string{"tokenizer.json": text, "tokenizer_config.json": `{"bos_token": "<s>", "eos_token": "</s>"}`}), 0, nil)
		if v == nil || v.Add["bos"] != template.bos || v.Add["eos"] != template.eos {
			t.Errorf("%s: %+v", template.single, v.Add)
		}
	}
}

// Each way to cut texts that has a name is found by the steps that models have for it; others are said.
func TestPre(t *testing.T) {
	quote := func(regex string) string {
		text, err := json.Marshal(regex)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	split := func(regex string) string {
		return `{"type": "Split", "pattern": {"Regex": ` + quote(regex) + `}, "behavior": "Isolated", "invert": false}`
	}
	sequence := func(steps ...string) string {
		return `{"type": "Sequence", "pretokenizers": [` + strings.Join(steps, ", ") + `]}`
	}
	const (
		level  = `{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}`
		gpt2   = `{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true}`
		llama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
		qwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
		tekken = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	)
	for _, c := range []struct {
		pre, ignore, want string
		said              bool
	}{
		{gpt2, "false", "gpt-2", false}, {sequence(split(llama3), level), "true", "llama-bpe", false}, {sequence(split(llama3), level), "false", "smaug-bpe", false},
		{sequence(split(qwen2), level), "false", "qwen2", false}, {sequence(split(qwen2), level), "true", "qwen2", true}, {sequence(split(tekken), level), "true", "tekken", false},
		{sequence(`{"type": "Digits", "individual_digits": true}`, gpt2), "false", "smollm", false}, {sequence(split(`\d`), gpt2), "false", "smollm", false},
		{level, "false", "default", true}, {sequence(split(`x`), level), "false", "default", true}, {"null", "false", "default", true}, {strings.Replace(gpt2, "false", "true", 1), "false", "default", true},
	} {
		text := `{"model": {"type": "BPE", "ignore_merges": ` + c.ignore + `, "vocab": {"a": 0, "\u0120": 1, "a\u0120": 2}, "merges": [["a", " "]]}, "pre_tokenizer": ` + c.pre + `}`
		v, remarks := Read(folder(t, map[string]string{"tokenizer.json": text}), 0, nil)
		if v == nil || v.Model != "gpt2" || v.Pre != c.want || (len(remarks) > 0) != c.said || v.Merges[0] != "a \u0120" {
			t.Errorf("%s: %+v %v, want %s", c.pre, v, remarks, c.want)
		}
	}
}

// What is no tokenizer for decoders, or does not fit the model, stays out, and the remark says why.
func TestLeftOut(t *testing.T) {
	for want, files := range map[string]map[string]string{
		"is not a byte-pair tokenizer, so it":        {"tokenizer.json": `{"model": {"vocab": [["a", 0]]}}`},
		"not a byte-pair tokenizer but WordLevel":    {"tokenizer.json": `{"model": {"type": "WordLevel", "vocab": {"a": 0}}}`},
		"not a byte-pair tokenizer but WordPiece":    {"tokenizer.json": `{"model": {"type": "WordPiece", "vocab": {"a": 0}}}`},
		"not a byte-pair tokenizer but Unigram":      {"tokenizer.json": `{"model": {"type": "Unigram", "vocab": [["a", -1.5]]}}`},
		"cuts texts by the likeliest tokens":         {"tokenizer.model": pieceModel(unigram, 1)},
		"cuts texts by words or letters (type 4)":    {"tokenizer.model": pieceModel(4, 1)},
		"lacks tokens for bytes":                     {"tokenizer.json": `{"model": {"type": "BPE", "byte_fallback": true, "vocab": {"a": 0}, "merges": []}}`},
		"tokens 1 and 2 of the tokenizer are both":   {"tokenizer.json": `{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2}, "merges": []}, "added_tokens": [{"id": 2, "content": "b"}]}`},
		"has tokens up to number 9, and the embeddi": {"tokenizer.json": `{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 9}, "merges": []}}`},
		"marks the parts of words":                   {"tokenizer.json": `{"model": {"type": "BPE", "end_of_word_suffix": "</w>", "vocab": {"a": 0}, "merges": []}}`},
		"tokenizer_config.json: ":                    {"tokenizer_config.json": `[1]`},
		"so the chat template is not":                {"tokenizer.json": `{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}`, "tokenizer_config.json": `{"chat_template": 3}`},
	} {
		v, remarks := Read(folder(t, files), 4, nil)
		if len(remarks) == 0 || !strings.Contains(strings.Join(remarks, "; "), want) || v != nil && !strings.Contains(want, "chat template") {
			t.Errorf("%s: %v, %+v", want, remarks, v)
		}
	}
	if v, remarks := Read(t.TempDir(), 4, nil); v != nil || len(remarks) > 0 {
		t.Errorf("%+v %v", v, remarks)
	}
	for _, odd := range []string{"IQ==|plain lists of tokens", "", "\n\x03abc", string(binary.AppendUvarint(nil, 1<<3|2))} { // a llama's other tokenizer.model
		v, _ := Read(folder(t, map[string]string{"tokenizer.model": odd, "tokenizer.json": `{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}`}), 0, nil)
		if v == nil || v.Model != "gpt2" {
			t.Errorf("%q: %+v", odd, v)
		}
	}
}

// Chat templates are found in each of their files, and come back from GGUF's keys.
func TestTemplates(t *testing.T) {
	one, several := []Template{{"default", "x"}}, []Template{{"default", "x"}, {"tool_use", "y"}}
	for _, c := range []struct {
		files map[string]string
		want  []Template
	}{
		{map[string]string{"tokenizer_config.json": `{"chat_template": "x"}`, "chat_template.jinja": "z"}, one},
		{map[string]string{"tokenizer_config.json": `{"chat_template": [{"name": "default", "template": "x"}, {"name": "tool_use", "template": "y"}]}`}, several},
		{map[string]string{"chat_template.jinja": "x"}, one}, {map[string]string{"chat_template.json": `{"chat_template": "x"}`}, one},
		{map[string]string{"chat_template.json": `{"chat_template": {"tool_use": "y", "default": "x"}}`}, several}, {nil, nil},
	} {
		got, err := Templates(folder(t, c.files))
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%v: %v (%v)", c.files, got, err)
		}
		keys := TemplateKeys(got)
		if back := TemplatesOf(func(key string) any { return keys[key] }); !slices.Equal(back, c.want) {
			t.Errorf("%v comes back as %v", c.want, back)
		}
	}
	if keys := TemplateKeys([]Template{{"a b/c", "x"}}); keys["tokenizer.chat_template.a_b_c"] != "x" || !reflect.DeepEqual(keys["tokenizer.chat_templates"], []string{"a_b_c"}) {
		t.Errorf("%v", keys)
	}
}
