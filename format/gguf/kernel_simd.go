//go:build goexperiment.simd && amd64

package gguf

import (
	"encoding/binary"
	"math/bits"
	"simd/archsimd"
	"unsafe"
)

// The loops of the other files with vector instructions, where the processor has them; their bits are those of the plain ones. The searches
// for scales work on 8 groups at a time, one in each lane, so that every group's sums are made in the order of the plain loop.
//
// Between vector instructions and ClearAVXUpperBits there is no arithmetic on single floats: the compiler gives it the old instructions,
// which wait for the whole vectors and are up to a hundred times slower there. What is single is kept as bits. So it is with shifts by
// a count for all, which is why shifts are by vectors.

var hasAVX2 = archsimd.X86.AVX2()

type floats = archsimd.Float32x8

func load(x []float32, i int) floats { return archsimd.LoadFloat32x8((*[8]float32)(x[i : i+8])) }

func all(v float32) floats { return archsimd.BroadcastFloat32x8(v) }

// bitsAt are the bits of a float, which is not loaded as one.
func bitsAt(x []float32, i int) uint32 { return *(*uint32)(unsafe.Pointer(&x[i])) }

// allBits is all for a float given by its bits.
func allBits(b uint32) floats { return archsimd.BroadcastUint32x8(b).AsFloat32x8() }

// halves widens 8 IEEE halves, see half.
func halves(h archsimd.Uint32x8) floats {
	m := h.And(archsimd.BroadcastUint32x8(0x7fff)).ShiftLeft(archsimd.BroadcastUint32x8(13))
	v := m.AsFloat32x8().Mul(all(0x1p112)).AsUint32x8()
	v = v.Or(m.AsInt32x8().Greater(archsimd.BroadcastInt32x8(0x7c00<<13 - 1)).ToInt32x8().AsUint32x8().And(archsimd.BroadcastUint32x8(0x7f800000)))
	return v.Or(h.ShiftLeft(archsimd.BroadcastUint32x8(16)).And(archsimd.BroadcastUint32x8(1 << 31))).AsFloat32x8()
}

// magnitude clears the sign.
func magnitude(v floats) floats {
	return v.AsUint32x8().And(archsimd.BroadcastUint32x8(0x7fffffff)).AsFloat32x8()
}

// evenAll is even for 8 values.
func evenAll(v floats) floats { return v.Add(all(0x1.8p23)).Sub(all(0x1.8p23)) }

// lowBytes takes the low bytes of 4 numbers.
var lowBytes = [16]int8{0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1}

// narrow writes the low bytes of 8 numbers.
func narrow(dst []byte, v archsimd.Int32x8) {
	low := archsimd.LoadInt8x16(&lowBytes)
	a := v.GetLo().AsUint8x16().PermuteOrZero(low).AsUint32x4().GetElem(0)
	b := v.GetHi().AsUint8x16().PermuteOrZero(low).AsUint32x4().GetElem(0)
	binary.LittleEndian.PutUint64(dst, uint64(a)|uint64(b)<<32)
}

// largestOf gives all lanes the largest of 8 magnitudes.
func largestOf(v floats) floats {
	w := v.GetLo().Max(v.GetHi()).AsInt32x4()
	w2 := w.AsFloat32x4().Max(w.PermuteScalars(2, 3, 0, 1).AsFloat32x4())
	return w2.Max(w2.AsInt32x4().PermuteScalars(1, 0, 3, 2).AsFloat32x4()).Broadcast1To8()
}

func allWithin(x []float32, most float32) bool {
	if n := len(x) &^ 7; hasAVX2 && n > 0 {
		// As whole numbers, magnitudes are in the order of their values, with NaN above all.
		top := archsimd.BroadcastUint32x8(0)
		mask := archsimd.BroadcastUint32x8(0x7fffffff)
		for i := 0; i < n; i += 8 {
			top = top.Max(load(x, i).AsUint32x8().And(mask))
		}
		var lanes [8]float32
		top.AsFloat32x8().Store(&lanes)
		archsimd.ClearAVXUpperBits()
		if !allWithinPlain(lanes[:], most) {
			return false
		}
		x = x[n:]
	}
	return allWithinPlain(x, most)
}

func decodeF16(dst []float32, src []byte) {
	if n := len(dst) &^ 7; hasAVX2 && n > 0 {
		_ = src[2*n-1]
		for i := 0; i < n; i += 8 {
			halves(archsimd.LoadUint16x8((*[8]uint16)(unsafe.Pointer(&src[2*i]))).ExtendToUint32()).Store((*[8]float32)(dst[i : i+8]))
		}
		archsimd.ClearAVXUpperBits()
		dst, src = dst[n:], src[2*n:]
	}
	decodeF16Plain(dst, src)
}

// sixteen loads 16 bytes as numbers.
func sixteen(b []byte) (low, high archsimd.Uint32x8) {
	v := archsimd.LoadUint8x16((*[16]uint8)(b[:16]))
	w := v.AsUint64x2()
	return v.ExtendLo8ToUint32(), w.InterleaveHi(w).AsUint8x16().ExtendLo8ToUint32()
}

func decodeQ4K(dst []float32, src []byte) {
	if !hasAVX2 {
		decodeQ4KPlain(dst, src)
		return
	}
	low, four := archsimd.BroadcastUint32x8(15), archsimd.BroadcastUint32x8(4)
	var heads [16]byte
	var scales, mins [8]uint32
	for ; len(dst) > 0; dst, src = dst[256:], src[144:] {
		// The 6-bit scales, then the minimums, of 4 groups at a time; see scaleMin.
		a, b, c := u32(src[4:]), u32(src[8:]), u32(src[12:])
		binary.LittleEndian.PutUint32(heads[0:], a&0x3f3f3f3f)
		binary.LittleEndian.PutUint32(heads[4:], c&0x0f0f0f0f|a>>6&0x03030303<<4)
		binary.LittleEndian.PutUint32(heads[8:], b&0x3f3f3f3f)
		binary.LittleEndian.PutUint32(heads[12:], c>>4&0x0f0f0f0f|b>>6&0x03030303<<4)
		sc, mn := sixteen(heads[:])
		sc.AsInt32x8().ConvertToFloat32().Mul(halves(archsimd.BroadcastUint32x8(uint32(u16(src))))).AsUint32x8().Store(&scales)
		mn.AsInt32x8().ConvertToFloat32().Mul(halves(archsimd.BroadcastUint32x8(uint32(u16(src[2:]))))).AsUint32x8().Store(&mins)
		for p := range 4 {
			scale, m, scale2, m2 := allBits(scales[2*p]), allBits(mins[2*p]), allBits(scales[2*p+1]), allBits(mins[2*p+1])
			qs, y, z := src[16+32*p:48+32*p], dst[64*p:64*p+32], dst[64*p+32:64*p+64]
			for l := 0; l < 32; l += 16 {
				q, r := sixteen(qs[l:])
				q.And(low).AsInt32x8().ConvertToFloat32().Mul(scale).Sub(m).Store((*[8]float32)(y[l : l+8]))
				r.And(low).AsInt32x8().ConvertToFloat32().Mul(scale).Sub(m).Store((*[8]float32)(y[l+8 : l+16]))
				q.ShiftRight(four).AsInt32x8().ConvertToFloat32().Mul(scale2).Sub(m2).Store((*[8]float32)(z[l : l+8]))
				r.ShiftRight(four).AsInt32x8().ConvertToFloat32().Mul(scale2).Sub(m2).Store((*[8]float32)(z[l+8 : l+16]))
			}
		}
	}
	archsimd.ClearAVXUpperBits()
}

// putScale writes the scale as an IEEE half and returns its inverse, see inverse.
func putScale(dst []byte, d floats) (inverse floats) {
	binary.LittleEndian.PutUint16(dst, halfBits(d.AsUint32x8().GetLo().GetElem(0)))
	return all(1).Div(d).Masked(magnitude(d).GreaterEqual(all(0x1p-127)))
}

func encodeQ40(dst []byte, src []float32) {
	if !hasAVX2 {
		encodeQ40Plain(dst, src)
		return
	}
	for ; len(src) > 0; dst, src = dst[18:], src[32:] {
		a, b, c, d := load(src, 0), load(src, 8), load(src, 16), load(src, 24)
		p, q, r, s := magnitude(a), magnitude(b), magnitude(c), magnitude(d)
		top := largestOf(p.Max(q).Max(r.Max(s)))
		at := uint32(p.Equal(top).ToBits()) | uint32(q.Equal(top).ToBits())<<8 | uint32(r.Equal(top).ToBits())<<16 | uint32(s.Equal(top).ToBits())<<24
		far := allBits(bitsAt(src, bits.TrailingZeros32(at)&31))
		id := putScale(dst, far.Masked(top.GreaterEqual(all(0x1p-149))).Mul(all(-0.125))) // zeros count as positive
		narrow(dst[2:], codeQ40(a, id).Or(codeQ40(c, id).ShiftLeft(archsimd.BroadcastInt32x8(4))))
		narrow(dst[10:], codeQ40(b, id).Or(codeQ40(d, id).ShiftLeft(archsimd.BroadcastInt32x8(4))))
	}
	archsimd.ClearAVXUpperBits()
}

func codeQ40(v, id floats) archsimd.Int32x8 {
	return v.Mul(id).Add(all(8.5)).ConvertToInt32().Min(archsimd.BroadcastInt32x8(15))
}

func encodeQ80(dst []byte, src []float32) {
	if !hasAVX2 {
		encodeQ80Plain(dst, src)
		return
	}
	for ; len(src) > 0; dst, src = dst[34:], src[32:] {
		a, b, c, d := load(src, 0), load(src, 8), load(src, 16), load(src, 24)
		id := putScale(dst, largestOf(magnitude(a).Max(magnitude(b)).Max(magnitude(c).Max(magnitude(d)))).Div(all(127)))
		narrow(dst[2:], codeQ80(a, id))
		narrow(dst[10:], codeQ80(b, id))
		narrow(dst[18:], codeQ80(c, id))
		narrow(dst[26:], codeQ80(d, id))
	}
	archsimd.ClearAVXUpperBits()
}

// codeQ80 rounds away from zero between two.
func codeQ80(v, id floats) archsimd.Int32x8 {
	v = v.Mul(id)
	t := v.Trunc()
	rest := v.Sub(t)
	return t.Add(all(1).Masked(rest.GreaterEqual(all(0.5)))).Sub(all(1).Masked(rest.LessEqual(all(-0.5)))).ConvertToInt32()
}

func quantize(codes []byte, x []float32, step, m, least, most float32) {
	if !hasAVX2 {
		quantizePlain(codes, x, step, m, least, most)
		return
	}
	by, add, low, high := all(step), all(m), all(least), all(most)
	for i := 0; i < len(x); i += 8 {
		narrow(codes[i:i+8], evenAll(load(x, i).Add(add).Div(by)).Max(low).Min(high).Sub(low).ConvertToInt32())
	}
	archsimd.ClearAVXUpperBits()
}

// transpose puts value i of group g into lane g of vector i, for 8 groups of n values.
func transpose(dst *[256]uint32, x []float32, n int) {
	for g := range 8 {
		row := unsafe.Slice((*uint32)(unsafe.Pointer(&x[n*g])), n)
		for i, b := range row {
			dst[8*i+g] = b
		}
	}
}

func search(scales, mins *[8]float32, x []float32, plan *searchPlan) {
	if !hasAVX2 {
		searchPlain(scales, mins, x, plan)
		return
	}
	var xs, ws, cs [256]float32
	top := all(plan.most)
	transpose((*[256]uint32)(unsafe.Pointer(&xs)), x, 32)
	square, low, high := all(0), load(xs[:], 0), load(xs[:], 0)
	for i := 0; i < 256; i += 8 {
		v := load(xs[:], i)
		square = square.Add(v.Mul(v))
		low, high = v.Min(low), v.Max(high)
	}
	mean := square.Div(all(32)).Sqrt()
	sumW, sumX := all(0), all(0)
	for i := 0; i < 256; i += 8 {
		v := load(xs[:], i)
		w := mean.Add(magnitude(v))
		w.Store((*[8]float32)(ws[i : i+8]))
		sumW, sumX = sumW.Add(w), sumX.Add(w.Mul(v))
	}
	zero := all(0)
	low = low.Min(zero)
	inv := top.Div(high.Sub(low))
	scale, least, best := all(1).Div(inv), low, zero
	for i := 0; i < 256; i += 8 {
		v := load(xs[:], i)
		c := evenAll(inv.Mul(v.Sub(low))).Max(zero).Min(top)
		diff := scale.Mul(c).Add(least).Sub(v)
		best = best.Add(load(ws[:], i).Mul(diff.Mul(diff)))
	}
	for k := range plan.spans {
		inv := allBits(bitsAt(plan.spans, k)).Div(high.Sub(least))
		sumL, sumL2, sumXL := zero, zero, zero
		for i := 0; i < 256; i += 8 {
			v, w := load(xs[:], i), load(ws[:], i)
			c := evenAll(inv.Mul(v.Sub(least))).Max(zero).Min(top)
			c.Store((*[8]float32)(cs[i : i+8]))
			wc := w.Mul(c)
			sumL, sumL2, sumXL = sumL.Add(wc), sumL2.Add(wc.Mul(c)), sumXL.Add(wc.Mul(v))
		}
		det := sumW.Mul(sumL2).Sub(sumL.Mul(sumL))
		s := sumW.Mul(sumXL).Sub(sumX.Mul(sumL)).Div(det)
		m := sumL2.Mul(sumX).Sub(sumL.Mul(sumXL)).Div(det)
		above := m.Greater(zero)
		s, m = sumXL.Div(sumL2).Merge(s, above), zero.Merge(m, above)
		sum := zero
		for i := 0; i < 256; i += 8 {
			diff := s.Mul(load(cs[:], i)).Add(m).Sub(load(xs[:], i))
			sum = sum.Add(load(ws[:], i).Mul(diff.Mul(diff)))
		}
		better := det.Greater(zero).And(sum.Less(best))
		best, scale, least = sum.Merge(best, better), s.Merge(scale, better), m.Merge(least, better)
	}
	equal := high.Sub(low).Less(all(flat))
	zero.Merge(scale, equal).Store(scales)
	zero.Sub(low.Merge(least, equal)).Store(mins)
	archsimd.ClearAVXUpperBits()
}

func search6(scales *[16]float32, x []float32) {
	if !hasAVX2 {
		search6Plain(scales, x)
		return
	}
	var xs [256]float32
	var ws, wx [128]float32
	for part := range 2 {
		transpose((*[256]uint32)(unsafe.Pointer(&xs)), x[128*part:128*part+128], 16)
		top, far := all(0), all(0)
		for i := 0; i < 128; i += 8 {
			v := load(xs[:], i)
			a := magnitude(v)
			above := a.Greater(top)
			top, far = a.Merge(top, above), v.Merge(far, above)
			w := v.Mul(v)
			w.Store((*[8]float32)(ws[i : i+8]))
			w.Mul(v).Store((*[8]float32)(wx[i : i+8]))
		}
		zero, lowest, highest := all(0), all(-32), all(31)
		scale, best := zero, zero
		for step := range spansQ6K {
			inv := allBits(bitsAt(spansQ6K, step)).Div(far)
			sumXL, sumL2 := zero, zero
			for i := 0; i < 128; i += 8 {
				c := evenAll(inv.Mul(load(xs[:], i))).Max(lowest).Min(highest)
				sumXL = sumXL.Add(load(wx[:], i).Mul(c))
				sumL2 = sumL2.Add(load(ws[:], i).Mul(c).Mul(c))
			}
			s := sumXL.Div(sumL2)
			better := sumL2.Greater(zero)
			if step > 0 {
				better = better.And(sumXL.Mul(sumXL).Greater(best.Mul(sumL2)))
			}
			scale, best = s.Merge(scale, better), s.Mul(sumXL).Merge(best, better)
		}
		scale.Masked(top.GreaterEqual(all(tiny))).Store((*[8]float32)(scales[8*part : 8*part+8]))
	}
	archsimd.ClearAVXUpperBits()
}
