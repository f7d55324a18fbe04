package pytorch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/ballast-ml/ballast/internal/untrusted"
)

// numpyType is a numpy.dtype, by its code without byte order: "f4", "i8", "b1". Only those of numpyTypes have values here.
type numpyType struct {
	code      string
	bigEndian bool
}

// numpyTypes are the types of NumPy that tensors have too; bf16 stands for the bfloat16 of ml_dtypes.
var numpyTypes = map[string]DType{
	"f2": "float16", "f4": "float32", "f8": "float64", "i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64",
	"u1": "uint8", "u2": "uint16", "u4": "uint32", "u8": "uint64", "b1": "bool", "c8": "complex64", "c16": "complex128", "bf16": "bfloat16",
}

// buildNumPyType is numpy.dtype(code, align, copy). Types without numbers, such as texts, are kept by their code.
func buildNumPyType(m *machine, args tuple) (any, error) {
	if err := m.charge(48); err != nil {
		return nil, err
	}
	if len(args) == 0 {
		return nil, errors.New("want a code")
	}
	switch code := args[0].(type) {
	case string:
		return &numpyType{code: code}, nil
	case foreign:
		if code == "ml_dtypes.bfloat16" || strings.HasSuffix(string(code), ".bfloat16") {
			return &numpyType{code: "bf16"}, nil
		}
	}
	return &numpyType{code: describe(args[0])}, nil
}

// buildNumPyNumber is scalar(type, bytes). One of a type without a plain number is opaque.
func buildNumPyNumber(m *machine, args tuple) (any, error) {
	if len(args) != 2 {
		return nil, errors.New("want a type and bytes")
	}
	if err := m.charge(16); err != nil {
		return nil, err
	}
	t, ok := args[0].(*numpyType)
	if !ok {
		return m.make("numpy scalar", args...)
	}
	b, ok2 := args[1].(bytea)
	if text, isText := args[1].(string); isText { // Python 2's bytes
		b, ok2 = bytea(text), true
	}
	d, plain := numpyTypes[t.code]
	if !plain || d == "complex64" || d == "complex128" {
		return m.make("numpy scalar", args...)
	}
	if !ok2 || len(b) != d.Size() {
		return nil, errors.New("want a type and bytes of its size")
	}
	return t.number(d, b), nil
}

// number is the value of one element.
func (t *numpyType) number(d DType, b bytea) any {
	var wide [8]byte
	for i, v := range b {
		if t.bigEndian {
			i = len(b) - 1 - i
		}
		wide[i] = v
	}
	u := binary.LittleEndian.Uint64(wide[:])
	switch d {
	case "float32":
		return float64(math.Float32frombits(uint32(u)))
	case "float64":
		return math.Float64frombits(u)
	case "bfloat16":
		return float64(math.Float32frombits(uint32(u) << 16))
	case "float16":
		return halfOf(uint16(u))
	case "bool":
		return u != 0
	}
	if strings.HasPrefix(string(d), "int") {
		shift := 64 - 8*len(b)
		return int64(u<<shift) >> shift
	}
	if u > math.MaxInt64 {
		return float64(u)
	}
	return int64(u)
}

// halfOf widens IEEE binary16, exactly.
func halfOf(h uint16) float64 {
	sign := 1.0
	if h&0x8000 != 0 {
		sign = -1
	}
	exponent, fraction := int(h>>10&31), float64(h&1023)
	switch {
	case exponent == 31 && fraction != 0:
		return math.NaN()
	case exponent == 31:
		return math.Inf(int(sign))
	case exponent == 0:
		return sign * fraction * 0x1p-24
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}

// ndarray is a NumPy array whose elements are in the pickle.
type ndarray struct {
	dtype   *numpyType
	shape   []int64
	fortran bool
	raw     bytea
	whole   bool // the fields are set
}

// buildArray is numpy.core.multiarray._reconstruct(class, shape, code): an array that its state fills.
func buildArray(m *machine, _ tuple) (any, error) { return &ndarray{}, m.charge(120) }

// fill sets the state (version, shape, type, fortran, bytes). An array of objects has a list for bytes, and no elements here.
func (a *ndarray) fill(state any) error {
	t, ok := state.(tuple)
	if !ok || len(t) != 5 {
		return errors.New("the state of an array is not (version, shape, type, order, bytes)")
	}
	shape, err := whole(t[1])
	if err != nil {
		return fmt.Errorf("shape of an array: %w", err)
	}
	dtype, ok := t[2].(*numpyType)
	if !ok {
		return nil // of a type that NumPy does not know itself
	}
	fortran, _ := t[3].(bool)
	raw, ok := t[4].(bytea)
	if text, isText := t[4].(string); isText { // Python 2's bytes
		raw, ok = bytea(text), true
	}
	if !ok {
		return nil
	}
	a.dtype, a.shape, a.fortran, a.raw, a.whole = dtype, shape, fortran, raw, true
	return nil
}

// buildBuffer is numpy.core.numeric._frombuffer(bytes, type, shape, order), as protocol 5 writes arrays.
func buildBuffer(m *machine, args tuple) (any, error) {
	if len(args) != 4 {
		return m.make("numpy array", args...)
	}
	a := &ndarray{}
	order, _ := args[3].(string)
	return a, errors.Join(m.charge(120), a.fill(tuple{int64(1), args[2], args[1], order == "F", args[0]}))
}

// tensor is the array as a tensor; nil for one whose elements are no numbers.
func (a *ndarray) tensor() (*tensor, error) {
	if !a.whole {
		return nil, nil
	}
	d, ok := numpyTypes[a.dtype.code]
	if !ok {
		return nil, nil
	}
	dims := make([]int, len(a.shape))
	for i, dim := range a.shape {
		if dim < 0 || dim > math.MaxInt32 {
			return nil, fmt.Errorf("an array of shape %v", a.shape)
		}
		dims[i] = int(dim)
	}
	n, ok := untrusted.Product(math.MaxInt64/16, dims...)
	if !ok || int64(n)*int64(d.Size()) != int64(len(a.raw)) {
		return nil, fmt.Errorf("an array of shape %v and type %s in %d bytes", a.shape, d, len(a.raw))
	}
	strides, step := make([]int64, len(a.shape)), int64(1)
	for i := range a.shape {
		axis := len(a.shape) - 1 - i
		if a.fortran {
			axis = i
		}
		strides[axis] = step
		step *= max(a.shape[axis], 1)
	}
	s := &storage{key: "pickle", dtype: d, elements: int64(n), raw: a.raw, swapped: a.dtype.bigEndian}
	return newTensor(s, d, 0, a.shape, strides)
}
