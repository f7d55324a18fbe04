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
	"github.com/ballast-ml/ballast/internal/vector"
)

// vocabulary is the tokens of the output: which row of each model's embeddings a row of the output is.
type vocabulary struct {
	rows      int
	of        map[*Input][]int // row of the output -> row of the model, -1 where it lacks the token
	base      *Input
	tokenizer string   // folder whose tokenizer files are copied
	added     []string // tokens that the tokenizer of that folder lacks, from row first on
	first     int
}

// planVocabulary matches tokens if the recipe asks for it.
func (p *Plan) planVocabulary(l layout) error {
	source, pad := p.Recipe.TokenizerSource, 0
	if t := p.Recipe.Tokenizer; t != nil {
		source, pad = t.Source, t.PadToMultipleOf
		if source == "" {
			source = "union"
		}
	}

	if source == "" {
		return nil
	}
	reference := l.reference()
	tokens := map[*Input]map[string]int{}
	for _, in := range p.Inputs {
		var err error
		if tokens[in], err = readTokens(in.dir()); err != nil {
			return err
		}
	}

	v := &vocabulary{of: map[*Input][]int{}, base: reference, tokenizer: reference.dir()}
	chosen := maps.Clone(tokens[reference])
	switch source {
	case "base":
	case "union":
		v.first = size0(chosen)
		next := v.first
		for _, in := range p.Inputs {
			for _, token := range byRow(tokens[in]) {
				if _, ok := chosen[token]; !ok {
					chosen[token] = next
					v.added = append(v.added, token)
					next++
				}
			}
		}
	default:
		in, err := p.input(source)
		if err != nil {
			return err
		}
		if tokens[in] == nil {
			if tokens[in], err = readTokens(in.dir()); err != nil {
				return err
			}
		}
		chosen, v.tokenizer = tokens[in], in.dir()
	}

	if pad < 0 || pad > maxPad {
		return &fault.Input{Field: "tokenizer.pad_to_multiple_of", Err: fmt.Errorf("it is %d, at most %d is possible", pad, maxPad), Fix: "use 64 or 128"}
	}
	v.rows = size0(chosen)
	if pad > 0 {
		v.rows = (v.rows + pad - 1) / pad * pad
	}
	for _, in := range p.Inputs {
		rows := make([]int, v.rows)
		for i := range rows {
			rows[i] = -1
		}
		for token, row := range chosen {
			if at, ok := tokens[in][token]; ok {
				rows[row] = at
			}
		}
		v.of[in] = rows
	}

	p.vocab = v
	return nil
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

// addedToken is a token beside the vocabulary of a tokenizer.json.
type addedToken struct {
	ID      int    `json:"id"`
	Content string `json:"content"`
}

// The most values in a tokenizer.json of any size, and then one for so many bytes. Those of models have ten bytes or more for each.
const (
	fewTokens     = 250_000
	bytesPerToken = 4
)

// maxPad bounds pad_to_multiple_of; sizes that processors like are multiples of 64 or 128.
const maxPad = 1 << 16

// readTokens reads the tokens of a tokenizer.json and their rows.
func readTokens(dir string) (map[string]int, error) {
	path := filepath.Join(dir, "tokenizer.json")
	text, err := hf.ReadCompanion(dir, "tokenizer.json")
	if err != nil {
		return nil, &fault.Input{File: path, Err: err, Fix: "tokens are matched by tokenizer.json: get it, or leave tokenizer_source out"}
	}
	if err := untrusted.CheckJSON(path, text, max(fewTokens, len(text)/bytesPerToken)); err != nil {
		return nil, err
	}
	var file struct {
		Model struct {
			Vocab json.RawMessage `json:"vocab"`
		} `json:"model"`
		Added []addedToken `json:"added_tokens"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, &fault.Input{File: path, Err: untrusted.JSONError(err), Fix: "get it again"}
	}
	tokens := map[string]int{}
	if bytes.HasPrefix(file.Model.Vocab, []byte("[")) {
		err = listedTokens(file.Model.Vocab, tokens)
	} else {
		err = json.Unmarshal(file.Model.Vocab, &tokens)
	}
	if err != nil {
		return nil, &fault.Input{File: path, Field: "model.vocab", Err: untrusted.JSONError(err), Fix: "get it again"}
	}
	for _, t := range file.Added {
		tokens[t.Content] = t.ID
	}

	most := 4*len(tokens) + fewTokens // rows may have gaps, but not without end
	for token, row := range tokens {
		if row < 0 || row >= most {
			return nil, &fault.Input{File: path, Field: token, Err: fmt.Errorf("its row is %d", row), Fix: "get the file again"}
		}
	}
	return tokens, nil
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

// apply makes a tensor with a row for each token one with the rows of the output.
func (v *vocabulary) apply(t *planned) error {
	all := t.all()
	var peers []rowMap
	for _, r := range all {
		if len(r.info.Shape) != len(t.shape) || len(t.shape) == 0 || !slices.Equal(r.info.Shape[1:], t.shape[1:]) {
			return &fault.Input{File: r.in.Path, Field: t.name, Err: fmt.Errorf("the shape is %v, in %s it is %v", r.info.Shape, all[0].in.Path, all[0].info.Shape), Fix: "only the number of rows may differ"}
		}
		plain := *r
		peers = append(peers, rowMap{plain: &plain, rows: v.of[r.in], have: r.info.Shape[0], base: r.in == v.base})
	}
	t.shape = append([]int{v.rows}, t.shape[1:]...)
	columns, ok := untrusted.Product(untrusted.MaxElements, t.shape[1:]...)
	if _, fits := untrusted.Product(untrusted.MaxElements, t.shape...); !ok || !fits {
		return &fault.Input{File: all[0].in.Path, Field: t.name, Err: fmt.Errorf("no array has the shape %v", t.shape), Fix: "use a smaller vocabulary"}
	}
	for i, r := range all {
		m := peers[i]
		m.columns, m.peers = columns, peers
		r.rows = &m
	}
	return nil
}

// rowMap reads rows of a tensor in the order of the output. What a model lacks is the base's row, else that of its only owner, else the mean
// of its owners'; rows without a token stay where they are, or are zero.
type rowMap struct {
	plain   *reader
	rows    []int
	have    int // rows of the model
	base    bool
	columns int
	peers   []rowMap
}

// at is the row of the model, -1 where it has none.
func (m *rowMap) at(row int) int {
	if r := m.rows[row]; r < m.have {
		return r
	}
	return -1
}

func (m *rowMap) read(dst []float32, at int, raw []byte) error {
	for len(dst) > 0 {
		row, column := at/m.columns, at%m.columns
		n := min(len(dst), m.columns-column)
		if own := m.at(row); own >= 0 {
			if err := m.plain.read(dst[:n], own*m.columns+column, raw); err != nil {
				return err
			}
		} else if err := m.fill(dst[:n], row, column, raw); err != nil {
			return err
		}
		dst, at = dst[n:], at+n
	}
	return nil
}

// fill is a row that the model lacks.
func (m *rowMap) fill(dst []float32, row, column int, raw []byte) error {
	var owners []*rowMap
	for i := range m.peers {
		peer := &m.peers[i]
		if peer.at(row) < 0 {
			continue
		}
		if peer.base {
			return peer.plain.read(dst, peer.at(row)*m.columns+column, raw)
		}
		owners = append(owners, peer)
	}

	clear(dst)
	if len(owners) == 0 {
		if row < m.have && !slices.Contains(m.rows, row) { // padding of the model
			return m.plain.read(dst, row*m.columns+column, raw)
		}
		return nil
	}

	one := make([]float32, len(dst))
	for _, o := range owners {
		if err := o.plain.read(one, o.at(row)*m.columns+column, raw); err != nil {
			return err
		}
		vector.AddScaled(dst, 1, one)
	}

	vector.ScaleTo(dst, 1/float32(len(owners)), dst)
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
		entry, err := json.Marshal(map[string]any{
			"id": v.first + i, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": false,
		})
		if err != nil {
			return nil, err
		}
		added = append(added, entry)
	}

	var err error
	if file["added_tokens"], err = json.Marshal(added); err != nil {
		return nil, err
	}
	out, err := json.MarshalIndent(file, "", "  ")
	return append(out, '\n'), err
}
