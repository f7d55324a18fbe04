package weights

import (
	"github.com/ballast-ml/ballast/format/decoder"
	"github.com/ballast-ml/ballast/format/hf"
)

// maxFactors bounds the tensors of rotary positions, which have a value for each two of a head.
const maxFactors = 1 << 16

// KeysOf returns the values of GGUF's keys: those of a file, or those that a file of another kind carries from one.
func KeysOf(f File) func(key string) any {
	if g, ok := AsGGUF(f); ok {
		return func(key string) any { v, _ := g.Value(key); return v }
	}
	meta := f.Metadata()
	return func(key string) any { return Uncarry(meta[CarriedGGUF+key]) }
}

// DecoderNames reads what the keys of GGUF say of the names and the layout of a decoder's tensors; see DecoderOf.
func DecoderNames(f File) (*decoder.Config, error) { return decoder.NamesFromKeys(KeysOf(f)) }

// DecoderOf reads what the keys of GGUF say of a decoder: those of the file, or those that a file of another kind carries from one.
func DecoderOf(f File) (*decoder.Config, error) {
	_, head := f.Info("output.weight")
	_, theirs := f.Info("lm_head.weight")
	factors := map[string][]float32{}
	for _, name := range []string{"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"} {
		if info, ok := f.Info(name); ok && info.Elements > 0 && info.Elements <= maxFactors {
			factors[name] = make([]float32, info.Elements)
			if err := f.ReadFloat32s(name, 0, factors[name]); err != nil {
				return nil, err
			}
		}
	}
	return decoder.FromKeys(KeysOf(f), !head && !theirs, factors)
}

// sources lists the tensors for a plan.
func sources(f File) []decoder.Source {
	var out []decoder.Source
	for _, t := range f.Tensors() {
		out = append(out, decoder.Source{Name: t.Name, Shape: t.Shape})
	}
	return out
}

// ToGGUF shows a decoder of Hugging Face with the names and the layout of GGUF. remarks say what is left out.
func ToGGUF(f File, c *decoder.Config) (view *View, remarks []string, err error) {
	tensors, remarks, err := c.ToGGUF(sources(f))
	if err != nil {
		return nil, nil, err
	}
	view, err = NewView(f, tensors)
	return view, remarks, err
}

// FromGGUF is the other way round.
func FromGGUF(f File, c *decoder.Config) (view *View, remarks []string, err error) {
	tensors, remarks, err := c.FromGGUF(sources(f))
	if err != nil {
		return nil, nil, err
	}
	view, err = NewView(f, tensors)
	return view, remarks, err
}

// AsTransformers shows a decoder of GGUF with the names and the layout of Hugging Face. ok is false for any other model, and for one that
// does not tell its sizes.
func AsTransformers(f File) (view File, ok bool) {
	var names []string
	for _, t := range f.Tensors() {
		names = append(names, t.Name)
	}
	if guess := hf.Guess(names); guess.Style != "gguf" || f.Kind() != GGUF {
		return nil, false
	}
	c, err := DecoderNames(f)
	if err != nil {
		return nil, false
	}
	v, _, err := FromGGUF(f, c)
	if err != nil {
		return nil, false
	}
	return v, true
}
