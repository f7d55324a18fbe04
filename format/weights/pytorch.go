package weights

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/ballast-ml/ballast/format/pytorch"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// pytorchFile is a PyTorch checkpoint, or several with an index: the tensors of its state dict, in PyTorch's words for types. Tensors with strides are given
// in row-major order, which has no bytes in one piece.
type pytorchFile struct {
	pytorchTensors
	path string
}

// pytorchTensors is what *pytorch.File and *pytorch.Sharded have in common.
type pytorchTensors interface {
	Names() []string
	Info(name string) (pytorch.Info, bool)
	Metadata() map[string]string
	ReadFloat32s(name string, at int, dst []float32) error
	ReadBytes(name string, at int64, dst []byte) error
	Verify(ctx context.Context) error
	io.Closer
}

// isPyTorch: the old layout, or any other pickle, whose reader says what is wrong. The zip layout is found by sniffArchive.
func isPyTorch(first []byte, _ int64) bool {
	return pytorch.Sniff(first) || len(first) > 2 && first[0] == 0x80 && first[1] >= 2 && first[1] <= 5
}

// isPyTorchIndex: the index of a model in several checkpoints.
func isPyTorchIndex(first []byte, _ int64) bool {
	return bytes.HasPrefix(bytes.TrimLeft(first, " \t\r\n"), []byte("{")) && bytes.Contains(first, []byte(`"weight_map"`)) &&
		bytes.Contains(first, []byte(`.bin"`)) && !bytes.Contains(first, []byte(`.safetensors"`))
}

func openPyTorch(path string) (File, error) {
	first := make([]byte, head)
	f, err := untrusted.OpenFilled(path)
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	n, _ := io.ReadFull(f, first) // a file that cannot be read fails again below
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	var tensors pytorchTensors
	// The name may have told it to be an index, whose first bytes need not name a shard.
	if bytes.HasPrefix(bytes.TrimLeft(first[:n], " \t\r\n"), []byte("{")) {
		tensors, err = pytorch.OpenSharded(path)
	} else {
		tensors, err = pytorch.Open(path)
	}
	if err != nil {
		return nil, err
	}
	return &pytorchFile{tensors, path}, nil
}

func (f *pytorchFile) Kind() Kind   { return PyTorch }
func (f *pytorchFile) Path() string { return f.path }

func (f *pytorchFile) Tensors() []Info { return tensorsOf(f, f.Names()) }

func (f *pytorchFile) Info(name string) (Info, bool) {
	i, ok := f.pytorchTensors.Info(name)
	if !ok {
		return Info{}, false
	}
	size := i.DType.Size()
	return Info{Name: name, Type: string(i.DType), Shape: i.Shape, Elements: i.Elements, Bytes: int64(i.Elements) * int64(size), Block: 1, BlockBytes: size, Unread: i.Unread}, true
}

// tensorsOf describes tensors by name.
func tensorsOf(f interface{ Info(string) (Info, bool) }, names []string) []Info {
	out := make([]Info, 0, len(names))
	for _, name := range names {
		if info, ok := f.Info(name); ok {
			out = append(out, info)
		}
	}
	return out
}
