//go:build goexperiment.simd && amd64

package merge

import (
	"math"
	"math/bits"
	"simd/archsimd"
)

var hasAVX2 = archsimd.X86.AVX2()

func load(x []float32, i int) archsimd.Float32x8 {
	return archsimd.LoadFloat32x8((*[8]float32)(x[i : i+8]))
}

func store(v archsimd.Float32x8, x []float32, i int) { v.Store((*[8]float32)(x[i : i+8])) }

func dot(a, b []float32) float64 {
	if !hasAVX2 || len(a)%8 != 0 {
		return dotPlain(a, b)
	}
	low, high := archsimd.BroadcastFloat64x4(0), archsimd.BroadcastFloat64x4(0)
	for i := 0; i < len(a); i += 8 {
		p, q := load(a, i), load(b, i)
		low = low.Add(p.GetLo().ConvertToFloat64().Mul(q.GetLo().ConvertToFloat64()))
		high = high.Add(p.GetHi().ConvertToFloat64().Mul(q.GetHi().ConvertToFloat64()))
	}
	var s [4]float64
	low.Add(high).Store(&s)
	archsimd.ClearAVXUpperBits()
	return (s[0] + s[2]) + (s[1] + s[3])
}

func clearBelow(x []float32, bits uint32) {
	n := 0
	if hasAVX2 && bits <= magnitude {
		n = len(x) &^ 7
		mask, least := archsimd.BroadcastUint32x8(magnitude), archsimd.BroadcastInt32x8(int32(bits))
		for i := 0; i < n; i += 8 {
			v := load(x, i)
			store(v.Masked(v.AsUint32x8().And(mask).AsInt32x8().GreaterEqual(least)), x, i)
		}
		archsimd.ClearAVXUpperBits()
	}
	clearBelowPlain(x[n:], bits)
}

func countEqual(x []float32, bits uint32) (count int) {
	n := 0
	if hasAVX2 {
		n = len(x) &^ 7
		mask, same := archsimd.BroadcastUint32x8(magnitude), archsimd.BroadcastInt32x8(int32(bits))
		sum := archsimd.BroadcastInt32x8(0)
		for i := 0; i < n; i += 8 {
			sum = sum.Sub(load(x, i).AsUint32x8().And(mask).AsInt32x8().Equal(same).ToInt32x8())
		}
		var lanes [8]int32
		sum.Store(&lanes)
		archsimd.ClearAVXUpperBits()
		for _, l := range lanes {
			count += int(l)
		}
	}
	return count + countEqualPlain(x[n:], bits)
}

func elect(dst []float32, x [][]float32, weight []float64, normalize bool) {
	w := make([]float32, len(weight))
	for i := range w {
		w[i] = float32(weight[i])
	}
	n := 0
	if hasAVX2 {
		n = len(dst) &^ 7
		zero := archsimd.BroadcastFloat32x8(0)
		for i := 0; i < n; i += 8 {
			sum := load(x[0], i)
			for _, v := range x[1:] {
				sum = sum.Add(load(v, i))
			}
			positive, negative := sum.GreaterEqual(zero), sum.Less(zero)
			num, den := zero, zero
			for m, v := range x {
				e := load(v, i)
				agrees := e.Greater(zero).And(positive).Or(e.Less(zero).And(negative))
				num = num.Add(e.Masked(agrees))
				den = den.Add(archsimd.BroadcastFloat32x8(w[m]).Masked(agrees))
			}
			if normalize {
				num = num.Div(den).Merge(num, den.NotEqual(zero))
			}
			store(num, dst, i)
		}
		archsimd.ClearAVXUpperBits()
	}
	electPlain(dst, x, w, normalize, n)
}

func sumMagnitudes(x []float32) float64 {
	if !hasAVX2 || len(x)%8 != 0 {
		return sumMagnitudesPlain(x)
	}
	low, high := archsimd.BroadcastFloat64x4(0), archsimd.BroadcastFloat64x4(0)
	mask := archsimd.BroadcastUint32x8(magnitude)
	for i := 0; i < len(x); i += 8 {
		v := load(x, i).AsUint32x8().And(mask).AsFloat32x8()
		low = low.Add(v.GetLo().ConvertToFloat64())
		high = high.Add(v.GetHi().ConvertToFloat64())
	}
	var s [4]float64
	low.Add(high).Store(&s)
	archsimd.ClearAVXUpperBits()
	return (s[0] + s[2]) + (s[1] + s[3])
}

// countUpper looks closer only at those of eight values that have the upper half.
func countUpper(h *histogram, x []float32, upper uint32) {
	n := 0
	if hasAVX2 {
		n = len(x) &^ 7
		mask, same := archsimd.BroadcastUint32x8(magnitude&^0xffff), archsimd.BroadcastInt32x8(int32(upper<<16))
		for i := 0; i < n; i += 8 {
			eight := x[i : i+8 : i+8]
			for found := load(eight, 0).AsUint32x8().And(mask).AsInt32x8().Equal(same).ToBits(); found != 0; found &= found - 1 {
				m := math.Float32bits(eight[bits.TrailingZeros8(found)&7])
				h[m>>15&1][m&0x7fff]++
			}
		}
		archsimd.ClearAVXUpperBits()
	}
	countUpperPlain(h, x[n:], upper)
}

// dropPairs mixes four draws of two values at a time. The product of 64 bits is made of three of 32.
func dropPairs(x []float32, first uint64, limit uint32) {
	n := 0
	if hasAVX2 {
		n = len(x) &^ 7
		product := func(x, low, high archsimd.Uint64x4) archsimd.Uint64x4 {
			l, h := x.AsUint32x8(), x.ShiftAllRight(32).AsUint32x8()
			cross := h.MulEvenWiden(low.AsUint32x8()).Add(l.MulEvenWiden(high.AsUint32x8()))
			return l.MulEvenWiden(low.AsUint32x8()).Add(cross.ShiftAllLeft(32))
		}
		a, aHigh := archsimd.BroadcastUint64x4(mixFirst), archsimd.BroadcastUint64x4(mixFirst>>32)
		b, bHigh := archsimd.BroadcastUint64x4(mixSecond), archsimd.BroadcastUint64x4(mixSecond>>32)
		step := uint64(golden)
		at := archsimd.LoadUint64x4(&[4]uint64{first, first + step, first + 2*step, first + 3*step})
		next := archsimd.BroadcastUint64x4(4 * step)
		sign := archsimd.BroadcastUint32x8(1 << 31) // signed comparisons of numbers without a sign
		most := archsimd.BroadcastUint32x8(limit).Xor(sign).AsInt32x8()
		for i := 0; i < n; i += 8 {
			m := product(at.Xor(at.ShiftAllRight(30)), a, aHigh)
			m = product(m.Xor(m.ShiftAllRight(27)), b, bHigh)
			m = m.Xor(m.ShiftAllRight(31))
			store(load(x, i).Masked(most.Greater(m.AsUint32x8().Xor(sign).AsInt32x8())), x, i)
			at = at.Add(next)
		}
		archsimd.ClearAVXUpperBits()
	}
	dropPairsPlain(x[n:], first+uint64(n/2)*golden, limit)
}
