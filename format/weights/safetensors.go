package weights

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/ballast-ml/ballast/format/safetensors"
)

// tensorFile is what *safetensors.File and *safetensors.Sharded have in common.
type tensorFile interface {
	Names() []string
	Info(name string) (safetensors.Info, bool)
	Metadata() map[string]string
	ReadBytes(name string, at int64, dst []byte) error
	io.Closer
}

type safetensorsFile struct {
	tensorFile
	kind Kind
	path string
}

// isSafetensors: the length of the header, which begins with a brace behind it. The header of a whole file fits into it; one that does not is
// still a safetensors file, whose reader says what is wrong.
func isSafetensors(first []byte, _ int64) bool {
	return len(first) > 8 && first[8] == '{' && binary.LittleEndian.Uint64(first) <= 1<<40
}

// tensorsOptions let the memory used be what the caller asks for.
func tensorsOptions() safetensors.Options {
	return safetensors.Options{Unmapped: true, Limits: safetensors.Limits{MaxTensors: maxTensors}}
}

func openSafetensors(path string) (File, error) {
	f, err := safetensors.Open(path, tensorsOptions())
	if err != nil {
		return nil, err
	}
	return &safetensorsFile{f, Safetensors, path}, nil
}

func openSharded(path string) (File, error) {
	f, err := safetensors.OpenSharded(path, tensorsOptions())
	if err != nil {
		return nil, err
	}
	return &safetensorsFile{f, Sharded, path}, nil
}

func (f *safetensorsFile) Kind() Kind   { return f.kind }
func (f *safetensorsFile) Path() string { return f.path }

func (f *safetensorsFile) Tensors() []Info {
	return tensorsOf(f, f.Names())
}

func (f *safetensorsFile) Info(name string) (Info, bool) {
	i, ok := f.tensorFile.Info(name)
	if !ok {
		return Info{}, false
	}
	out := Info{Name: i.Name, Type: string(i.DType), Shape: i.Shape, Elements: i.Elements, Bytes: i.End - i.Begin, Block: 1}
	out.BlockBytes = i.DType.Bits() / 8
	if out.BlockBytes == 0 || i.DType.Bits()%8 != 0 { // narrower than a byte: 4 elements take whole bytes
		out.Block, out.BlockBytes = 4, i.DType.Bits()/2
	}
	return out, true
}

func (f *safetensorsFile) ReadFloat32s(name string, at int, dst []float32) error {
	i, ok := f.tensorFile.Info(name)
	if !ok || at < 0 || at > i.Elements || len(dst) > i.Elements-at || i.DType.Bits()%8 != 0 {
		return f.fault(name, at, len(dst))
	}
	return ReadConverted(f.tensorFile, name, at, dst, i.DType.Bits()/8, func(dst []float32, raw []byte) error {
		switch i.DType {
		case safetensors.F32, safetensors.F16, safetensors.BF16:
			Decode(dst, string(i.DType), raw)
			return nil
		}
		return safetensors.DecodeFloat32s(dst, i.DType, raw)
	})
}

// fault says why elements cannot be read.
func (f *safetensorsFile) fault(name string, at, n int) error {
	i, ok := f.tensorFile.Info(name)
	switch {
	case !ok:
		return f.ReadBytes(name, 0, nil) // which says that there is no such tensor
	case i.DType.Bits()%8 != 0:
		return &safetensors.Error{File: f.path, Tensor: name, Field: "dtype", Offset: -1, Kind: safetensors.ErrDType, Text: fmt.Sprintf("%s has no values as numbers", i.DType), Fix: "read its bytes"}
	}
	return &safetensors.Error{File: f.path, Tensor: name, Field: "shape", Offset: -1, Kind: safetensors.ErrSize, Text: fmt.Sprintf("elements %d to %d of %d", at, at+n, i.Elements), Fix: "ask for elements within the tensor"}
}
