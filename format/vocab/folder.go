package vocab

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Files are the files of a Hugging Face folder that say what the keys of a GGUF file say of its tokenizer; value gives one, nil where there is
// none. left says why there is no tokenizer among them, "" where there is one or the file has none.
func Files(value func(key string) any) (files map[string][]byte, left string) {
	files = map[string][]byte{}
	templates := TemplatesOf(value)
	for _, t := range templates {
		if t.Name == usual {
			files[TemplateFile] = []byte(t.Text)
		}
	}
	v := fromKeys(value)
	if v == nil {
		return files, ""
	}
	text, left := v.json()
	if left != "" {
		return files, left
	}
	files[tokenizerFile] = text
	s := map[string]any{"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": false}
	for _, key := range specialKeys {
		if n, ok := v.Special[key[0]]; ok {
			s[key[0]+"_token"] = v.Tokens[n]
		}
	}
	if len(templates) > 1 {
		s[templateName] = templates
		delete(files, TemplateFile)
	}
	if files[settingsFile], left = indented(s); left != "" {
		delete(files, tokenizerFile)
	}
	return files, left
}

// templateName is the key of chat templates in tokenizer_config.json.
const templateName = "chat_template"

// fromKeys reads the keys of a GGUF file; nil where they say no tokenizer that is whole.
func fromKeys(value func(key string) any) *Vocabulary {
	const ours = "tokenizer.ggml."
	v := &Vocabulary{Special: map[string]int{}, Add: map[string]bool{}}
	v.Model, _ = value(ours + "model").(string)
	v.Pre, _ = value(ours + "pre").(string)
	v.Tokens, _ = value(ours + "tokens").([]string)
	v.Types, _ = value(ours + "token_type").([]int32)
	v.Scores, _ = value(ours + "scores").([]float32)
	v.Merges, _ = value(ours + "merges").([]string)
	if len(v.Tokens) == 0 || len(v.Tokens) > maxTokens || len(v.Types) != len(v.Tokens) {
		return nil
	}
	for _, key := range specialKeys {
		var n int
		switch id := value(ours + key[1]).(type) {
		case uint32:
			n = int(id)
		case int32:
			n = int(id)
		default:
			continue
		}
		if n >= 0 && n < len(v.Tokens) {
			v.Special[key[0]] = n
		}
	}
	v.Add["bos"] = v.Model == "llama"
	for _, name := range []string{"bos", "eos"} {
		if add, ok := value(ours + "add_" + name + "_token").(bool); ok {
			v.Add[name] = add
		}
	}
	if prefix, ok := value(ours + "add_space_prefix").(bool); ok {
		v.Prefix = &prefix
	}
	return v
}

// object is a JSON object.
type object = map[string]any

// json is a tokenizer.json; left says why there is none.
func (v *Vocabulary) json() (text []byte, left string) {
	vocab := make(map[string]int, len(v.Tokens))
	added := []object{}
	for i, token := range v.Tokens {
		switch v.Types[i] {
		case Unused:
		case Control, Own, Unknown:
			added = append(added, object{"id": i, "content": token, "special": v.Types[i] != Own, "normalized": false, "single_word": false, "lstrip": false, "rstrip": false})
			fallthrough
		default:
			vocab[token] = i
		}
	}
	file := object{"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added, "post_processor": v.processor()}
	model := object{"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocab}
	switch v.Model {
	case "gpt2":
		steps, whole, ok := stepsOf(v.Pre)
		if !ok {
			return nil, fmt.Sprintf("how the GGUF file's tokenizer cuts texts (%s) is not a known way, so it is only in the metadata", v.Pre)
		}
		level := object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}
		file["normalizer"], file["pre_tokenizer"], file["decoder"] = nil, steps, level
		model["merges"], model["ignore_merges"] = v.Merges, whole
	case "llama":
		if len(v.Scores) != len(v.Tokens) {
			return nil, "the GGUF file's tokenizer has no scores, so it is only in the metadata"
		}
		v.pieceSteps(file, model)
	default:
		return nil, fmt.Sprintf("the GGUF file's tokenizer is of kind %q, which no tokenizer.json is made of, so it is only in the metadata", v.Model)
	}
	file["model"] = model
	return indented(file)
}

func indented(v any) (text []byte, left string) {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, err.Error()
	}
	return append(text, '\n'), ""
}

// processor puts the special tokens before and behind a text.
func (v *Vocabulary) processor() any {
	single, tokens := []object{{"Sequence": object{"id": "A", "type_id": 0}}}, object{}
	pair := []object{{"Sequence": object{"id": "A", "type_id": 0}}, {"Sequence": object{"id": "B", "type_id": 1}}}
	for _, name := range []string{"bos", "eos"} {
		n, there := v.Special[name]
		if !v.Add[name] || !there {
			continue
		}
		token := v.Tokens[n]
		part := object{"SpecialToken": object{"id": token, "type_id": 0}}
		tokens[token] = object{"id": token, "ids": []int{n}, "tokens": []string{token}}
		if name == "bos" {
			single, pair = slices.Insert(single, 0, part), slices.Insert(pair, 0, part)
		} else {
			single, pair = append(single, part), append(pair, part)
		}
	}
	if len(tokens) == 0 {
		return nil
	}
	return object{"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens}
}

// pieceSteps are those of SentencePiece's kind. The merges of a token are all the pairs of tokens that it is the sum of, the tokens in the order of
// their scores.
func (v *Vocabulary) pieceSteps(file, model object) {
	normalizers := []object{{"type": "Replace", "pattern": object{"String": " "}, "content": space}}
	decoders := []object{{"type": "Replace", "pattern": object{"String": space}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}}
	if v.Prefix == nil || *v.Prefix {
		normalizers = slices.Insert(normalizers, 0, object{"type": "Prepend", "prepend": space})
		decoders = append(decoders, object{"type": "Strip", "content": " ", "start": 1, "stop": 0})
	}
	file["normalizer"], file["pre_tokenizer"] = object{"type": "Sequence", "normalizers": normalizers}, nil
	file["decoder"] = object{"type": "Sequence", "decoders": decoders}
	model["byte_fallback"], model["fuse_unk"] = true, true
	if n, ok := v.Special["unk"]; ok {
		model["unk_token"] = v.Tokens[n]
	} else if n := slices.Index(v.Types, Unknown); n >= 0 {
		model["unk_token"] = v.Tokens[n]
	}
	known := make(map[string]bool, len(v.Tokens))
	var order []int
	for i, token := range v.Tokens {
		if v.Types[i] == Normal {
			known[token], order = true, append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case v.Scores[a] > v.Scores[b]:
			return -1
		case v.Scores[a] < v.Scores[b]:
			return 1
		}
		return 0
	})
	merges := [][2]string{}
	for _, i := range order {
		token := v.Tokens[i]
		if len(token) > longest {
			continue
		}
		for at := range token {
			if at > 0 && known[token[:at]] && known[token[at:]] {
				merges = append(merges, [2]string{token[:at], token[at:]})
			}
		}
	}
	model["merges"] = merges
}

// stepsOf is the pre-tokenizer of a way to cut texts; whole tells that a word that is a token is not taken apart.
func stepsOf(pre string) (steps any, whole, ok bool) {
	same := map[string]string{
		"llama3": "llama-bpe", "llama-v3": "llama-bpe", "dbrx": "smaug-bpe", "phi-2": "gpt-2", "olmo": "gpt-2", "mpt": "gpt-2",
		"deepseek-r1-qwen": "qwen2", "megrez": "qwen2", "stablelm2": "qwen2",
		"starcoder": "smollm", "refact": "smollm", "command-r": "smollm", "llama4": "gpt-4o",
	}
	if as, ok := same[pre]; ok {
		pre = as
	}
	for _, c := range cuts {
		if c.pre != pre {
			continue
		}
		var list []object
		for _, step := range c.steps {
			switch step {
			case words, bytesOf:
				list = append(list, object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": step == words})
			case digits:
				list = append(list, object{"type": "Digits", "individual_digits": true})
			default:
				list = append(list, object{"type": "Split", "pattern": object{"Regex": step}, "behavior": "Isolated", "invert": false})
			}
		}
		if len(list) == 1 {
			return list[0], c.whole, true
		}
		return object{"type": "Sequence", "pretokenizers": list}, c.whole, true
	}
	return nil, false, false
}
