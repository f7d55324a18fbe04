package convert

import (
	"cmp"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/format/gguf"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/printable"
)

// block is how a type of GGUF keeps its elements.
type block struct{ elements, bytes int }

// blockTypes are the types of several elements a block that values can be written in.
var blockTypes = []string{"Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"}

// blockOf is the block of a type, zero for types of single elements.
func blockOf(t string) block {
	typ, err := gguf.ParseType(t)
	if err != nil {
		return block{}
	}
	elements, bytes := typ.Block()
	if elements < 2 {
		return block{}
	}
	return block{elements, bytes}
}

// encodeBlocks packs whole blocks.
func encodeBlocks(t string, dst []byte, values []float32) (int, error) {
	typ, err := gguf.ParseType(t)
	if err != nil {
		return 0, err
	}
	return 0, gguf.Encode(typ, dst, values)
}

// carryFromGGUF writes the keys of the input as text, those apart that came from text.
func (p *plan) carryFromGGUF() map[string]string {
	meta, left := weights.CarriedMetadata(p.file)
	for _, key := range left {
		p.remark("key %s is not UTF-8, or has more than a million elements, and stays behind", printable.Line(key))
	}
	return meta
}

// keepKeys copies the keys of an input that is GGUF itself.
func (p *plan) keepKeys(keys map[string]any) {
	if f, ok := weights.AsGGUF(p.file); ok {
		for key, v := range f.All() {
			keys[key] = v
		}
	}
}

func (p *plan) writeGGUF(file string) error {
	keys, err := p.ggufKeys()
	if err != nil {
		return err
	}
	metadata := make([]gguf.KeyValue, 0, len(keys))
	for _, key := range keyOrder(keys) {
		metadata = append(metadata, gguf.KeyValue{Key: key, Value: keys[key]})
	}
	tensors := make([]gguf.Tensor, len(p.tensors))
	for i := range p.tensors {
		t := &p.tensors[i]
		typ, err := gguf.ParseType(t.to)
		if err != nil {
			return err
		}
		tensors[i] = gguf.Tensor{Name: t.name, Type: typ, Shape: t.from.Shape, Open: func() (io.Reader, error) { return p.open(t), nil }}
	}
	return gguf.WriteFile(file, metadata, tensors)
}

// keyOrder puts general.architecture first, then the other general keys, then the rest by name.
func keyOrder(keys map[string]any) []string {
	rank := func(key string) int {
		switch {
		case key == "general.architecture":
			return 0
		case strings.HasPrefix(key, "general."):
			return 1
		}
		return 2
	}
	return slices.SortedFunc(maps.Keys(keys), func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) })
}
