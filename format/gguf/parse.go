package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/ballast-ml/ballast/format"
	"github.com/ballast-ml/ballast/internal/printable"
)

// AlignmentKey is the key of the alignment of tensors, which the writer sets.
const AlignmentKey = "general.alignment"

// The least and most of the format.
const (
	magic            = "GGUF"
	newest           = 3
	defaultAlignment = 32
	maxAlignment     = 1 << 20
	maxName          = 63 // bytes; the reference keeps names in 64 with a zero at the end
	maxDims          = 4
	smallestValue    = 8 + 4 + 1     // bytes: an empty key, a type, a value of one byte
	smallestTensor   = 8 + 4 + 4 + 8 // bytes: an empty name, no dimensions, a type, an offset

	// What entries of files that are not made to hurt take or more. Room is made for no more than the file can hold of these.
	likelyValue  = 100
	likelyTensor = 60
)

func u32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func u64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// short says that the header goes on beyond what was read of the file, up to that byte at least.
type short int64

func (s short) Error() string { return fmt.Sprintf("the header takes %d bytes or more", int64(s)) }

// scanner reads the header.
type scanner struct {
	f     *File
	o     Options
	at    int64 // next byte
	field string
	key   string // of the metadata
	name  string // of the tensor
}

// fail makes an error about the byte at.
func (s *scanner) fail(at int64, kind *format.Kind, fix, format string, args ...any) error {
	return &Error{File: s.f.path, Tensor: s.name, Key: s.key, Field: s.field, Offset: at, Kind: kind, Text: fmt.Sprintf(format, args...), Fix: fix}
}

// left is how many bytes of the file come after the scanner.
func (s *scanner) left() int64 { return s.f.size - s.at }

// take returns the next n bytes.
func (s *scanner) take(n int64) ([]byte, error) {
	if n > s.left() {
		return nil, s.fail(s.at, ErrTruncated, fixDownload, "%d bytes wanted, %d left", n, s.left())
	}
	if n > int64(len(s.f.head))-s.at {
		return nil, short(s.at + n)
	}
	s.at += n
	return s.f.head[s.at-n : s.at], nil
}

func (s *scanner) uint32() (uint32, error) {
	b, err := s.take(4)
	if err != nil {
		return 0, err
	}
	return u32(b), nil
}

func (s *scanner) uint64() (uint64, error) {
	b, err := s.take(8)
	if err != nil {
		return 0, err
	}
	return u64(b), nil
}

// text reads a string without a copy.
func (s *scanner) text(strict bool) (string, error) {
	at := s.at
	n, err := s.uint64()
	switch {
	case err != nil:
		return "", err
	case n > uint64(s.left()):
		return "", s.fail(at, ErrTruncated, fixDownload, "a text of %d bytes, the file has %d left", n, s.left())
	case n > uint64(max(s.o.Limits.MaxString, 0)):
		return "", s.fail(at, ErrLimit, fixLimit, "a text of %d bytes, at most %d", n, s.o.Limits.MaxString)
	}
	b, err := s.take(int64(n))
	if err != nil {
		return "", err
	}
	text := unsafe.String(unsafe.SliceData(b), len(b)) // the header does not change
	if strict && !utf8.ValidString(text) {
		return "", s.fail(at+8, ErrUTF8, "read with Options.Lenient if the file is trusted", "%s", printable.Quote(text))
	}
	return text, nil
}

// count reads how many entries of at least smallest bytes there are.
func (s *scanner) count(field string, smallest, most int64) (int64, error) {
	s.field = field
	at := s.at
	n, err := s.uint64()
	switch {
	case err != nil:
		return 0, err
	case n > uint64(s.left()/smallest):
		return 0, s.fail(at, ErrCount, fixDownload, "%d entries of %d bytes or more, %d bytes left", n, smallest, s.left())
	case n > uint64(max(most, 0)):
		return 0, s.fail(at, ErrLimit, fixLimit, "%d entries, at most %d", n, most)
	}
	return int64(n), nil
}

// parse reads the header and checks all that the format demands.
func (f *File) parse(o Options) error {
	s := &scanner{f: f, o: o}
	if err := s.version(); err != nil {
		return err
	}
	tensors, err := s.count("tensor count", smallestTensor, int64(o.Limits.MaxTensors))
	if err != nil {
		return err
	}
	values, err := s.count("metadata count", smallestValue, int64(o.Limits.MaxMetadata))
	if err != nil {
		return err
	}
	if tensors*smallestTensor+values*smallestValue > s.left() {
		return s.fail(s.at-16, ErrCount, fixDownload, "%d tensors and %d entries of metadata, %d bytes left", tensors, values, s.left())
	}
	guess := min(values, s.left()/likelyValue)
	f.values, f.byKey = make([]valueEntry, 0, guess), make(map[string]int32, guess)
	for range values {
		if err := s.value(); err != nil {
			return err
		}
	}
	s.key = ""
	if err := f.align(); err != nil {
		return err
	}
	guess = min(tensors, s.left()/likelyTensor)
	f.tensors, f.byName = make([]entry, 0, guess), make(map[string]int32, guess)
	next := int64(0) // where the next tensor must begin
	for range tensors {
		if err := s.tensor(&next); err != nil {
			return err
		}
	}
	return f.checkData(s.at)
}

// version reads the first 8 bytes.
func (s *scanner) version() error {
	s.field = "magic"
	b, err := s.take(4)
	switch {
	case err != nil:
		return err
	case string(b) == "FUGG":
		return s.fail(0, ErrEndian, "write the file little endian", "it begins with %q", b)
	case string(b) != magic:
		return s.fail(0, ErrMagic, "this is not a GGUF file: name another, or see what it is with ballast inspect", "it begins with %q", b)
	}
	s.field = "version"
	v, err := s.uint32()
	switch {
	case err != nil:
		return err
	case v&0xffff == 0 && v != 0:
		return s.fail(4, ErrEndian, "write the file little endian", "version %#08x", v)
	case v != 2 && v != newest:
		return s.fail(4, ErrVersion, "convert the file to version 3 with the program that wrote it", "version %d, 2 and 3 can be read", v)
	}
	s.f.version = v
	return nil
}

// align finds the alignment among the metadata.
func (f *File) align() error {
	f.alignment = defaultAlignment
	i, ok := f.byKey[AlignmentKey]
	if !ok {
		return nil
	}
	n, err := f.Int(AlignmentKey)
	if err != nil || n < 1 || n > maxAlignment || n&(n-1) != 0 {
		found := "it is an array"
		if f.values[i].typ != Array {
			v, _ := f.Value(AlignmentKey)
			text := fmt.Sprint(v)
			if len(text) > 100 {
				text = strings.ToValidUTF8(text[:100], "") + "..."
			}
			found = fmt.Sprintf("%s (%T)", text, v)
		}
		return &Error{File: f.path, Key: AlignmentKey, Field: "value", Offset: f.values[i].at, Kind: ErrAlignment, Text: found, Fix: fixRewrite}
	}
	f.alignment = n
	return nil
}

// padded is n, up to the next multiple of a power of two; ok is false if that is too large.
func padded(n, to int64) (p int64, ok bool) {
	if n > math.MaxInt64-to {
		return 0, false
	}
	return (n + to - 1) &^ (to - 1), true
}

// tensor reads the description of a tensor, which must begin at byte next of the data, and moves next behind it.
func (s *scanner) tensor(next *int64) error {
	f := s.f
	s.name, s.field = "", "name"
	at := s.at
	name, err := s.text(true)
	if err != nil {
		return err
	}
	s.name = name
	if len(name) > maxName {
		return s.fail(at, ErrName, fixRewrite, "%d bytes, at most %d", len(name), maxName)
	}
	if _, twice := f.byName[name]; twice {
		return s.fail(at, ErrDuplicate, fixRewrite, "tensor %d and tensor %d", f.byName[name], len(f.tensors))
	}
	e := entry{name: name}
	row, elements, err := s.dims(&e)
	if err != nil {
		return err
	}
	if err := s.typed(&e, row, elements); err != nil {
		return err
	}
	s.field = "offset"
	at = s.at
	offset, err := s.uint64()
	if err != nil {
		return err
	}
	switch {
	case offset > math.MaxInt64:
		return s.fail(at, ErrOverflow, fixRewrite, "offset %d", offset)
	case int64(offset)%f.alignment != 0:
		return s.fail(at, ErrUnaligned, fixRewrite, "%d is not a multiple of %d", offset, f.alignment)
	case int64(offset) < *next:
		return s.fail(at, ErrOverlap, fixRewrite, "%d lies before the end of the tensors before it, %d", offset, *next)
	case int64(offset) > *next:
		return s.fail(at, ErrGap, fixRewrite, "it begins at %d and should at %d", offset, *next)
	}
	e.begin = int64(offset)
	end, ok := padded(e.length, f.alignment)
	if !ok || end > math.MaxInt64-e.begin {
		return s.fail(at, ErrOverflow, fixRewrite, "%d bytes from %d on", e.length, e.begin)
	}
	*next = e.begin + end
	f.byName[name] = int32(len(f.tensors))
	f.tensors = append(f.tensors, e)
	return nil
}

// dims reads the dimensions of a tensor: the length of a row, and the product of all.
func (s *scanner) dims(e *entry) (row, elements int64, err error) {
	s.field = "dims"
	at := s.at
	n, err := s.uint32()
	if err != nil {
		return 0, 0, err
	}
	if n > maxDims {
		return 0, 0, s.fail(at, ErrDims, fixRewrite, "%d dimensions", n)
	}
	e.at, e.dims = s.at, uint8(n)
	row, elements = 1, 1
	fits := true
	for i := range n {
		d, err := s.uint64()
		if err != nil {
			return 0, 0, err
		}
		if i == 0 {
			row = int64(d)
		}
		high, low := bits.Mul64(uint64(elements), d)
		fits = fits && high == 0 && low <= math.MaxInt64 && d <= math.MaxInt
		elements = int64(low)
	}
	if !fits {
		return 0, 0, s.fail(at, ErrOverflow, fixRewrite, "the product of %d dimensions", n)
	}
	return row, elements, nil
}

// typed reads the type of a tensor and finds how many bytes its data take.
func (s *scanner) typed(e *entry, row, elements int64) error {
	s.field = "type"
	at := s.at
	t, err := s.uint32()
	if err != nil {
		return err
	}
	e.typ = Type(t)
	info := e.typ.info()
	switch {
	case info == nil && int(t) < len(types) && types[t].name != "":
		return s.fail(at, ErrType, "convert the model again: the format has dropped this type", "%s (%d), which was removed", e.typ, t)
	case info == nil:
		return s.fail(at, ErrType, "if the file is not damaged, its type is newer than this program", "%d", t)
	case row%int64(info.elements) != 0:
		return s.fail(at, ErrBlock, fixRewrite, "rows of %d elements, a block of %s has %d", row, e.typ, info.elements)
	}
	high, length := bits.Mul64(uint64(elements/int64(info.elements)), uint64(info.bytes))
	if high != 0 || length > math.MaxInt64 {
		return s.fail(at, ErrOverflow, fixRewrite, "%d elements of %s", elements, e.typ)
	}
	e.length = int64(length)
	return nil
}

// checkData checks that the file holds the data of all tensors. What comes after the last is its padding, or of no interest.
func (f *File) checkData(header int64) error {
	start, ok := padded(header, f.alignment)
	if !ok {
		return &Error{File: f.path, Field: "header", Offset: header, Kind: ErrOverflow, Fix: fixRewrite}
	}
	f.start = min(start, f.size) // without data there may be no padding
	for i := range f.tensors {
		e := &f.tensors[i]
		if e.length > 0 && (start > f.size || e.begin+e.length > f.size-start) {
			return &Error{File: f.path, Tensor: e.name, Field: "data", Offset: f.size, Kind: ErrTruncated,
				Text: fmt.Sprintf("%d bytes from byte %d of the data, which has %d", e.length, e.begin, max(f.size-start, 0)), Fix: fixDownload}
		}
	}
	return nil
}
