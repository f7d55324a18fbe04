package weights

import (
	"bytes"

	"github.com/ballast-ml/ballast/format/gguf"
)

// ggufFile is a GGUF file or several that are one model, in its own words for types. Its values are printed as metadata, long arrays with their first elements and their
// length; AsGGUF gives them whole.
type ggufFile struct{ *gguf.Split }

func isGGUF(first []byte, _ int64) bool {
	return bytes.HasPrefix(first, []byte("GGUF")) || bytes.HasPrefix(first, []byte("FUGG")) // the second is big endian, which the reader says
}

func openGGUF(path string) (File, error) {
	f, err := gguf.OpenSplit(path, gguf.Options{Limits: gguf.Limits{MaxTensors: maxStacked, MaxMetadata: maxKeys}})
	if err != nil {
		return nil, err
	}
	return &ggufFile{f}, nil
}

// AsGGUF gives the file behind one of kind GGUF, with its typed metadata, the first of several; ok is false for other kinds.
func AsGGUF(f File) (file *gguf.File, ok bool) {
	g, ok := Inner(f).(*ggufFile)
	if !ok {
		return nil, false
	}
	return g.Split.File, true
}

func (f *ggufFile) Kind() Kind { return GGUF }

func (f *ggufFile) Tensors() []Info { return tensorsOf(f, f.Names()) }

func (f *ggufFile) Info(name string) (Info, bool) {
	i, ok := f.Split.Info(name)
	if !ok {
		return Info{}, false
	}
	elements, size := i.Type.Block()
	return Info{Name: name, Type: i.Type.String(), Shape: i.Shape, Elements: i.Elements, Bytes: i.End - i.Begin, Block: elements, BlockBytes: size}, true
}

func (f *ggufFile) Metadata() map[string]string {
	out := map[string]string{}
	for _, key := range f.Keys() {
		out[key] = f.Print(key)
	}
	return out
}
