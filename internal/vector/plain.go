//go:build !goexperiment.simd || !amd64

package vector

// ScaleTo is dst = k x. x is at least as long as dst.
func ScaleTo(dst []float32, k float32, x []float32) { scaleToPlain(dst, k, x) }

// AddScaledTo is dst = y + k x. x and y are at least as long as dst, and any of them may be one.
func AddScaledTo(dst, y []float32, k float32, x []float32) { addScaledToPlain(dst, y, k, x) }
