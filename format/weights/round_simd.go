//go:build goexperiment.simd && amd64

package weights

import (
	"simd/archsimd"
	"unsafe"
)

// The loops of round.go with vector instructions, where the processor has them; their bits are those of the plain ones.

var hasAVX2 = archsimd.X86.AVX2()

func decodeBF16(dst []float32, raw []byte) {
	n := len(dst) &^ 7
	if hasAVX2 && n > 0 {
		_ = raw[2*n-1]
		for i := 0; i < n; i += 8 {
			h := archsimd.LoadUint16x8((*[8]uint16)(unsafe.Pointer(&raw[2*i])))
			h.ExtendToUint32().ShiftAllLeft(16).AsFloat32x8().Store((*[8]float32)(dst[i : i+8]))
		}
		archsimd.ClearAVXUpperBits()
		dst, raw = dst[n:], raw[2*n:]
	}
	decodeBF16Plain(dst, raw)
}

func allFinite(x []float32) bool {
	n := len(x) &^ 7
	if hasAVX2 && n > 0 {
		exponent, one := archsimd.BroadcastUint32x8(0x7f800000), archsimd.BroadcastUint32x8(0x00800000)
		bad := archsimd.BroadcastUint32x8(0)
		for i := 0; i < n; i += 8 {
			v := archsimd.LoadFloat32x8((*[8]float32)(x[i : i+8])).AsUint32x8()
			bad = bad.Or(v.And(exponent).Add(one))
		}
		var lanes [8]uint32
		bad.Store(&lanes)
		archsimd.ClearAVXUpperBits()
		for _, l := range lanes {
			if l&0x80000000 != 0 {
				return false
			}
		}
		x = x[n:]
	}
	return allFinitePlain(x)
}

func roundFiniteBF16(dst []byte, values []float32) int {
	n := len(values) &^ 7
	if !hasAVX2 || n == 0 {
		return roundFiniteBF16Plain(dst, values)
	}
	_ = dst[2*n-1]
	exponent, one := archsimd.BroadcastUint32x8(0x7f800000), archsimd.BroadcastUint32x8(0x00800000)
	half, odd := archsimd.BroadcastUint32x8(0x7fff), archsimd.BroadcastUint32x8(1)
	bad := archsimd.BroadcastUint32x8(0)
	for i := 0; i < n; i += 8 {
		v := archsimd.LoadFloat32x8((*[8]float32)(values[i : i+8])).AsUint32x8()
		rounded := v.Add(half).Add(v.ShiftAllRight(16).And(odd))
		bad = bad.Or(v.And(exponent).Add(one)).Or(rounded.And(exponent).Add(one))
		upper := rounded.ShiftAllRight(16).AsInt32x8()
		upper.GetLo().SaturateToUint16Concat(upper.GetHi()).Store((*[8]uint16)(unsafe.Pointer(&dst[2*i])))
	}
	var lanes [8]uint32
	bad.Store(&lanes)
	archsimd.ClearAVXUpperBits()
	for _, l := range lanes {
		if l&0x80000000 != 0 {
			return 0
		}
	}
	return n
}
