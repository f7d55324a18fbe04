package npy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Read reads one array from a stream, as a process may write several one behind the other, and not a byte more. Elements that take more than
// most bytes are refused. At the end of the stream, where no array begins, the error is io.EOF; within an array it is ErrTruncated.
func Read(r io.Reader, most int64, opts ...Options) (*Array, error) {
	o := oneOf(opts)
	data := make([]byte, 10, 256)
	n, err := io.ReadFull(r, data)
	if n == 0 && errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	if len(data[:n]) < len(magic) || string(data[:len(magic)]) != magic {
		return nil, &Error{Field: "magic", Offset: 0, Kind: ErrMagic, Text: "got " + cut(string(data[:n])), Fix: "write arrays as numpy.save does, and nothing else"}
	}
	if err != nil {
		return nil, torn("header length", 8, err)
	}
	rest := int64(binary.LittleEndian.Uint16(data[8:]))
	if data[6] > 1 {
		if data, err = more(r, data, 2); err != nil {
			return nil, torn("header length", 8, err)
		}
		rest = int64(binary.LittleEndian.Uint32(data[8:]))
	}
	if rest > o.MaxHeader {
		return nil, &Error{Field: "header length", Offset: 8, Kind: ErrTooLarge, Text: fmt.Sprintf("%d bytes, at most %d", rest, o.MaxHeader), Fix: fixSave}
	}
	if data, err = more(r, data, rest); err != nil {
		return nil, torn("header", 10, err)
	}

	h, err := streamed(data, o)
	if err != nil {
		return nil, err
	}
	size := int64(h.dtype.Size())
	if h.elements > most/max(size, 1) {
		return nil, &Error{Field: "shape", Offset: -1, Kind: ErrTooLarge, Text: fmt.Sprintf("%v of %s, at most %d bytes", h.shape, h.dtype, most), Fix: "write fewer elements"}
	}
	start := int64(len(data))
	if data, err = more(r, data, h.elements*size); err != nil {
		return nil, torn("elements", start, err)
	}
	return Parse(data, o)
}

// streamed reads a header whose elements have not come yet.
func streamed(data []byte, o Options) (h header, err error) {
	h, err = parseHeader(inMemory(data), math.MaxInt64, o)
	var e *Error
	if errors.As(err, &e) && e.Kind == ErrTrailing { // the largest size there is was given: the stream's is not known
		return h, nil
	}
	return h, err
}

// more appends n bytes of a stream. They are asked for a piece at a time, so that memory follows what comes.
func more(r io.Reader, data []byte, n int64) ([]byte, error) {
	const piece = 1 << 20
	for n > 0 {
		k := int(min(n, piece))
		at := len(data)
		data = append(data, make([]byte, k)...)
		if _, err := io.ReadFull(r, data[at:]); err != nil {
			return data, err
		}
		n -= int64(k)
	}
	return data, nil
}

func torn(field string, at int64, err error) error {
	return &Error{Field: field, Offset: at, Kind: ErrTruncated, Err: err, Fix: "write the whole array"}
}
