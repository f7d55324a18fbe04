package gguf

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/strict"
)

// Type is how the elements of a tensor are stored. Its number is the one in the file.
type Type uint32

// The types. Those with a Q keep a block of elements as whole numbers of few bits with a scale for all; K stands for blocks of 256 that have
// scales of their own for each 16 or 32 elements.
const (
	F32     Type = 0
	F16     Type = 1
	Q4_0    Type = 2
	Q4_1    Type = 3
	Q5_0    Type = 6
	Q5_1    Type = 7
	Q8_0    Type = 8
	Q8_1    Type = 9
	Q2_K    Type = 10
	Q3_K    Type = 11
	Q4_K    Type = 12
	Q5_K    Type = 13
	Q6_K    Type = 14
	Q8_K    Type = 15
	IQ2_XXS Type = 16
	IQ2_XS  Type = 17
	IQ3_XXS Type = 18
	IQ1_S   Type = 19
	IQ4_NL  Type = 20
	IQ3_S   Type = 21
	IQ2_S   Type = 22
	IQ4_XS  Type = 23
	I8      Type = 24
	I16     Type = 25
	I32     Type = 26
	I64     Type = 27
	F64     Type = 28
	IQ1_M   Type = 29
	BF16    Type = 30
	TQ1_0   Type = 34
	TQ2_0   Type = 35
	MXFP4   Type = 39
)

// typeInfo is what is known of a type: the elements and bytes of a block, and how blocks are decoded and encoded.
type typeInfo struct {
	name            string
	elements, bytes int
	decode          func(dst []float32, src []byte) // whole blocks; every type that tensors can have has one
	encode          func(dst []byte, src []float32) // whole blocks of finite values; nil if it cannot be done
}

// types by their numbers; those without a name are unknown, those without bytes were removed from the format.
var types = [...]typeInfo{
	F32:     {"F32", 1, 4, decodeF32, encodeF32},
	F16:     {"F16", 1, 2, decodeF16, encodeF16},
	Q4_0:    {"Q4_0", 32, 18, decodeQ40, encodeQ40},
	Q4_1:    {"Q4_1", 32, 20, decodeQ41, encodeQ41},
	4:       {name: "Q4_2"},
	5:       {name: "Q4_3"},
	Q5_0:    {"Q5_0", 32, 22, decodeQ50, encodeQ50},
	Q5_1:    {"Q5_1", 32, 24, decodeQ51, encodeQ51},
	Q8_0:    {"Q8_0", 32, 34, decodeQ80, encodeQ80},
	Q8_1:    {"Q8_1", 32, 36, decodeQ81, nil},
	Q2_K:    {"Q2_K", 256, 84, decodeQ2K, nil},
	Q3_K:    {"Q3_K", 256, 110, decodeQ3K, nil},
	Q4_K:    {"Q4_K", 256, 144, decodeQ4K, encodeQ4K},
	Q5_K:    {"Q5_K", 256, 176, decodeQ5K, encodeQ5K},
	Q6_K:    {"Q6_K", 256, 210, decodeQ6K, encodeQ6K},
	Q8_K:    {"Q8_K", 256, 292, decodeQ8K, nil},
	IQ2_XXS: {"IQ2_XXS", 256, 66, decodeIQ2XXS, nil},
	IQ2_XS:  {"IQ2_XS", 256, 74, decodeIQ2XS, nil},
	IQ3_XXS: {"IQ3_XXS", 256, 98, decodeIQ3XXS, nil},
	IQ1_S:   {"IQ1_S", 256, 50, decodeIQ1S, nil},
	IQ4_NL:  {"IQ4_NL", 32, 18, decodeIQ4NL, encodeIQ4NL},
	IQ3_S:   {"IQ3_S", 256, 110, decodeIQ3S, nil},
	IQ2_S:   {"IQ2_S", 256, 82, decodeIQ2S, nil},
	IQ4_XS:  {"IQ4_XS", 256, 136, decodeIQ4XS, nil},
	I8:      {"I8", 1, 1, decodeI8, nil},
	I16:     {"I16", 1, 2, decodeI16, nil},
	I32:     {"I32", 1, 4, decodeI32, nil},
	I64:     {"I64", 1, 8, decodeI64, nil},
	F64:     {"F64", 1, 8, decodeF64, encodeF64},
	IQ1_M:   {"IQ1_M", 256, 56, decodeIQ1M, nil},
	BF16:    {"BF16", 1, 2, decodeBF16, encodeBF16},
	31:      {name: "Q4_0_4_4"},
	32:      {name: "Q4_0_4_8"},
	33:      {name: "Q4_0_8_8"},
	TQ1_0:   {"TQ1_0", 256, 54, decodeTQ10, nil},
	TQ2_0:   {"TQ2_0", 256, 66, decodeTQ20, nil},
	36:      {name: "IQ4_NL_4_4"},
	37:      {name: "IQ4_NL_4_8"},
	38:      {name: "IQ4_NL_8_8"},
	MXFP4:   {"MXFP4", 32, 17, decodeMXFP4, nil},
}

// info of a type, nil if tensors cannot be of it.
func (t Type) info() *typeInfo {
	if int(t) >= len(types) || types[t].bytes == 0 {
		return nil
	}
	return &types[t]
}

// String is the name that other tools use, such as "Q4_K".
func (t Type) String() string {
	if int(t) < len(types) && types[t].name != "" {
		return types[t].name
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// Block returns how many elements are stored together and in how many bytes: 32 and 18 for Q4_0, 1 and 4 for F32; zeros for a type that
// no tensor can have.
func (t Type) Block() (elements, bytes int) {
	if i := t.info(); i != nil {
		return i.elements, i.bytes
	}
	return 0, 0
}

// CanDecode tells whether Decode reads the type.
func (t Type) CanDecode() bool { i := t.info(); return i != nil && i.decode != nil }

// CanEncode tells whether Encode writes the type.
func (t Type) CanEncode() bool { i := t.info(); return i != nil && i.encode != nil }

// MarshalText writes the name.
func (t Type) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Types lists the types that tensors can have, by number.
func Types() []Type {
	var out []Type
	for i := range types {
		if types[i].bytes > 0 {
			out = append(out, Type(i))
		}
	}
	return out
}

// ParseType finds a type by its name, in capitals or not.
func ParseType(name string) (Type, error) {
	for _, t := range Types() {
		if strings.EqualFold(types[t].name, name) {
			return t, nil
		}
	}
	var names []string
	for _, t := range Types() {
		names = append(names, t.String())
	}
	slices.Sort(names)
	fix := "use one of " + strings.Join(names, ", ")
	if near, ok := strict.Nearest(strings.ToUpper(name), names); ok {
		fix = "did you mean " + near + "?"
	}
	return 0, &Error{Field: "type", Offset: -1, Kind: ErrType, Text: printable.Quote(name), Fix: fix}
}
