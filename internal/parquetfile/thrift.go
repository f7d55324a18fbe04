package parquetfile

import (
	"errors"
	"fmt"
)

// Types of Thrift's compact protocol that are not numbers.
const (
	typeTrue, typeFalse, typeByte, typeDouble = 1, 2, 3, 7
	typeInt16, typeInt32, typeInt64           = 4, 5, 6
	typeBinary, typeList, typeSet             = 8, 9, 10
	typeMap, typeStruct                       = 11, 12
)

// mostNesting is how deep structures may lie in each other; the deepest of Parquet has six levels.
const mostNesting = 32

var errThrift = errors.New("its header is not Thrift's compact protocol")

// skim walks over a structure in Thrift's compact protocol and returns its length. Every text and list must have no more bytes and elements
// than bytes follow: a decoder makes room for what they say before it reads it.
func skim(b []byte) (length int, err error) {
	w := walker{b: b}
	err = w.structure(0)
	return w.at, err
}

type walker struct {
	b  []byte
	at int
}

func (w *walker) byte() (byte, error) {
	if w.at >= len(w.b) {
		return 0, fmt.Errorf("%w: it ends early", errThrift)
	}
	w.at++
	return w.b[w.at-1], nil
}

func (w *walker) uvarint() (v uint64, err error) {
	for shift := 0; shift < 64; shift += 7 {
		b, err := w.byte()
		if err != nil {
			return 0, err
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, fmt.Errorf("%w: a number of more than 64 bits", errThrift)
}

// count reads the number of elements or bytes of what follows.
func (w *walker) count() (int, error) {
	n, err := w.uvarint()
	if err == nil && n > uint64(len(w.b)-w.at) {
		err = fmt.Errorf("%w: %d elements in %d bytes", errThrift, n, len(w.b)-w.at)
	}
	return int(n), err
}

func (w *walker) structure(depth int) error {
	if depth > mostNesting {
		return fmt.Errorf("%w: it is nested too deep", errThrift)
	}
	for {
		head, err := w.byte()
		if err != nil || head == 0 {
			return err
		}
		if head>>4 == 0 { // the number of the field follows
			if _, err := w.uvarint(); err != nil {
				return err
			}
		}
		if kind := head & 15; kind != typeTrue && kind != typeFalse { // of fields, those are in the type
			if err := w.value(kind, depth); err != nil {
				return err
			}
		}
	}
}

func (w *walker) value(kind byte, depth int) error {
	switch kind {
	case typeTrue, typeFalse, typeByte:
		_, err := w.byte()
		return err
	case typeInt16, typeInt32, typeInt64:
		_, err := w.uvarint()
		return err
	case typeDouble:
		return w.skip(8)
	case typeBinary:
		n, err := w.count()
		if err != nil {
			return err
		}
		return w.skip(n)
	case typeList, typeSet:
		return w.list(depth)
	case typeMap:
		n, err := w.count()
		if err != nil || n == 0 {
			return err
		}
		kinds, err := w.byte()
		for ; err == nil && n > 0; n-- {
			err = errors.Join(w.value(kinds>>4, depth+1), w.value(kinds&15, depth+1))
		}
		return err
	case typeStruct:
		return w.structure(depth + 1)
	}
	return fmt.Errorf("%w: a value of type %d", errThrift, kind)
}

func (w *walker) list(depth int) error {
	head, err := w.byte()
	if err != nil {
		return err
	}
	n := int(head >> 4)
	if n == 15 {
		n, err = w.count()
	} else if n > len(w.b)-w.at {
		err = fmt.Errorf("%w: %d elements in %d bytes", errThrift, n, len(w.b)-w.at)
	}
	if depth > mostNesting {
		err = fmt.Errorf("%w: it is nested too deep", errThrift)
	}
	for ; err == nil && n > 0; n-- {
		err = w.value(head&15, depth+1)
	}
	return err
}

func (w *walker) skip(n int) error {
	if n > len(w.b)-w.at {
		return fmt.Errorf("%w: it ends early", errThrift)
	}
	w.at += n
	return nil
}
