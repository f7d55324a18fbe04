package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"github.com/ballast-ml/ballast/format"
	"github.com/ballast-ml/ballast/internal/printable"
	"google.golang.org/protobuf/encoding/protowire"
)

// packed are the fields of TensorProto with typed data, and which types each may hold.
var packed = map[protowire.Number][]DataType{
	4: {Float, Complex64}, 5: {Int32, Int16, Int8, Uint16, Uint8, Bool, Float16, BFloat16, Float8E4M3, Float8E4Z, Float8E5M2, Float8E5Z, Float8E8M0, Uint4, Int4, Float4, Uint2, Int2},
	7: {Int64}, 10: {Double, Complex128}, 11: {Uint64, Uint32},
}

// tensorMessage is what a tensor's message says, before it is held against itself.
type tensorMessage struct {
	*Tensor
	raw              []byte
	hasRaw, external bool
	typed            []field
	outside          *External
}

func (m *tensorMessage) wrong(kind *format.Kind, format string, args ...any) error {
	return &Error{Field: "tensor " + printable.Quote(m.Name), Kind: kind, Text: fmt.Sprintf(format, args...), Fix: fixExport}
}

func (p *parser) tensor(data []byte) (*Tensor, error) {
	if err := p.spend(320); err != nil {
		return nil, err
	}
	m := tensorMessage{Tensor: &Tensor{}, outside: &External{Length: -1}}
	if err := fields("tensor", data, func(x field) error { return p.tensorField(&m, x) }); err != nil {
		return nil, err
	}

	t := m.Tensor
	if len(t.Dims) > maxRank {
		return nil, m.wrong(ErrShape, "%d dimensions, at most %d are read", len(t.Dims), maxRank)
	}
	var ok bool
	if t.Elements, ok = elements(t.Dims); !ok {
		return nil, m.wrong(ErrShape, "%v: a dimension is negative or the product overflows", t.Dims)
	}

	switch {
	case t.Type == String:
		if len(t.Strings) != t.Elements || m.hasRaw || m.external || len(m.typed) > 0 {
			return nil, m.wrong(ErrSize, "%d strings for the shape %v", len(t.Strings), t.Dims)
		}
		return t, nil
	case t.Type.Bits() == 0:
		return nil, m.wrong(ErrDType, "%s", t.Type)
	case len(t.Strings) > 0:
		return nil, m.wrong(ErrSize, "strings in a tensor of %s", t.Type)
	case m.external:
		return t, p.outside(&m)
	}
	return t, p.inside(&m)
}

// tensorField reads one field of a tensor's message.
func (p *parser) tensorField(m *tensorMessage, x field) (err error) {
	const what = "tensor"
	t := m.Tensor
	switch x.num {
	case 1:
		return p.numbers(x, what, protowire.VarintType, func(v uint64) { t.Dims = append(t.Dims, int(v)) })
	case 2:
		var n int64
		n, err = x.int(what)
		t.Type = DataType(n)
		if err == nil && n != int64(t.Type) {
			return m.wrong(ErrDType, "type %d", n)
		}
	case 3:
		return m.wrong(ErrProto, "it is a segment of a tensor")
	case 4, 5, 7, 10, 11:
		m.typed = append(m.typed, x)
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
		if m.hasRaw {
			return m.wrong(ErrDuplicate, "raw_data")
		}
		m.raw, err = x.message(what)
		m.hasRaw = true
	case 13:
		return p.externalField(m, x)
	case 14:
		var n int64
		n, err = x.int(what)
		if err == nil && n != 0 && n != 1 {
			return m.wrong(ErrProto, "data_location %d", n)
		}
		m.external = n == 1
	}
	return err
}

// externalField reads one entry of where a tensor's data lies outside the file.
func (p *parser) externalField(m *tensorMessage, x field) error {
	b, err := x.message("tensor")
	if err != nil {
		return err
	}
	key, value, err := p.pair(b)
	if err != nil {
		return err
	}

	switch key {
	case "location":
		m.outside.Location = value
	case "offset", "length":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 0 {
			return m.wrong(ErrExternal, "%s is %s, want a number of bytes", key, printable.Quote(value))
		}
		if key == "offset" {
			m.outside.Offset = n
		} else {
			m.outside.Length = n
		}
	}
	return nil
}

// outside notes a tensor whose data lies in another file.
func (p *parser) outside(m *tensorMessage) error {
	if m.hasRaw || len(m.typed) > 0 {
		return m.wrong(ErrSize, "data both in the file and outside")
	}
	if err := checkLocation(m.Name, m.outside.Location); err != nil {
		return err
	}
	m.External = m.outside
	p.external = append(p.external, m.Tensor)
	return nil
}

// inside gives a tensor the data of its message.
func (p *parser) inside(m *tensorMessage) (err error) {
	if m.hasRaw && len(m.typed) > 0 {
		return m.wrong(ErrSize, "both raw_data and typed data")
	}
	if !m.hasRaw {
		if m.raw, err = p.typed(m.Tensor, m.typed, m.wrong); err != nil {
			return err
		}
	}
	if int64(len(m.raw)) != m.RawBytes() {
		return m.wrong(ErrSize, "%d bytes, the shape %v of %s takes %d", len(m.raw), m.Dims, m.Type, m.RawBytes())
	}
	m.Raw = m.raw
	return nil
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
				over = wrong(ErrSize, "%d is outside the range of %s", i, t.Type)
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
