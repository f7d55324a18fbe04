package pytorch

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// quantizer says what value a code of a quantised tensor stands for: (code - zero point) scale, one pair for the whole tensor or for each
// place along an axis.
type quantizer struct {
	scales, zeros []float64
	axis          int // -1 for one scale
}

// buildQuantised is _rebuild_qtensor(storage, offset, shape, strides, quantizer, ...). The quantizer is (per_tensor_affine, scale, zero
// point) or (per_channel_affine, scales, zero points, axis), where both are tensors whose values are read when they are needed.
func buildQuantised(m *machine, args tuple) (any, error) {
	if len(args) < 5 {
		return nil, errors.New("too few arguments")
	}
	how, _ := args[4].(tuple)
	v, err := m.tensor(args, "", nil)
	t, ok := v.(*tensor)
	if err != nil || !ok || len(how) < 3 {
		return v, err
	}
	scheme, _ := how[0].(foreign)
	switch {
	case scheme == "torch.per_tensor_affine" && len(how) == 3:
		scale, ok := how[1].(float64)
		zero, ok2 := how[2].(int64)
		if ok && ok2 {
			t.quantised = &quantizer{scales: []float64{scale}, zeros: []float64{float64(zero)}, axis: -1}
			return t, m.charge(100)
		}
	case scheme == "torch.per_channel_affine" && len(how) == 4:
		scales, ok := how[1].(*tensor)
		zeros, ok2 := how[2].(*tensor)
		axis, ok3 := how[3].(int64)
		if ok && ok2 && ok3 && axis >= 0 && axis < int64(len(t.shape)) && scales.elements == int64(t.shape[axis]) && zeros.elements == scales.elements {
			t.quantised, t.scales, t.zeros = &quantizer{axis: int(axis)}, scales, zeros
			return t, m.charge(100 + 16*scales.elements)
		}
	}
	t.unread = fmt.Sprintf("it is quantised by %s", describe(how[0]))
	return t, nil
}

// load reads the scales and zero points of a quantizer once.
func (f *File) load(name string, t *tensor) error {
	f.loading.Lock()
	defer f.loading.Unlock()
	q := t.quantised
	if q.scales != nil {
		return nil
	}
	read := func(from *tensor) ([]float64, error) {
		values := make([]float32, from.elements)
		out := make([]float64, from.elements)
		if err := f.values(name, from, 0, values); err != nil {
			return nil, err
		}
		for i, v := range values {
			out[i] = float64(v)
		}
		return out, nil
	}
	scales, err := read(t.scales)
	if err != nil {
		return err
	}
	if q.zeros, err = read(t.zeros); err != nil {
		return err
	}
	q.scales = scales
	return nil
}

// restore turns codes, elements [at, at+len(dst)) of a tensor in row-major order, into values: as PyTorch does, with the scale rounded to
// float32 and the product rounded once.
func (q *quantizer) restore(dst []float32, d DType, raw []byte, at int, shape []int) {
	inner, channels := 1, 1 // elements between two places along the axis, and places
	if q.axis >= 0 {
		channels = shape[q.axis]
		for _, dim := range shape[q.axis+1:] {
			inner *= dim
		}
	}
	for i := range dst {
		c := 0
		if q.axis >= 0 {
			c = (at + i) / inner % channels
		}
		code := int64(0)
		switch d {
		case "qint8":
			code = int64(int8(raw[i]))
		case "quint8":
			code = int64(raw[i])
		default:
			code = int64(int32(binary.LittleEndian.Uint32(raw[4*i:])))
		}
		dst[i] = float32(float64(code)-q.zeros[c]) * float32(q.scales[c])
	}
}
