// Package vector scales and adds float32 slices, with vector instructions where the machine has them. The bits are those of the plain
// loops: products and sums are rounded one by one in both, and the fused multiply-add of some machines is not used.
package vector

// AddScaled is dst = dst + k x. x is at least as long as dst.
func AddScaled(dst []float32, k float32, x []float32) { AddScaledTo(dst, dst, k, x) }

func scaleToPlain(dst []float32, k float32, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = k * x[i]
	}
}

func addScaledToPlain(dst, y []float32, k float32, x []float32) {
	x, y = x[:len(dst)], y[:len(dst)]
	for i := range dst {
		dst[i] = y[i] + float32(k*x[i]) // the conversion forbids fusing
	}
}
