package convert

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/printable"
)

// openInput opens a model to be converted. One that is quantised by scales beside its weights is copied as it is where neither format nor
// types change, which loses nothing; else it is read as the values that its codes stand for, or refused.
//
// Names in GGUF are those of one network: what wrappers put before all of them is taken off.
func openInput(path string, o Options) (weights.File, error) {
	f, err := openValues(path, o)
	if err != nil || o.To != ToGGUF || o.KeepNames {
		return f, err
	}
	if prefix := wrapper(f); prefix != "" {
		f = weights.Without(f, prefix)
	}
	if names := bareDecoder(f); names != nil {
		f = weights.With(f, decoderPrefix, names)
	}
	return f, nil
}

// decoderPrefix stands before the names of a decoder in files of Hugging Face, but where the decoder was saved without its head.
const decoderPrefix = "model."

// bareDecoder is the names that a decoder of the llama kind has with decoderPrefix, where its own lack it; nil for all else.
func bareDecoder(f weights.File) (names []string) {
	if _, ok := f.Info("embed_tokens.weight"); !ok {
		return nil
	}
	if _, ok := f.Info("layers.0.self_attn.q_proj.weight"); !ok {
		return nil
	}
	for _, info := range f.Tensors() {
		if !strings.HasPrefix(info.Name, "lm_head.") {
			names = append(names, decoderPrefix+info.Name)
		}
	}
	return names
}

// wrappers are what PyTorch's DataParallel and torch.compile put before every name of the network they hold.
var wrappers = []string{"module.", "_orig_mod."}

// wrapper is what wrappers put before all names of a file, "" for nothing.
func wrapper(f weights.File) (prefix string) {
	list := f.Tensors()
	for {
		found := ""
		for _, w := range wrappers {
			if len(list) > 0 && !slices.ContainsFunc(list, func(t weights.Info) bool { return !strings.HasPrefix(t.Name, prefix+w) }) {
				found = w
			}
		}
		if found == "" {
			return prefix
		}
		prefix += found
	}
}

func openValues(path string, o Options) (weights.File, error) {
	f, err := weights.OpenStored(path)
	if err != nil {
		return nil, err
	}
	q := weights.Quantised(f)
	if q == nil || o.Type == "" && (o.To == ToSafetensors || o.To == ToSharded) {
		return f, nil
	}
	values, err := q.Dequantised(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return values, nil
}

// said takes up what there is to say about the input beside its tensors, and refuses an adapter as a GGUF file: there it is a file of
// another kind, with names of its own.
func (p *plan) said() error {
	for _, note := range weights.Notes(p.file) {
		p.remark("%s", note)
	}
	if prefix := wrapper(weights.Inner(p.file)); prefix != "" && p.options.To == ToGGUF && !p.options.KeepNames {
		p.remark("%s is taken off all names", printable.Line(prefix))
	}
	if p.options.To == ToGGUF && !p.options.KeepNames && bareDecoder(weights.Inner(p.file)) != nil {
		p.remark("%s is put before the names, which are those of a decoder saved without its head", decoderPrefix)
	}
	base, ok := weights.Adapter(p.file)
	if !ok {
		return nil
	}
	of := "a model that it does not name"
	if base != "" {
		of = printable.Line(base)
	}
	if p.options.To == ToGGUF {
		return &fault.Input{
			File: p.file.Path(), Err: fmt.Errorf("it is an adapter (LoRA) for %s, not a model", of),
			Fix: "merge the adapter into its model first; as an adapter it can be converted to safetensors, sharded or npz",
		}
	}
	p.remark("it is an adapter (LoRA) for %s: its factors are written, not a model", of)
	return nil
}
