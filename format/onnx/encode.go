package onnx

import (
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// message is a protobuf message that is written field by field.
type message []byte

func (m *message) int(field protowire.Number, v int64) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), uint64(v))
}

func (m *message) bytes(field protowire.Number, v []byte) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, field, protowire.BytesType), v)
}

func (m *message) text(field protowire.Number, v string) {
	*m = protowire.AppendString(protowire.AppendTag(*m, field, protowire.BytesType), v)
}

func (m *message) float(field protowire.Number, v float32) {
	*m = protowire.AppendFixed32(protowire.AppendTag(*m, field, protowire.Fixed32Type), math.Float32bits(v))
}

// pairOf is a StringStringEntryProto.
func pairOf(key, value string) message {
	var m message
	m.text(1, key)
	m.text(2, value)
	return m
}

// Types of attributes, as ONNX numbers them.
const (
	attributeFloat   = 1
	attributeInt     = 2
	attributeString  = 3
	attributeTensor  = 4
	attributeFloats  = 6
	attributeInts    = 7
	attributeStrings = 8
)

// IntAttribute is an attribute that is a whole number.
func IntAttribute(name string, v int64) Attribute {
	return Attribute{Name: name, Type: attributeInt, Int: v}
}

// IntsAttribute is an attribute that is a list of whole numbers.
func IntsAttribute(name string, v ...int64) Attribute {
	return Attribute{Name: name, Type: attributeInts, Ints: v}
}

// encode is the node as a NodeProto. Attributes that are graphs are refused: no change here makes one.
func (n *Node) encode() (message, error) {
	var m message
	for _, name := range n.Inputs {
		m.text(1, name)
	}
	for _, name := range n.Outputs {
		m.text(2, name)
	}
	if n.Name != "" {
		m.text(3, n.Name)
	}
	m.text(4, n.Op)
	for i := range n.Attributes {
		a, err := n.Attributes[i].encode()
		if err != nil {
			return nil, misfit(n.String(), "%v", err)
		}
		m.bytes(5, a)
	}
	if n.Domain != "" {
		m.text(7, n.Domain)
	}
	return m, nil
}

func (a *Attribute) encode() (message, error) {
	var m message
	m.text(1, a.Name)
	switch a.Type {
	case attributeFloat:
		m.float(2, a.Float)
	case attributeInt:
		m.int(3, a.Int)
	case attributeString:
		m.bytes(4, a.Bytes)
	case attributeTensor:
		if a.Tensor == nil || a.Tensor.External != nil {
			return nil, misfit("attribute "+a.Name, "it has no tensor with its elements")
		}
		m.bytes(5, a.Tensor.encode())
	case attributeFloats:
		for _, v := range a.Floats {
			m.float(7, v)
		}
	case attributeInts:
		for _, v := range a.Ints {
			m.int(8, v)
		}
	case attributeStrings:
		for _, v := range a.Strings {
			m.bytes(9, v)
		}
	default:
		return nil, misfit("attribute "+a.Name, "type %d is not written", a.Type)
	}
	m.int(20, a.Type)
	return m, nil
}

// encode is the tensor as a TensorProto with its elements.
func (t *Tensor) encode() message {
	var m message
	for _, d := range t.Dims {
		m.int(1, int64(d))
	}
	m.int(2, int64(t.Type))
	for _, s := range t.Strings {
		m.bytes(6, s)
	}
	if t.Name != "" {
		m.text(8, t.Name)
	}
	if t.Type != String {
		m.bytes(9, t.Raw)
	}
	return m
}

// encodeOutside is the tensor as a TensorProto whose elements lie in another file.
func (t *Tensor) encodeOutside(at place) message {
	var m message
	for _, d := range t.Dims {
		m.int(1, int64(d))
	}
	m.int(2, int64(t.Type))
	m.text(8, t.Name)
	m = append(m, at.encode()...)
	return m
}

// place is where a tensor's elements lie outside the file.
type place struct {
	location       string
	offset, length int64
}

// encode is the fields of a TensorProto that say so.
func (p place) encode() message {
	var m message
	m.bytes(13, pairOf("location", p.location))
	m.bytes(13, pairOf("offset", strconv.FormatInt(p.offset, 10)))
	m.bytes(13, pairOf("length", strconv.FormatInt(p.length, 10)))
	m.int(14, 1)
	return m
}

// encode is the value as a ValueInfoProto of a tensor. Without a rank there is no shape.
func (v Value) encode() message {
	var tensor, kind, m message
	if v.Type != 0 {
		tensor.int(1, int64(v.Type))
	}
	if v.Rank >= 0 {
		var shape message
		for _, d := range v.Dims {
			var dim message
			switch {
			case d.Name != "":
				dim.text(2, d.Name)
			case d.Size >= 0:
				dim.int(1, int64(d.Size))
			}
			shape.bytes(1, dim)
		}
		tensor.bytes(2, shape)
	}
	kind.bytes(1, tensor)
	m.text(1, v.Name)
	m.bytes(2, kind)
	return m
}
