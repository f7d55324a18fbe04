package safetensors

// DType is the type of a tensor's elements, spelled as in the file.
type DType string

// The element types of the format.
const (
	Bool       DType = "BOOL"
	F4         DType = "F4"
	F6E2M3     DType = "F6_E2M3"
	F6E3M2     DType = "F6_E3M2"
	U8         DType = "U8"
	I8         DType = "I8"
	F8E5M2     DType = "F8_E5M2"
	F8E4M3     DType = "F8_E4M3"
	F8E8M0     DType = "F8_E8M0"
	F8E4M3FNUZ DType = "F8_E4M3FNUZ"
	F8E5M2FNUZ DType = "F8_E5M2FNUZ"
	I16        DType = "I16"
	U16        DType = "U16"
	F16        DType = "F16"
	BF16       DType = "BF16"
	I32        DType = "I32"
	U32        DType = "U32"
	F32        DType = "F32"
	C64        DType = "C64"
	F64        DType = "F64"
	I64        DType = "I64"
	U64        DType = "U64"
)

// dtypes lists all types in the reference's order, which the writer's order of tensors is the reverse of.
var dtypes = []struct {
	name DType
	bits int64
}{
	{Bool, 8},
	{F4, 4},
	{F6E2M3, 6},
	{F6E3M2, 6},
	{U8, 8},
	{I8, 8},
	{F8E5M2, 8},
	{F8E4M3, 8},
	{F8E8M0, 8},
	{F8E4M3FNUZ, 8},
	{F8E5M2FNUZ, 8},
	{I16, 16},
	{U16, 16},
	{F16, 16},
	{BF16, 16},
	{I32, 32},
	{U32, 32},
	{F32, 32},
	{C64, 64},
	{F64, 64},
	{I64, 64},
	{U64, 64},
}

// DTypes returns all element types, from the narrowest alignment to the widest.
func DTypes() []DType {
	out := make([]DType, len(dtypes))
	for i, d := range dtypes {
		out[i] = d.name
	}
	return out
}

// Bits returns the size of one element in bits, or 0 if the format has no such type.
func (d DType) Bits() int {
	i := dtypeIndex(string(d))
	if i < 0 {
		return 0
	}
	return int(dtypes[i].bits)
}

// dtypeIndex returns the place of a type in dtypes, -1 if there is none.
func dtypeIndex(name string) int {
	for i := range dtypes {
		if string(dtypes[i].name) == name {
			return i
		}
	}
	return -1
}
