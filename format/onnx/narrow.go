package onnx

import "math"

// narrow are the values of the types of less than a byte, by their bits.
var narrow = map[DataType][]float32{
	Uint4:  {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	Int4:   {0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1},
	Float4: {0, 0.5, 1, 1.5, 2, 3, 4, 6, negativeZero, -0.5, -1, -1.5, -2, -3, -4, -6}, // a sign, two bits of exponent, one of mantissa
	Uint2:  {0, 1, 2, 3},
	Int2:   {0, 1, -2, -1},
}

// negativeZero is a value that FLOAT4E2M1 has and that no constant of Go can be.
var negativeZero = float32(math.Copysign(0, -1))

// narrowFloat32s is Float32s for elements of less than a byte, of which the first lies in the lowest bits.
func (t *Tensor) narrowFloat32s(values []float32, at int, dst []float32) error {
	bits := t.Type.Bits()
	each := 8 / bits // elements of a byte
	const piece = 1 << 16
	buffer := make([]byte, 0, min(piece, len(dst)/each+2))

	for len(dst) > 0 {
		n := min(len(dst), (piece-1)*each)
		first, last := at/each, (at+n+each-1)/each
		buffer = buffer[:last-first]
		if err := t.ReadRaw(int64(first), buffer); err != nil {
			return err
		}
		for i := range n {
			shift := (at + i) % each * bits
			dst[i] = values[int(buffer[(at+i)/each-first]>>shift)&(len(values)-1)]
		}
		at, dst = at+n, dst[n:]
	}
	return nil
}
