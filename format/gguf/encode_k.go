package gguf

import "math"

// tiny is the magnitude below which a group of values counts as zero.
const tiny = 1e-15

func encodeQ4K(dst []byte, src []float32)      { encodeQ4KWith(true, dst, src) }
func encodeQ4KPlain(dst []byte, src []float32) { encodeQ4KWith(false, dst, src) }
func encodeQ5K(dst []byte, src []float32)      { encodeQ5KWith(true, dst, src) }
func encodeQ5KPlain(dst []byte, src []float32) { encodeQ5KWith(false, dst, src) }
func encodeQ6K(dst []byte, src []float32)      { encodeQ6KWith(true, dst, src) }
func encodeQ6KPlain(dst []byte, src []float32) { encodeQ6KWith(false, dst, src) }

func encodeQ4KWith(vector bool, dst []byte, src []float32) {
	var codes [256]byte
	for ; len(src) > 0; dst, src = dst[144:], src[256:] {
		encodeScaleMin(vector, dst[:16], &codes, src[:256], &planQ4K)
		for p := range 4 {
			for l, q := range codes[64*p : 64*p+32] {
				dst[16+32*p+l] = q | codes[64*p+32+l]<<4
			}
		}
	}
}

func encodeQ5KWith(vector bool, dst []byte, src []float32) {
	var codes [256]byte
	for ; len(src) > 0; dst, src = dst[176:], src[256:] {
		encodeScaleMin(vector, dst[:16], &codes, src[:256], &planQ5K)
		clear(dst[16:48])
		for p := range 4 {
			for l, q := range codes[64*p : 64*p+32] {
				r := codes[64*p+32+l]
				dst[48+32*p+l] = q&15 | r&15<<4
				dst[16+l] |= q>>4<<(2*p) | r>>4<<(2*p+1)
			}
		}
	}
}

// encodeScaleMin makes the head of a block of Q4_K or Q5_K, its two scales and the 6-bit scale and minimum of each 32 values, and the
// codes.
func encodeScaleMin(vector bool, head []byte, codes *[256]byte, x []float32, plan *searchPlan) {
	var scales, mins [8]float32
	if vector {
		search(&scales, &mins, x, plan)
	} else {
		searchPlain(&scales, &mins, x, plan)
	}
	var maxScale, maxMin float32
	for g := range 8 {
		maxScale, maxMin = max(maxScale, scales[g]), max(maxMin, mins[g])
	}
	d, least := putHalf(head, maxScale/63), putHalf(head[2:], maxMin/63)
	is, im := float32(0), float32(0)
	if maxScale > 0 {
		is = 63 / maxScale
	}
	if maxMin > 0 {
		im = 63 / maxMin
	}
	s := head[4:16]
	clear(s)
	for g := range 8 {
		sc, mn := min(byte(int32(even(is*scales[g]))), 63), min(byte(int32(even(im*mins[g]))), 63)
		if g < 4 {
			s[g], s[g+4] = sc, mn
		} else {
			s[g+4] = sc&15 | mn&15<<4
			s[g-4] |= sc >> 4 << 6
			s[g] |= mn >> 4 << 6
		}
	}
	for g := range 8 {
		sc, mn := scaleMin(s, g)
		step, m := d*float32(sc), least*float32(mn)
		q, x := codes[32*g:32*g+32], x[32*g:32*g+32]
		switch {
		case step == 0: // the codes of the search stay; they are multiplied by zero
			searchGroup(q, x, plan)
		case vector:
			quantize(q, x, step, m, 0, plan.most)
		default:
			quantizePlain(q, x, step, m, 0, plan.most)
		}
	}
}

// quantizePlain makes the codes for values (code*step - m), less the least code.
func quantizePlain(codes []byte, x []float32, step, m, least, most float32) {
	for i, v := range x {
		codes[i] = byte(int32(min(max(even((v+m)/step), least), most) - least))
	}
}

// searchPlan is what searches for scales and minimums are to try.
type searchPlan struct {
	most  float32   // the largest code
	spans []float32 // how many steps the range of the values is to be
}

var (
	planQ4K = searchPlan{15, spans(15, -1, 20)}
	planQ5K = searchPlan{31, spans(31, -0.5, 15)}
)

func spans(most, first float32, steps int) []float32 {
	out := make([]float32, steps+1)
	for i := range out {
		out[i] = first + float32(0.1*float32(i)) + most
	}
	return out
}

func searchPlain(scales, mins *[8]float32, x []float32, plan *searchPlan) {
	var codes [32]byte
	for g := range 8 {
		scales[g], mins[g] = searchGroup(codes[:], x[32*g:32*g+32], plan)
	}
}

// flat is the range of values below which a group counts as one value: its steps are far below what a scale can say.
const flat = 1e-30

// searchGroup finds the scale and minimum of 32 values, so that scale*code - minimum is near them with codes from 0 to plan.most. It tries
// the scales that plan says, near the one that takes the extremes to the ends of the codes, each time fits scale and minimum to the codes by least squares,
// weighted by sqrt(mean of squares) + |value|, and keeps the best.
func searchGroup(codes []byte, x []float32, plan *searchPlan) (scale, least float32) {
	most := plan.most
	var weights, trial [32]float32
	square := float32(0)
	for _, v := range x {
		square += float32(v * v)
	}
	mean := float32(math.Sqrt(float64(square / 32)))
	for i, v := range x {
		weights[i] = mean + float32(math.Abs(float64(v)))
	}
	low, high := x[0], x[0]
	sumW, sumX := weights[0], float32(weights[0]*x[0])
	for i := 1; i < 32; i++ {
		v, w := x[i], weights[i]
		if v < low {
			low = v
		}
		if v > high {
			high = v
		}
		sumW += w
		sumX += float32(w * v)
	}
	if low > 0 {
		low = 0
	}
	if high-low < flat {
		clear(codes)
		return 0, -low
	}
	inv := most / (high - low)
	scale, least = 1/inv, low
	best := float32(0)
	for i, v := range x {
		c := min(max(even(inv*(v-low)), 0), most)
		codes[i] = byte(c)
		diff := float32(scale*c) + least - v
		best += float32(weights[i] * float32(diff*diff))
	}
	for _, span := range plan.spans {
		inv := span / (high - least) // from the best minimum so far, as in the reference
		var sumL, sumL2, sumXL float32
		for i, v := range x {
			c := min(max(even(inv*(v-least)), 0), most)
			trial[i] = c
			w := weights[i]
			wc := float32(w * c)
			sumL += wc
			sumL2 += float32(wc * c)
			sumXL += float32(wc * v)
		}
		det := float32(sumW*sumL2) - float32(sumL*sumL)
		if !(det > 0) {
			continue
		}
		s := (float32(sumW*sumXL) - float32(sumX*sumL)) / det
		m := (float32(sumL2*sumX) - float32(sumL*sumXL)) / det
		if m > 0 {
			m, s = 0, sumXL/sumL2
		}
		sum := float32(0)
		for i, v := range x {
			diff := float32(s*trial[i]) + m - v
			sum += float32(weights[i] * float32(diff*diff))
		}
		if sum < best {
			best, scale, least = sum, s, m
			for i, c := range trial {
				codes[i] = byte(c)
			}
		}
	}
	return scale, -least
}

func encodeQ6KWith(vector bool, dst []byte, src []float32) {
	var codes [256]byte
	for ; len(src) > 0; dst, src = dst[210:], src[256:] {
		var scales [16]float32
		if vector {
			search6(&scales, src[:256])
		} else {
			search6Plain(&scales, src[:256])
		}
		farthest := farthest(scales[:])
		if float32(math.Abs(float64(farthest))) < tiny {
			clear(dst[:210])
			continue
		}
		inv := -128 / farthest
		d := putHalf(dst[208:], 1/inv)
		for g := range 16 {
			sc := int8(min(even(inv*scales[g]), 127))
			dst[192+g] = byte(sc)
			step := d * float32(sc)
			q, x := codes[16*g:16*g+16], src[16*g:16*g+16]
			switch {
			case step == 0:
				search6Group(q, x)
			case vector:
				quantize(q, x, step, 0, -32, 31)
			default:
				quantizePlain(q, x, step, 0, -32, 31)
			}
		}
		for n := range 2 {
			q, low, high := codes[128*n:128*n+128], dst[64*n:64*n+64], dst[128+32*n:160+32*n]
			for l := range 32 {
				a, b, c, d := q[l], q[l+32], q[l+64], q[l+96]
				low[l], low[l+32] = a&15|c&15<<4, b&15|d&15<<4
				high[l] = a>>4 | b>>4<<2 | c>>4<<4 | d>>4<<6
			}
		}
	}
}

// spansQ6K are the steps that the farthest value is to be from zero.
var spansQ6K = func() []float32 {
	out := []float32{-32}
	for step := -9; step <= 9; step++ {
		if step != 0 {
			out = append(out, -(32 + float32(0.1*float32(step))))
		}
	}
	return out
}()

func search6Plain(scales *[16]float32, x []float32) {
	var codes [16]byte
	for g := range 16 {
		scales[g] = search6Group(codes[:], x[16*g:16*g+16])
	}
}

// search6Group finds the scale of 16 values, so that scale*(code-32) is near them: of 19 scales near the one that takes the farthest value to
// code 0, the one with the least squares of the errors, weighted by the squares of the values.
func search6Group(codes []byte, x []float32) (scale float32) {
	far := farthest(x)
	if float32(math.Abs(float64(far))) < tiny {
		clear(codes)
		return 0
	}
	fit := func(inv float32) (sumXL, sumL2 float32) {
		for _, v := range x {
			c := min(max(even(inv*v), -32), 31)
			w := float32(v * v)
			sumXL += float32(float32(w*v) * c)
			sumL2 += float32(float32(w*c) * c)
		}
		return sumXL, sumL2
	}
	inv := spansQ6K[0] / far
	sumXL, sumL2 := fit(inv)
	if sumL2 != 0 {
		scale = sumXL / sumL2
	}
	best := float32(scale * sumXL)
	for _, span := range spansQ6K[1:] {
		try := span / far
		sumXL, sumL2 := fit(try)
		if sumL2 > 0 && float32(sumXL*sumXL) > float32(best*sumL2) {
			inv, scale = try, sumXL/sumL2
			best = float32(scale * sumXL)
		}
	}
	for i, v := range x {
		codes[i] = byte(int8(min(max(even(inv*v), -32), 31)) + 32)
	}
	return scale
}

// encodeIQ4NL tries 15 scales near the one that takes the farthest value to the first code, and keeps the one with the least squares of the
// errors, weighted by the squares of the values.
func encodeIQ4NL(dst []byte, src []float32) {
	for ; len(src) > 0; dst, src = dst[18:], src[32:] {
		x, qs := src[:32], dst[2:18]
		far := farthest(x)
		scale := float32(0)
		if float32(math.Abs(float64(far))) >= tiny {
			fit := func(inv float32) (sumXL, sumL2 float32) {
				for _, v := range x {
					c := codesIQ4[nearestIQ4(inv*v)]
					w := float32(v * v)
					sumXL += float32(float32(w*c) * v)
					sumL2 += float32(float32(w*c) * c)
				}
				return sumXL, sumL2
			}
			sumXL, sumL2 := fit(1 / (-far / codesIQ4[0]))
			scale = sumXL / sumL2
			best := float32(scale * sumXL)
			for step := -7; step <= 7; step++ {
				sumXL, sumL2 := fit((float32(step) + codesIQ4[0]) / far)
				if sumL2 > 0 && float32(sumXL*sumXL) > float32(best*sumL2) {
					scale = sumXL / sumL2
					best = float32(scale * sumXL)
				}
			}
		}
		putHalf(dst, scale)
		inv := inverse(scale)
		for j := range qs {
			qs[j] = byte(nearestIQ4(inv*x[j]) | nearestIQ4(inv*x[j+16])<<4)
		}
	}
}

// belowIQ4 gives, for 128 more than a whole number, the last code whose value is not above it.
var belowIQ4 = func() (out [256]uint8) {
	for i := range out {
		for code, v := range codesIQ4 {
			if int(v) <= i-128 {
				out[i] = uint8(code)
			}
		}
	}
	return out
}()

// nearestIQ4 is the code whose value is nearest, the upper one of two.
func nearestIQ4(v float32) int {
	if v <= codesIQ4[0] {
		return 0
	}
	if v >= codesIQ4[15] {
		return 15
	}
	low := int(belowIQ4[uint8(int32(v+128))])
	if high := low + 1; high < 16 && !(v-codesIQ4[low] < codesIQ4[high]-v) {
		return high
	}
	return low
}
