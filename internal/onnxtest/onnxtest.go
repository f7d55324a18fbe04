// Package onnxtest writes small ONNX models for tests.
package onnxtest

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// The types of elements that Value and Tensor take, as ONNX numbers them.
const (
	Float   = 1
	Uint8   = 2
	Int64   = 7
	String  = 8
	Bool    = 9
	Float16 = 10
)

// Model is a model of one graph.
type Model struct {
	Opset   int // of the standard domain
	Nodes   []Node
	Tensors []Tensor // initialisers
	Inputs  []Value
	Outputs []Value

	Metadata map[string]string
}

// Node is an operation. Attributes are int, float32, string, []int, []float32, []string, Tensor, or Model for a subgraph.
type Node struct {
	Op, Domain, Name string
	Inputs, Outputs  []string
	Attributes       map[string]any
}

// Tensor is an initialiser with its bytes, little endian. With a Location they lie in that file, from Offset on.
type Tensor struct {
	Name     string
	Type     int
	Shape    []int
	Raw      []byte
	Location string
	Offset   int
}

// Value declares an input or output. Shape holds an int for each fixed dimension and a string for each that varies.
type Value struct {
	Name  string
	Type  int
	Shape []any
	Other int // in place of a tensor: 4 for a sequence, 5 a map, 8 a sparse tensor, 9 an optional
}

// Floats is a tensor of float32 values.
func Floats(name string, shape []int, values ...float32) Tensor {
	var raw []byte
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return Tensor{Name: name, Type: Float, Shape: shape, Raw: raw}
}

// Ints is a tensor of int64 values.
func Ints(name string, shape []int, values ...int64) Tensor {
	var raw []byte
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return Tensor{Name: name, Type: Int64, Shape: shape, Raw: raw}
}

// message is bytes of a protobuf message that grow field by field.
type message []byte

func (m *message) int(field protowire.Number, v int) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), uint64(v))
}

func (m *message) bytes(field protowire.Number, v []byte) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, field, protowire.BytesType), v)
}

func (m *message) text(field protowire.Number, v string) { m.bytes(field, []byte(v)) }

// Bytes is the model as a file holds it.
func (m Model) Bytes() []byte {
	var opset, out message
	opset.int(2, m.Opset)
	out.int(1, 8)
	out.text(2, "onnxtest")
	out.bytes(7, m.graph())
	out.bytes(8, opset)
	for _, key := range slices.Sorted(maps.Keys(m.Metadata)) {
		var entry message
		entry.text(1, key)
		entry.text(2, m.Metadata[key])
		out.bytes(14, entry)
	}
	return out
}

func (m Model) graph() []byte {
	var graph message
	for _, n := range m.Nodes {
		graph.bytes(1, n.bytes())
	}
	graph.text(2, "test")
	for _, t := range m.Tensors {
		graph.bytes(5, t.bytes())
	}
	for _, v := range m.Inputs {
		graph.bytes(11, v.bytes())
	}
	for _, v := range m.Outputs {
		graph.bytes(12, v.bytes())
	}
	return graph
}

func (n Node) bytes() []byte {
	var m message
	for _, name := range n.Inputs {
		m.text(1, name)
	}
	for _, name := range n.Outputs {
		m.text(2, name)
	}
	m.text(3, n.Name)
	m.text(4, n.Op)
	for _, name := range slices.Sorted(maps.Keys(n.Attributes)) {
		m.bytes(5, attribute(name, n.Attributes[name]))
	}
	if n.Domain != "" {
		m.text(7, n.Domain)
	}
	return m
}

func attribute(name string, value any) []byte {
	var m message
	m.text(1, name)
	switch v := value.(type) {
	case int:
		m.int(3, v)
		m.int(20, 2)
	case float32:
		m = protowire.AppendFixed32(protowire.AppendTag(m, 2, protowire.Fixed32Type), math.Float32bits(v))
		m.int(20, 1)
	case string:
		m.text(4, v)
		m.int(20, 3)
	case []int:
		for _, i := range v {
			m.int(8, i)
		}
		m.int(20, 7)
	case []float32:
		for _, f := range v {
			m = protowire.AppendFixed32(protowire.AppendTag(m, 7, protowire.Fixed32Type), math.Float32bits(f))
		}
		m.int(20, 6)
	case []string:
		for _, text := range v {
			m.text(9, text)
		}
		m.int(20, 8)
	case Tensor:
		m.bytes(5, v.bytes())
		m.int(20, 4)
	case Model:
		m.bytes(6, v.graph())
		m.int(20, 5)
	default:
		panic(fmt.Errorf("onnxtest: attribute %s is a %T; give an int, float32, string, []int, []float32, []string, Tensor or Model", name, value))
	}
	return m
}

func (t Tensor) bytes() []byte {
	var m message
	for _, d := range t.Shape {
		m.int(1, d)
	}
	m.int(2, t.Type)
	m.text(8, t.Name)
	switch {
	case t.Type == String: // which have no bytes of one length
		return m
	case t.Location == "":
		m.bytes(9, t.Raw)
		return m
	}
	for _, pair := range [][2]string{{"location", t.Location}, {"offset", strconv.Itoa(t.Offset)}} {
		var entry message
		entry.text(1, pair[0])
		entry.text(2, pair[1])
		m.bytes(13, entry)
	}
	m.int(14, 1)
	return m
}

func (v Value) bytes() []byte {
	var shape, tensor, kind, m message
	for _, d := range v.Shape {
		var dim message
		switch d := d.(type) {
		case int:
			dim.int(1, d)
		case string:
			dim.text(2, d)
		default:
			panic(fmt.Errorf("onnxtest: a dimension of %s is a %T; give an int or a string", v.Name, d))
		}
		shape.bytes(1, dim)
	}
	tensor.int(1, v.Type)
	tensor.bytes(2, shape)
	if v.Other == 0 {
		kind.bytes(1, tensor)
	} else {
		kind.bytes(protowire.Number(v.Other), nil)
	}
	m.text(1, v.Name)
	m.bytes(2, kind)
	return m
}
