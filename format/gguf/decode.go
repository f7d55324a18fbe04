package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync"
)

func u16(b []byte) uint16 { return binary.LittleEndian.Uint16(b) }

// half widens an IEEE half: the exponent is moved by a product with 2^112, which also makes subnormal ones right.
func half(b []byte) float32 {
	h := u16(b)
	sign := uint32(h&0x8000) << 16
	if h&0x7c00 == 0x7c00 {
		return math.Float32frombits(sign | 0x7f800000 | uint32(h&0x3ff)<<13)
	}
	return math.Float32frombits(math.Float32bits(math.Float32frombits(uint32(h&0x7fff)<<13)*0x1p112) | sign)
}

// Decode turns whole blocks into values: exact where float32 holds them, else rounded to the nearest.
func Decode(t Type, dst []float32, src []byte) error {
	info := t.info()
	if info == nil {
		return noDecoder(t)
	}
	if len(dst)%info.elements != 0 || len(src) != len(dst)/info.elements*info.bytes {
		return &Error{Field: t.String(), Offset: -1, Kind: ErrLength, Text: fmt.Sprintf("%d values and %d bytes", len(dst), len(src)),
			Fix: fmt.Sprintf("give whole blocks: %d values in %d bytes", info.elements, info.bytes)}
	}
	info.decode(dst, src)
	return nil
}

func noDecoder(t Type) *Error {
	return &Error{Field: t.String(), Offset: -1, Kind: ErrDecode, Text: "no tensor can have it", Fix: "see Types for those there are"}
}

// chunk is about how many bytes of a tensor are read at a time.
const chunk = 256 << 10

var (
	chunks = sync.Pool{New: func() any { b := make([]byte, chunk); return &b }}
	blocks = sync.Pool{New: func() any { return new([256]float32) }}
)

// ReadFloat32s puts the elements [at, at+len(dst)) of a tensor, in row-major order, into dst. Any stretch can be read, whole blocks are
// read fastest.
func (f *File) ReadFloat32s(name string, at int, dst []float32) error {
	i, ok := f.byName[name]
	if !ok {
		return f.missing(name)
	}
	e := &f.tensors[i]
	info := e.typ.info()
	per, size := info.elements, info.bytes
	if total := int(e.length / int64(size) * int64(per)); at < 0 || at > total || len(dst) > total-at {
		return &Error{File: f.path, Tensor: name, Offset: -1, Kind: ErrRange, Text: fmt.Sprintf("elements %d to %d of %d", at, at+len(dst), total), Fix: fixRange}
	}
	buffer := chunks.Get().(*[]byte)
	defer chunks.Put(buffer)
	for step := chunk / size; len(dst) > 0; {
		if skip := at % per; skip > 0 || len(dst) < per { // part of a block
			n := min(per-skip, len(dst))
			raw := (*buffer)[:size]
			if err := f.readEntry(e, int64(at/per)*int64(size), raw); err != nil {
				return err
			}
			whole := blocks.Get().(*[256]float32)
			info.decode(whole[:per], raw)
			copy(dst[:n], whole[skip:])
			blocks.Put(whole)
			dst, at = dst[n:], at+n
			continue
		}
		n := min(step, len(dst)/per)
		raw := (*buffer)[:n*size]
		if err := f.readEntry(e, int64(at/per)*int64(size), raw); err != nil {
			return err
		}
		info.decode(dst[:n*per], raw)
		dst, at = dst[n*per:], at+n*per
	}
	return nil
}

func decodeF32(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(u32(src[4*i:]))
	}
}

func decodeF16Plain(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = half(src[2*i:])
	}
}

func decodeBF16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(u16(src[2*i:])) << 16)
	}
}

func decodeF64(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = float32(math.Float64frombits(u64(src[8*i:])))
	}
}

func decodeI8(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = float32(int8(src[i]))
	}
}

func decodeI16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = float32(int16(u16(src[2*i:])))
	}
}

func decodeI32(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = float32(int32(u32(src[4*i:])))
	}
}

func decodeI64(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = float32(int64(u64(src[8*i:])))
	}
}
