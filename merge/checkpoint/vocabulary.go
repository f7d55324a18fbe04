package checkpoint

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// vocabulary is the tokens of the output: which row of each model's embeddings a row of the output is.
type vocabulary struct {
	tokens    int // rows that tokens have; those after them are padding
	rows      int
	of        map[*Input][]int // row of the output -> row of the model, -1 where it lacks the token
	named     []bool           // whether a row of the output has a token
	chosen    map[int]filling  // rows of the output for which the recipe says where they come from
	base      *Input           // nil = none
	tokenizer string           // folder whose tokenizer files are copied
	added     []string         // tokens that the tokenizer of that folder lacks, from row first on
	entries   map[string]tokenEntry
	first     int
}

// filling is where a row comes from in models that lack its token, or with force in all of them.
type filling struct {
	token string
	in    *Input // nil = zeros
	row   int
	force bool
}

// planVocabulary matches tokens if the recipe asks for it.
func (p *Plan) planVocabulary() error {
	source, pad, single := p.Recipe.TokenizerSource, 0, map[string]Token(nil)
	if t := p.Recipe.Tokenizer; t != nil {
		source, pad, single = t.Source, t.PadToMultipleOf, t.Tokens
		if source == "" {
			source = "union"
		}
	}
	if source == "" {
		return nil
	}
	if pad < 0 || pad > maxPad {
		return &fault.Input{Field: "tokenizer.pad_to_multiple_of", Err: fmt.Errorf("it is %d, at most %d is possible", pad, maxPad), Fix: "use 64 or 128"}
	}

	v := &vocabulary{of: map[*Input][]int{}, entries: map[string]tokenEntry{}, tokenizer: p.copied}
	if p.Recipe.BaseModel != "" || p.Method.First {
		v.base = p.donor
	}
	models := slices.Clone(p.Inputs)
	tables := map[*Input]tokenTable{}
	read := func(in *Input) (err error) {
		if _, ok := tables[in]; !ok {
			tables[in], err = readTokens(in.dir())
		}
		return err
	}
	for _, in := range models {
		if err := read(in); err != nil {
			return err
		}
	}

	chosen := maps.Clone(tables[p.donor].rows)
	switch source {
	case "base", "union":
	default:
		in, err := p.input(source)
		if err != nil {
			return err
		}
		if err := read(in); err != nil {
			return err
		}
		chosen, v.tokenizer = maps.Clone(tables[in].rows), in.dir()
	}
	v.first = size0(chosen)
	if source == "union" {
		for _, in := range models {
			v.add(chosen, byRow(tables[in].rows), tables[in])
		}
	}
	v.add(chosen, slices.Sorted(maps.Keys(single)), tokenTable{})

	v.tokens = size0(chosen)
	if v.rows = v.tokens; pad > 0 {
		v.rows = (v.rows + pad - 1) / pad * pad
	}
	v.named = make([]bool, v.rows)
	for _, row := range chosen {
		v.named[row] = true
	}
	for _, in := range p.Inputs {
		v.of[in] = v.match(chosen, tables[in].rows)
	}
	if err := p.chooseTokens(v, single, chosen, tables); err != nil {
		return err
	}
	p.vocab = v
	return nil
}

// add gives tokens that are not there yet the next rows. from says how they are entered in a tokenizer.
func (v *vocabulary) add(chosen map[string]int, tokens []string, from tokenTable) {
	for _, token := range tokens {
		if _, ok := chosen[token]; ok {
			continue
		}
		chosen[token] = v.first + len(v.added)
		v.added = append(v.added, token)
		if entry, ok := from.added[token]; ok {
			v.entries[token] = entry
		}
	}
}

// match is the row of a model for each row of the output.
func (v *vocabulary) match(chosen, own map[string]int) []int {
	rows := make([]int, v.rows)
	for i := range rows {
		rows[i] = -1
	}
	for token, row := range chosen {
		if at, ok := own[token]; ok {
			rows[row] = at
		}
	}
	return rows
}

// chooseTokens looks up where the recipe says single tokens come from.
func (p *Plan) chooseTokens(v *vocabulary, single map[string]Token, chosen map[string]int, tables map[*Input]tokenTable) error {
	v.chosen = map[int]filling{}
	for _, token := range slices.Sorted(maps.Keys(single)) {
		at := "tokenizer.tokens." + strict.Short(token)
		t := single[token]
		if t.Source == nil {
			return &fault.Input{Field: at + ".source", Err: fmt.Errorf("it is missing"), Fix: "name the model whose embedding the token takes, or {kind: zero}"}
		}
		f := filling{token: token, force: t.Force}
		if t.Source.Kind != ZeroToken {
			i := slices.IndexFunc(p.Inputs, func(in *Input) bool { return in.Model == string(p.existing(t.Source.Model)) })
			if i < 0 {
				return &fault.Input{Field: at + ".source", Err: fmt.Errorf("%s is not among the models", strict.Short(string(t.Source.Model))), Fix: "name one that is merged"}
			}
			f.in = p.Inputs[i]
			wanted, known := token, false
			if t.Source.Token != "" {
				wanted = t.Source.Token
			}
			if f.row, known = tables[f.in].rows[wanted]; t.Source.TokenID != nil {
				f.row, known = *t.Source.TokenID, *t.Source.TokenID >= 0
			}
			if !known {
				return &fault.Input{Field: at + ".source", Err: fmt.Errorf("%s has no token %q", f.in.Model, strict.Short(wanted)), Fix: "name a token that the model has"}
			}
		}
		v.chosen[chosen[token]] = f
	}
	return nil
}

// maxPad bounds pad_to_multiple_of; sizes that processors like are multiples of 64 or 128.
const maxPad = 1 << 16

// apply makes a tensor with a row for each token one with the rows of the output.
func (v *vocabulary) apply(t *planned) error {
	all := t.all()
	var peers []*rowMap
	for _, r := range all {
		if len(r.info.Shape) != len(t.shape) || len(t.shape) == 0 || !slices.Equal(r.info.Shape[1:], t.shape[1:]) {
			return &fault.Input{File: r.in.Path, Field: t.name, Err: fmt.Errorf("the shape is %v, in %s it is %v", r.info.Shape, all[0].in.Path, all[0].info.Shape), Fix: "only the number of rows may differ"}
		}
		plain := *r
		peers = append(peers, &rowMap{v: v, plain: &plain, rows: v.of[r.in], have: r.info.Shape[0], base: r.in == v.base})
	}
	if err := v.checkChosen(t, peers); err != nil {
		return err
	}
	t.shape = append([]int{v.rows}, t.shape[1:]...)
	columns, ok := untrusted.Product(untrusted.MaxElements, t.shape[1:]...)
	if _, fits := untrusted.Product(untrusted.MaxElements, t.shape...); !ok || !fits {
		return &fault.Input{File: all[0].in.Path, Field: t.name, Err: fmt.Errorf("no array has the shape %v", t.shape), Fix: "use a smaller vocabulary"}
	}
	for i, r := range all {
		peers[i].columns, peers[i].peers = columns, peers
		r.rows = peers[i]
	}
	return nil
}

// checkChosen refuses tokens whose model is not among those of a tensor, or has no such row.
func (v *vocabulary) checkChosen(t *planned, peers []*rowMap) error {
	for _, row := range slices.Sorted(maps.Keys(v.chosen)) {
		f := v.chosen[row]
		if f.in == nil {
			continue
		}
		at := "tokenizer.tokens." + strict.Short(f.token) + ".source"
		i := slices.IndexFunc(peers, func(m *rowMap) bool { return m.plain.in == f.in })
		if i < 0 {
			return &fault.Input{Field: at, Err: fmt.Errorf("%s is not among the models of tensor %s", f.in.Model, t.name), Fix: "name one that is merged"}
		}
		if have := peers[i].have; f.row >= have {
			return &fault.Input{Field: at, Err: fmt.Errorf("row %d is taken, and tensor %s of %s has %d", f.row, t.name, f.in.Model, have), Fix: "name a token that the model has"}
		}
	}
	return nil
}
