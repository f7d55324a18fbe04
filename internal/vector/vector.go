// Package vector scales and adds float32 slices, with vector instructions if the machine has them. The results equal those of plain loops
// bit for bit: both round every product and every sum, and fused multiply-add is not used.
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
