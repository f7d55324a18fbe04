//go:build !goexperiment.simd || !amd64

package gguf

func allWithin(x []float32, most float32) bool { return allWithinPlain(x, most) }
func decodeF16(dst []float32, src []byte)      { decodeF16Plain(dst, src) }
func decodeQ4K(dst []float32, src []byte)      { decodeQ4KPlain(dst, src) }
func encodeQ40(dst []byte, src []float32)      { encodeQ40Plain(dst, src) }
func encodeQ80(dst []byte, src []float32)      { encodeQ80Plain(dst, src) }

func quantize(codes []byte, x []float32, step, m, least, most float32) {
	quantizePlain(codes, x, step, m, least, most)
}

func search(scales, mins *[8]float32, x []float32, plan *searchPlan) {
	searchPlain(scales, mins, x, plan)
}

func search6(scales *[16]float32, x []float32) { search6Plain(scales, x) }
