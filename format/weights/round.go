package weights

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/ballast-ml/ballast/format/gguf"
)

// Round writes values as elements of a type, "F32", "F16", "BF16" or "F64", little endian, into dst, rounded to the nearest and to even between
// two. It returns how many finite values became infinite. dst must have the room that the values take; see Width.
func Round(dst []byte, to string, values []float32) (overflowed int, err error) {
	width := Width(to)
	if width == 0 {
		return 0, fmt.Errorf("weights: values cannot be written as %s; use F32, F16, BF16 or F64", to)
	}
	if len(dst) != width*len(values) {
		return 0, fmt.Errorf("weights: %d values of %s take %d bytes, not %d", len(values), to, width*len(values), len(dst))
	}
	switch to {
	case "F32":
		for i, v := range values {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
		}
	case "F64":
		for i, v := range values {
			binary.LittleEndian.PutUint64(dst[8*i:], math.Float64bits(float64(v)))
		}
	case "BF16":
		overflowed = roundBF16(dst, values)
	case "F16":
		for i, v := range values {
			h := F16(v)
			if h&0x7fff == 0x7c00 && !math.IsInf(float64(v), 0) {
				overflowed++
			}
			binary.LittleEndian.PutUint16(dst[2*i:], h)
		}
	}
	return overflowed, nil
}

// Width is the bytes of an element of a type that Round writes, 0 for others.
func Width(to string) int {
	switch to {
	case "F16", "BF16":
		return 2
	case "F32":
		return 4
	case "F64":
		return 8
	}
	return 0
}

// BF16 is the bits of the nearest bfloat16, to even between two. NaN stays NaN.
func BF16(v float32) uint16 {
	b := math.Float32bits(v)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// F16 is the bits of the nearest IEEE half, to even between two, with subnormal ones; from 65520 on it is infinite. NaN stays NaN.
func F16(v float32) uint16 {
	b := math.Float32bits(v)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000:
		return sign | 0x7e00 | uint16(b>>13&0x3ff)
	case b >= 0x477ff000: // 65520, half way to the first number that is too large
		return sign | 0x7c00
	case b < 0x38800000: // below 2^-14: the sum's last 10 bits are the rounded subnormal
		return sign | uint16(math.Float32bits(math.Float32frombits(b)+0.5)-0x3f000000)
	}
	b += 0xfff + b>>13&1
	return sign | uint16((b-0x38000000)>>13)
}

// Decode puts elements of type F32, F16 or BF16, little endian, into dst, exactly. It is what Round undoes.
func Decode(dst []float32, from string, raw []byte) {
	switch from {
	case "F32":
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
	case "BF16":
		decodeBF16(dst, raw)
	case "F16":
		if err := gguf.Decode(gguf.F16, dst, raw[:2*len(dst)]); err != nil {
			panic(err)
		}
	default:
		panic("weights: Decode: no type " + from)
	}
}

// decodeBF16Plain widens 4 elements at a time.
func decodeBF16Plain(dst []float32, raw []byte) {
	i := 0
	for ; i+4 <= len(dst); i += 4 {
		v := binary.LittleEndian.Uint64(raw[2*i:])
		d := dst[i : i+4 : i+4]
		d[0] = math.Float32frombits(uint32(v) << 16)
		d[1] = math.Float32frombits(uint32(v) & 0xffff0000)
		d[2] = math.Float32frombits(uint32(v>>32) << 16)
		d[3] = math.Float32frombits(uint32(v>>32) & 0xffff0000)
	}
	for ; i < len(dst); i++ {
		dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(raw[2*i:])) << 16)
	}
}

// roundBF16 is Round for BF16: several values at a time where all are finite and stay so.
func roundBF16(dst []byte, values []float32) (overflowed int) {
	n := roundFiniteBF16(dst, values)
	return roundBF16Plain(dst[2*n:], values[n:])
}

// roundFiniteBF16Plain rounds four values at a time and returns how many of the first are done: none where one of them is not finite, or does
// not stay so. Such values are counted one by one.
func roundFiniteBF16Plain(dst []byte, values []float32) int {
	n := len(values) &^ 3
	bad := uint32(0)
	round := func(v float32) uint32 {
		b := math.Float32bits(v)
		bad |= b&0x7f800000 + 0x00800000
		b += 0x7fff + b>>16&1
		bad |= b&0x7f800000 + 0x00800000
		return b
	}
	for i := 0; i < n; i += 4 {
		v := values[i : i+4 : i+4]
		low := round(v[0])>>16 | round(v[1])&0xffff0000
		high := round(v[2])>>16 | round(v[3])&0xffff0000
		binary.LittleEndian.PutUint64(dst[2*i:], uint64(low)|uint64(high)<<32)
	}
	if bad&0x80000000 != 0 {
		return 0
	}
	return n
}

// roundBF16Plain is Round for BF16.
func roundBF16Plain(dst []byte, values []float32) (overflowed int) {
	for i, v := range values {
		h := BF16(v)
		if h&0x7fff == 0x7f80 && !math.IsInf(float64(v), 0) {
			overflowed++
		}
		binary.LittleEndian.PutUint16(dst[2*i:], h)
	}
	return overflowed
}

// allFinitePlain tells whether no value is infinite or NaN.
func allFinitePlain(x []float32) bool {
	bad := uint32(0)
	for _, v := range x {
		bad |= (math.Float32bits(v)&0x7f800000 + 0x00800000) & 0x80000000
	}
	return bad == 0
}

// AllFinite tells whether no value is infinite or NaN.
func AllFinite(x []float32) bool { return allFinite(x) }
