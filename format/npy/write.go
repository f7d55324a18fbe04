package npy

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Element is a type that Write takes.
type Element interface {
	bool | int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | float32 | float64
}

// Write writes an array in C order, as numpy.save does: version 1.0, little endian. An empty shape with one value is a scalar.
func Write[T Element](w io.Writer, shape []int, values []T) error {
	d := dtypeOf[T]()
	if err := checkShape(shape, len(values)); err != nil {
		return err
	}
	b := bufio.NewWriterSize(w, 1<<16)
	if _, err := b.Write(encodeHeader(d, shape)); err != nil {
		return fmt.Errorf("npy: %w", err)
	}
	const piece = 1 << 12
	var raw []byte
	for len(values) > 0 {
		n := min(piece, len(values))
		var err error
		if raw, err = binary.Append(raw[:0], binary.LittleEndian, values[:n]); err != nil {
			return fmt.Errorf("npy: %w", err)
		}
		if _, err := b.Write(raw); err != nil {
			return fmt.Errorf("npy: %w", err)
		}
		values = values[n:]
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("npy: %w", err)
	}
	return nil
}

// WriteFile writes a file whole or not at all; see Write.
func WriteFile[T Element](path string, shape []int, values []T) error {
	return durable.WriteFile(path, func(w io.Writer) error { return Write(w, shape, values) })
}

func dtypeOf[T Element]() DType {
	var zero T
	return DType(fmt.Sprintf("%T", zero)) // Go's names of these types are NumPy's
}

func checkShape(shape []int, values int) error {
	n, ok := untrusted.Product(math.MaxInt/8, shape...)
	if !ok || len(shape) > maxDims {
		return &Error{Field: "shape", Offset: -1, Kind: ErrWrite, Text: fmt.Sprint(shape), Fix: "give dimensions of at least 0 that fit in memory"}
	}
	if n != values {
		return &Error{Field: "shape", Offset: -1, Kind: ErrWrite, Text: fmt.Sprintf("%v takes %d values, got %d", shape, n, values),
			Fix: "give the shape of the values"}
	}
	return nil
}

// encodeHeader returns everything before the elements, which begin at a multiple of 64.
func encodeHeader(d DType, shape []int) []byte {
	code, order := "", "<"
	for _, c := range codes {
		if c.dtype == d {
			code = c.code
			if c.size == 1 {
				order = "|"
			}
		}
	}
	var dims strings.Builder
	for i, dim := range shape {
		if i > 0 {
			dims.WriteString(", ")
		}
		fmt.Fprint(&dims, dim)
	}
	if len(shape) == 1 {
		dims.WriteString(",")
	}
	b := append([]byte(magic), 1, 0, 0, 0)
	b = fmt.Appendf(b, "{'descr': '%s%s', 'fortran_order': False, 'shape': (%s), }", order, code, dims.String())
	// NumPy leaves room for the first dimension to grow to 21 digits, so that others can append rows in place.
	if len(shape) > 0 {
		b = append(b, strings.Repeat(" ", 21-len(strconv.Itoa(shape[0])))...)
	}
	for (len(b)+1)%64 != 0 {
		b = append(b, ' ')
	}
	b = append(b, '\n')
	binary.LittleEndian.PutUint16(b[8:], uint16(len(b)-10))
	return b
}
