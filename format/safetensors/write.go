package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf8"
	"unsafe"

	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/printable"
)

// Tensor is what the writer takes: a name, a type, a shape and the bytes, row-major and little endian.
type Tensor struct {
	Name  string
	DType DType
	Shape []int                     // empty for a scalar
	Data  []byte                    // the bytes; not used if Open is set
	Open  func() (io.Reader, error) // gives the bytes when their turn comes, so that a large model need not be in memory
}

// FromFloat32s makes a tensor of type F32 from values. The values are not copied on a little endian machine: keep them
// unchanged until the tensor is written.
func FromFloat32s(name string, shape []int, values []float32) Tensor {
	return from(name, F32, shape, values)
}

// FromFloat64s is FromFloat32s for F64.
func FromFloat64s(name string, shape []int, values []float64) Tensor {
	return from(name, F64, shape, values)
}

// FromInt64s is FromFloat32s for I64.
func FromInt64s(name string, shape []int, values []int64) Tensor {
	return from(name, I64, shape, values)
}

// FromInt32s is FromFloat32s for I32.
func FromInt32s(name string, shape []int, values []int32) Tensor {
	return from(name, I32, shape, values)
}

func from[T number](name string, d DType, shape []int, values []T) Tensor {
	t := Tensor{Name: name, DType: d, Shape: shape}
	if len(values) == 0 {
		return t
	}
	if littleEndian {
		t.Data = unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), len(values)*int(unsafe.Sizeof(values[0])))
		return t
	}
	// binary.Append fails for types without a fixed size only.
	t.Data, _ = binary.Append(nil, binary.LittleEndian, values)
	return t
}

// Write writes a file that equals the reference implementation's byte for byte: metadata first (by key), then the tensors
// by type, widest first (see DTypes), then by name; JSON without spaces; the header filled with spaces to a multiple of 8.
// Loaders of the Hugging Face libraries want the metadata {"format": "pt"}.
func Write(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	order, err := arrange(tensors)
	if err != nil {
		return err
	}
	header, err := encodeHeader(order, metadata)
	if err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return fmt.Errorf("safetensors: header: %w", err)
	}
	for _, t := range order {
		if err := t.writeData(w); err != nil {
			return err
		}
	}
	return nil
}

// WriteFile writes a file whole or not at all; see Write.
func WriteFile(path string, tensors []Tensor, metadata map[string]string) error {
	return durable.WriteFile(path, func(w io.Writer) error { return Write(w, tensors, metadata) })
}

// arrange checks the tensors and puts them into the order of the file. The given slice stays as it is.
func arrange(tensors []Tensor) ([]Tensor, error) {
	order := slices.Clone(tensors)
	slices.SortStableFunc(order, func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(dtypeIndex(string(b.DType)), dtypeIndex(string(a.DType))), cmp.Compare(a.Name, b.Name))
	})
	seen := make(map[string]bool, len(order))
	for i := range order {
		t := &order[i]
		size, err := t.size()
		if err != nil {
			return nil, err
		}
		switch {
		case seen[t.Name]:
			return nil, t.fail("name", "it occurs twice", "write a shared tensor once and tie it again on loading")
		case t.Name == "__metadata__" || !utf8.ValidString(t.Name):
			return nil, t.fail("name", "a name must be UTF-8 and not __metadata__", "rename it")
		case t.Open == nil && int64(len(t.Data)) != size:
			return nil, t.fail("data", fmt.Sprintf("%d bytes, %s %v takes %d", len(t.Data), t.DType, t.Shape, size), "give the right shape")
		}
		seen[t.Name] = true
	}
	return order, nil
}

// size returns the bytes that type and shape ask for.
func (t *Tensor) size() (int64, error) {
	i := dtypeIndex(string(t.DType))
	if i < 0 {
		return 0, t.fail("dtype", fmt.Sprintf("the format has no %q", t.DType), "see DTypes for the types it has")
	}
	total, fits := uint64(1), true
	for _, dim := range append(slices.Clone(t.Shape), int(dtypes[i].bits)) { // in the reader's order
		if dim < 0 {
			return 0, t.fail("shape", fmt.Sprintf("%v", t.Shape), "dimensions are at least 0")
		}
		high, low := bits.Mul64(total, uint64(dim))
		fits = fits && high == 0 && low <= math.MaxInt64
		total = low
	}
	if !fits || total%8 != 0 {
		return 0, t.fail("shape", fmt.Sprintf("%s %v is too large or no whole number of bytes", t.DType, t.Shape), "give another shape")
	}
	return int64(total / 8), nil
}

func (t *Tensor) fail(field, text, fix string) error {
	return &Error{Tensor: t.Name, Field: field, Offset: -1, Kind: ErrTensor, Text: text, Fix: fix}
}

// writeData copies a tensor's bytes and refuses a reader that gives fewer or more.
func (t *Tensor) writeData(w io.Writer) error {
	size, err := t.size()
	if err != nil {
		return err
	}
	r := io.Reader(bytes.NewReader(t.Data))
	if t.Open != nil {
		if r, err = t.Open(); err != nil {
			return fmt.Errorf("safetensors: tensor %s: %w", printable.Quote(t.Name), err)
		}
		if c, ok := r.(io.Closer); ok {
			defer c.Close() //nolint:errcheck // it was only read
		}
	}
	n, err := io.Copy(w, io.LimitReader(r, size))
	if err != nil {
		return fmt.Errorf("safetensors: tensor %s: %w", printable.Quote(t.Name), err)
	}
	if n < size {
		return t.fail("data", fmt.Sprintf("the reader gave %d bytes, want %d", n, size), "give the right shape")
	}
	if t.Open == nil {
		return nil
	}
	if extra, err := io.CopyN(io.Discard, r, 1); extra != 0 || err != io.EOF { //nolint:errorlint // io.CopyN returns io.EOF itself
		return t.fail("data", fmt.Sprintf("the reader gives more than %d bytes (%v)", size, err), "give the right shape")
	}
	return nil
}

// encodeHeader returns the 8 bytes of the length and the JSON text, filled with spaces.
func encodeHeader(order []Tensor, metadata map[string]string) ([]byte, error) {
	b := make([]byte, 8, 8+128*len(order))
	b = append(b, '{')
	if len(metadata) > 0 {
		b = append(b, `"__metadata__":{`...)
		for i, key := range slices.Sorted(maps.Keys(metadata)) {
			if !utf8.ValidString(key) || !utf8.ValidString(metadata[key]) {
				return nil, &Error{Field: "__metadata__", Offset: -1, Kind: ErrTensor,
					Text: fmt.Sprintf("key %s or its value is not UTF-8", printable.Quote(key)), Fix: "encode it as text"}
			}
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, key), ':')
			b = appendString(b, metadata[key])
		}
		b = append(b, '}')
	}
	at := int64(0)
	for i := range order {
		t := &order[i]
		size, err := t.size()
		if err != nil {
			return nil, err
		}
		if at > math.MaxInt64-size {
			return nil, t.fail("shape", "all tensors together are too large", "write fewer")
		}
		if len(b) > 9 {
			b = append(b, ',')
		}
		b = t.appendEntry(b, at, at+size)
		at += size
	}
	b = append(b, '}')
	for len(b)%8 != 0 {
		b = append(b, ' ')
	}
	if most := NewOptions().Limits.MaxHeader; int64(len(b)-8) > most {
		return nil, &Error{Field: "header", Offset: -1, Kind: ErrHeaderTooLarge,
			Text: fmt.Sprintf("%d bytes, readers take %d", len(b)-8, most), Fix: "write several files"}
	}
	binary.LittleEndian.PutUint64(b, uint64(len(b)-8))
	return b, nil
}

func (t *Tensor) appendEntry(b []byte, begin, end int64) []byte {
	b = append(appendString(b, t.Name), `:{"dtype":"`...)
	b = append(append(b, t.DType...), `","shape":[`...)
	for i, dim := range t.Shape {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(dim), 10)
	}
	b = append(b, `],"data_offsets":[`...)
	b = append(strconv.AppendInt(b, begin, 10), ',')
	b = strconv.AppendInt(b, end, 10)
	return append(b, `]}`...)
}

// appendString writes a JSON string as the reference does: only what must be escaped is. (encoding/json escapes <, > and &
// and two separators as well.)
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			if c < ' ' {
				b = fmt.Appendf(b, `\u%04x`, c)
			} else {
				b = append(b, c)
			}
		}
	}
	return append(b, '"')
}
