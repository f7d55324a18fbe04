package weights

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/format/onnx"
)

// onnxFile is an ONNX model, of which the initialisers are the tensors. The file is held in memory, as protobuf has to be read as one; external
// data is read piece by piece.
type onnxFile struct {
	model   *onnx.Model
	tensors map[string]*onnx.Tensor
}

// isONNX: the fields of a ModelProto in the order in which every exporter writes them, with a plausible version of the format first.
func isONNX(first []byte, size int64) bool {
	if size < 8 || len(first) < 8 || first[0] != 0x08 || first[1] == 0 || first[1] > 0x1f {
		return false
	}
	switch first[2] {
	case 0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42, 0x72: // producer, domain, version, doc, graph, opset, metadata
		return true
	}
	return false
}

func openONNX(path string) (File, error) {
	m, err := onnx.Open(path)
	if err != nil {
		return nil, err
	}
	f := &onnxFile{m, map[string]*onnx.Tensor{}}
	for _, t := range m.Graph.Initializers {
		f.tensors[t.Name] = t
	}
	return f, nil
}

func (f *onnxFile) Kind() Kind   { return ONNX }
func (f *onnxFile) Path() string { return f.model.Path }
func (f *onnxFile) Close() error { return nil }

// Model is the whole model, for those who ask a File whether it has one.
func (f *onnxFile) Model() *onnx.Model { return f.model }

func (f *onnxFile) Tensors() []Info {
	var names []string
	for _, t := range f.model.Graph.Initializers {
		names = append(names, t.Name)
	}
	return tensorsOf(f, names)
}

func (f *onnxFile) Info(name string) (Info, bool) {
	t, ok := f.tensors[name]
	if !ok {
		return Info{}, false
	}
	return Info{
		Name: name, Type: t.Type.String(), Shape: slices.Clone(t.Dims), Elements: t.Elements,
		Bytes: t.RawBytes(), Block: 1, BlockBytes: t.Type.Size(),
	}, true
}

func (f *onnxFile) Metadata() map[string]string {
	out := map[string]string{}
	for k, v := range f.model.Metadata {
		out[k] = v
	}
	if f.model.Producer != "" {
		out["producer_name"] = f.model.Producer
	}
	for domain, version := range f.model.Opsets {
		out[strings.TrimSuffix("opset."+domain, ".")] = fmt.Sprint(version)
	}
	return out
}

func (f *onnxFile) find(name string) (*onnx.Tensor, error) {
	if t, ok := f.tensors[name]; ok {
		return t, nil
	}
	return nil, &onnx.Error{File: f.Path(), Field: fmt.Sprintf("tensor %q", name), Kind: onnx.ErrNoTensor, Fix: "take a name that the file lists"}
}

func (f *onnxFile) ReadFloat32s(name string, at int, dst []float32) error {
	t, err := f.find(name)
	if err != nil {
		return err
	}
	return f.in(t.Float32s(at, dst))
}

func (f *onnxFile) ReadBytes(name string, at int64, dst []byte) error {
	t, err := f.find(name)
	if err != nil {
		return err
	}
	return f.in(t.ReadRaw(at, dst))
}

// in names the file in an error.
func (f *onnxFile) in(err error) error {
	var e *onnx.Error
	if errors.As(err, &e) {
		e.File = f.Path()
	}
	return err
}
