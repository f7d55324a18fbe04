//go:build goexperiment.simd && amd64

package vector

import "simd/archsimd"

var hasAVX2 = archsimd.X86.AVX2()

func load(x []float32, i int) archsimd.Float32x8 {
	return archsimd.LoadFloat32x8((*[8]float32)(x[i : i+8]))
}

func store(v archsimd.Float32x8, x []float32, i int) { v.Store((*[8]float32)(x[i : i+8])) }

// ScaleTo is dst = k x. x is at least as long as dst.
func ScaleTo(dst []float32, k float32, x []float32) {
	n := 0
	if hasAVX2 {
		n = len(dst) &^ 7
		c := archsimd.BroadcastFloat32x8(k)
		for i := 0; i < n; i += 8 {
			store(load(x, i).Mul(c), dst, i)
		}
		archsimd.ClearAVXUpperBits()
	}
	scaleToPlain(dst[n:], k, x[n:])
}

// AddScaledTo is dst = y + k x. x and y are at least as long as dst, and any of them may be one.
func AddScaledTo(dst, y []float32, k float32, x []float32) {
	n := 0
	if hasAVX2 {
		n = len(dst) &^ 7
		c := archsimd.BroadcastFloat32x8(k)
		for i := 0; i < n; i += 8 {
			store(load(y, i).Add(load(x, i).Mul(c)), dst, i)
		}
		archsimd.ClearAVXUpperBits()
	}
	addScaledToPlain(dst[n:], y[n:], k, x[n:])
}
