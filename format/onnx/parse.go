package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/ballast-ml/ballast/format"
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

func (p *parser) value(data []byte) (Value, error) {
	v := Value{Rank: -1}
	if err := p.spend(160); err != nil {
		return v, err
	}
	message := func(what string, b []byte, num protowire.Number, f func([]byte) error) error {
		return fields(what, b, func(x field) error {
			if x.num != num {
				return nil
			}
			b, err := x.message(what)
			if err != nil {
				return err
			}
			return f(b)
		})
	}
	dim := func(b []byte) error {
		d := Dim{Size: -1}
		err := fields("dimension", b, func(x field) (err error) {
			switch x.num {
			case 1:
				var n int64
				if n, err = x.int("dimension"); err == nil && (n < 0 || n > math.MaxInt32*64) {
					return &Error{Field: "value " + printable.Quote(v.Name), Kind: ErrShape, Text: fmt.Sprintf("dimension %d", n), Fix: fixExport}
				}
				d.Size = int(n)
			case 2:
				d.Name, err = x.text("dimension")
			}
			return err
		})
		v.Dims = append(v.Dims, d)
		if err == nil {
			err = p.spend(64)
		}
		return err
	}
	err := fields("value", data, func(x field) (err error) {
		switch x.num {
		case 1:
			v.Name, err = x.text("value")
		case 2:
			var b []byte
			if b, err = x.message("value"); err != nil {
				return err
			}
			err = message("type", b, 1, func(b []byte) error { // tensor_type
				return fields("tensor type", b, func(x field) (err error) {
					switch x.num {
					case 1:
						var n int64
						n, err = x.int("tensor type")
						v.Type = DataType(n)
					case 2:
						if b, err = x.message("tensor type"); err == nil {
							v.Rank, v.Dims = 0, nil
							err = message("shape", b, 1, dim)
							v.Rank = len(v.Dims)
						}
					}
					return err
				})
			})
		}
		return err
	})
	return v, err
}

// packed are the fields of TensorProto with typed data, and which types each may hold.
var packed = map[protowire.Number][]DataType{
	4: {Float, Complex64}, 5: {Int32, Int16, Int8, Uint16, Uint8, Bool, Float16, BFloat16, Float8E4M3, Float8E4Z, Float8E5M2, Float8E5Z, Float8E8M0, Uint4, Int4, Float4, Uint2, Int2},
	7: {Int64}, 10: {Double, Complex128}, 11: {Uint64, Uint32},
}

func (p *parser) tensor(data []byte) (*Tensor, error) {
	t := &Tensor{}
	if err := p.spend(320); err != nil {
		return nil, err
	}

	wrong := func(kind *format.Kind, format string, args ...any) error {
		return &Error{Field: "tensor " + printable.Quote(t.Name), Kind: kind, Text: fmt.Sprintf(format, args...), Fix: fixExport}
	}

	const what = "tensor"
	var raw []byte
	var hasRaw, external bool
	var typed []field
	e := &External{Length: -1}
	err := fields(what, data, func(x field) (err error) {
		switch x.num {
		case 1:
			return p.numbers(x, what, protowire.VarintType, func(v uint64) { t.Dims = append(t.Dims, int(v)) })
		case 2:
			var n int64
			n, err = x.int(what)
			t.Type = DataType(n)
			if err == nil && n != int64(t.Type) {
				return wrong(ErrDType, "type %d", n)
			}
		case 3:
			return wrong(ErrProto, "it is a segment of a tensor")
		case 4, 5, 7, 10, 11:
			typed = append(typed, x)
			err = p.spend(160)
		case 6:
			var b []byte
			if b, err = x.message(what); err == nil {
				t.Strings = append(t.Strings, b)
				err = p.spend(60)
			}
		case 8:
			t.Name, err = x.text(what)
		case 9:
			if hasRaw {
				return wrong(ErrDuplicate, "raw_data")
			}
			raw, err = x.message(what)
			hasRaw = true
		case 13:
			var b []byte
			if b, err = x.message(what); err != nil {
				return err
			}
			key, value, err := p.pair(b)
			if err != nil {
				return err
			}
			var n int64
			switch key {
			case "location":
				e.Location = value
			case "offset", "length":
				if n, err = strconv.ParseInt(value, 10, 64); err != nil || n < 0 {
					return wrong(ErrExternal, "%s is %s, want a number of bytes", key, printable.Quote(value))
				}
				if key == "offset" {
					e.Offset = n
				} else {
					e.Length = n
				}
			}
		case 14:
			var n int64
			n, err = x.int(what)
			if err == nil && n != 0 && n != 1 {
				return wrong(ErrProto, "data_location %d", n)
			}
			external = n == 1
		}
		return err
	})
	if err != nil {
		return nil, err
	}

	if len(t.Dims) > maxRank {
		return nil, wrong(ErrShape, "%d dimensions, at most %d are read", len(t.Dims), maxRank)
	}

	var ok bool
	if t.Elements, ok = elements(t.Dims); !ok {
		return nil, wrong(ErrShape, "%v: a dimension is negative or the product overflows", t.Dims)
	}

	if t.Type == String {
		if len(t.Strings) != t.Elements || hasRaw || external || len(typed) > 0 {
			return nil, wrong(ErrSize, "%d strings for the shape %v", len(t.Strings), t.Dims)
		}
		return t, nil
	}

	if t.Type.Bits() == 0 {
		return nil, wrong(ErrDType, "%s", t.Type)
	}

	if len(t.Strings) > 0 {
		return nil, wrong(ErrSize, "strings in a tensor of %s", t.Type)
	}

	if external {
		if hasRaw || len(typed) > 0 {
			return nil, wrong(ErrSize, "data both in the file and outside")
		}
		if err := checkLocation(t.Name, e.Location); err != nil {
			return nil, err
		}
		t.External = e
		p.external = append(p.external, t)
		return t, nil
	}

	if hasRaw && len(typed) > 0 {
		return nil, wrong(ErrSize, "both raw_data and typed data")
	}

	if !hasRaw {
		if raw, err = p.typed(t, typed, wrong); err != nil {
			return nil, err
		}
	}

	if int64(len(raw)) != t.RawBytes() {
		return nil, wrong(ErrSize, "%d bytes, the shape %v of %s takes %d", len(raw), t.Dims, t.Type, t.RawBytes())
	}

	t.Raw = raw
	return t, nil
}

// typed turns float_data, int32_data and so on into little-endian bytes.
func (p *parser) typed(t *Tensor, list []field, wrong func(*format.Kind, string, ...any) error) ([]byte, error) {
	if len(list) == 0 {
		return nil, nil
	}

	size := max(1, t.Type.Size()) // elements of less than a byte are packed already
	wire := protowire.VarintType
	switch list[0].num {
	case 4:
		wire, size = protowire.Fixed32Type, 4
	case 10:
		wire, size = protowire.Fixed64Type, 8
	}

	for _, x := range list {
		fits := false
		for _, d := range packed[x.num] {
			fits = fits || d == t.Type
		}
		if !fits || x.num != list[0].num {
			return nil, wrong(ErrSize, "%s in field %d", t.Type, x.num)
		}
	}

	if len(list) == 1 && wire != protowire.VarintType && list[0].typ == protowire.BytesType {
		return list[0].bytes, nil // fixed-size numbers lie there as they are
	}
	if err := p.spend(int(t.RawBytes())); err != nil {
		return nil, err
	}

	raw := make([]byte, 0, t.RawBytes())
	var over error
	for _, x := range list {
		err := p.numbers(x, "tensor", wire, func(v uint64) {
			if len(raw)+size > cap(raw) {
				over = wrong(ErrSize, "more elements than the shape %v has", t.Dims)
				return
			}
			p.budget += 16 // the room was paid for above
			switch size {
			case 1:
				raw = append(raw, byte(v))
			case 2:
				raw = binary.LittleEndian.AppendUint16(raw, uint16(v))
			case 4:
				raw = binary.LittleEndian.AppendUint32(raw, uint32(v))
			case 8:
				raw = binary.LittleEndian.AppendUint64(raw, v)
			}
			low, high := int64(math.MinInt64), int64(math.MaxInt64)
			switch t.Type {
			case Int32:
				low, high = math.MinInt32, math.MaxInt32
			case Int16:
				low, high = math.MinInt16, math.MaxInt16
			case Int8:
				low, high = math.MinInt8, math.MaxInt8
			case Uint16, Float16, BFloat16:
				low, high = 0, math.MaxUint16
			case Uint8, Float8E4M3, Float8E4Z, Float8E5M2, Float8E5Z, Float8E8M0, Uint4, Int4, Float4, Uint2, Int2:
				low, high = 0, math.MaxUint8
			case Bool:
				low, high = 0, 1
			case Uint32:
				low, high = 0, math.MaxUint32
			}
			if i := int64(v); i < low || i > high {
				over = wrong(ErrSize, "%d is no %s", i, t.Type)
			}
		})
		if err != nil {
			return nil, err
		}
		if over != nil {
			return nil, over
		}
	}

	return raw, nil
}

// sparse reads a SparseTensorProto and fills a dense tensor.
func (p *parser) sparse(data []byte) (*Tensor, error) {
	var values, indices *Tensor
	var dims []int
	err := fields("sparse tensor", data, func(x field) (err error) {
		if x.num == 3 {
			return p.numbers(x, "sparse tensor", protowire.VarintType, func(v uint64) { dims = append(dims, int(v)) })
		}
		b, err := x.message("sparse tensor")
		if err != nil {
			return err
		}
		switch x.num {
		case 1:
			values, err = p.tensor(b)
		case 2:
			indices, err = p.tensor(b)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	wrong := func(kind *format.Kind, format string, args ...any) error {
		return &Error{Field: "sparse tensor", Kind: kind, Text: fmt.Sprintf(format, args...), Fix: fixExport}
	}
	if values == nil || indices == nil || values.External != nil || indices.External != nil || indices.Type != Int64 || values.Type.Size() == 0 || len(values.Dims) != 1 {
		return nil, wrong(ErrGraph, "want values [n] and indices of INT64 inside the file")
	}
	n, ok := elements(dims)
	if !ok || len(dims) > maxRank {
		return nil, wrong(ErrShape, "%v: a dimension is negative or the product overflows", dims)
	}
	t := &Tensor{Name: values.Name, Type: values.Type, Dims: dims, Elements: n}
	size := t.Type.Size()
	if err := p.spend(n * size); err != nil {
		return nil, err
	}
	at, err := indices.Ints()
	if err != nil {
		return nil, err
	}
	width := 1
	if len(indices.Dims) == 2 {
		width = len(dims)
	}
	if len(at) != values.Elements*width {
		return nil, wrong(ErrSize, "%d indices for %d values", len(at), values.Elements)
	}
	t.Raw = make([]byte, n*size)
	for i := range values.Elements {
		place := int64(0)
		for j, k := range at[i*width : (i+1)*width] {
			limit := int64(n)
			if width > 1 || len(indices.Dims) == 2 {
				limit = int64(dims[j])
			}
			if k < 0 || k >= limit {
				return nil, wrong(ErrShape, "index %d, the limit is %d", k, limit)
			}
			place = place*limit + k
		}
		copy(t.Raw[int(place)*size:], values.Raw[i*size:(i+1)*size])
	}
	return t, nil
}
