package onnx

import (
	"cmp"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ballast-ml/ballast/internal/printable"
)

// otherKinds are the fields of types that are not those of tensors.
var otherKinds = map[protowire.Number]string{4: "sequence", 5: "map", 8: "sparse tensor", 9: "optional"}

// value reads a ValueInfoProto: the name of an input or output, its type and what is known of its shape.
//
//	ValueInfoProto {1: name, 2: TypeProto {1: Tensor {1: element type, 2: TensorShapeProto {1: Dimension {1: size, 2: name}}}}}
//
// Of types that are no tensors (sequences, maps) the value says what they are.
func (p *parser) value(data []byte) (Value, error) {
	v := Value{Rank: -1}
	if err := p.spend(160); err != nil {
		return v, err
	}
	err := fields("value", data, func(x field) (err error) {
		switch x.num {
		case 1:
			v.Name, err = x.text("value")
		case 2:
			var b []byte
			if b, err = x.message("value"); err != nil {
				return err
			}
			err = fields("type", b, func(x field) error {
				v.Other = cmp.Or(otherKinds[x.num], v.Other)
				return nil
			})
			if err == nil {
				err = messages("type", b, 1, func(b []byte) error { return p.tensorType(&v, b) })
			}
		}
		return err
	})
	return v, err
}

// messages calls f for each field of that number of a message, which are messages themselves.
func messages(what string, data []byte, num protowire.Number, f func([]byte) error) error {
	return fields(what, data, func(x field) error {
		if x.num != num {
			return nil
		}
		b, err := x.message(what)
		if err != nil {
			return err
		}
		return f(b)
	})
}

// tensorType reads the type of the elements, and the shape if there is one: without it the rank stays -1.
func (p *parser) tensorType(v *Value, data []byte) error {
	const what = "tensor type"
	return fields(what, data, func(x field) (err error) {
		switch x.num {
		case 1:
			var n int64
			n, err = x.int(what)
			v.Type = DataType(n)
		case 2:
			var b []byte
			if b, err = x.message(what); err != nil {
				return err
			}
			v.Dims = nil
			err = messages("shape", b, 1, func(b []byte) error { return p.dimension(v, b) })
			v.Rank = len(v.Dims)
		}
		return err
	})
}

// dimension reads one dimension of a shape: its size, -1 where it is not said, or the name that stands for it.
func (p *parser) dimension(v *Value, data []byte) error {
	const what = "dimension"
	d := Dim{Size: -1}
	err := fields(what, data, func(x field) (err error) {
		switch x.num {
		case 1:
			var n int64
			if n, err = x.int(what); err == nil && (n < 0 || n > math.MaxInt32*64) {
				return &Error{Field: "value " + printable.Quote(v.Name), Kind: ErrShape, Text: fmt.Sprintf("dimension %d", n), Fix: fixExport}
			}
			d.Size = int(n)
		case 2:
			d.Name, err = x.text(what)
		}
		return err
	})
	v.Dims = append(v.Dims, d)
	if err != nil {
		return err
	}
	return p.spend(64)
}
