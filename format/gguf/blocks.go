package gguf

import "math"

// Blocks of 32. The low halves of the bytes are the first 16 elements, the high halves the last 16.
//
// Products stand in float32(...) throughout, so that no processor joins them with a sum and all give the same bits.

func decodeQ40(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[18:] {
		d, qs, y := half(src), src[2:18], dst[:32]
		for j, q := range qs {
			y[j] = d * float32(int(q&15)-8)
			y[j+16] = d * float32(int(q>>4)-8)
		}
	}
}

func decodeQ41(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[20:] {
		d, m, qs, y := half(src), half(src[2:]), src[4:20], dst[:32]
		for j, q := range qs {
			y[j] = float32(d*float32(q&15)) + m
			y[j+16] = float32(d*float32(q>>4)) + m
		}
	}
}

func decodeQ50(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[22:] {
		d, high, qs, y := half(src), u32(src[2:]), src[6:22], dst[:32]
		for j, q := range qs {
			y[j] = d * float32(int(uint32(q&15)|high>>j<<4&16)-16)
			y[j+16] = d * float32(int(uint32(q>>4)|high>>(j+16)<<4&16)-16)
		}
	}
}

func decodeQ51(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[24:] {
		d, m, high, qs, y := half(src), half(src[2:]), u32(src[4:]), src[8:24], dst[:32]
		for j, q := range qs {
			y[j] = float32(d*float32(uint32(q&15)|high>>j<<4&16)) + m
			y[j+16] = float32(d*float32(uint32(q>>4)|high>>(j+16)<<4&16)) + m
		}
	}
}

func decodeQ80(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[34:] {
		d, qs, y := half(src), src[2:34], dst[:32]
		for j, q := range qs {
			y[j] = d * float32(int8(q))
		}
	}
}

// decodeQ81 passes over the sum of the values behind the scale.
func decodeQ81(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[36:] {
		d, qs, y := half(src), src[4:36], dst[:32]
		for j, q := range qs {
			y[j] = d * float32(int8(q))
		}
	}
}

// codesIQ4 are the values of 4-bit codes, closer to each other around zero.
var codesIQ4 = [16]float32{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}

func decodeIQ4NL(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[18:] {
		d, qs, y := half(src), src[2:18], dst[:32]
		for j, q := range qs {
			y[j] = d * codesIQ4[q&15]
			y[j+16] = d * codesIQ4[q>>4]
		}
	}
}

// decodeIQ4XS: a scale, 2 high bits and 4 low ones of each 32 elements' scale, the codes.
func decodeIQ4XS(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[256:], src[136:] {
		d, high, low, qs := half(src), u16(src[2:]), src[4:8], src[8:136]
		for b := range 8 {
			scale := d * float32(int(low[b/2]>>(4*(b%2))&15|byte(high>>(2*b)&3)<<4)-32)
			y := dst[32*b : 32*b+32]
			for j, q := range qs[16*b : 16*b+16] {
				y[j] = scale * codesIQ4[q&15]
				y[j+16] = scale * codesIQ4[q>>4]
			}
		}
	}
}

// codesMXFP4 are twice the values of 4-bit floats: a sign, 2 bits of exponent, 1 of mantissa.
var codesMXFP4 = [16]float32{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}

func decodeMXFP4(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[17:] {
		d, qs, y := float32(math.Ldexp(1, int(src[0])-128)), src[1:17], dst[:32] // half of the scale 2^(e-127)
		for j, q := range qs {
			y[j] = d * codesMXFP4[q&15]
			y[j+16] = d * codesMXFP4[q>>4]
		}
	}
}

// Blocks of 256.

func decodeQ2K(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[256:], src[84:] {
		scales, d, least := src[:16], half(src[80:]), half(src[82:])
		for g, s := range scales { // groups of 16: 8 for each half of the block
			qs, shift := src[16+32*(g/8)+16*(g%2):], g%8/2*2
			scale, m, y := d*float32(s&15), least*float32(s>>4), dst[16*g:16*g+16]
			for l := range y {
				y[l] = float32(scale*float32(qs[l]>>shift&3)) - m
			}
		}
	}
}

func decodeQ3K(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[256:], src[110:] {
		s, d := src[96:108], half(src[108:])
		for g := range 16 {
			low := s[g%8] >> (4 * (g / 8)) & 15
			scale := d * float32(int(low|s[8+g%4]>>(2*(g/4))&3<<4)-32)
			qs, high, shift, bit := src[32+32*(g/8)+16*(g%2):], src[16*(g%2):], g%8/2*2, g/2
			y := dst[16*g : 16*g+16]
			for l := range y {
				y[l] = scale * float32(int(qs[l]>>shift&3)-4+int(high[l]>>bit&1)<<2)
			}
		}
	}
}

// scaleMin takes the 6-bit scale and minimum of group g from the 12 bytes of Q4_K and Q5_K.
func scaleMin(s []byte, g int) (scale, least byte) {
	if g < 4 {
		return s[g] & 63, s[g+4] & 63
	}
	return s[g+4]&15 | s[g-4]>>6<<4, s[g+4]>>4 | s[g]>>6<<4
}

func decodeQ5K(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[256:], src[176:] {
		d, least, s, high := half(src), half(src[2:]), src[4:16], src[16:48]
		for g := range 8 {
			sc, mn := scaleMin(s, g)
			scale, m, y := d*float32(sc), least*float32(mn), dst[32*g:32*g+32]
			qs, shift := src[48+32*(g/2):][:32], 4*(g%2)
			for l, q := range qs {
				y[l] = float32(scale*float32(q>>shift&15|high[l]>>g&1<<4)) - m
			}
		}
	}
}

func decodeQ6K(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[256:], src[210:] {
		scales, d := src[192:208], half(src[208:])
		for n := range 2 {
			low, high, s, y := src[64*n:64*n+64], src[128+32*n:160+32*n], scales[8*n:8*n+8], dst[128*n:128*n+128]
			for i := range 2 {
				s0, s1, s2, s3 := d*float32(int8(s[i])), d*float32(int8(s[i+2])), d*float32(int8(s[i+4])), d*float32(int8(s[i+6]))
				for l := 16 * i; l < 16*i+16; l++ {
					h, a, b := high[l], low[l], low[l+32]
					y[l] = s0 * float32(int(a&15|h&3<<4)-32)
					y[l+32] = s1 * float32(int(b&15|h>>2&3<<4)-32)
					y[l+64] = s2 * float32(int(a>>4|h>>4&3<<4)-32)
					y[l+96] = s3 * float32(int(b>>4|h>>6<<4)-32)
				}
			}
		}
	}
}

func decodeQ8K(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[256:], src[292:] {
		d, qs, y := math.Float32frombits(u32(src)), src[4:260], dst[:256]
		for j, q := range qs {
			y[j] = d * float32(int8(q))
		}
	}
}

// decodeTQ10: five values of -1, 0 or 1 in a byte, as the digits of a fraction in base 3.
func decodeTQ10(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[256:], src[54:] {
		d, y := half(src[52:]), dst[:0:256]
		for _, part := range [...]struct{ begin, end, digits int }{{0, 32, 5}, {32, 48, 5}, {48, 52, 4}} {
			power := byte(1)
			for range part.digits {
				for _, q := range src[part.begin:part.end] {
					digit := int(uint16(q*power) * 3 >> 8)
					y = append(y, d*float32(digit-1))
				}
				power *= 3
			}
		}
	}
}

func decodeTQ20(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[256:], src[66:] {
		d, y := half(src[64:]), dst[:0:256]
		for half := range 2 {
			for shift := 0; shift < 8; shift += 2 {
				for _, q := range src[32*half : 32*half+32] {
					y = append(y, d*float32(int(q>>shift&3)-1))
				}
			}
		}
	}
}

func decodeQ4KPlain(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[256:], src[144:] {
		d, least, s := half(src), half(src[2:]), src[4:16]
		for p := range 4 {
			sc, mn := scaleMin(s, 2*p)
			sc2, mn2 := scaleMin(s, 2*p+1)
			scale, m, scale2, m2 := d*float32(sc), least*float32(mn), d*float32(sc2), least*float32(mn2)
			y, z := dst[64*p:64*p+32], dst[64*p+32:64*p+64]
			for l, q := range src[16+32*p:][:32] {
				y[l] = float32(scale*float32(q&15)) - m
				z[l] = float32(scale2*float32(q>>4)) - m2
			}
		}
	}
}
