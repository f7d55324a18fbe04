package npy

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"unsafe"

	"github.com/edsrzf/mmap-go"

	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/strided"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/internal/zipread"
)

// Options bounds what a file may ask for.
type Options struct {
	MaxHeader int64 // bytes of the header; 0 means 65536
}

func oneOf(opts []Options) Options {
	o := Options{}
	if len(opts) > 0 {
		o = opts[0]
	}
	o.MaxHeader = cmp.Or(o.MaxHeader, 1<<16)
	return o
}

// Array is an open file. Its methods may be called from several goroutines at once, Close aside.
type Array struct {
	Shape []int // empty for a scalar
	DType DType

	header
	path   string      // of the file or archive
	data   []byte      // the elements, mapped or given; nil if they are read through source
	source io.ReaderAt // only if data is nil
	close  func() error
}

// Open maps a file into memory and checks its header. Where the system cannot map it, it is read piece by piece instead.
//
// The file must not change while it is open. What Float32s, Float64s and Int64s return may be the mapping itself: it is
// read-only (a write ends the program) and gone after Close.
func Open(path string, opts ...Options) (*Array, error) {
	file, err := untrusted.OpenFilled(path)
	if err != nil {
		return nil, fmt.Errorf("npy: %w", err)
	}
	stat, err := file.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("npy: %w", err), file.Close())
	}
	h, err := parseHeader(file, stat.Size(), oneOf(opts))
	if err != nil {
		if typed := new(Error); errors.As(err, &typed) {
			typed.File = path
		}
		return nil, errors.Join(err, file.Close())
	}
	a := &Array{Shape: h.shape, DType: h.dtype, header: h, path: path, source: file, close: file.Close}
	if stat.Size() > math.MaxInt {
		return a, nil
	}
	mapped, err := mmap.Map(file, mmap.RDONLY, 0)
	if err != nil {
		return a, nil // some file systems cannot map; reading still works
	}
	a.close = mapped.Unmap
	if err := file.Close(); err != nil {
		return nil, errors.Join(fmt.Errorf("npy: %w", err), a.Close())
	}
	if int64(len(mapped)) != stat.Size() {
		return nil, errors.Join(&Error{File: path, Offset: -1, Kind: ErrTruncated, Text: "the file changed while it was opened",
			Fix: "wait until it is written, then try again"}, a.Close())
	}
	a.data, a.source = mapped[h.start:], nil
	return a, nil
}

// Parse reads a file that is in memory. The Array keeps data and must be the only one to use it.
func Parse(data []byte, opts ...Options) (*Array, error) {
	h, err := parseHeader(inMemory(data), int64(len(data)), oneOf(opts))
	if err != nil {
		return nil, err
	}
	return &Array{Shape: h.shape, DType: h.dtype, header: h, data: data[h.start:]}, nil
}

// inMemory reads from bytes in memory.
type inMemory []byte

// ReadAt copies from the bytes.
func (m inMemory) ReadAt(p []byte, at int64) (int, error) {
	if at < 0 || at > int64(len(m)) {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(p, m[at:])
	if n < len(p) {
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}

// Close gives the mapping back. A second call does nothing.
func (a *Array) Close() error {
	if a.close == nil {
		return nil
	}
	err := a.close()
	a.close, a.data, a.source = nil, nil, inMemory(nil)
	if err != nil {
		return fmt.Errorf("npy: %s: %w", a.path, err)
	}
	return nil
}

// Len returns the number of elements.
func (a *Array) Len() int { return int(a.elements) }

// Rows returns the first dimension, 1 for a scalar.
func (a *Array) Rows() int {
	if len(a.Shape) == 0 {
		return 1
	}
	return a.Shape[0]
}

// RowLen returns the number of elements per row, the product of all dimensions but the first.
func (a *Array) RowLen() int {
	n := 1
	for _, dim := range a.Shape[min(1, len(a.Shape)):] {
		n *= dim
	}
	return n
}

// Fortran tells whether the file keeps the array by columns. All values are given by rows nonetheless.
func (a *Array) Fortran() bool { return a.fortran }

// Float32s returns all values by rows (C order). float32 in C order and the machine's byte order is not copied where the file
// is mapped: then the slice is a view, see Open. Other types are converted; bool is 0 or 1, float64 is rounded. Copies above the
// memory limit are a *fault.Exhausted: read such arrays in stretches.
func (a *Array) Float32s() ([]float32, error) { return all(a, Float32, a.ReadFloat32s) }

// Float64s is Float32s for float64; integers beyond 2^53 are rounded.
func (a *Array) Float64s() ([]float64, error) { return all(a, Float64, a.ReadFloat64s) }

// Int64s is Float32s for int64. Floats must be whole numbers, and all values must lie in the range of int64.
func (a *Array) Int64s() ([]int64, error) { return all(a, Int64, a.ReadInt64s) }

func all[T element](a *Array, d DType, read func([]T, int) error) ([]T, error) {
	if v, ok := seen[T](a.data); ok && a.DType == d && !a.bigEndian && !a.scattered() {
		return v, nil
	}
	width := int64(unsafe.Sizeof(*new(T)))
	if err := memory.Need("the array of "+a.where(), a.elements*width); err != nil {
		return nil, fmt.Errorf("npy: %w", err)
	}
	out := make([]T, a.elements)
	return out, read(out, 0)
}

// where names the array for an error: its file, and its entry in an archive.
func (a *Array) where() string {
	entry, ok := a.source.(*zipread.Entry)
	switch {
	case !ok:
		return a.path
	case a.path == "":
		return printable.Short(entry.Name)
	}
	return a.path + ": " + printable.Short(entry.Name)
}

// element is what arrays are made of.
type element interface {
	~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float32 | ~float64
}

// littleEndian tells whether this machine keeps numbers as most files do.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// seen returns bytes as numbers without a copy, if their place in memory and the machine allow it.
func seen[T element](raw []byte) ([]T, bool) {
	var zero T
	if raw == nil || !littleEndian {
		return nil, false
	}
	if len(raw) == 0 {
		return []T{}, true
	}
	p := unsafe.Pointer(unsafe.SliceData(raw))
	if uintptr(p)%unsafe.Alignof(zero) != 0 {
		return nil, false
	}
	return unsafe.Slice((*T)(p), len(raw)/int(unsafe.Sizeof(zero))), true
}

// scattered tells whether the order in the file differs from C order.
func (a *Array) scattered() bool {
	above := 0
	for _, dim := range a.Shape {
		if dim > 1 {
			above++
		}
	}
	return a.fortran && above > 1
}

// ReadFloat32s puts the len(dst) values from the first-th on, in C order, into dst: with first = i*RowLen() and
// len(dst) = n*RowLen() the rows i to i+n-1. Memory stays near the size of dst, however large the array.
func (a *Array) ReadFloat32s(dst []float32, first int) error {
	return read(a, dst, first, func(v float64) (float32, bool) { return float32(v), true })
}

// ReadFloat64s is ReadFloat32s for float64.
func (a *Array) ReadFloat64s(dst []float64, first int) error {
	return read(a, dst, first, func(v float64) (float64, bool) { return v, true })
}

// ReadInt64s is ReadFloat32s for int64; see Int64s for what is an error.
func (a *Array) ReadInt64s(dst []int64, first int) error {
	return read(a, dst, first, func(v float64) (int64, bool) {
		return int64(v), v == math.Trunc(v) && v >= -1<<63 && v < 1<<63
	})
}

// read fetches the raw elements in pieces and converts them; narrow turns a float value into a T.
func read[T float32 | float64 | int64](a *Array, dst []T, first int, narrow func(float64) (T, bool)) error {
	if first < 0 || len(dst) > a.Len() || first > a.Len()-len(dst) {
		return &Error{File: a.where(), Offset: -1, Kind: ErrRange, Text: fmt.Sprintf("elements %d to %d of %d", first, first+len(dst), a.Len())}
	}
	if a.DType == Complex64 || a.DType == Complex128 {
		return &Error{File: a.where(), Field: "descr", Offset: -1, Kind: ErrDType, Text: string(a.DType) + " has no values as plain numbers", Fix: "read its bytes, or save its real and imaginary parts"}
	}
	size := a.DType.Size()
	piece := max(1, (1<<20)/size)
	var buffer []byte
	for done := 0; done < len(dst); {
		n := min(piece, len(dst)-done)
		raw, err := a.raw(first+done, n, &buffer)
		if err != nil {
			return err
		}
		if bad := decode(dst[done:done+n], a.DType, raw, narrow); bad >= 0 {
			return &Error{File: a.where(), Field: fmt.Sprintf("element %d", first+done+bad), Offset: -1, Kind: ErrConvert,
				Text: "not a whole number that int64 holds", Fix: "save labels as integers"}
		}
		done += n
	}
	return nil
}

// raw returns n elements from the first-th on, in C order and little endian, either in place or in buffer.
func (a *Array) raw(first, n int, buffer *[]byte) ([]byte, error) {
	size := a.DType.Size()
	scattered := a.scattered()
	if a.data != nil && !scattered && !a.bigEndian {
		return a.data[first*size : (first+n)*size], nil
	}
	*buffer = slices.Grow((*buffer)[:0], n*size)[:n*size]
	raw := *buffer
	switch {
	case scattered:
		if err := a.gather(raw, first, n); err != nil {
			return nil, err
		}
	case a.data != nil:
		copy(raw, a.data[first*size:])
	default:
		if err := a.readAt(raw, int64(first)*int64(size)); err != nil {
			return nil, err
		}
	}
	if a.bigEndian {
		for i, part := 0, a.DType.part(); i < len(raw); i += part {
			slices.Reverse(raw[i : i+part])
		}
	}
	return raw, nil
}

// gather collects elements of a Fortran-ordered array, walking its indices in C order.
func (a *Array) gather(raw []byte, first, n int) error {
	size, stride := a.DType.Size(), int64(1)
	strides := make([]int64, len(a.Shape))
	for i, dim := range a.Shape {
		strides[i] = stride
		stride *= int64(dim)
	}
	data := a.data
	if entry, ok := a.source.(*zipread.Entry); ok && data == nil {
		// Each stretch of rows lies all over the array: unpacking it again for each would take time quadratic in its size.
		whole, err := entry.Whole()
		if err != nil {
			return archived(a.path, err)
		}
		data = whole[a.start:]
	}
	if data == nil {
		return strided.Gather(a.readAt, size, a.Shape, strides, int64(first), raw[:n*size])
	}
	strided.Copy(data, size, a.Shape, strides, int64(first), raw[:n*size])
	return nil
}

func (a *Array) readAt(raw []byte, at int64) error {
	if _, err := a.source.ReadAt(raw, a.start+at); err != nil {
		if _, ok := a.source.(*zipread.Entry); ok {
			return archived(a.path, err)
		}
		return &Error{File: a.path, Field: "data", Offset: a.start + at, Kind: ErrTruncated, Err: err,
			Fix: "the file was closed or has changed: open it again"}
	}
	return nil
}
