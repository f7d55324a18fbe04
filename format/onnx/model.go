package onnx

import (
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
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
	if n.Name != "" {
		return fmt.Sprintf("node %s (%s)", cut(n.Name), n.Op)
	}
	if len(n.Outputs) > 0 {
		return fmt.Sprintf("node of %s (%s)", cut(n.Outputs[0]), n.Op)
	}
	return "node " + n.Op
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

// Open reads the model in a file, and the external data in its folder.
func Open(file string) (*Model, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	stat, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	if stat.Size() > maxFile {
		return nil, &Error{File: file, Kind: ErrLimit, Text: fmt.Sprintf("%d bytes; protobuf allows 2 GiB", stat.Size()), Mend: "store the weights as external data"}
	}
	data := make([]byte, stat.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("onnx: %s: %w", file, err)
	}
	m, external, err := parse(data)
	if err != nil {
		return nil, in(file, err)
	}
	m.Path = file
	if err := load(filepath.Dir(file), external); err != nil {
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
		return nil, &Error{Where: "tensor " + cut(external[0].Name), Kind: ErrExternal, Text: "there is no folder to look in", Mend: "open the model from its file"}
	}
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
		return &Error{Where: "tensor " + cut(name), Kind: ErrPath, Text: "location " + cut(location), Mend: "put the data beside the model and name it by a relative path"}
	}
	return nil
}

// load fills external tensors from files of the folder. os.Root refuses links that lead out of it.
func load(dir string, external []*Tensor) error {
	if len(external) == 0 {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	defer root.Close() //nolint:errcheck // it was only read
	for _, t := range external {
		if err := loadOne(root, t); err != nil {
			return err
		}
	}
	return nil
}

func loadOne(root *os.Root, t *Tensor) error {
	wrong := func(kind error, text string, err error) error {
		return &Error{Where: "tensor " + cut(t.Name), Kind: kind, Text: text, Err: err, Mend: "keep model and data of one version together in a folder"}
	}
	e := t.External
	f, err := root.Open(filepath.FromSlash(e.Location))
	if err != nil {
		if strings.Contains(err.Error(), "escapes") {
			return wrong(ErrPath, cut(e.Location), err)
		}
		return wrong(ErrExternal, cut(e.Location), err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	stat, err := f.Stat()
	if err != nil || !stat.Mode().IsRegular() {
		return wrong(ErrExternal, cut(e.Location)+" is not a regular file", err)
	}
	want := int64(t.Elements) * int64(t.Type.Size())
	if e.Length >= 0 && e.Length != want {
		return wrong(ErrSize, fmt.Sprintf("length %d, the shape %v of %s takes %d", e.Length, t.Dims, t.Type, want), nil)
	}
	if e.Offset < 0 || e.Offset > stat.Size() || want > stat.Size()-e.Offset {
		return wrong(ErrSize, fmt.Sprintf("%d bytes at %d of %s, which has %d", want, e.Offset, cut(e.Location), stat.Size()), nil)
	}
	t.Raw = make([]byte, want)
	if _, err := f.ReadAt(t.Raw, e.Offset); err != nil && want > 0 {
		return wrong(ErrExternal, cut(e.Location), err)
	}
	return nil
}
