package pytorch

import "github.com/ballast-ml/ballast/format/safetensors"

// DType is the type of a tensor's elements in PyTorch's words: "float32", "bfloat16", "int64".
type DType string

// dtypes lists the element types: their size, the storage class that holds them, and the same type in safetensors' words,
// which also says how values are read; "" where float32 has no such values.
var dtypes = []struct {
	name    DType
	size    int64
	storage string
	as      safetensors.DType
}{
	{"float64", 8, "DoubleStorage", safetensors.F64},
	{"float32", 4, "FloatStorage", safetensors.F32},
	{"float16", 2, "HalfStorage", safetensors.F16},
	{"bfloat16", 2, "BFloat16Storage", safetensors.BF16},
	{"int64", 8, "LongStorage", safetensors.I64},
	{"int32", 4, "IntStorage", safetensors.I32},
	{"int16", 2, "ShortStorage", safetensors.I16},
	{"int8", 1, "CharStorage", safetensors.I8},
	{"uint8", 1, "ByteStorage", safetensors.U8},
	{"bool", 1, "BoolStorage", safetensors.Bool},
	{"uint16", 2, "", safetensors.U16},
	{"uint32", 4, "", safetensors.U32},
	{"uint64", 8, "", safetensors.U64},
	{"float8_e4m3fn", 1, "", safetensors.F8E4M3},
	{"float8_e5m2", 1, "", safetensors.F8E5M2},
	{"float8_e4m3fnuz", 1, "", safetensors.F8E4M3FNUZ},
	{"float8_e5m2fnuz", 1, "", safetensors.F8E5M2FNUZ},
	{"float8_e8m0fnu", 1, "", safetensors.F8E8M0},
	{"complex64", 8, "ComplexFloatStorage", safetensors.C64},
	{"complex128", 16, "ComplexDoubleStorage", ""},
	{"complex32", 4, "ComplexHalfStorage", ""},
	{"qint8", 1, "QInt8Storage", ""},
	{"quint8", 1, "QUInt8Storage", ""},
	{"qint32", 4, "QInt32Storage", ""},
}

// otherNames are second names of element types.
var otherNames = map[string]DType{
	"double": "float64", "float": "float32", "half": "float16", "long": "int64", "int": "int32", "short": "int16",
	"chalf": "complex32", "cfloat": "complex64", "cdouble": "complex128",
}

// Size returns the bytes of one element, 0 for an unknown type.
func (d DType) Size() int {
	for i := range dtypes {
		if dtypes[i].name == d {
			return int(dtypes[i].size)
		}
	}
	return 0
}

// Safetensors returns the same type in the words of format/safetensors, "" if that format has none.
func (d DType) Safetensors() safetensors.DType {
	for i := range dtypes {
		if dtypes[i].name == d {
			return dtypes[i].as
		}
	}
	return ""
}

// dtypeOf finds an element type by a name of module torch.
func dtypeOf(name string) (DType, bool) {
	if other, ok := otherNames[name]; ok {
		return other, true
	}
	d := DType(name)
	return d, d.Size() > 0
}

// storageType finds the element type of a storage class.
func storageType(class string) (DType, bool) {
	for i := range dtypes {
		if dtypes[i].storage != "" && dtypes[i].storage == class {
			return dtypes[i].name, true
		}
	}
	return "", false
}
