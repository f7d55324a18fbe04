package corrupt

// The tables of the standard (ITU T.81, annex K), and the cosine transforms of libjpeg in whole numbers (Loeffler, Ligtenberg, Moschytz,
// 1989): 13 bits behind the point of constants, 2 between the passes.

var luminance = [64]int32{
	16, 11, 10, 16, 24, 40, 51, 61,
	12, 12, 14, 19, 26, 58, 60, 55,
	14, 13, 16, 24, 40, 57, 69, 56,
	14, 17, 22, 29, 51, 87, 80, 62,
	18, 22, 37, 56, 68, 109, 103, 77,
	24, 35, 55, 64, 81, 104, 113, 92,
	49, 64, 78, 87, 103, 121, 120, 101,
	72, 92, 95, 98, 112, 100, 103, 99,
}

var chrominance = [64]int32{
	17, 18, 24, 47, 99, 99, 99, 99,
	18, 21, 26, 66, 99, 99, 99, 99,
	24, 26, 56, 99, 99, 99, 99, 99,
	47, 66, 99, 99, 99, 99, 99, 99,
	99, 99, 99, 99, 99, 99, 99, 99,
	99, 99, 99, 99, 99, 99, 99, 99,
	99, 99, 99, 99, 99, 99, 99, 99,
	99, 99, 99, 99, 99, 99, 99, 99,
}

// quantization is a table for a quality of 1 to 100.
func quantization(table [64]int32, quality int) [64]int32 {
	quality = min(max(quality, 1), 100)
	scale := int32(200 - 2*quality)
	if quality < 50 {
		scale = int32(5000 / quality)
	}
	for i, v := range table {
		table[i] = min(max((v*scale+50)/100, 1), 255)
	}
	return table
}

const (
	fix0298 = 2446
	fix0390 = 3196
	fix0541 = 4433
	fix0765 = 6270
	fix0899 = 7373
	fix1175 = 9633
	fix1501 = 12299
	fix1847 = 15137
	fix1961 = 16069
	fix2053 = 16819
	fix2562 = 20995
	fix3072 = 25172

	constBits, passBits = 13, 2
)

// descale divides by a power of two, to the nearest.
func descale(v int32, bits uint) int32 { return (v + 1<<(bits-1)) >> bits }

// forward is the transform of a block, 8 times too large.
func forward(b *[64]int32) {
	for y := 0; y < 64; y += 8 {
		d := (*[8]int32)(b[y : y+8])
		e0, e1, e2, e3, o0, o1, o2, o3 := butterfly(d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7])
		d[0], d[4] = (e0+e1)<<passBits, (e0-e1)<<passBits
		d[2], d[6] = descale(e2, constBits-passBits), descale(e3, constBits-passBits)
		d[1], d[3] = descale(o0, constBits-passBits), descale(o1, constBits-passBits)
		d[5], d[7] = descale(o2, constBits-passBits), descale(o3, constBits-passBits)
	}
	for x := range 8 {
		d := (*[57]int32)(b[x : x+57])
		e0, e1, e2, e3, o0, o1, o2, o3 := butterfly(d[0], d[8], d[16], d[24], d[32], d[40], d[48], d[56])
		d[0], d[32] = descale(e0+e1, passBits), descale(e0-e1, passBits)
		d[16], d[48] = descale(e2, constBits+passBits), descale(e3, constBits+passBits)
		d[8], d[24] = descale(o0, constBits+passBits), descale(o1, constBits+passBits)
		d[40], d[56] = descale(o2, constBits+passBits), descale(o3, constBits+passBits)
	}
}

// butterfly is one pass over eight values: two sums that make the coefficients 0 and 4, then 2 and 6; and 1, 3, 5 and 7. Its results are in
// registers, which an array of them is not.
func butterfly(d0, d1, d2, d3, d4, d5, d6, d7 int32) (e0, e1, e2, e3, o0, o1, o2, o3 int32) {
	t0, t7 := d0+d7, d0-d7
	t1, t6 := d1+d6, d1-d6
	t2, t5 := d2+d5, d2-d5
	t3, t4 := d3+d4, d3-d4
	t10, t13 := t0+t3, t0-t3
	t11, t12 := t1+t2, t1-t2
	z := (t12 + t13) * fix0541
	e0, e1, e2, e3 = t10, t11, z+t13*fix0765, z-t12*fix1847

	z5 := (t4 + t6 + t5 + t7) * fix1175
	z1, z2 := -(t4+t7)*fix0899, -(t5+t6)*fix2562
	z3, z4 := z5-(t4+t6)*fix1961, z5-(t5+t7)*fix0390
	return e0, e1, e2, e3, t7*fix1501 + z1 + z4, t6*fix3072 + z2 + z3, t5*fix2053 + z2 + z4, t4*fix0298 + z1 + z3
}

// inverse is the way back from coefficients to values around 0. Columns and rows of a single coefficient, which are many at a low quality, are
// flat.
func inverse(b *[64]int32) {
	for x := range 8 {
		d := (*[57]int32)(b[x : x+57])
		if d[8]|d[16]|d[24]|d[32]|d[40]|d[48]|d[56] == 0 {
			flat := d[0] << passBits
			d[0], d[8], d[16], d[24], d[32], d[40], d[48], d[56] = flat, flat, flat, flat, flat, flat, flat, flat
			continue
		}
		const bits = constBits - passBits
		e0, e1, e2, e3, o0, o1, o2, o3 := unfold(d[0], d[8], d[16], d[24], d[32], d[40], d[48], d[56])
		d[0], d[56] = descale(e0+o0, bits), descale(e0-o0, bits)
		d[8], d[48] = descale(e1+o1, bits), descale(e1-o1, bits)
		d[16], d[40] = descale(e2+o2, bits), descale(e2-o2, bits)
		d[24], d[32] = descale(e3+o3, bits), descale(e3-o3, bits)
	}
	for y := 0; y < 64; y += 8 {
		const bits = constBits + passBits + 3
		d := (*[8]int32)(b[y : y+8])
		if d[1]|d[2]|d[3]|d[4]|d[5]|d[6]|d[7] == 0 {
			flat := descale(d[0]<<constBits, bits)
			*d = [8]int32{flat, flat, flat, flat, flat, flat, flat, flat}
			continue
		}
		e0, e1, e2, e3, o0, o1, o2, o3 := unfold(d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7])
		d[0], d[7] = descale(e0+o0, bits), descale(e0-o0, bits)
		d[1], d[6] = descale(e1+o1, bits), descale(e1-o1, bits)
		d[2], d[5] = descale(e2+o2, bits), descale(e2-o2, bits)
		d[3], d[4] = descale(e3+o3, bits), descale(e3-o3, bits)
	}
}

// unfold is one pass over eight coefficients: value k is e + o of k, value 7-k their difference.
func unfold(c0, c1, c2, c3, c4, c5, c6, c7 int32) (e0, e1, e2, e3, o0, o1, o2, o3 int32) {
	z := (c2 + c6) * fix0541
	t2, t3 := z-c6*fix1847, z+c2*fix0765
	t0, t1 := (c0+c4)<<constBits, (c0-c4)<<constBits
	e0, e1, e2, e3 = t0+t3, t1+t2, t1-t2, t0-t3

	z5 := (c7 + c3 + c5 + c1) * fix1175
	z1, z2 := -(c7+c1)*fix0899, -(c5+c3)*fix2562
	z3, z4 := z5-(c7+c3)*fix1961, z5-(c5+c1)*fix0390
	return e0, e1, e2, e3, c1*fix1501 + z1 + z4, c3*fix3072 + z2 + z3, c5*fix2053 + z2 + z4, c7*fix0298 + z1 + z3
}
