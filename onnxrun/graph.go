package onnxrun

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/printable"
)

// Graph is an imported graph that runs on the engines. Shapes may vary from call to call: a program is built for each combination of
// shapes, with what depends on shapes alone computed while it is built. An input whose values decide on a shape, such as that of Reshape,
// is part of the program; other values of it build another one.
//
// Methods may be called from several goroutines.
type Graph struct {
	Model   *onnx.Model
	LeftOut []string // outputs of the model that are strings, which engines do not have: a run gives the others

	opset       int64
	tensors     map[*onnx.Tensor]*tensors.Tensor // of initialisers and constants, those of subgraphs too
	large       []*onnx.Tensor                   // arguments of programs; the others are constants of them
	weightBytes int64
	mu          sync.Mutex
	stages      []*stage           // of the graph's nodes, in their order
	made        map[*onnx.Node]any // what operators of the host made of their attributes
}

// UnsupportedError lists everything of a model that cannot be run.
type UnsupportedError struct {
	File string
	Ops  []string // operators, each once, as domain.Name outside the standard domain

	Nodes []string // the first node of each, as far as ten of them
}

// mostPlaces is how many nodes an UnsupportedError names.
const mostPlaces = 10

// placesOf adds the first nodes of operators that are not seen yet, those in subgraphs too, up to mostPlaces.
func placesOf(g *onnx.Graph, seen map[string]bool, found []string) []string {
	for _, n := range g.Nodes {
		name := operatorName(n)
		if _, ok := operators()[name]; !ok && !seen[name] && len(found) < mostPlaces {
			seen[name] = true
			found = append(found, n.String())
		}
		for i := range n.Attributes {
			if sub := n.Attributes[i].Graph; sub != nil {
				found = placesOf(sub, seen, found)
			}
		}
	}
	return found
}

func (e *UnsupportedError) Error() string {
	return strings.TrimPrefix(printable.Line(e.File)+": ", ": ") + "onnx: operators that are not supported: " +
		printable.Line(strings.Join(e.Ops, ", ")) + "; export the model without them, docs/onnx.md lists those that are" +
		strings.TrimSuffix("; they are at "+printable.Line(strings.Join(e.Nodes, ", ")), "; they are at ")
}

// BadInput reports that the model is at fault.
func (e *UnsupportedError) BadInput() bool { return true }

// smallWeight is the number of elements up to which a tensor is a constant, and computed with while the graph is built.
const smallWeight = 4096

// New prepares a model. All operators that are not supported are named in one *UnsupportedError. Outputs that are declared to be strings are
// left out, with what serves them alone, as long as there are others.
func New(m *onnx.Model) (*Graph, error) {
	if err := Check(m); err != nil {
		return nil, err
	}
	m, left := withoutStrings(m)
	g, err := prepare(m)
	if err != nil {
		return nil, err
	}
	g.LeftOut = left
	return g, nil
}

// prepare is New for a model that was checked.
func prepare(m *onnx.Model) (*Graph, error) {
	if len(m.Graph.Outputs) == 0 {
		return nil, &fault.Input{
			File: m.Path, Field: "graph " + m.Graph.Name, Err: errors.New("it has no outputs"), Fix: "export the model again",
		}
	}

	list := constantsOf(m.Graph, nil)
	total := int64(0)
	for _, t := range list {
		if total += t.RawBytes(); total < 0 {
			total = math.MaxInt64
		}
	}
	if err := memory.Need(strings.TrimPrefix(m.Path+": the weights", ": "), total); err != nil {
		return nil, err
	}

	g := &Graph{
		Model: m, opset: m.Opsets[""],
		tensors: map[*onnx.Tensor]*tensors.Tensor{}, stages: []*stage{newStage(0, len(m.Graph.Nodes), false)},
		made: map[*onnx.Node]any{},
	}
	for _, t := range list {
		w, err := Tensor(t)
		if err != nil {
			return nil, inModel(m.Path, err)
		}
		g.tensors[t] = w
		if t.Elements > smallWeight {
			g.large = append(g.large, t)
		} else {
			g.weightBytes += t.RawBytes()
		}
	}

	return g, nil
}

// Twin is the same graph with programs of its own and the same weights in memory: the two may run at the same time, where one would wait for
// the other.
func (g *Graph) Twin() *Graph {
	return &Graph{
		Model: g.Model, LeftOut: g.LeftOut, opset: g.opset, tensors: g.tensors, large: g.large, weightBytes: g.weightBytes,
		stages: []*stage{newStage(0, len(g.Model.Graph.Nodes), false)}, made: map[*onnx.Node]any{},
	}
}

// constantsOf lists a graph's initialisers and the tensors of its Constant nodes, those of subgraphs too. Where engines have no such
// elements a tensor is left out, and its node refused if it is reached.
func constantsOf(g *onnx.Graph, list []*onnx.Tensor) []*onnx.Tensor {
	for _, t := range g.Initializers {
		if _, ok := keptAs(t.Type); ok {
			list = append(list, t)
		}
	}

	for _, n := range g.Nodes {
		for i := range n.Attributes {
			a := &n.Attributes[i]
			if a.Graph != nil {
				list = constantsOf(a.Graph, list)
			}
			if a.Tensor == nil || n.Op != "Constant" {
				continue
			}
			if _, ok := keptAs(a.Tensor.Type); ok {
				list = append(list, a.Tensor)
			}
		}
	}
	return list
}

// Check tells why a model cannot be run, as New would, without preparing it; nil if nothing is known against it.
func Check(m *onnx.Model) error {
	m, _ = withoutStrings(m)
	if _, missing := Operators(m); len(missing) > 0 {
		return &UnsupportedError{m.Path, missing, placesOf(m.Graph, map[string]bool{}, nil)}
	}
	for _, t := range m.Graph.Initializers {
		if _, ok := keptAs(t.Type); ok {
			continue
		}
		if err := checkType(m.Path, "tensor "+t.Name, t.Type); err != nil {
			return err
		}
	}
	for _, v := range m.Graph.Inputs {
		if v.Other != "" {
			return &fault.Input{
				File: m.Path, Field: "input " + v.Name, Err: fmt.Errorf("it is of the kind %s; tensors alone are supported", v.Other),
				Fix: "export the model with tensors as its inputs",
			}
		}
		if v.Type == 0 {
			continue
		}
		if err := checkType(m.Path, "input "+v.Name, v.Type); err != nil {
			return err
		}
	}
	for _, n := range m.Graph.Nodes { // those of subgraphs may never be reached
		if err := checkConstant(m.Path, n); err != nil {
			return err
		}
	}
	if err := checkUnderstood(m.Path, m.Graph); err != nil {
		return err
	}
	if err := checkNodes(m); err != nil {
		return err
	}
	return checkTypes(m, m.Graph, nil)
}

// checkConstant refuses constants that engines cannot hold.
func checkConstant(file string, n *onnx.Node) error {
	if n.Op != "Constant" || n.Domain != "" {
		return nil
	}
	for _, name := range []string{"value_string", "value_strings", "sparse_value"} {
		if n.Attribute(name) != nil {
			return &fault.Input{File: file, Field: n.String(), Err: fmt.Errorf("attribute %s is not supported", name), Fix: "export the model with numbers in its place"}
		}
	}
	if a := n.Attribute("value"); a != nil && a.Tensor != nil {
		if _, ok := keptAs(a.Tensor.Type); !ok {
			return checkType(file, n.String(), a.Tensor.Type)
		}
	}
	return nil
}

// keptAs is how the engines keep a tensor of a model: integers of 4 bits in a byte each.
func keptAs(t onnx.DataType) (dtypes.DType, bool) {
	if four, ok := fourBits[t]; ok {
		return four.kept, true
	}
	d, ok := engineTypes[t]
	return d, ok
}

func checkType(file, what string, t onnx.DataType) error {
	if _, ok := engineTypes[t]; ok {
		return nil
	}
	return &fault.Input{File: file, Field: what, Err: fmt.Errorf("the engines have no type %s", t), Fix: "export the model with another type"}
}

// inModel names the file in an error of its reader.
func inModel(file string, err error) error {
	var e *onnx.Error
	if errors.As(err, &e) {
		e.File = file
	}
	return err
}

// Operators counts the nodes of each operator of a model, those in subgraphs too, and lists the operators that cannot be run, but for those
// that serve outputs of strings alone. They are written as domain.Name outside the standard domain.
func Operators(m *onnx.Model) (counts map[string]int, missing []string) {
	counts = map[string]int{}
	lacks := map[string]bool{}
	countOperators(m.Graph, counts, map[string]bool{})
	m, _ = withoutStrings(m)
	countOperators(m.Graph, map[string]int{}, lacks)
	return counts, slices.Sorted(maps.Keys(lacks))
}

func countOperators(g *onnx.Graph, counts map[string]int, lacks map[string]bool) {
	for _, n := range g.Nodes {
		name := operatorName(n)
		counts[name]++
		if _, ok := operators()[name]; !ok {
			lacks[name] = true
		}
		for i := range n.Attributes {
			if sub := n.Attributes[i].Graph; sub != nil {
				countOperators(sub, counts, lacks)
			}
		}
	}
}

// Inputs are what a call has to give.
func (g *Graph) Inputs() []onnx.Value { return g.Model.Graph.Inputs }

// Outputs are what a call returns.
func (g *Graph) Outputs() []onnx.Value { return g.Model.Graph.Outputs }

// engineTypes are the types of elements that engines know.
var engineTypes = map[onnx.DataType]dtypes.DType{
	onnx.Float: dtypes.Float32, onnx.Double: dtypes.Float64, onnx.Float16: dtypes.Float16, onnx.BFloat16: dtypes.BFloat16,
	onnx.Bool: dtypes.Bool,
	onnx.Int8: dtypes.Int8, onnx.Int16: dtypes.Int16, onnx.Int32: dtypes.Int32, onnx.Int64: dtypes.Int64,
	onnx.Uint8: dtypes.Uint8, onnx.Uint16: dtypes.Uint16, onnx.Uint32: dtypes.Uint32, onnx.Uint64: dtypes.Uint64,
}

// Tensor makes an engine's tensor of one of a model's. Integers of 4 bits get a byte each.
func Tensor(t *onnx.Tensor) (*tensors.Tensor, error) {
	d, ok := keptAs(t.Type)
	if !ok {
		return nil, checkType("", "tensor "+t.Name, t.Type)
	}
	x := tensors.FromShape(shapes.Make(d, t.Dims...))
	if t.Elements == 0 {
		return x, nil
	}

	var read error
	err := x.MutableBytes(func(b []byte) {
		if _, four := fourBits[t.Type]; !four {
			read = t.ReadRaw(0, b)
			return
		}
		packed := make([]byte, t.RawBytes())
		read = t.ReadRaw(0, packed)
		for i := range b {
			b[i] = packed[i/2] >> (4 * (i % 2)) & 15
			if t.Type == onnx.Int4 {
				b[i] = (b[i] ^ 8) - 8
			}
		}
	})
	return x, errors.Join(read, err)
}
