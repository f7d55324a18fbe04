package data

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// readIDX reads a gzip-compressed IDX file of bytes: two zero bytes, the type 8, the number of axes, each axis as a
// big-endian uint32, then the data and nothing more. want are the axes it must have; 0 allows any length. What the header
// promises is believed only as far as bytes arrive. The byte counts in errors are of the uncompressed file.
func readIDX(r io.Reader, want ...int) (values []byte, dims []int, err error) {
	plain, err := gzip.NewReader(bufio.NewReader(r))
	if err != nil {
		return nil, nil, fmt.Errorf("not a gzip file: %w", err)
	}
	head := make([]byte, 4+4*len(want))
	if n, err := io.ReadFull(plain, head); err != nil {
		return nil, nil, fmt.Errorf("want a header of %d bytes, got %d: %w", len(head), n, unexpected(err))
	}
	if magic := []byte{0, 0, 8, byte(len(want))}; !bytes.Equal(head[:4], magic) {
		return nil, nil, fmt.Errorf("magic number is %#x, want %#x (IDX of bytes with %d axes)", head[:4], magic, len(want))
	}
	const limit = 1 << 31
	size := int64(1)
	for axis, w := range want {
		d := binary.BigEndian.Uint32(head[4+4*axis:])
		if w != 0 && d != uint32(w) {
			return nil, nil, fmt.Errorf("axis %d has length %d, want %d", axis, d, w)
		}
		// Checked at every axis: the product of the next two can then not overflow.
		if size *= int64(d); size > limit {
			return nil, nil, fmt.Errorf("the header promises more than %d bytes", int64(limit))
		}
		dims = append(dims, int(d))
	}
	var buffer bytes.Buffer
	if !slices.Contains(want, 0) {
		buffer.Grow(int(size) + bytes.MinRead)
	}
	// One byte more than there should be makes gzip look for the end of its data, and compare its checksum.
	n, err := buffer.ReadFrom(io.LimitReader(plain, size+1))
	full := int64(len(head)) + size
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("want %d bytes, got %d: %w", full, int64(len(head))+n, unexpected(err))
	case n < size:
		return nil, nil, fmt.Errorf("want %d bytes, got %d", full, int64(len(head))+n)
	case n > size:
		return nil, nil, fmt.Errorf("want %d bytes, got more", full)
	}
	return buffer.Bytes(), dims, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
