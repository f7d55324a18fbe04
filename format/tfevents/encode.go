package tfevents

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of the messages that are written and read, from TensorBoard's .proto files.
const (
	eventWall, eventStep, eventVersion, eventSummary, eventSession = 1, 2, 3, 5, 7
	sessionStatus                                                  = 1
	summaryValue                                                   = 1
	valueTag, valueSimple, valueImage, valueHistogram              = 1, 2, 4, 5
	valueTensor, valueMetadata                                     = 8, 9
	imageHeight, imageWidth, imageColorspace, imageEncoded         = 1, 2, 3, 4
	histMin, histMax, histNum, histSum, histSquares                = 1, 2, 3, 4, 5
	histLimits, histCounts                                         = 6, 7
	metadataPlugin, metadataClass, pluginName                      = 1, 4, 1
	tensorType, tensorShape, tensorContent, tensorFloats           = 1, 2, 4, 5
	tensorDoubles, tensorStrings                                   = 6, 8
	shapeDim, dimSize                                              = 2, 1
	typeFloat, typeDouble, typeString                              = 1, 2, 7
	classScalar                                                    = 1
)

// encoder builds a message. Lengths of inner messages are known only after their content, so each is moved up by the size
// of its length when it ends: cheap, because what is inside is small or holds one large part.
type encoder struct{ b []byte }

func (e *encoder) varint(field protowire.Number, v uint64) {
	if v == 0 {
		return // proto3 leaves zeros out
	}
	e.b = protowire.AppendVarint(protowire.AppendTag(e.b, field, protowire.VarintType), v)
}

func (e *encoder) double(field protowire.Number, v float64) {
	if math.Float64bits(v) == 0 {
		return
	}
	e.b = protowire.AppendFixed64(protowire.AppendTag(e.b, field, protowire.Fixed64Type), math.Float64bits(v))
}

func (e *encoder) doubles(field protowire.Number, values []float64) {
	if len(values) == 0 {
		return
	}
	e.b = protowire.AppendVarint(protowire.AppendTag(e.b, field, protowire.BytesType), uint64(8*len(values)))
	for _, v := range values {
		e.b = protowire.AppendFixed64(e.b, math.Float64bits(v))
	}
}

func (e *encoder) text(field protowire.Number, s string) {
	e.b = protowire.AppendString(protowire.AppendTag(e.b, field, protowire.BytesType), s)
}

// message writes an inner message.
func (e *encoder) message(field protowire.Number, content func()) {
	e.b = protowire.AppendTag(e.b, field, protowire.BytesType)
	begin := len(e.b)
	content()
	size := len(e.b) - begin
	width := protowire.SizeVarint(uint64(size))
	for range width {
		e.b = append(e.b, 0)
	}
	copy(e.b[begin+width:], e.b[begin:begin+size])
	protowire.AppendVarint(e.b[:begin], uint64(size))
}

// event begins a payload.
func (e *encoder) event(wall float64, step int64) {
	e.b = e.b[:0]
	e.double(eventWall, wall)
	e.varint(eventStep, uint64(step))
}

// value writes a summary that holds one value.
func (e *encoder) value(tag string, content func()) {
	e.message(eventSummary, func() {
		e.message(summaryValue, func() {
			if tag != "" {
				e.text(valueTag, tag)
			}
			content()
		})
	})
}

func (e *encoder) simple(v float32) {
	// Member of a oneof: written also if it is zero.
	e.b = protowire.AppendFixed32(protowire.AppendTag(e.b, valueSimple, protowire.Fixed32Type), math.Float32bits(v))
}

// scalarTensor writes a tensor of rank 0, whose shape is an empty message.
func (e *encoder) scalarTensor(v float32) {
	e.message(valueTensor, func() {
		e.varint(tensorType, typeFloat)
		e.message(tensorShape, func() {})
		e.b = protowire.AppendVarint(protowire.AppendTag(e.b, tensorFloats, protowire.BytesType), 4)
		e.b = protowire.AppendFixed32(e.b, math.Float32bits(v))
	})
}

func (e *encoder) textTensor(s string) {
	e.message(valueTensor, func() {
		e.varint(tensorType, typeString)
		e.message(tensorShape, func() { e.message(shapeDim, func() { e.varint(dimSize, 1) }) })
		e.text(tensorStrings, s)
	})
}

func (e *encoder) metadata(plugin string, class uint64) {
	e.message(valueMetadata, func() {
		e.message(metadataPlugin, func() { e.text(pluginName, plugin) })
		e.varint(metadataClass, class)
	})
}

func (e *encoder) image(m Image) {
	e.message(valueImage, func() {
		e.varint(imageHeight, uint64(m.Height))
		e.varint(imageWidth, uint64(m.Width))
		e.varint(imageColorspace, uint64(m.Colorspace))
		if len(m.Encoded) > 0 {
			e.b = protowire.AppendBytes(protowire.AppendTag(e.b, imageEncoded, protowire.BytesType), m.Encoded)
		}
	})
}

func (e *encoder) histogram(h Histogram) {
	e.message(valueHistogram, func() {
		e.double(histMin, h.Min)
		e.double(histMax, h.Max)
		e.double(histNum, h.Num)
		e.double(histSum, h.Sum)
		e.double(histSquares, h.SumSquares)
		e.doubles(histLimits, h.Limits)
		e.doubles(histCounts, h.Counts)
	})
}
