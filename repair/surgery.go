package repair

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/format/weights"
)

// surgery collects the nodes and initialisers that a repair adds to a graph, under names that nothing in it has.
type surgery struct {
	m       *onnx.Model
	prefix  string // of all names
	opset   int64
	taken   map[string]bool
	nodes   []*onnx.Node
	tensors []*onnx.Tensor
}

// newSurgery knows all names of a model.
func newSurgery(m *onnx.Model, prefix string) *surgery {
	s := &surgery{m: m, prefix: prefix, opset: m.Opsets[""], taken: map[string]bool{}}
	s.take(m.Graph)
	return s
}

// take notes the names of a graph and of those within it.
func (s *surgery) take(g *onnx.Graph) {
	for _, t := range g.Initializers {
		s.taken[t.Name] = true
	}
	for _, v := range g.Inputs {
		s.taken[v.Name] = true
	}
	for _, n := range g.Nodes {
		s.taken[n.Name] = true
		for _, name := range n.Outputs {
			s.taken[name] = true
		}
		for i := range n.Attributes {
			if sub := n.Attributes[i].Graph; sub != nil {
				s.take(sub)
			}
		}
	}
}

// name is a name that nothing has, made of base.
func (s *surgery) name(base string) string {
	name := base
	for n := 2; s.taken[name]; n++ {
		name = base + "_" + strconv.Itoa(n)
	}
	s.taken[name] = true
	return name
}

// op adds a node of one output, and returns the output's name.
func (s *surgery) op(op string, inputs []string, attributes ...onnx.Attribute) string {
	name := s.name(s.prefix + "/" + op)
	out := s.name(name + "/out")
	s.nodes = append(s.nodes, &onnx.Node{Name: name, Op: op, Inputs: inputs, Outputs: []string{out}, Attributes: attributes})
	return out
}

// end names the output of the last node that was added.
func (s *surgery) end(name string) {
	s.nodes[len(s.nodes)-1].Outputs[0] = name
}

// numbers adds an initialiser of floating point numbers.
func (s *surgery) numbers(what string, t onnx.DataType, dims []int, values ...float64) string {
	name := s.name(s.prefix + "/" + what)
	s.tensors = append(s.tensors, tensorOf(name, t, dims, values))
	return name
}

// integers adds an initialiser of INT64.
func (s *surgery) integers(what string, dims []int, values ...int64) string {
	t := &onnx.Tensor{Name: s.name(s.prefix + "/" + what), Type: onnx.Int64, Dims: dims, Elements: len(values)}
	for _, v := range values {
		t.Raw = binary.LittleEndian.AppendUint64(t.Raw, uint64(v))
	}
	s.tensors = append(s.tensors, t)
	return t.Name
}

// reduce adds a node that reduces one axis, as the opset writes axes: since some version as an input.
func (s *surgery) reduce(op, x string, axis int64, keep bool) string {
	kept := onnx.IntAttribute("keepdims", 0)
	if keep {
		kept.Int = 1
	}
	since := int64(18)
	if op == "ReduceSum" {
		since = 13
	}
	if s.opset >= since {
		return s.op(op, []string{x, s.integers("axes", []int{1}, axis)}, kept)
	}
	return s.op(op, []string{x}, onnx.IntsAttribute("axes", axis), kept)
}

// cast adds a conversion to a type.
func (s *surgery) cast(x string, to onnx.DataType) string {
	return s.op("Cast", []string{x}, onnx.IntAttribute("to", int64(to)))
}

// reshape adds a Reshape to constant sides.
func (s *surgery) reshape(x string, sides ...int64) string {
	return s.op("Reshape", []string{x, s.integers("shape", []int{len(sides)}, sides...)})
}

// tensorOf is a tensor of numbers, rounded to its type: FLOAT, DOUBLE, FLOAT16 or BFLOAT16.
func tensorOf(name string, t onnx.DataType, dims []int, values []float64) *onnx.Tensor {
	out := &onnx.Tensor{Name: name, Type: t, Dims: dims, Elements: len(values), Raw: make([]byte, 0, len(values)*t.Size())}
	for _, v := range values {
		switch t {
		case onnx.Double:
			out.Raw = binary.LittleEndian.AppendUint64(out.Raw, math.Float64bits(v))
		case onnx.Float16:
			out.Raw = binary.LittleEndian.AppendUint16(out.Raw, weights.F16(float32(v)))
		case onnx.BFloat16:
			out.Raw = binary.LittleEndian.AppendUint16(out.Raw, weights.BF16(float32(v)))
		default:
			out.Raw = binary.LittleEndian.AppendUint32(out.Raw, math.Float32bits(float32(v)))
		}
	}
	return out
}

// floating reports whether a type is one of those of tensorOf.
func floating(t onnx.DataType) bool {
	return t == onnx.Float || t == onnx.Double || t == onnx.Float16 || t == onnx.BFloat16
}

// valuesOf are the elements of a floating tensor; those of external data are read.
func valuesOf(t *onnx.Tensor) ([]float64, error) {
	out := make([]float64, t.Elements)
	if t.Type == onnx.Double {
		raw := make([]byte, t.RawBytes())
		if err := t.ReadRaw(0, raw); err != nil {
			return nil, err
		}
		for i := range out {
			out[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
		}
		return out, nil
	}
	single := make([]float32, t.Elements)
	if err := t.Float32s(0, single); err != nil {
		return nil, err
	}
	for i, v := range single {
		out[i] = float64(v)
	}
	return out, nil
}

// wrong is what a model has not, or has too much of.
func wrong(m *onnx.Model, field, fix, format string, args ...any) error {
	return &fault.Input{File: m.Path, Field: field, Err: fmt.Errorf(format, args...), Fix: fix}
}

// makers are the places of the nodes that make each value.
func makers(g *onnx.Graph) map[string]int {
	at := map[string]int{}
	for i, n := range g.Nodes {
		for _, name := range n.Outputs {
			if name != "" {
				at[name] = i
			}
		}
	}
	return at
}

// uses counts how often each value is taken: by nodes, in their subgraphs too, and by the outputs of the graph.
func uses(g *onnx.Graph) map[string]int {
	count := map[string]int{}
	var in func(g *onnx.Graph)
	in = func(g *onnx.Graph) {
		for _, n := range g.Nodes {
			for _, name := range n.Inputs {
				count[name]++
			}
			for i := range n.Attributes {
				if sub := n.Attributes[i].Graph; sub != nil {
					in(sub)
				}
			}
		}
		for _, v := range g.Outputs {
			count[v.Name]++
		}
	}
	in(g)
	return count
}
