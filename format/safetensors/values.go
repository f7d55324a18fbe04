package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"
)

// littleEndian tells whether this machine keeps numbers as the file does.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// number is what tensors are seen as without conversion.
type number interface {
	~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float32 | ~float64
}

// Float32s returns a tensor's values as float32. A tensor of type F32 is not copied where the file is mapped and the data are
// aligned: then the slice is a view, see Open. Every other type is converted as by Float64s, and rounded to float32.
func (f *File) Float32s(name string) ([]float32, error) {
	e, raw, err := f.raw(name)
	if err != nil {
		return nil, err
	}
	if dtypes[e.dtype].name == F32 {
		if v, ok := seen[float32](raw); ok {
			return v, nil
		}
	}
	out := make([]float32, e.elements)
	return out, f.convert(e, decode(out, dtypes[e.dtype].name, raw))
}

// ReadFloat32s puts a tensor's values into dst, which must have its number of elements.
func (f *File) ReadFloat32s(name string, dst []float32) error {
	e, raw, err := f.raw(name)
	if err != nil {
		return err
	}
	if int64(len(dst)) != e.elements {
		return &Error{File: f.path, Tensor: name, Field: "shape", Offset: 8 + int64(e.shapeAt), Kind: ErrDType,
			Text: fmt.Sprintf("%d elements, room for %d", e.elements, len(dst)), Fix: "size dst by Info"}
	}
	if v, ok := seen[float32](raw); ok && dtypes[e.dtype].name == F32 {
		copy(dst, v)
		return nil
	}
	return f.convert(e, decode(dst, dtypes[e.dtype].name, raw))
}

// Float64s returns a tensor's values as float64, always a copy. BOOL is 0 or 1; integers beyond 2^53 are rounded. The types
// narrower than a byte and C64 have no values here: use Bytes.
func (f *File) Float64s(name string) ([]float64, error) {
	e, raw, err := f.raw(name)
	if err != nil {
		return nil, err
	}
	out := make([]float64, e.elements)
	return out, f.convert(e, decode(out, dtypes[e.dtype].name, raw))
}

// Int64s returns the values of a tensor of an integer type or BOOL, always a copy. U64 values from 2^63 on are an error.
func (f *File) Int64s(name string) ([]int64, error) {
	e, raw, err := f.raw(name)
	if err != nil {
		return nil, err
	}
	out := make([]int64, e.elements)
	switch d := dtypes[e.dtype].name; d {
	case Bool, I8, I16, I32, I64, U8, U16, U32:
		return out, f.convert(e, decode(out, d, raw))
	case U64:
		for i := range out {
			u := binary.LittleEndian.Uint64(raw[8*i:])
			if u > math.MaxInt64 {
				return nil, f.convert(e, fmt.Errorf("element %d is %d, above 2^63-1", i, u))
			}
			out[i] = int64(u)
		}
		return out, nil
	default:
		return nil, f.convert(e, fmt.Errorf("%s is not an integer type; use Float64s", d))
	}
}

func (f *File) raw(name string) (*entry, []byte, error) {
	i, ok := f.byName[name]
	if !ok {
		return nil, nil, f.missing(name)
	}
	e := &f.entries[i]
	raw, err := f.bytes(e)
	return e, raw, err
}

// convert says where a conversion failed.
func (f *File) convert(e *entry, err error) error {
	if err == nil {
		return nil
	}
	return &Error{File: f.path, Tensor: e.name, Field: "dtype", Offset: 8 + int64(e.dtypeAt), Kind: ErrDType, Err: err}
}

// DecodeFloat32s puts the elements of type d that stand in raw, little endian and as many as dst has, into dst: what other
// formats that hold the same types of elements use. Values are exact where float32 holds them and rounded to the nearest
// otherwise.
func DecodeFloat32s(dst []float32, d DType, raw []byte) error {
	if want := len(dst) * d.Bits(); d.Bits() == 0 || 8*len(raw) != want {
		return &Error{Field: "dtype", Offset: -1, Kind: ErrDType, Text: fmt.Sprintf("%d bytes for %d elements of %s, which take %d bits", len(raw), len(dst), d, want)}
	}
	if v, ok := seen[float32](raw); ok && d == F32 {
		copy(dst, v)
		return nil
	}
	if err := decode(dst, d, raw); err != nil {
		return &Error{Field: "dtype", Offset: -1, Kind: ErrDType, Err: err}
	}
	return nil
}

// seen returns bytes as numbers without a copy, if their place in memory and the machine allow it.
func seen[T number](raw []byte) ([]T, bool) {
	var zero T
	size := int(unsafe.Sizeof(zero))
	if len(raw) == 0 {
		return []T{}, true
	}
	p := unsafe.Pointer(unsafe.SliceData(raw))
	if !littleEndian || uintptr(p)%unsafe.Alignof(zero) != 0 {
		return nil, false
	}
	return unsafe.Slice((*T)(p), len(raw)/size), true
}

// decode converts a tensor's bytes to the numbers of dst.
func decode[T float32 | float64 | int64](dst []T, d DType, raw []byte) error {
	le := binary.LittleEndian
	switch d {
	case Bool:
		for i := range dst {
			dst[i] = T(min(raw[i], 1))
		}
	case U8:
		for i := range dst {
			dst[i] = T(raw[i])
		}
	case I8:
		for i := range dst {
			dst[i] = T(int8(raw[i]))
		}
	case U16:
		for i := range dst {
			dst[i] = T(le.Uint16(raw[2*i:]))
		}
	case I16:
		for i := range dst {
			dst[i] = T(int16(le.Uint16(raw[2*i:])))
		}
	case F16:
		for i := range dst {
			dst[i] = T(fromF16(le.Uint16(raw[2*i:])))
		}
	case BF16:
		for i := range dst {
			dst[i] = T(math.Float32frombits(uint32(le.Uint16(raw[2*i:])) << 16))
		}
	case U32:
		for i := range dst {
			dst[i] = T(le.Uint32(raw[4*i:]))
		}
	case I32:
		for i := range dst {
			dst[i] = T(int32(le.Uint32(raw[4*i:])))
		}
	case F32:
		for i := range dst {
			dst[i] = T(math.Float32frombits(le.Uint32(raw[4*i:])))
		}
	case U64:
		for i := range dst {
			dst[i] = T(le.Uint64(raw[8*i:]))
		}
	case I64:
		for i := range dst {
			dst[i] = T(int64(le.Uint64(raw[8*i:])))
		}
	case F64:
		for i := range dst {
			dst[i] = T(math.Float64frombits(le.Uint64(raw[8*i:])))
		}
	case F8E4M3, F8E5M2, F8E8M0, F8E4M3FNUZ, F8E5M2FNUZ:
		var table [256]T
		for i := range table {
			table[i] = T(fromF8(d, byte(i)))
		}
		for i := range dst {
			dst[i] = table[raw[i]]
		}
	default:
		return fmt.Errorf("%s has no values as numbers; use Bytes", d)
	}
	return nil
}

// fromF16 widens IEEE binary16, exactly.
func fromF16(h uint16) float32 {
	sign, exp, man := uint32(h&0x8000)<<16, uint32(h>>10&31), uint32(h&1023)
	switch exp {
	case 0: // subnormal: man 2^-24
		v := float32(man) * 0x1p-24
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | man<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | man<<13)
}

// fromF8 widens one of the five 8-bit types, exactly. E4M3 has no infinity; the FNUZ types have neither infinity nor a
// negative zero, whose place NaN takes; E8M0 is a power of two alone. Source: OCP 8-bit and microscaling specifications.
func fromF8(d DType, b byte) float64 {
	exponentBits, bias := 4, 7
	switch d {
	case F8E8M0:
		if b == 255 {
			return math.NaN()
		}
		return math.Ldexp(1, int(b)-127)
	case F8E4M3FNUZ:
		bias = 8
	case F8E5M2:
		exponentBits, bias = 5, 15
	case F8E5M2FNUZ:
		exponentBits, bias = 5, 16
	}
	mantissaBits := 7 - exponentBits
	exp, man := int(b&127)>>mantissaBits, int(b)&(1<<mantissaBits-1)
	sign := 1.0
	if b&128 != 0 {
		sign = -1
	}
	switch {
	case (d == F8E4M3FNUZ || d == F8E5M2FNUZ) && b == 128:
		return math.NaN()
	case d == F8E4M3 && b&127 == 127:
		return math.NaN()
	case d == F8E5M2 && exp == 31 && man != 0:
		return math.NaN()
	case d == F8E5M2 && exp == 31:
		return math.Inf(int(sign))
	case exp == 0:
		v := math.Ldexp(float64(man), 1-bias-mantissaBits)
		return math.Copysign(v, sign)
	}
	return sign * math.Ldexp(float64(man+1<<mantissaBits), exp-bias-mantissaBits)
}
