package convert

import (
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
)

// encodedSize is the bytes of n elements of a type.
func encodedSize(t string, n int) int {
	if b := blockOf(t); b.elements > 0 {
		return n / b.elements * b.bytes
	}
	return n * safetensors.DType(t).Bits() / 8
}

// encodeValues writes values as elements of a type and returns how many finite ones became infinite.
func encodeValues(t string, dst []byte, values []float32) (overflowed int, err error) {
	if blockOf(t).elements > 0 {
		return encodeBlocks(t, dst, values)
	}
	return weights.Round(dst, t, values)
}
