package gguf

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

// Blocks of 256 whose elements are points of grids, eight or four coordinates at a time: the code names a point, signs and scales are apart.

// grid is the points of a type, one after the other.
type grid []float32

// expand makes a grid of its digits, each a place in the list of values. It is done when a block of the type is first read.
func expand(digits string, values ...float32) func() grid {
	return sync.OnceValue(func() grid {
		out := make(grid, len(digits))
		for i := range out {
			d := digits[i] - '0'
			if digits[i] >= 'a' {
				d = digits[i] - 'a' + 10
			}
			out[i] = values[d]
		}
		return out
	})
}

// The grids of the types.
var (
	pointsIQ2XXS = expand(gridIQ2XXS, 8, 25, 43)
	pointsIQ2XS  = expand(gridIQ2XS, 8, 25, 43)
	pointsIQ2S   = expand(gridIQ2S, 8, 25, 43)
	pointsIQ3XXS = expand(gridIQ3XXS, 4, 12, 20, 28, 36, 44, 52, 62)
	pointsIQ3S   = expand(gridIQ3S, 1, 3, 5, 7, 9, 11, 13, 15)
	pointsIQ1    = expand(gridIQ1S, -1, 0, 1)
)

// signsOf are eight signs of seven bits: an even number of them are minus.
func signsOf(code uint32) byte { return byte(code&127) | byte(bits.OnesCount8(uint8(code&127))&1)<<7 }

// signed puts the coordinates of a point, times a scale and with signs, into dst.
func signed(dst, point []float32, scale float32, signs byte) {
	for j, p := range point {
		v := scale * p
		if signs>>j&1 == 1 {
			v = -v
		}
		dst[j] = v
	}
}

// decodeIQ2XXS: a scale; for each 32 elements four codes, and 28 bits of signs with 4 of a scale.
func decodeIQ2XXS(dst []float32, src []byte) {
	points := pointsIQ2XXS()
	for ; len(dst) > 0; dst, src = dst[256:], src[66:] {
		d := half(src)
		for b := range 8 {
			codes, rest := src[2+8*b:6+8*b], u32(src[6+8*b:])
			scale := d * (0.5 + float32(rest>>28)) * 0.25
			for k, code := range codes {
				signed(dst[32*b+8*k:], points[8*int(code):8*int(code)+8], scale, signsOf(rest>>(7*k)))
			}
		}
	}
}

// decodeIQ2XS: a scale; codes of 9 bits with 7 of signs; a scale of 4 bits for each 16 elements.
func decodeIQ2XS(dst []float32, src []byte) {
	points := pointsIQ2XS()
	for ; len(dst) > 0; dst, src = dst[256:], src[74:] {
		d, scales := half(src), src[66:74]
		for k := range 32 {
			code := uint32(binary.LittleEndian.Uint16(src[2+2*k:]))
			scale := d * (0.5 + float32(scales[k/4]>>(k/2%2*4)&15)) * 0.25
			p := 8 * int(code&511)
			signed(dst[8*k:], points[p:p+8], scale, signsOf(code>>9))
		}
	}
}

// decodeIQ2S: a scale; the low 8 bits of codes; signs; the high 2 bits of codes; a scale of 4 bits for each 16 elements.
func decodeIQ2S(dst []float32, src []byte) {
	points := pointsIQ2S()
	for ; len(dst) > 0; dst, src = dst[256:], src[82:] {
		d, low, signs, high, scales := half(src), src[2:34], src[34:66], src[66:74], src[74:82]
		for k := range 32 {
			p := 8 * (int(low[k]) | int(high[k/4]>>(k%4*2)&3)<<8)
			signed(dst[8*k:], points[p:p+8], d*(0.5+float32(scales[k/4]>>(k/2%2*4)&15))*0.25, signs[k])
		}
	}
}

// decodeIQ3XXS: a scale; codes of four elements; for each 32 elements 28 bits of signs with 4 of a scale.
func decodeIQ3XXS(dst []float32, src []byte) {
	points := pointsIQ3XXS()
	for ; len(dst) > 0; dst, src = dst[256:], src[98:] {
		d, codes := half(src), src[2:66]
		for k := range 32 {
			rest := u32(src[66+k/4*4:])
			scale, signs := d*(0.5+float32(rest>>28))*0.5, signsOf(rest>>(k%4*7))
			for i := range 2 {
				p := 4 * int(codes[2*k+i])
				signed(dst[8*k+4*i:], points[p:p+4], scale, signs>>(4*i))
			}
		}
	}
}

// decodeIQ3S: a scale; the low 8 bits of codes of four elements; their high bits; signs; a scale of 4 bits for each 32 elements.
func decodeIQ3S(dst []float32, src []byte) {
	points := pointsIQ3S()
	for ; len(dst) > 0; dst, src = dst[256:], src[110:] {
		d, low, high, signs, scales := half(src), src[2:66], src[66:74], src[74:106], src[106:110]
		for k := range 64 {
			p := 4 * (int(low[k]) | int(high[k/8]>>(k%8)&1)<<8)
			scale := d * float32(1+2*(scales[k/16]>>(k/8%2*4)&15))
			signed(dst[4*k:], points[p:p+4], scale, signs[k/2]>>(k%2*4))
		}
	}
}

// moved puts the coordinates of a point, all moved by delta, times a scale into dst.
func moved(dst, point []float32, scale, delta float32) {
	for j, p := range point {
		dst[j] = scale * (p + delta)
	}
}

// deltaIQ1 is how far the points of IQ1 are moved, up or down.
const deltaIQ1 = 0.125

// decodeIQ1S: a scale; the low 8 bits of codes; for each 32 elements their high 3 bits, a scale of 3 and which way the points are moved.
func decodeIQ1S(dst []float32, src []byte) {
	points := pointsIQ1()
	for ; len(dst) > 0; dst, src = dst[256:], src[50:] {
		d, low := half(src), src[2:34]
		for k := range 32 {
			rest, delta := int(u16(src[34+k/4*2:])), float32(deltaIQ1)
			if rest&0x8000 != 0 {
				delta = -delta
			}
			p := 8 * (int(low[k]) | rest>>(k%4*3)&7<<8)
			moved(dst[8*k:], points[p:p+8], d*float32(2*(rest>>12&7)+1), delta)
		}
	}
}

// decodeIQ1M: the low 8 bits of codes; their high 3 bits, each with the way its points are moved; scales of 3 bits for each 16 elements, in whose
// upper bits the scale of the block is.
func decodeIQ1M(dst []float32, src []byte) {
	points := pointsIQ1()
	for ; len(dst) > 0; dst, src = dst[256:], src[56:] {
		low, high, scales := src[:32], src[32:48], src[48:56]
		whole := [2]byte{scales[1]>>4 | scales[3]&0xf0, scales[5]>>4 | scales[7]&0xf0}
		d := half(whole[:])
		for k := range 32 {
			rest, delta := int(high[k/2]>>(k%2*4)), float32(deltaIQ1)
			if rest&8 != 0 {
				delta = -delta
			}
			p := 8 * (int(low[k]) | rest&7<<8)
			moved(dst[8*k:], points[p:p+8], d*float32(2*(int(u16(scales[k/8*2:]))>>(k/2%4*3)&7)+1), delta)
		}
	}
}
