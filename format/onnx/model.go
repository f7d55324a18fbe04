package onnx

import (
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"

	"github.com/ballast-ml/ballast/format"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Model is a model.
type Model struct {
	Path      string // of the file, "" for bytes in memory
	IRVersion int64
	Producer  string
	Opsets    map[string]int64 // version of each domain's operators; "" is the standard domain
	Graph     *Graph
	Metadata  map[string]string
	Functions []string // names of functions the model defines, as domain.name

	data     []byte    // the file
	external []*Tensor // whose elements lie in other files, in nodes and their subgraphs too
}

// Graph is a graph or a subgraph.
type Graph struct {
	Name         string
	Nodes        []*Node
	Initializers []*Tensor
	Inputs       []Value // without those that initialisers fill
	Outputs      []Value
}

// Value is a value's name and type.
type Value struct {
	Name string
	Type DataType // 0 if it is not a tensor or not said
	Dims []Dim    // nil if not said
	Rank int      // -1 if not said

	Other string // what it is if it is not a tensor: sequence, map, sparse tensor or optional
}

// Dim is a dimension: a number, or a name where it may vary; -1 and "" if nothing is said.
type Dim struct {
	Size int
	Name string
}

// Node is an operation.
type Node struct {
	Name, Op, Domain string
	Inputs, Outputs  []string // "" is one that is left out
	Attributes       []Attribute
}

// Attribute is a constant of a node.
type Attribute struct {
	Name    string
	Type    int64
	Float   float32
	Int     int64
	Bytes   []byte
	Tensor  *Tensor
	Graph   *Graph
	Floats  []float32
	Ints    []int64
	Strings [][]byte
}

// String names a node for messages.
func (n *Node) String() string {
	op := printable.Line(n.Op)
	if len(op) > 100 {
		op = op[:100] + "..."
	}
	if n.Name != "" {
		return fmt.Sprintf("node %s (%s)", printable.Quote(n.Name), op)
	}
	if len(n.Outputs) > 0 {
		return fmt.Sprintf("node of %s (%s)", printable.Quote(n.Outputs[0]), op)
	}
	return "node " + op
}

// Attribute finds one by name, nil if there is none.
func (n *Node) Attribute(name string) *Attribute {
	for i := range n.Attributes {
		if n.Attributes[i].Name == name {
			return &n.Attributes[i]
		}
	}
	return nil
}

// maxFile is the limit protobuf itself has.
const maxFile = 2 << 30

// Open reads the model in a file. External data must be in the file's folder; it is read when a tensor's elements are requested.
func Open(file string) (*Model, error) {
	f, err := untrusted.OpenFilled(file)
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	stat, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	if stat.Size() > maxFile {
		return nil, &Error{File: file, Kind: ErrLimit, Text: fmt.Sprintf("%d bytes; protobuf allows 2 GiB", stat.Size()), Fix: "store the weights as external data"}
	}
	data := make([]byte, stat.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("onnx: %s: %w", file, err)
	}
	m, external, err := parse(data)
	if err != nil {
		return nil, in(file, err)
	}
	m.Path, m.data, m.external = file, data, external
	if err := locate(file, external); err != nil {
		return nil, in(file, err)
	}
	return m, nil
}

// Parse reads a model that has no external data.
func Parse(data []byte) (*Model, error) {
	m, external, err := parse(data)
	if err != nil {
		return nil, err
	}
	if len(external) > 0 {
		return nil, &Error{Field: "tensor " + printable.Quote(external[0].Name), Kind: ErrExternal, Text: "there is no folder to look in", Fix: "open the model from its file"}
	}
	m.data = data
	return m, nil
}

func in(file string, err error) error {
	if e, ok := err.(*Error); ok { //nolint:errorlint // made here
		e.File = file
	}
	return err
}

// checkLocation refuses a path that leaves the folder, by its text alone.
func checkLocation(name, location string) error {
	clean := path.Clean(strings.ReplaceAll(location, `\`, "/"))
	if location == "" || path.IsAbs(clean) || clean == ".." || clean == "." || strings.HasPrefix(clean, "../") || filepath.VolumeName(location) != "" ||
		strings.Contains(location, "\x00") || strings.Contains("/"+strings.ReplaceAll(location, `\`, "/")+"/", "/../") || len(location) > 1 && location[1] == ':' {
		return &Error{Field: "tensor " + printable.Quote(name), Kind: ErrPath, Text: "location " + printable.Quote(location), Fix: "put the data beside the model and name it by a relative path"}
	}
	return nil
}

// locate finds the files of external tensors in the folder of the model in file and holds the tensors against their sizes. Nothing is read:
// sixty tensors may name the same stretch of a file.
func locate(file string, external []*Tensor) error {
	type found struct {
		path string
		size int64
		err  error
	}
	files := map[string]found{}
	for _, t := range external {
		wrong := func(kind *format.Kind, text string, err error) error {
			return &Error{Field: "tensor " + printable.Quote(t.Name), Kind: kind, Text: text, Err: err, Fix: "keep model and data of one version together in a folder"}
		}
		e := t.External
		f, ok := files[e.Location]
		if !ok {
			f.path, f.err = dataPath(file, e.Location)
			if f.err != nil {
				return wrong(ErrPath, printable.Quote(e.Location), f.err)
			}
			f.size, f.err = sizeOf(f.path)
			files[e.Location] = f
		}
		if f.err != nil {
			return wrong(ErrExternal, printable.Quote(e.Location), f.err)
		}
		want := t.RawBytes()
		if e.Length >= 0 && e.Length != want {
			return wrong(ErrSize, fmt.Sprintf("length %d, the shape %v of %s takes %d", e.Length, t.Dims, t.Type, want), nil)
		}
		if e.Offset < 0 || e.Offset > f.size || want > f.size-e.Offset {
			return wrong(ErrSize, fmt.Sprintf("%d bytes at %d of %s, which has %d", want, e.Offset, printable.Quote(e.Location), f.size), nil)
		}
		e.path = f.path
	}
	return nil
}

func sizeOf(path string) (int64, error) {
	f, err := untrusted.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	stat, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return stat.Size(), nil
}
