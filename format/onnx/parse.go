package onnx

import (
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/ballast-ml/ballast/internal/printable"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	maxDepth = 32 // of subgraphs
	maxRank  = 64
)

// Why there is a budget: a few bytes of a message become a struct of hundreds, so that memory would not be bounded by the file's size.
type parser struct {
	budget   int64
	external []*Tensor
}

func newParser(size int) *parser { return &parser{budget: 24<<20 + 2*int64(size)} }

func parse(data []byte) (*Model, []*Tensor, error) {
	p := newParser(len(data))
	m, err := p.model(data)
	if err != nil {
		return nil, nil, err
	}
	if m.Graph == nil {
		return nil, nil, &Error{Kind: ErrProto, Text: "there is no graph", Fix: fixDownload}
	}
	if err := check(m.Graph, nil); err != nil {
		return nil, nil, err
	}
	return m, p.external, nil
}

// ParseTensor reads a TensorProto, as in the *.pb files of operator tests.
func ParseTensor(data []byte) (*Tensor, error) {
	p := newParser(len(data))
	t, err := p.tensor(data)
	if err != nil {
		return nil, err
	}
	if t.External != nil {
		return nil, &Error{Field: "tensor " + printable.Quote(t.Name), Kind: ErrExternal, Text: "there is no folder to look in", Fix: "open the model from its file"}
	}
	return t, nil
}

func (p *parser) spend(n int) error {
	p.budget -= int64(n)
	if p.budget < 0 {
		return &Error{Kind: ErrLimit, Text: "the file unfolds into more than 24 MB and twice its size of nodes, names and numbers", Fix: "it was not made by an exporter; do not use it"}
	}
	return nil
}

// field is a field of a message: bytes or a number.
type field struct {
	num   protowire.Number
	typ   protowire.Type
	bytes []byte
	value uint64
}

func bad(format string, args ...any) error {
	return &Error{Kind: ErrProto, Text: fmt.Sprintf(format, args...), Fix: fixDownload}
}

// fields calls f for each field of a message.
func fields(what string, data []byte, f func(field) error) error {
	for at := 0; at < len(data); {
		num, typ, n := protowire.ConsumeTag(data[at:])
		if n < 0 {
			return bad("%s: no tag at byte %d", what, at)
		}
		at += n
		x := field{num: num, typ: typ}
		switch typ {
		case protowire.VarintType:
			x.value, n = protowire.ConsumeVarint(data[at:])
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(data[at:])
			x.value = uint64(v)
		case protowire.Fixed64Type:
			x.value, n = protowire.ConsumeFixed64(data[at:])
		case protowire.BytesType:
			x.bytes, n = protowire.ConsumeBytes(data[at:])
		default:
			return bad("%s: field %d at byte %d has wire type %d", what, num, at, typ)
		}
		if n < 0 {
			return bad("%s: field %d at byte %d is cut off", what, num, at)
		}
		at += n
		if err := f(x); err != nil {
			return err
		}
	}
	return nil
}

func (x field) text(what string) (string, error) {
	if x.typ != protowire.BytesType {
		return "", bad("%s: field %d is not text", what, x.num)
	}
	if !utf8.Valid(x.bytes) {
		return "", bad("%s: field %d is not UTF-8: %s", what, x.num, printable.Quote(string(x.bytes)))
	}
	return string(x.bytes), nil
}

func (x field) message(what string) ([]byte, error) {
	if x.typ != protowire.BytesType {
		return nil, bad("%s: field %d has wire type %d, want bytes", what, x.num, x.typ)
	}
	return x.bytes, nil
}

func (x field) int(what string) (int64, error) {
	if x.typ != protowire.VarintType {
		return 0, bad("%s: field %d has wire type %d, want a varint", what, x.num, x.typ)
	}
	return int64(x.value), nil
}

func (p *parser) names(list *[]string, x field, what string) error {
	s, err := x.text(what)
	if err != nil {
		return err
	}
	*list = append(*list, s)
	return p.spend(40 + len(s))
}

func (p *parser) pair(data []byte) (key, value string, err error) {
	err = fields("entry", data, func(x field) (err error) {
		switch x.num {
		case 1:
			key, err = x.text("entry")
		case 2:
			value, err = x.text("entry")
		}
		return err
	})
	return key, value, err
}

func (p *parser) model(data []byte) (*Model, error) {
	m := &Model{Opsets: map[string]int64{}, Metadata: map[string]string{}}
	const what = "model"
	err := fields(what, data, func(x field) (err error) {
		switch x.num {
		case 1:
			m.IRVersion, err = x.int(what)
		case 2:
			m.Producer, err = x.text(what)
		case 7:
			if m.Graph != nil {
				return bad("model: a second graph")
			}
			var b []byte
			if b, err = x.message(what); err == nil {
				m.Graph, err = p.graph(b, 1)
			}
		case 8:
			var b []byte
			if b, err = x.message(what); err != nil {
				return err
			}
			var domain string
			version := int64(0)
			err = fields("opset", b, func(x field) (err error) {
				switch x.num {
				case 1:
					domain, err = x.text("opset")
				case 2:
					version, err = x.int("opset")
				}
				return err
			})
			if domain == "ai.onnx" {
				domain = ""
			}
			if old, twice := m.Opsets[domain]; twice && old != version {
				return &Error{Field: "opset " + printable.Quote(domain), Kind: ErrDuplicate, Text: fmt.Sprintf("versions %d and %d", old, version), Fix: fixExport}
			}
			m.Opsets[domain] = version
			if err == nil {
				err = p.spend(128)
			}
		case 14:
			var b []byte
			if b, err = x.message(what); err != nil {
				return err
			}
			key, value, err := p.pair(b)
			if err != nil {
				return err
			}
			m.Metadata[key] = value
			return p.spend(256 + len(b))
		case 25:
			var b []byte
			if b, err = x.message(what); err != nil {
				return err
			}
			var name, domain string
			err = fields("function", b, func(x field) (err error) {
				switch x.num {
				case 1:
					name, err = x.text("function")
				case 10:
					domain, err = x.text("function")
				}
				return err
			})
			m.Functions = append(m.Functions, domain+"."+name)
			if err == nil {
				err = p.spend(64 + len(b))
			}
		}
		return err
	})

	return m, err
}

func (p *parser) graph(data []byte, depth int) (*Graph, error) {
	if depth > maxDepth {
		return nil, &Error{Kind: ErrLimit, Text: fmt.Sprintf("subgraphs more than %d deep", maxDepth), Fix: fixExport}
	}
	g := &Graph{}
	const what = "graph"
	err := fields(what, data, func(x field) (err error) {
		if x.num == 2 {
			g.Name, err = x.text(what)
			return err
		}
		if x.num != 1 && x.num != 5 && x.num != 11 && x.num != 12 && x.num != 15 {
			return nil
		}
		b, err := x.message(what)
		if err != nil {
			return err
		}
		switch x.num {
		case 1:
			n, err := p.node(b, depth)
			if err != nil {
				return err
			}
			g.Nodes = append(g.Nodes, n)
		case 5, 15:
			read := p.tensor
			if x.num == 15 {
				read = p.sparse
			}
			t, err := read(b)
			if err != nil {
				return err
			}
			g.Initializers = append(g.Initializers, t)
		case 11, 12:
			v, err := p.value(b)
			if err != nil {
				return err
			}
			if x.num == 11 {
				g.Inputs = append(g.Inputs, v)
			} else {
				g.Outputs = append(g.Outputs, v)
			}
		}
		return nil
	})
	return g, err
}

func (p *parser) node(data []byte, depth int) (*Node, error) {
	n := &Node{}
	if err := p.spend(256); err != nil {
		return nil, err
	}
	const what = "node"
	err := fields(what, data, func(x field) (err error) {
		switch x.num {
		case 1:
			err = p.names(&n.Inputs, x, what)
		case 2:
			err = p.names(&n.Outputs, x, what)
		case 3:
			n.Name, err = x.text(what)
		case 4:
			n.Op, err = x.text(what)
		case 5:
			var b []byte
			if b, err = x.message(what); err != nil {
				return err
			}
			var a Attribute
			if a, err = p.attribute(b, depth); err != nil {
				return err
			}
			if n.Attribute(a.Name) != nil {
				return &Error{Field: n.String(), Kind: ErrDuplicate, Text: "attribute " + printable.Quote(a.Name), Fix: fixExport}
			}
			n.Attributes = append(n.Attributes, a)
			if len(n.Attributes) > 256 {
				return &Error{Field: n.String(), Kind: ErrLimit, Text: "more than 256 attributes", Fix: fixExport}
			}
		case 7:
			n.Domain, err = x.text(what)
		}
		return err
	})
	if err == nil && n.Op == "" {
		return nil, &Error{Field: n.String(), Kind: ErrGraph, Text: "it names no operator", Fix: fixExport}
	}
	if n.Domain == "ai.onnx" {
		n.Domain = ""
	}
	return n, err
}

func (p *parser) attribute(data []byte, depth int) (Attribute, error) {
	a := Attribute{}
	if err := p.spend(480); err != nil {
		return a, err
	}
	const what = "attribute"
	err := fields(what, data, func(x field) (err error) {
		switch x.num {
		case 1:
			a.Name, err = x.text(what)
		case 2:
			if x.typ != protowire.Fixed32Type {
				return bad("attribute: f has wire type %d", x.typ)
			}
			a.Float = math.Float32frombits(uint32(x.value))
		case 3:
			a.Int, err = x.int(what)
		case 4:
			a.Bytes, err = x.message(what)
		case 5, 6:
			var b []byte
			if b, err = x.message(what); err != nil {
				return err
			}
			if x.num == 5 {
				a.Tensor, err = p.tensor(b)
			} else {
				a.Graph, err = p.graph(b, depth+1)
			}
		case 7:
			err = p.numbers(x, what, protowire.Fixed32Type, func(v uint64) {
				a.Floats = append(a.Floats, math.Float32frombits(uint32(v)))
			})
		case 8:
			err = p.numbers(x, what, protowire.VarintType, func(v uint64) { a.Ints = append(a.Ints, int64(v)) })
		case 9:
			var b []byte
			if b, err = x.message(what); err == nil {
				a.Strings = append(a.Strings, b)
				err = p.spend(60)
			}
		case 20:
			a.Type, err = x.int(what)
		}
		return err
	})
	if err == nil && a.Name == "" {
		return a, &Error{Kind: ErrGraph, Text: "an attribute has no name", Fix: fixExport}
	}
	return a, err
}

// numbers reads a repeated number, packed or not.
func (p *parser) numbers(x field, what string, typ protowire.Type, add func(uint64)) error {
	if x.typ == typ {
		add(x.value)
		return p.spend(24)
	}
	if x.typ != protowire.BytesType {
		return bad("%s: field %d has wire type %d", what, x.num, x.typ)
	}
	for b := x.bytes; len(b) > 0; {
		var v uint64
		n := -1
		switch typ {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var w uint32
			w, n = protowire.ConsumeFixed32(b)
			v = uint64(w)
		case protowire.Fixed64Type:
			v, n = protowire.ConsumeFixed64(b)
		}
		if n < 0 {
			return bad("%s: the numbers of field %d are cut off", what, x.num)
		}
		if err := p.spend(24); err != nil { // a slice that grows holds up to three times its length for a moment
			return err
		}
		add(v)
		b = b[n:]
	}
	return nil
}
