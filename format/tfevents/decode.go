package tfevents

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// field is one field of a message: number holds varints and fixed values, bytes the rest.
type field struct {
	id     protowire.Number
	kind   protowire.Type
	number uint64
	bytes  []byte
}

// next takes a field from the front of a message and returns the rest.
func next(b []byte) (field, []byte, error) {
	var f field
	id, kind, n := protowire.ConsumeTag(b)
	if n < 0 {
		return f, nil, protowire.ParseError(n)
	}
	b = b[n:]
	f.id, f.kind = id, kind
	switch kind {
	case protowire.VarintType:
		f.number, n = protowire.ConsumeVarint(b)
	case protowire.Fixed64Type:
		f.number, n = protowire.ConsumeFixed64(b)
	case protowire.Fixed32Type:
		var v uint32
		v, n = protowire.ConsumeFixed32(b)
		f.number = uint64(v)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(b)
	default:
		n = protowire.ConsumeFieldValue(id, kind, b)
	}
	if n < 0 {
		return f, nil, fmt.Errorf("field %d: %w", id, protowire.ParseError(n))
	}
	return f, b[n:], nil
}

// is tells whether a field has this number and wire type; one of another type is unknown and passed over.
func (f *field) is(id protowire.Number, kind protowire.Type) bool {
	return f.id == id && f.kind == kind
}

const (
	asVarint  = protowire.VarintType
	asFixed64 = protowire.Fixed64Type
	asFixed32 = protowire.Fixed32Type
	asBytes   = protowire.BytesType
)

func (r *Reader) event(b []byte) (Event, error) {
	var out Event
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return out, err
		}
		switch {
		case f.is(eventWall, asFixed64):
			out.WallTime = math.Float64frombits(f.number)
		case f.is(eventStep, asVarint):
			out.Step = int64(f.number)
		case f.is(eventVersion, asBytes):
			out.FileVersion = string(f.bytes)
		case f.is(eventSummary, asBytes):
			err = r.summary(f.bytes)
		case f.is(eventSession, asBytes):
			out.Session, err = session(f.bytes)
		}
		if err != nil {
			return out, err
		}
		b = rest
	}
	out.Values = r.values
	return out, nil
}

func session(b []byte) (Session, error) {
	out := SessionNone
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return out, err
		}
		if f.is(sessionStatus, asVarint) {
			out = Session(f.number)
		}
		b = rest
	}
	return out, nil
}

func (r *Reader) summary(b []byte) error {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return err
		}
		if f.is(summaryValue, asBytes) {
			var v Value
			if err := r.value(&v, f.bytes); err != nil {
				return err
			}
			if len(r.values) == maxValues {
				return fmt.Errorf("more than %d values", maxValues)
			}
			r.values = append(r.values, v)
		}
		b = rest
	}
	return nil
}

func (r *Reader) value(v *Value, b []byte) error {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return err
		}
		switch {
		case f.is(valueTag, asBytes):
			tag, known := r.tags[string(f.bytes)]
			if !known {
				tag = string(f.bytes)
				if len(r.tags) < maxTags {
					r.tags[tag] = tag
				}
			}
			v.Tag = tag
		case f.is(valueSimple, asFixed32):
			v.Kind, v.Scalar = KindScalar, float64(math.Float32frombits(uint32(f.number)))
		case f.is(valueImage, asBytes):
			v.Kind = KindImage
			err = v.Image.read(f.bytes)
		case f.is(valueHistogram, asBytes):
			v.Kind = KindHistogram
			err = v.Histogram.read(f.bytes)
		case f.is(valueTensor, asBytes):
			err = v.tensor(f.bytes)
		case f.is(valueMetadata, asBytes):
			v.Plugin, err = plugin(f.bytes)
		}
		if err != nil {
			return err
		}
		b = rest
	}
	return nil
}

func (m *Image) read(b []byte) error {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return err
		}
		switch {
		case f.is(imageHeight, asVarint):
			m.Height = int(int32(f.number))
		case f.is(imageWidth, asVarint):
			m.Width = int(int32(f.number))
		case f.is(imageColorspace, asVarint):
			m.Colorspace = int(int32(f.number))
		case f.is(imageEncoded, asBytes):
			m.Encoded = f.bytes
		}
		b = rest
	}
	return nil
}

func (h *Histogram) read(b []byte) error {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return err
		}
		number := math.Float64frombits(f.number)
		switch {
		case f.is(histMin, asFixed64):
			h.Min = number
		case f.is(histMax, asFixed64):
			h.Max = number
		case f.is(histNum, asFixed64):
			h.Num = number
		case f.is(histSum, asFixed64):
			h.Sum = number
		case f.is(histSquares, asFixed64):
			h.SumSquares = number
		case f.id == histLimits:
			h.Limits, err = doubles(h.Limits, f)
		case f.id == histCounts:
			h.Counts, err = doubles(h.Counts, f)
		}
		if err != nil {
			return err
		}
		b = rest
	}
	return nil
}

// doubles appends the numbers of a repeated field, packed or single.
func doubles(to []float64, f field) ([]float64, error) {
	if f.kind == asFixed64 {
		return append(to, math.Float64frombits(f.number)), nil
	}
	if f.kind != asBytes {
		return to, nil
	}
	if len(f.bytes)%8 != 0 {
		return nil, fmt.Errorf("field %d: %d bytes of float64 numbers", f.id, len(f.bytes))
	}
	for b := f.bytes; len(b) > 0; b = b[8:] {
		to = append(to, math.Float64frombits(binary.LittleEndian.Uint64(b)))
	}
	return to, nil
}

// tensor reads a tensor that holds one number or texts; of several texts the first counts.
func (v *Value) tensor(b []byte) error {
	v.Tensor = true
	kind, count := uint64(0), 0
	var content []byte
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return err
		}
		switch {
		case f.is(tensorType, asVarint):
			kind = f.number
		case f.is(tensorContent, asBytes):
			content = f.bytes
		case f.is(tensorFloats, asFixed32):
			v.Scalar, count = float64(math.Float32frombits(uint32(f.number))), count+1
		case f.is(tensorDoubles, asFixed64):
			v.Scalar, count = math.Float64frombits(f.number), count+1
		case f.is(tensorFloats, asBytes), f.is(tensorDoubles, asBytes):
			err = v.packed(f.id == tensorFloats, f.bytes, &count)
		case f.is(tensorStrings, asBytes):
			if count++; count == 1 {
				v.Text = string(f.bytes)
			}
		}
		if err != nil {
			return err
		}
		b = rest
	}
	switch {
	case kind == typeString && count > 0:
		v.Kind = KindText
	case kind != typeFloat && kind != typeDouble:
	case count == 1:
		v.Kind = KindScalar
	case count == 0 && len(content) > 0:
		if err := v.packed(kind == typeFloat, content, &count); err != nil {
			return err
		}
		if count == 1 {
			v.Kind = KindScalar
		}
	}
	return nil
}

// packed reads numbers that stand one after the other; only a single one is kept.
func (v *Value) packed(float bool, b []byte, count *int) error {
	size := 8
	if float {
		size = 4
	}
	if len(b)%size != 0 {
		return errors.New("tensor: its numbers are cut off")
	}
	*count += len(b) / size
	switch {
	case len(b) == 0:
	case float:
		v.Scalar = float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	default:
		v.Scalar = math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	return nil
}

// plugin returns the plugin's name in a value's metadata.
func plugin(b []byte) (string, error) {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return "", err
		}
		if f.is(metadataPlugin, asBytes) {
			for b := f.bytes; len(b) > 0; {
				f, rest, err := next(b)
				if err != nil {
					return "", err
				}
				if f.is(pluginName, asBytes) {
					return string(f.bytes), nil
				}
				b = rest
			}
		}
		b = rest
	}
	return "", nil
}
