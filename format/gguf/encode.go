package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Encode turns values into whole blocks, bit for bit as the reference does without weights of importance. Values must be finite, and small
// enough for the scale of their block to be an IEEE half; F32, F16, BF16 and F64 take all values, and round them to the nearest, to even between
// two.
func Encode(t Type, dst []byte, src []float32) error { return encode(t, dst, src, 0) }

// encode is Encode for values the first of which is number at for errors.
func encode(t Type, dst []byte, src []float32, at int) error {
	info := t.info()
	if info == nil || info.encode == nil {
		e := &Error{Field: t.String(), Offset: -1, Kind: ErrEncode, Text: "this type can only be read", Fix: "use Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K, IQ4_NL, F32, F16 or BF16"}
		if info == nil {
			e.Text = "no tensor can have this type"
		}
		return e
	}
	if len(src)%info.elements != 0 || len(dst) != len(src)/info.elements*info.bytes {
		return &Error{Field: t.String(), Offset: -1, Kind: ErrLength, Text: fmt.Sprintf("%d values and %d bytes", len(src), len(dst)),
			Fix: fmt.Sprintf("give whole blocks: %d values in %d bytes", info.elements, info.bytes)}
	}
	if most := t.largest(); info.elements > 1 && !allWithin(src, most) {
		return outside(t, src, most, at)
	}
	info.encode(dst, src)
	return nil
}

// outside is the error for values that have no place in blocks.
func outside(t Type, src []float32, most float32, at int) error {
	for i, v := range src {
		if !(v <= most && v >= -most) { // or NaN
			return &Error{Field: t.String(), Offset: -1, Kind: ErrEncode, Text: fmt.Sprintf("value %d is %v, its blocks take -%g to %[3]g", at+i, v, most),
				Fix: "keep this tensor as F32 or BF16, or mend the model"}
		}
	}
	return nil
}

// largest is how large values may be for the scale of their block to be an IEEE half, for each type: a scale is at least the largest value
// divided by this many steps.
func (t Type) largest() float32 {
	const half = 65504
	switch t {
	case Q8_0:
		return half * 127
	case Q4_0:
		return half * 8
	case Q5_0:
		return half * 16
	case Q4_1, Q5_1: // the least value is a half itself
		return half
	case Q4_K, Q5_K: // the least value is 63 steps
		return half * 63
	case Q6_K: // the search takes the sixth power of values
		return half * 16
	}
	return half // IQ4_NL
}

func encodeF32(dst []byte, src []float32) {
	for i, v := range src {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
	}
}

func encodeF64(dst []byte, src []float32) {
	for i, v := range src {
		binary.LittleEndian.PutUint64(dst[8*i:], math.Float64bits(float64(v)))
	}
}

func encodeF16(dst []byte, src []float32) {
	for i, v := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], halfBits(math.Float32bits(v)))
	}
}

func encodeBF16(dst []byte, src []float32) {
	for i, v := range src {
		b := math.Float32bits(v)
		if v != v {
			b = b&^0xffff | 0x400000
		} else {
			b += 0x7fff + b>>16&1
		}
		binary.LittleEndian.PutUint16(dst[2*i:], uint16(b>>16))
	}
}

// halfBits is the nearest IEEE half of a float given by its bits, to even between two. It does without floats, so that loops of vector
// instructions can use it.
func halfBits(b uint32) uint16 {
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch e := b >> 23; {
	case b > 0x7f800000: // NaN
		return sign | 0x7e00 | uint16(b>>13&0x3ff)
	case b >= 0x477ff000: // 65520, half way to the first number that is too large
		return sign | 0x7c00
	case e < 102: // below half of the least number
		return sign
	case e < 113: // a subnormal one, of units of 2^-24
		m, shift := b&0x7fffff|0x800000, 126-e
		return sign | uint16((m+1<<(shift-1)-1+m>>shift&1)>>shift)
	}
	b += 0xfff + b>>13&1
	return sign | uint16((b-0x38000000)>>13)
}

// putHalf writes the nearest IEEE half and returns it.
func putHalf(dst []byte, v float32) float32 {
	binary.LittleEndian.PutUint16(dst, halfBits(math.Float32bits(v)))
	return half(dst)
}

// inverse is 1/d, or 0 where d is 0 or so small that 1/d is infinite; as a scale it is 0 then.
func inverse(d float32) float32 {
	if -0x1p-127 < d && d < 0x1p-127 {
		return 0
	}
	return 1 / d
}

// farthest is the first of the values with the largest magnitude.
func farthest(x []float32) (v float32) {
	most := uint32(0)
	for _, x := range x {
		if b := math.Float32bits(x) & 0x7fffffff; b > most {
			most, v = b, x
		}
	}
	return v
}

func extremes(x []float32) (least, most float32) {
	least, most = x[0], x[0]
	for _, v := range x[1:] {
		if v < least {
			least = v
		}
		if v > most {
			most = v
		}
	}
	return least, most
}

// encodeQ40: the farthest value has code 0, the scale has its sign.
func encodeQ40Plain(dst []byte, src []float32) {
	for ; len(src) > 0; dst, src = dst[18:], src[32:] {
		x, qs := src[:32], dst[2:18]
		d := farthest(x) / -8
		id := inverse(d)
		putHalf(dst, d)
		for j := range qs {
			a, b := int32(float32(x[j]*id)+8.5), int32(float32(x[j+16]*id)+8.5)
			qs[j] = byte(min(a, 15)) | byte(min(b, 15))<<4
		}
	}
}

func encodeQ41(dst []byte, src []float32) {
	for ; len(src) > 0; dst, src = dst[20:], src[32:] {
		x, qs := src[:32], dst[4:20]
		least, most := extremes(x)
		d := (most - least) / 15
		id := inverse(d)
		putHalf(dst, d)
		putHalf(dst[2:], least)
		for j := range qs {
			a, b := int32(float32((x[j]-least)*id)+0.5), int32(float32((x[j+16]-least)*id)+0.5)
			qs[j] = byte(min(a, 15)) | byte(min(b, 15))<<4
		}
	}
}

func encodeQ50(dst []byte, src []float32) {
	for ; len(src) > 0; dst, src = dst[22:], src[32:] {
		x, qs, high := src[:32], dst[6:22], uint32(0)
		d := farthest(x) / -16
		id := inverse(d)
		putHalf(dst, d)
		for j := range qs {
			a, b := uint32(min(int32(float32(x[j]*id)+16.5), 31)), uint32(min(int32(float32(x[j+16]*id)+16.5), 31))
			qs[j] = byte(a&15 | b&15<<4)
			high |= a>>4<<j | b>>4<<(j+16)
		}
		binary.LittleEndian.PutUint32(dst[2:], high)
	}
}

func encodeQ51(dst []byte, src []float32) {
	for ; len(src) > 0; dst, src = dst[24:], src[32:] {
		x, qs, high := src[:32], dst[8:24], uint32(0)
		least, most := extremes(x)
		d := (most - least) / 31
		id := inverse(d)
		putHalf(dst, d)
		putHalf(dst[2:], least)
		for j := range qs {
			a, b := uint32(float32((x[j]-least)*id)+0.5), uint32(float32((x[j+16]-least)*id)+0.5)
			qs[j] = byte(a&15 | b&15<<4)
			high |= a>>4&1<<j | b>>4&1<<(j+16)
		}
		binary.LittleEndian.PutUint32(dst[4:], high)
	}
}

// encodeQ80 rounds away from zero between two.
func encodeQ80Plain(dst []byte, src []float32) {
	for ; len(src) > 0; dst, src = dst[34:], src[32:] {
		x, qs := src[:32], dst[2:34]
		most := uint32(0)
		for _, v := range x {
			most = max(most, math.Float32bits(v)&0x7fffffff)
		}
		d := math.Float32frombits(most) / 127
		id := inverse(d)
		putHalf(dst, d)
		for j := range qs {
			qs[j] = byte(int8(away(x[j] * id)))
		}
	}
}

// away rounds to the nearest whole number, away from zero between two.
func away(v float32) int32 {
	t := int32(v)
	if rest := v - float32(t); rest >= 0.5 {
		t++
	} else if rest <= -0.5 {
		t--
	}
	return t
}

// even rounds to the nearest whole number, to even between two, for values below 2^22.
func even(v float32) float32 { return float32(v+0x1.8p23) - 0x1.8p23 }
