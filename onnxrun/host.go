package onnxrun

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/bfloat16"
	"github.com/gomlx/compute/dtypes/float16"
	"github.com/gomlx/gomlx/core/tensors"
)

// made is a tensor of numbers, rounded to a type of floats, or cut to one of integers.
func made(d dtypes.DType, values []float64, dims ...int) *tensors.Tensor {
	t := tensors.FromShape(room(d, dims...))
	if len(values) == 0 {
		return t
	}
	size := d.Size()
	err := t.MutableBytes(func(b []byte) {
		for i, v := range values {
			putNumber(b[i*size:(i+1)*size], d, v)
		}
	})
	if err != nil {
		panic(err)
	}
	return t
}

func putNumber(b []byte, d dtypes.DType, v float64) {
	switch d {
	case dtypes.Float64:
		binary.LittleEndian.PutUint64(b, math.Float64bits(v))
		return
	case dtypes.Float32:
		binary.LittleEndian.PutUint32(b, math.Float32bits(float32(v)))
		return
	case dtypes.Float16:
		binary.LittleEndian.PutUint16(b, halfBits(float32(v)))
		return
	case dtypes.BFloat16:
		binary.LittleEndian.PutUint16(b, uint16(bfloat16.FromFloat32(float32(v))))
		return
	case dtypes.Bool:
		b[0] = 0
		if v != 0 {
			b[0] = 1
		}
		return
	}

	n := uint64(int64(v))
	if d == dtypes.Uint64 && v >= math.Exp2(63) {
		n = uint64(v)
	}
	for i := range b {
		b[i] = byte(n >> (8 * i))
	}
}

// halfBits are the bits of the float16 number nearest to v, the even one of two. float16.FromFloat32 makes zeros of all below 2^-14.
func halfBits(v float32) uint16 {
	size := math.Abs(float64(v))
	if !(size < 0x1p-14) {
		return float16.FromFloat32(v).Bits()
	}
	steps := uint16(math.RoundToEven(size * 0x1p24))
	if math.Signbit(float64(v)) {
		return steps | 0x8000
	}
	return steps
}

// bytesIn are the elements of a tensor as they are.
func bytesIn(t *tensors.Tensor) []byte {
	if t.Shape().Size() == 0 {
		return nil
	}
	var raw []byte
	if err := t.ConstBytes(func(b []byte) { raw = slices.Clone(b) }); err != nil {
		panic(err)
	}
	return raw
}

// ofBytes is a tensor of elements as they are.
func ofBytes(d dtypes.DType, raw []byte, dims ...int) *tensors.Tensor {
	t := tensors.FromShape(room(d, dims...))
	if len(raw) == 0 {
		return t
	}
	if err := t.MutableBytes(func(b []byte) { copy(b, raw) }); err != nil {
		panic(err)
	}
	return t
}

// once is what a node's attributes make, which is made at its first run.
func once[T any](c *call, f func() T) T {
	if old, ok := c.build.of.made[c.n].(T); ok {
		return old
	}
	v := f()
	c.build.of.made[c.n] = v
	return v
}

// dims are the sizes of an input.
func (c *call) dims(i int) []int {
	need(c.has(i), "input %d is missing", i)
	return c.in[i].shape().Dimensions
}

// dtype is the type of an input.
func (c *call) dtype(i int) dtypes.DType {
	need(c.has(i), "input %d is missing", i)
	return c.in[i].shape().DType
}

// strings are those of an attribute.
func (c *call) strings(name string) (out []string) {
	if a := c.n.Attribute(name); a != nil {
		for _, s := range a.Strings {
			out = append(out, string(s))
		}
	}
	return out
}

// numbers are the floats of an attribute.
func (c *call) numbers(name string) []float64 {
	a := c.n.Attribute(name)
	if a == nil {
		return nil
	}
	out := make([]float64, len(a.Floats))
	for i, v := range a.Floats {
		out[i] = float64(v)
	}
	return out
}

// around are the sizes before an axis, the axis's, and that of what follows, as products.
func around(dims []int, axis int) (before, n, after int) {
	return volumeOf(dims[:axis]), dims[axis], volumeOf(dims[axis+1:])
}

// gives reports whether a node's output is wanted.
func (c *call) gives(i int) bool { return i < len(c.n.Outputs) && c.n.Outputs[i] != "" }

// gone counts work on the host, and stops where the caller gave up.
func (c *call) gone(n int) {
	c.build.foldWork += float64(n)
	c.build.step()
}
