package merge

import "math"

// The loops below are what merging spends its time in. kernel_simd.go has them with vector instructions, of equal bits: products and sums
// are rounded one by one in both. A test compares the two.

// dotPlain sums products in 8 lanes of float64, then the lanes in pairs.
func dotPlain(a, b []float32) float64 {
	var s [8]float64
	b = b[:len(a)]
	i := 0
	for ; i+8 <= len(a); i += 8 {
		p, q := a[i:i+8:i+8], b[i:i+8:i+8]
		s[0] += float64(float64(p[0]) * float64(q[0]))
		s[1] += float64(float64(p[1]) * float64(q[1]))
		s[2] += float64(float64(p[2]) * float64(q[2]))
		s[3] += float64(float64(p[3]) * float64(q[3]))
		s[4] += float64(float64(p[4]) * float64(q[4]))
		s[5] += float64(float64(p[5]) * float64(q[5]))
		s[6] += float64(float64(p[6]) * float64(q[6]))
		s[7] += float64(float64(p[7]) * float64(q[7]))
	}
	for ; i < len(a); i++ {
		s[i%8] += float64(float64(a[i]) * float64(b[i]))
	}
	return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
}

// sumMagnitudesPlain is sum |x| in 8 lanes of float64, then the lanes in pairs.
func sumMagnitudesPlain(x []float32) float64 {
	var s [8]float64
	for i, v := range x {
		s[i%8] += math.Abs(float64(v))
	}
	return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
}

// less is all bits where a < b, else none: what a branch, guessed wrong half of the time, would take longer for.
func less(a, b uint32) uint32 { return uint32((int64(a) - int64(b)) >> 63) }

func clearBelowPlain(x []float32, bits uint32) {
	for i, v := range x {
		b := math.Float32bits(v)
		x[i] = math.Float32frombits(b &^ less(b&magnitude, bits))
	}
}

func countEqualPlain(x []float32, bits uint32) (count int) {
	for _, v := range x {
		if math.Float32bits(v)&magnitude == bits {
			count++
		}
	}
	return count
}

// electPlain mixes weighted differences from an element on: where their sum is at least 0 the positive ones, else the negative ones, divided
// by the sum of their weights with normalize (0 counts as 1).
func electPlain(dst []float32, x [][]float32, w []float32, normalize bool, from int) {
	for i := from; i < len(dst); i++ {
		sum := x[0][i]
		for _, v := range x[1:] {
			sum += v[i]
		}
		negative := less(1<<31, math.Float32bits(sum)) & (1 << 31)
		var num, den float32
		for m, v := range x {
			e := math.Float32bits(v[i])
			agrees := less((e^negative)-1, magnitude) // above 0 once the elected sign is taken off
			num += math.Float32frombits(e & agrees)
			den += math.Float32frombits(math.Float32bits(w[m]) & agrees)
		}
		if normalize && den != 0 {
			num /= den
		}
		dst[i] = num
	}
}
