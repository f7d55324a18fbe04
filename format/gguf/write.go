package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"
	"unicode/utf8"

	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/printable"
)

// Tensor is what the writer takes: a name, a type, a shape and the bytes.
type Tensor struct {
	Name  string
	Type  Type
	Shape []int                     // row-major, slowest dimension first; empty for a scalar
	Data  []byte                    // the bytes, see Encode; not used if Open is set
	Open  func() (io.Reader, error) // gives the bytes when their turn comes, so that a large model need not be in memory
}

// FromFloat32s makes a tensor of any type that can be encoded from values.
func FromFloat32s(name string, t Type, shape []int, values []float32) (Tensor, error) {
	out := Tensor{Name: name, Type: t, Shape: shape}
	size, err := out.size()
	if err != nil {
		return Tensor{}, err
	}
	elements, bytes := t.Block()
	if size/int64(bytes)*int64(elements) != int64(len(values)) {
		return Tensor{}, out.fail("shape", fmt.Sprintf("%v for %d values", shape, len(values)), "give the right shape")
	}
	out.Data = make([]byte, size)
	if err := EncodeParallel(t, out.Data, values); err != nil {
		if typed := new(Error); errors.As(err, &typed) {
			typed.Tensor = name
		}
		return Tensor{}, err
	}
	return out, nil
}

// Write writes a file of version 3: the metadata and the tensors in the order given, so that the same input gives the same bytes. The
// alignment is that of a value general.alignment of type uint32, 32 without one. A file with tensors of block types should have
// general.quantization_version 2, and every file general.architecture.
func Write(w io.Writer, metadata []KeyValue, tensors []Tensor) error {
	alignment, err := alignmentOf(metadata)
	if err != nil {
		return err
	}
	header, err := encodeHeader(metadata, tensors, alignment)
	if err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return fmt.Errorf("gguf: header: %w", err)
	}
	zeros := make([]byte, alignment)
	for i := range tensors {
		size, err := tensors[i].writeData(w)
		if err != nil {
			return err
		}
		end, _ := padded(size, alignment)
		if _, err := w.Write(zeros[:end-size]); err != nil {
			return fmt.Errorf("gguf: padding: %w", err)
		}
	}
	return nil
}

// WriteFile writes a file whole or not at all; see Write.
func WriteFile(path string, metadata []KeyValue, tensors []Tensor) error {
	return durable.WriteFile(path, func(w io.Writer) error { return Write(w, metadata, tensors) })
}

// FileSize is how many bytes Write would write.
func FileSize(metadata []KeyValue, tensors []Tensor) (int64, error) {
	alignment, err := alignmentOf(metadata)
	if err != nil {
		return 0, err
	}
	header, err := encodeHeader(metadata, tensors, alignment)
	if err != nil {
		return 0, err
	}
	total := int64(len(header))
	for i := range tensors {
		size, err := tensors[i].size()
		if err != nil {
			return 0, err
		}
		end, _ := padded(size, alignment)
		total += end
	}
	return total, nil
}

func alignmentOf(metadata []KeyValue) (int64, error) {
	for _, kv := range metadata {
		if kv.Key != AlignmentKey {
			continue
		}
		n, ok := kv.Value.(uint32)
		if !ok || n == 0 || n > maxAlignment || n&(n-1) != 0 {
			return 0, &Error{Key: AlignmentKey, Field: "value", Offset: -1, Kind: ErrWrite, Text: fmt.Sprintf("%v (%T)", kv.Value, kv.Value), Fix: "give a uint32, a power of two up to 1 MiB"}
		}
		return int64(n), nil
	}
	return defaultAlignment, nil
}

// encodeHeader makes all that comes before the data, padded.
func encodeHeader(metadata []KeyValue, tensors []Tensor, alignment int64) ([]byte, error) {
	le := binary.LittleEndian
	b := le.AppendUint32([]byte(magic), newest)
	b = le.AppendUint64(b, uint64(len(tensors)))
	b = le.AppendUint64(b, uint64(len(metadata)))
	keys := make(map[string]bool, len(metadata))
	for _, kv := range metadata {
		fail := func(text, fix string) error {
			return &Error{Key: kv.Key, Offset: -1, Kind: ErrWrite, Text: text, Fix: fix}
		}
		switch {
		case keys[kv.Key]:
			return nil, fail("the key occurs twice", "give it once")
		case !utf8.ValidString(kv.Key):
			return nil, fail("the key is not UTF-8", "rename it")
		}
		keys[kv.Key] = true
		b = appendText(b, kv.Key)
		var ok bool
		if b, ok = appendValue(b, kv.Value); !ok {
			return nil, fail(fmt.Sprintf("a %T has no place in the format", kv.Value), "see KeyValue for the types that have one")
		}
	}
	names := make(map[string]bool, len(tensors))
	offset := int64(0)
	for i := range tensors {
		t := &tensors[i]
		size, err := t.size()
		switch {
		case err != nil:
			return nil, err
		case names[t.Name]:
			return nil, t.fail("name", "it occurs twice", "write a shared tensor once")
		case len(t.Name) > maxName || !utf8.ValidString(t.Name):
			return nil, t.fail("name", fmt.Sprintf("%d bytes, a name must be UTF-8 and have at most %d", len(t.Name), maxName), "rename it")
		case t.Open == nil && int64(len(t.Data)) != size:
			return nil, t.fail("data", fmt.Sprintf("%d bytes, %s %v takes %d", len(t.Data), t.Type, t.Shape, size), "give the right shape")
		}
		names[t.Name] = true
		b = le.AppendUint32(appendText(b, t.Name), uint32(len(t.Shape)))
		for _, d := range slices.Backward(t.Shape) {
			b = le.AppendUint64(b, uint64(d))
		}
		b = le.AppendUint64(le.AppendUint32(b, uint32(t.Type)), uint64(offset))
		end, ok := padded(size, alignment)
		if !ok || end > math.MaxInt64-offset {
			return nil, t.fail("shape", "the file's size would not fit into 63 bits", "give another shape")
		}
		offset += end
	}
	if len(tensors) == 0 {
		return b, nil
	}
	end, _ := padded(int64(len(b)), alignment)
	return append(b, make([]byte, end-int64(len(b)))...), nil
}

func appendText(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}

// appendValue writes the type of a value and the value; ok is false if the format has none like it.
func appendValue(b []byte, v any) (out []byte, ok bool) {
	switch v := v.(type) {
	case uint8:
		return appendOne(b, Uint8, v), true
	case int8:
		return appendOne(b, Int8, v), true
	case uint16:
		return appendOne(b, Uint16, v), true
	case int16:
		return appendOne(b, Int16, v), true
	case uint32:
		return appendOne(b, Uint32, v), true
	case int32:
		return appendOne(b, Int32, v), true
	case uint64:
		return appendOne(b, Uint64, v), true
	case int64:
		return appendOne(b, Int64, v), true
	case float32:
		return appendOne(b, Float32, v), true
	case float64:
		return appendOne(b, Float64, v), true
	case bool:
		return appendOne(b, Bool, v), true
	case string:
		return appendText(binary.LittleEndian.AppendUint32(b, uint32(String)), v), true
	case []uint8:
		return appendList(b, Uint8, v), true
	case []int8:
		return appendList(b, Int8, v), true
	case []uint16:
		return appendList(b, Uint16, v), true
	case []int16:
		return appendList(b, Int16, v), true
	case []uint32:
		return appendList(b, Uint32, v), true
	case []int32:
		return appendList(b, Int32, v), true
	case []uint64:
		return appendList(b, Uint64, v), true
	case []int64:
		return appendList(b, Int64, v), true
	case []float32:
		return appendList(b, Float32, v), true
	case []float64:
		return appendList(b, Float64, v), true
	case []bool:
		return appendList(b, Bool, v), true
	case []string:
		b = appendArray(b, String, len(v))
		for _, s := range v {
			b = appendText(b, s)
		}
		return b, true
	}
	return nil, false
}

func appendOne[T any](b []byte, t ValueType, v T) []byte {
	b, _ = binary.Append(binary.LittleEndian.AppendUint32(b, uint32(t)), binary.LittleEndian, v) // it fails for types without a fixed size only
	return b
}

func appendArray(b []byte, elem ValueType, n int) []byte {
	le := binary.LittleEndian
	return le.AppendUint64(le.AppendUint32(le.AppendUint32(b, uint32(Array)), uint32(elem)), uint64(n))
}

func appendList[T any](b []byte, elem ValueType, v []T) []byte {
	b, _ = binary.Append(appendArray(b, elem, len(v)), binary.LittleEndian, v)
	return b
}

// size returns the bytes that type and shape ask for.
func (t *Tensor) size() (int64, error) {
	info := t.Type.info()
	if info == nil {
		return 0, t.fail("type", fmt.Sprintf("no tensor can be of %s", t.Type), "see Types for those there are")
	}
	if len(t.Shape) > maxDims {
		return 0, t.fail("shape", fmt.Sprintf("%v has more than %d dimensions", t.Shape, maxDims), "reshape it")
	}
	total, row, fits := uint64(1), 1, true
	for _, dim := range slices.Backward(t.Shape) { // in the reader's order
		if dim < 0 {
			return 0, t.fail("shape", fmt.Sprintf("%v", t.Shape), "dimensions are at least 0")
		}
		high, low := bits.Mul64(total, uint64(dim))
		fits = fits && high == 0 && low <= math.MaxInt64
		total = low
	}
	if len(t.Shape) > 0 {
		row = t.Shape[len(t.Shape)-1]
	}
	if row%info.elements != 0 {
		return 0, t.fail("shape", fmt.Sprintf("rows of %d values, a block of %s has %d", row, t.Type, info.elements), "use a type of smaller blocks, or F16")
	}
	high, total := bits.Mul64(total/uint64(info.elements), uint64(info.bytes))
	if !fits || high != 0 || total > math.MaxInt64 {
		return 0, t.fail("shape", fmt.Sprintf("%s %v is too large", t.Type, t.Shape), "give another shape")
	}
	return int64(total), nil
}

func (t *Tensor) fail(field, text, fix string) error {
	return &Error{Tensor: t.Name, Field: field, Offset: -1, Kind: ErrWrite, Text: text, Fix: fix}
}

// writeData copies a tensor's bytes and refuses a reader that gives fewer or more.
func (t *Tensor) writeData(w io.Writer) (int64, error) {
	size, err := t.size()
	if err != nil {
		return 0, err
	}
	r := io.Reader(bytes.NewReader(t.Data))
	if t.Open != nil {
		if r, err = t.Open(); err != nil {
			return 0, fmt.Errorf("gguf: tensor %s: %w", printable.Quote(t.Name), err)
		}
	}
	n, err := io.Copy(w, io.LimitReader(r, size))
	if err == nil && t.Open != nil && n == size {
		var more int
		if more, err = io.ReadFull(r, make([]byte, 1)); more > 0 {
			n++
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if closer, ok := r.(io.Closer); ok {
		if e := closer.Close(); err == nil {
			err = e
		}
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("gguf: tensor %s: %w", printable.Quote(t.Name), err)
	case n < size:
		return 0, t.fail("data", fmt.Sprintf("its reader gave %d bytes, %s %v takes %d", n, t.Type, t.Shape, size), "give the right shape")
	case n > size:
		return 0, t.fail("data", fmt.Sprintf("its reader gave more than the %d bytes of %s %v", size, t.Type, t.Shape), "give the right shape")
	}
	return size, nil
}
