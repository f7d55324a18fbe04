package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/format/pytorch"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/internal/zipread"
)

// MetadataArray is the name of an array of an .npz file that holds metadata, a JSON object of texts as bytes, since the format has no
// place for them. It is not among the tensors.
const MetadataArray = "__metadata__"

// npzFile is an archive of NumPy arrays, in NumPy's words for types. Compressed arrays are decompressed as they are read, in order; those
// that are read otherwise are held in memory.
type npzFile struct {
	*npy.Archive
	path  string
	names []string
	meta  map[string]string
}

func openNPZ(path string) (File, error) {
	a, err := npy.OpenArchive(path)
	if err != nil {
		return nil, err
	}
	f := &npzFile{a, path, a.Names(), map[string]string{}}
	if m := a.Array(MetadataArray); m != nil && m.DType == npy.Uint8 && len(m.Shape) == 1 && int64(m.Len()) <= mostMetadata(path) {
		text := make([]byte, m.Len())
		if err := m.ReadRaw(text, 0); err != nil {
			return nil, errors.Join(err, a.Close())
		}
		meta := map[string]string{}
		if untrusted.CheckJSON(path, text, mostKeys) == nil && json.Unmarshal(text, &meta) == nil { // else it is an array like others
			f.meta = meta
			f.names = slices.DeleteFunc(f.names, func(name string) bool { return name == MetadataArray })
		}
	}
	return f, nil
}

// mostKeys is more keys than any model's metadata has: GGUF files have some 30, the others fewer.
const mostKeys = 1 << 15

// mostMetadata is room for the vocabulary and the merges of a tokenizer, which GGUF keeps in its metadata: some 10 MB. Packed they may
// take a thousandth of that, so that small files may hold less.
func mostMetadata(path string) int64 {
	const room, most = 4 << 20, 32 << 20
	stat, err := os.Stat(path)
	if err != nil {
		return room
	}
	return min(room+2*stat.Size(), most)
}

func (f *npzFile) Kind() Kind   { return NPZ }
func (f *npzFile) Path() string { return f.path }

// Names are those of Tensors.
func (f *npzFile) Names() []string { return f.names }

func (f *npzFile) Tensors() []Info { return tensorsOf(f, f.names) }

func (f *npzFile) Info(name string) (Info, bool) { return arrayInfo(name, f.Array(name)) }

// Metadata are those of MetadataArray.
func (f *npzFile) Metadata() map[string]string { return maps.Clone(f.meta) }

func (f *npzFile) ReadFloat32s(name string, at int, dst []float32) error {
	a := f.Array(name)
	if a == nil {
		return f.missing(name)
	}
	return a.ReadFloat32s(dst, at)
}

func (f *npzFile) ReadBytes(name string, at int64, dst []byte) error {
	a := f.Array(name)
	if a == nil {
		return f.missing(name)
	}
	return a.ReadRaw(dst, at)
}

func (f *npzFile) missing(name string) error {
	return &npy.Error{File: f.path, Field: printable.Quote(name), Offset: -1, Kind: npy.ErrRange, Text: fmt.Sprintf("no such array, the archive holds %d others", len(f.names))}
}

// npyFile is one NumPy array, as a tensor of the name "array".
type npyFile struct {
	*npy.Array
	path string
}

// arrayName is what the one array of an .npy file is called.
const arrayName = "array"

func isNPY(first []byte, _ int64) bool { return len(first) > 6 && string(first[:6]) == "\x93NUMPY" }

func openNPY(path string) (File, error) {
	a, err := npy.Open(path)
	if err != nil {
		return nil, err
	}
	return &npyFile{a, path}, nil
}

func (f *npyFile) Kind() Kind   { return NPY }
func (f *npyFile) Path() string { return f.path }

func (f *npyFile) Tensors() []Info { return tensorsOf(f, []string{arrayName}) }

func (f *npyFile) Info(name string) (Info, bool) {
	if name != arrayName {
		return Info{}, false
	}
	return arrayInfo(name, f.Array)
}

// Metadata is empty: the format has no place for it.
func (f *npyFile) Metadata() map[string]string { return map[string]string{} }

func (f *npyFile) ReadFloat32s(name string, at int, dst []float32) error {
	if name != arrayName {
		return f.missing(name)
	}
	return f.Array.ReadFloat32s(dst, at)
}

func (f *npyFile) ReadBytes(name string, at int64, dst []byte) error {
	if name != arrayName {
		return f.missing(name)
	}
	return f.ReadRaw(dst, at)
}

func (f *npyFile) missing(name string) error {
	return &npy.Error{File: f.path, Field: printable.Quote(name), Offset: -1, Kind: npy.ErrRange, Text: "an .npy file holds one array", Fix: "ask for " + arrayName}
}

func arrayInfo(name string, a *npy.Array) (Info, bool) {
	if a == nil {
		return Info{}, false
	}
	size := a.DType.Size()
	return Info{Name: name, Type: string(a.DType), Shape: a.Shape, Elements: a.Len(), Bytes: int64(a.Len()) * int64(size), Block: 1, BlockBytes: size}, true
}

// sniffArchive tells what a zip archive holds, by the names of its entries: a PyTorch checkpoint or NumPy arrays.
func sniffArchive(r io.ReaderAt, size int64, path string) (Kind, error) {
	entries, arrays, pickles := 0, 0, 0
	_, err := zipread.Walk(r, size, func(e zipread.Entry) bool {
		entries++
		if npy.IsArray(e.Name) {
			arrays++
		}
		if pytorch.IsPickle(e.Name) {
			pickles++
		}
		return pickles == 0
	})
	switch {
	case err != nil:
		return "", &Error{File: path, Kind: ErrKind, Text: fmt.Sprintf("a zip archive that cannot be read (%v)", err), Fix: "the file is damaged or cut short: get it again"}
	case pickles > 0:
		return PyTorch, nil
	case arrays > 0:
		return NPZ, nil
	}
	return "", &Error{File: path, Kind: ErrKind, Text: fmt.Sprintf("a zip archive of %d entries, with neither data.pkl of PyTorch nor arrays alone", entries), Fix: "unpack it and name the model file in it"}
}
