package onnxrun

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/strict"
)

// schemaTable has a line for each version of each operator, written from ONNX's own package by bench/peers/onnx_schemas.py.
//
//go:embed schemas.tsv
var schemaTable string

// schema is what the specification says of one version of an operator.
type schema struct {
	since      int64
	deprecated bool
	attributes map[string]attributeSchema
	inputs     []string // name:type, with ? for one that may be left out and * for one that may come often
	outputs    []string
	types      map[string][]string // by the names that inputs and outputs use
}

type attributeSchema struct {
	kind      int64 // as files number them
	required  bool
	otherwise string
}

// attributeKinds are the letters of the table, each at its number.
const attributeKinds = "?fistgFISTGpPyY"

// schemas are the versions of each operator, the oldest first; operators outside the standard domain are written as domain.Name.
var schemas = sync.OnceValue(func() map[string][]schema {
	all := map[string][]schema{}
	for line := range strings.Lines(schemaTable) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		version, deprecated := strings.CutSuffix(f[1], "-")
		since, err := strconv.ParseInt(version, 10, 64)
		if err != nil {
			panic(fmt.Errorf("schemas.tsv: %q: %w", line, err))
		}

		s := schema{since: since, deprecated: deprecated, attributes: map[string]attributeSchema{}, types: map[string][]string{}}
		for _, word := range strings.Fields(f[2]) {
			name, rest, _ := strings.Cut(word, ":")
			rest, otherwise, _ := strings.Cut(rest, "=")
			s.attributes[name] = attributeSchema{int64(strings.Index(attributeKinds, rest[:1])), strings.HasSuffix(rest, "!"), otherwise}
		}
		s.inputs, s.outputs = strings.Fields(f[3]), strings.Fields(f[4])
		for _, word := range strings.Fields(f[5]) {
			name, list, _ := strings.Cut(word, "=")
			s.types[name] = strings.Split(list, ",")
		}
		all[f[0]] = append(all[f[0]], s)
	}
	return all
})

// schemaOf is the version of a node's operator that a model means, nil for one that the table has not. Operators that were withdrawn run
// as in their last version.
func schemaOf(m *onnx.Model, n *onnx.Node) *schema {
	versions := schemas()[strings.TrimPrefix(n.Domain+"."+n.Op, ".")]
	var found *schema
	for i := range versions {
		if s := &versions[i]; !s.deprecated && (found == nil || s.since <= m.Opsets[n.Domain]) {
			found = s
		}
	}
	return found
}

// checkNodes tells what of a model's nodes cannot be run, by what they say themselves: attributes that their operators do not have in the
// model's opset, and values of attributes that are not supported.
func checkNodes(m *onnx.Model) error {
	narrow := map[string]onnx.DataType{}
	return checkGraph(m, m.Graph, narrow)
}

func checkGraph(m *onnx.Model, g *onnx.Graph, narrow map[string]onnx.DataType) error {
	for _, t := range g.Initializers {
		if _, ok := fourBits[t.Type]; ok {
			narrow[t.Name] = t.Type
		}
	}
	for _, n := range g.Nodes {
		if err := checkNode(m, n); err != nil {
			err.File, err.Field = m.Path, n.String()
			return err
		}
		for i, name := range n.Inputs {
			t, ok := narrow[name]
			if !ok || n.Op == "DequantizeLinear" && i != 1 || n.Op == "QuantizeLinear" && i == 2 {
				continue
			}
			return &fault.Input{
				File: m.Path, Field: n.String(), Err: fmt.Errorf("input %d, %s, is %s, which DequantizeLinear and QuantizeLinear alone take here", i, printable.Quote(name), t),
				Fix: "export the model with another type",
			}
		}
		for i := range n.Attributes {
			a := &n.Attributes[i]
			if a.Tensor != nil && n.Op == "Constant" {
				if _, ok := fourBits[a.Tensor.Type]; ok && len(n.Outputs) > 0 {
					narrow[n.Outputs[0]] = a.Tensor.Type
				}
			}
			if a.Graph == nil {
				continue
			}
			if err := checkGraph(m, a.Graph, narrow); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkNode refuses attributes by their names, kinds and values.
func checkNode(m *onnx.Model, n *onnx.Node) *fault.Input {
	s := schemaOf(m, n)
	if s == nil {
		return nil
	}
	for i := range n.Attributes {
		a := &n.Attributes[i]
		known, ok := s.attributes[a.Name]
		if !ok {
			return unknownAttribute(m, n, s, a.Name)
		}
		if a.Type != 0 && a.Type != known.kind {
			return &fault.Input{
				Err: fmt.Errorf("attribute %s is of kind %d, want %d", printable.Line(a.Name), a.Type, known.kind), Fix: "export the model again with a current exporter",
			}
		}
		if err := checkValue(strings.TrimPrefix(n.Domain+"."+n.Op, "."), a); err != nil {
			return &fault.Input{Err: err, Fix: "export the model without it"}
		}
	}
	for name, known := range s.attributes {
		if known.required && n.Attribute(name) == nil && name != "consumed_inputs" { // a hint of the first versions to the memory
			return &fault.Input{Err: fmt.Errorf("attribute %s is missing", name), Fix: "export the model again with a current exporter"}
		}
	}
	return nil
}

// unknownAttribute is the error for an attribute that a version of an operator has not.
func unknownAttribute(m *onnx.Model, n *onnx.Node, s *schema, name string) *fault.Input {
	err := fmt.Errorf("%s of opset %d has no attribute %s", printable.Line(n.Op), m.Opsets[n.Domain], printable.Quote(name))
	fix := "export the model again with a current exporter"
	for _, other := range schemas()[strings.TrimPrefix(n.Domain+"."+n.Op, ".")] {
		if _, ok := other.attributes[name]; ok && other.since > s.since {
			return &fault.Input{Err: fmt.Errorf("%w; it came with opset %d", err, other.since), Fix: fix}
		}
	}
	if near, ok := strict.Nearest(name, slices.Sorted(maps.Keys(s.attributes))); ok {
		fix += " (did you mean " + near + "?)"
	}
	return &fault.Input{Err: err, Fix: fix}
}
