package convert

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/printable"
)

// openInput opens a model to be converted. One that is quantised by scales beside its weights is copied as it is where neither format nor
// types change, which loses nothing; else it is read as the values that its codes stand for, or refused.
func openInput(path string, o Options) (weights.File, error) {
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

// plainConfig writes the config of a model that was dequantised into the folder to, without what says that it is quantised.
func (p *plan) plainConfig(to string) error {
	if _, dequantised := weights.AsDequantised(p.file); !dequantised {
		return nil
	}
	text, err := hf.ReadCompanion(p.dir, hf.ConfigFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	p.result.Files = append(p.result.Files, hf.ConfigFile)
	return durable.WriteFile(filepath.Join(to, hf.ConfigFile), func(w io.Writer) error {
		_, err := w.Write(hf.WithoutKeys(text, weights.QuantisationKeys...))
		return err
	})
}
