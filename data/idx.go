package data

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// readIDX reads a gzip-compressed IDX file of bytes: two zero bytes, the type 8, the number of axes, each axis as a
// big-endian uint32, then the data and nothing more. want are the axes it must have; 0 allows any length up to limit.
func readIDX(r io.Reader, want ...int) (data []byte, dims []int, err error) {
	plain, err := gzip.NewReader(bufio.NewReader(r))
	if err != nil {
		return nil, nil, fmt.Errorf("not a gzip file: %w", err)
	}
	var head [4]byte
	if _, err := io.ReadFull(plain, head[:]); err != nil {
		return nil, nil, short("header", err)
	}
	if head[0] != 0 || head[1] != 0 || head[2] != 8 || int(head[3]) != len(want) {
		return nil, nil, fmt.Errorf("magic number is %#x, want %#x (IDX of bytes with %d axes)", head, [4]byte{0, 0, 8, byte(len(want))}, len(want))
	}
	const limit = 1 << 31
	size := int64(1)
	for axis, w := range want {
		var b [4]byte
		if _, err := io.ReadFull(plain, b[:]); err != nil {
			return nil, nil, short("header", err)
		}
		d := binary.BigEndian.Uint32(b[:])
		if w != 0 && d != uint32(w) {
			return nil, nil, fmt.Errorf("axis %d has length %d, want %d", axis, d, w)
		}
		if size *= int64(d); size > limit {
			return nil, nil, fmt.Errorf("the header promises more than %d bytes", int64(limit))
		}
		dims = append(dims, int(d))
	}
	// What the header promises is believed only as far as bytes arrive.
	data, err = io.ReadAll(io.LimitReader(plain, size+1))
	if err != nil {
		return nil, nil, fmt.Errorf("want %d bytes, got %d: %w", size, len(data), err)
	}
	if int64(len(data)) != size {
		what := "got"
		if int64(len(data)) > size {
			what = "got more, at least"
		}
		return nil, nil, fmt.Errorf("want %d bytes, %s %d", size, what, len(data))
	}
	return data, dims, nil
}

func short(what string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("cut short in the %s", what)
	}
	return err
}
