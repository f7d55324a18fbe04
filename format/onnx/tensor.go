package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// DataType is the type of a tensor's elements, as ONNX numbers them.
type DataType int32

// The types of elements.
const (
	Float      DataType = 1
	Uint8      DataType = 2
	Int8       DataType = 3
	Uint16     DataType = 4
	Int16      DataType = 5
	Int32      DataType = 6
	Int64      DataType = 7
	String     DataType = 8
	Bool       DataType = 9
	Float16    DataType = 10
	Double     DataType = 11
	Uint32     DataType = 12
	Uint64     DataType = 13
	Complex64  DataType = 14
	Complex128 DataType = 15
	BFloat16   DataType = 16
	Float8E4M3 DataType = 17 // FLOAT8E4M3FN
	Float8E4Z  DataType = 18 // FLOAT8E4M3FNUZ
	Float8E5M2 DataType = 19
	Float8E5Z  DataType = 20 // FLOAT8E5M2FNUZ
	Uint4      DataType = 21
	Int4       DataType = 22
	Float4     DataType = 23 // FLOAT4E2M1
	Float8E8M0 DataType = 24
	Uint2      DataType = 25
	Int2       DataType = 26
)

var typeNames = []string{
	"UNDEFINED", "FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "STRING", "BOOL", "FLOAT16", "DOUBLE", "UINT32",
	"UINT64", "COMPLEX64", "COMPLEX128", "BFLOAT16", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ",
	"UINT4", "INT4", "FLOAT4E2M1", "FLOAT8E8M0", "UINT2", "INT2",
}

// typeBits are the bits of an element. Elements of less than a byte lie close together, the first in the lowest bits.
var typeBits = []int{0, 32, 8, 8, 16, 16, 32, 64, 0, 8, 16, 64, 32, 64, 64, 128, 16, 8, 8, 8, 8, 4, 4, 4, 8, 2, 2}

// String is the name the specification gives.
func (d DataType) String() string {
	if d >= 0 && int(d) < len(typeNames) {
		return typeNames[d]
	}
	return fmt.Sprintf("type %d", int32(d))
}

// Size is the bytes of an element, 0 for strings, types that are not known, and those of less than a byte.
func (d DataType) Size() int { return d.Bits() / 8 }

// Bits is the bits of an element, 0 for strings and types that are not known.
func (d DataType) Bits() int {
	if d >= 0 && int(d) < len(typeBits) {
		return typeBits[d]
	}
	return 0
}

// bytesOf is the bytes that n elements take together.
func (d DataType) bytesOf(n int) int64 {
	if bits := d.Bits(); bits < 8 {
		return (int64(n)*int64(bits) + 7) / 8
	}
	return int64(n) * int64(d.Size())
}

// Tensor is a tensor of a model.
type Tensor struct {
	Name     string
	Type     DataType
	Dims     []int
	Elements int       // product of Dims
	Raw      []byte    // elements, little endian, row-major; nil for strings and external data, which ReadRaw reads. Not to be written to
	Strings  [][]byte  // for String
	External *External // where the elements lie, if not in the file
}

// External is a stretch of another file.
type External struct {
	Location string // path relative to the model's folder
	Offset   int64
	Length   int64 // -1 = what the shape asks for

	path string // the file, once the model is open
}

// RawBytes is the bytes that ReadRaw has to give: those of all elements, 0 for strings.
func (t *Tensor) RawBytes() int64 { return t.Type.bytesOf(t.Elements) }

// ReadRaw puts bytes of the elements, from byte at on, into dst. External data is read from its file at every call.
func (t *Tensor) ReadRaw(at int64, dst []byte) error {
	if most := t.RawBytes(); at < 0 || at > most || int64(len(dst)) > most-at {
		return &Error{
			Field: "tensor " + printable.Quote(t.Name), Kind: ErrRange, Text: fmt.Sprintf("bytes %d to %d of %d", at, at+int64(len(dst)), most),
			Fix: "stay within the tensor",
		}
	}
	if t.External == nil || t.Raw != nil {
		copy(dst, t.Raw[at:])
		return nil
	}
	f, err := untrusted.Open(t.External.path)
	if err == nil {
		defer f.Close() //nolint:errcheck // it was only read
		_, err = f.ReadAt(dst, t.External.Offset+at)
	}
	if err != nil {
		return &Error{Field: "tensor " + printable.Quote(t.Name), Kind: ErrExternal, Text: printable.Quote(t.External.Location), Err: err, Fix: "keep model and data of one version together in a folder"}
	}
	return nil
}

// elements is the product of dims.
func elements(dims []int) (int, bool) {
	n := uint64(1)
	zero := false
	for _, d := range dims {
		if d < 0 {
			return 0, false
		}
		if d == 0 {
			zero = true
			continue
		}
		hi, lo := bits.Mul64(n, uint64(d))
		if hi != 0 || lo > math.MaxInt64/16 {
			return 0, false
		}
		n = lo
	}
	if zero {
		return 0, true
	}
	return int(n), true
}

// Float32s puts the elements [at, at+len(dst)) into dst, rounded to the nearest where float32 does not hold them.
func (t *Tensor) Float32s(at int, dst []float32) error {
	if at < 0 || at > t.Elements || len(dst) > t.Elements-at {
		return &Error{Field: "tensor " + printable.Quote(t.Name), Kind: ErrRange, Text: fmt.Sprintf("elements %d to %d of %d", at, at+len(dst), t.Elements), Fix: "stay within the tensor"}
	}
	if values := narrow[t.Type]; values != nil {
		return t.narrowFloat32s(values, at, dst)
	}
	size := t.Type.Size()
	if size == 0 || t.Type == Float8E8M0 || t.Type == Complex64 || t.Type == Complex128 {
		return &Error{Field: "tensor " + printable.Quote(t.Name), Kind: ErrDType, Text: fmt.Sprintf("%s has no numbers that float32 can hold", t.Type), Fix: "leave this tensor out"}
	}
	if t.External == nil || t.Raw != nil {
		return Float32sOf(t.Type, t.Raw[at*size:(at+len(dst))*size], dst)
	}
	const piece = 1 << 16
	buffer := make([]byte, min(piece, len(dst))*size)
	for len(dst) > 0 {
		n := min(piece, len(dst))
		if err := t.ReadRaw(int64(at)*int64(size), buffer[:n*size]); err != nil {
			return err
		}
		if err := Float32sOf(t.Type, buffer[:n*size], dst[:n]); err != nil {
			return err
		}
		at, dst = at+n, dst[n:]
	}
	return nil
}

// Float32sOf converts raw elements of a type.
func Float32sOf(d DataType, raw []byte, dst []float32) error {
	le := binary.LittleEndian
	for i := range dst {
		switch d {
		case Float:
			dst[i] = math.Float32frombits(le.Uint32(raw[4*i:]))
		case Double:
			dst[i] = float32(math.Float64frombits(le.Uint64(raw[8*i:])))
		case Float16:
			dst[i] = half(le.Uint16(raw[2*i:]), 5, 10, true)
		case BFloat16:
			dst[i] = math.Float32frombits(uint32(le.Uint16(raw[2*i:])) << 16)
		case Int8:
			dst[i] = float32(int8(raw[i]))
		case Uint8:
			dst[i] = float32(raw[i])
		case Bool:
			if raw[i] != 0 {
				dst[i] = 1
			} else {
				dst[i] = 0
			}
		case Int16:
			dst[i] = float32(int16(le.Uint16(raw[2*i:])))
		case Uint16:
			dst[i] = float32(le.Uint16(raw[2*i:]))
		case Int32:
			dst[i] = float32(int32(le.Uint32(raw[4*i:])))
		case Uint32:
			dst[i] = float32(le.Uint32(raw[4*i:]))
		case Int64:
			dst[i] = float32(int64(le.Uint64(raw[8*i:])))
		case Uint64:
			dst[i] = float32(le.Uint64(raw[8*i:]))
		case Float8E5M2:
			dst[i] = half(uint16(raw[i]), 5, 2, true)
		case Float8E4M3:
			if raw[i]&0x7f == 0x7f {
				dst[i] = float32(math.NaN())
			} else {
				dst[i] = half(uint16(raw[i]), 4, 3, false)
			}
		case Float8E4Z, Float8E5Z:
			if raw[i] == 0x80 {
				dst[i] = float32(math.NaN())
			} else if d == Float8E4Z {
				dst[i] = half(uint16(raw[i]), 4, 3, false) / 2
			} else {
				dst[i] = half(uint16(raw[i]), 5, 2, false) / 2
			}
		default:
			return &Error{Kind: ErrDType, Text: d.String(), Fix: "leave this tensor out"}
		}
	}
	return nil
}

// half is the value of a small float; top says that the highest exponent holds infinity and NaN.
func half(b uint16, exponent, mantissa uint, top bool) float32 {
	e := int(b>>mantissa) & (1<<exponent - 1)
	m := int(b) & (1<<mantissa - 1)
	bias := 1<<(exponent-1) - 1
	var v float64
	switch {
	case top && e == 1<<exponent-1 && m != 0:
		return float32(math.NaN())
	case top && e == 1<<exponent-1:
		v = math.Inf(1)
	case e == 0:
		v = math.Ldexp(float64(m), 1-bias-int(mantissa))
	default:
		v = math.Ldexp(float64(m|1<<mantissa), e-bias-int(mantissa))
	}
	if b>>(exponent+mantissa)&1 == 1 {
		v = -v
	}
	return float32(v)
}

// Ints gives the elements of an integer or bool tensor. A uint64 beyond int64 is refused.
func (t *Tensor) Ints() ([]int64, error) {
	if err := memory.Need("tensor "+printable.Quote(t.Name), 8*int64(t.Elements)+t.RawBytes()); err != nil {
		return nil, err
	}
	raw := t.Raw
	if raw == nil && t.External != nil {
		raw = make([]byte, t.RawBytes())
		if err := t.ReadRaw(0, raw); err != nil {
			return nil, err
		}
	}
	le := binary.LittleEndian
	out := make([]int64, t.Elements)
	for i := range out {
		switch t.Type {
		case Int64, Uint64:
			out[i] = int64(le.Uint64(raw[8*i:]))
			if t.Type == Uint64 && out[i] < 0 {
				return nil, &Error{Field: "tensor " + printable.Quote(t.Name), Kind: ErrRange, Text: fmt.Sprintf("%d is more than int64 holds", uint64(out[i])), Fix: fixExport}
			}
		case Int32:
			out[i] = int64(int32(le.Uint32(raw[4*i:])))
		case Uint32:
			out[i] = int64(le.Uint32(raw[4*i:]))
		case Int16:
			out[i] = int64(int16(le.Uint16(raw[2*i:])))
		case Uint16:
			out[i] = int64(le.Uint16(raw[2*i:]))
		case Int8:
			out[i] = int64(int8(raw[i]))
		case Uint8, Bool:
			out[i] = int64(raw[i])
		default:
			return nil, &Error{Field: "tensor " + printable.Quote(t.Name), Kind: ErrDType, Text: fmt.Sprintf("%s are no integers", t.Type), Fix: fixExport}
		}
	}
	return out, nil
}
