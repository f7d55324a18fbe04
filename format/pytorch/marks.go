package pytorch

import "encoding/binary"

// applyMarks turns stored elements, little endian, into those that a view with marks shows: torch.Tensor.resolve_neg and resolve_conj.
// A bool has no other sign, so PyTorch never marks one.
func (t *tensor) applyMarks(raw []byte) {
	size, part := t.dtype.Size(), t.dtype.part()
	if t.negated {
		for i := 0; i < len(raw); i += part {
			negate(t.dtype, raw[i:i+part])
		}
	}
	if t.conjugate && part < size {
		for i := part; i < len(raw); i += size { // the imaginary parts
			negate(t.dtype, raw[i:i+part])
		}
	}
}

// negate changes the sign of one number: the highest bit of a float, two's complement of a whole number.
func negate(d DType, raw []byte) {
	switch d {
	case "uint8", "int8", "qint8", "quint8":
		raw[0] = -raw[0]
	case "int16", "uint16":
		binary.LittleEndian.PutUint16(raw, -binary.LittleEndian.Uint16(raw))
	case "int32", "uint32", "qint32":
		binary.LittleEndian.PutUint32(raw, -binary.LittleEndian.Uint32(raw))
	case "int64", "uint64":
		binary.LittleEndian.PutUint64(raw, -binary.LittleEndian.Uint64(raw))
	case "bool", "float8_e8m0fnu": // without a sign
	default:
		raw[len(raw)-1] ^= 0x80
	}
}
