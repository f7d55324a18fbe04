//go:build !goexperiment.simd || !amd64

package weights

func decodeBF16(dst []float32, raw []byte) { decodeBF16Plain(dst, raw) }

func allFinite(x []float32) bool { return allFinitePlain(x) }

func roundFiniteBF16(dst []byte, values []float32) int { return roundFiniteBF16Plain(dst, values) }
