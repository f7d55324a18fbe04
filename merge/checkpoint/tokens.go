package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// tokenEntry is a token beside the vocabulary of a tokenizer.json.
type tokenEntry map[string]any

// tokenTable is the tokens of a tokenizer.json: their rows, and those beside the vocabulary as they stand there.
type tokenTable struct {
	rows  map[string]int
	added map[string]tokenEntry
}

// size0 is one more than the largest row.
func size0(tokens map[string]int) int {
	n := 0
	for _, row := range tokens {
		n = max(n, row+1)
	}
	return n
}

func byRow(tokens map[string]int) []string {
	return slices.SortedFunc(maps.Keys(tokens), func(a, b string) int { return tokens[a] - tokens[b] })
}

// The most values in a tokenizer.json of any size, and then one for so many bytes. Those of models have ten bytes or more for each.
const (
	fewTokens     = 250_000
	bytesPerToken = 4
)

// readTokens reads the tokens of a tokenizer.json and their rows.
func readTokens(dir string) (table tokenTable, err error) {
	path := filepath.Join(dir, "tokenizer.json")
	text, err := hf.ReadCompanion(dir, "tokenizer.json")
	if err != nil {
		return table, &fault.Input{File: path, Err: err, Fix: "tokens are matched by tokenizer.json: get it, or leave tokenizer_source out"}
	}
	if err := untrusted.CheckJSON(path, text, max(fewTokens, len(text)/bytesPerToken)); err != nil {
		return table, err
	}
	var file struct {
		Model struct {
			Vocab json.RawMessage `json:"vocab"`
		} `json:"model"`
		Added []json.RawMessage `json:"added_tokens"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return table, &fault.Input{File: path, Err: untrusted.JSONError(err), Fix: "get it again"}
	}
	tokens := map[string]int{}
	if bytes.HasPrefix(file.Model.Vocab, []byte("[")) {
		err = listedTokens(file.Model.Vocab, tokens)
	} else {
		err = json.Unmarshal(file.Model.Vocab, &tokens)
	}
	if err != nil {
		return table, &fault.Input{File: path, Field: "model.vocab", Err: untrusted.JSONError(err), Fix: "get it again"}
	}
	table = tokenTable{rows: tokens, added: map[string]tokenEntry{}}
	for _, raw := range file.Added {
		var t struct {
			ID      int    `json:"id"`
			Content string `json:"content"`
		}
		entry := tokenEntry{}
		if err := errors.Join(json.Unmarshal(raw, &t), json.Unmarshal(raw, &entry)); err != nil {
			return table, &fault.Input{File: path, Field: "added_tokens", Err: untrusted.JSONError(err), Fix: "get it again"}
		}
		tokens[t.Content], table.added[t.Content] = t.ID, entry
	}

	most := 4*len(tokens) + fewTokens // rows may have gaps, but not without end
	for token, row := range tokens {
		if row < 0 || row >= most {
			return table, &fault.Input{File: path, Field: token, Err: fmt.Errorf("its row is %d", row), Fix: "get the file again"}
		}
	}
	return table, nil
}

// listedTokens reads a vocabulary that lists [token, score] in the order of rows, one entry after the other.
func listedTokens(list []byte, tokens map[string]int) error {
	d := json.NewDecoder(bytes.NewReader(list))
	if _, err := d.Token(); err != nil {
		return err
	}
	for row := 0; d.More(); row++ {
		var entry []any
		if err := d.Decode(&entry); err != nil {
			return err
		}
		if len(entry) > 0 {
			tokens[fmt.Sprint(entry[0])] = row
		}
	}
	return nil
}

// withTokens is a tokenizer.json with more tokens.
func (v *vocabulary) withTokens(text []byte) ([]byte, error) {
	if len(v.added) == 0 {
		return text, nil
	}
	var file map[string]json.RawMessage
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	var added []json.RawMessage
	if list, ok := file["added_tokens"]; ok {
		if err := json.Unmarshal(list, &added); err != nil {
			return nil, errors.Join(errors.New("added_tokens"), err)
		}
	}
	for i, token := range v.added {
		entry := maps.Clone(v.entries[token])
		if entry == nil {
			entry = tokenEntry{"content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": false}
		}
		entry["id"] = v.first + i
		text, err := json.Marshal(entry)
		if err != nil {
			return nil, err
		}
		added = append(added, text)
	}

	var err error
	if file["added_tokens"], err = json.Marshal(added); err != nil {
		return nil, err
	}
	out, err := json.MarshalIndent(file, "", "  ")
	return append(out, '\n'), err
}
