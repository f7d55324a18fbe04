package weights

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/ballast-ml/ballast/format"
	"github.com/ballast-ml/ballast/format/decoder"
)

// ErrView is the error for a view that its file cannot give.
var ErrView = models.Kind("the file does not fit the model")

// ErrOutside is the error for a range outside a tensor of a view.
var ErrOutside = models.Misuse("outside the tensor")

// View is a file with other tensors: renamed, with their rows in another order, several joined or one taken apart, or computed. What is no
// more than renamed is read as from the file.
type View struct {
	File
	tensors []Info
	seen    map[string]seenTensor
}

// seenTensor is a tensor of a View.
type seenTensor struct {
	decoder.Tensor
	info Info
	part Info // the first of the parts, in the file

	decoded bool // its bytes are those of its values
}

// NewView shows the tensors that a plan makes of a file's. Those that are computed, or not as they are in the file, are F32.
func NewView(f File, plan []decoder.Tensor) (*View, error) {
	v := &View{File: f, seen: make(map[string]seenTensor, len(plan))}
	for _, t := range plan {
		fail := func(text, fix string) error {
			return &format.Error{File: f.Path(), Field: t.Name, Kind: ErrView, Text: text, Fix: fix}
		}
		s := seenTensor{Tensor: t, info: Info{Name: t.Name, Shape: t.Shape, Type: "F32", Block: 1, BlockBytes: 4}}
		s.info.Elements = len(t.Values)
		for i, p := range t.Parts {
			info, ok := f.Info(p.Name)
			switch {
			case !ok:
				return nil, fail("there is no "+p.Name, "get the model again")
			case i == 0:
				s.part = info
			case info.Type != s.part.Type:
				return nil, fail("parts of it are "+s.part.Type+" and "+info.Type, "convert the model to one type first")
			}
			s.info.Elements += p.Elements
		}
		s.decoded = t.Shift != 0 || s.part.BlockBytes == 0 && (len(t.Parts) > 1 || t.Heads > 0)
		if len(t.Parts) > 0 && !s.decoded {
			s.info.Type, s.info.Block, s.info.BlockBytes = s.part.Type, s.part.Block, s.part.BlockBytes
		}
		s.info.Bytes = int64(s.info.Elements) * 4
		if s.info.BlockBytes > 0 {
			s.info.Bytes = int64(s.info.Elements) / int64(s.info.Block) * int64(s.info.BlockBytes)
		} else if len(t.Parts) == 1 && t.Parts[0].Elements == s.part.Elements {
			s.info.Bytes = s.part.Bytes
		}
		_, twice := v.seen[t.Name]
		switch {
		case twice:
			return nil, fail("two tensors would both be named so", "convert with --keep-names")
		case t.Heads > 0 && (len(t.Shape) == 0 || t.Shape[0]%(2*t.Heads) != 0):
			return nil, fail(fmt.Sprintf("%v has no whole rows for %d heads", t.Shape, t.Heads), "correct the number of heads in config.json, or convert with --keep-names")
		}
		v.seen[t.Name] = s
		v.tensors = append(v.tensors, s.info)
	}
	return v, nil
}

// Unwrap is the file that is looked at.
func (v *View) Unwrap() File { return v.File }

// Tensors are those of the view, in the order of the plan.
func (v *View) Tensors() []Info { return v.tensors }

// Info describes one of them.
func (v *View) Info(name string) (Info, bool) {
	s, ok := v.seen[name]
	return s.info, ok
}

// Origin lists the tensors of the file that one of the view is made of; none for one that is computed.
func (v *View) Origin(name string) []string {
	var out []string
	for _, p := range v.seen[name].Parts {
		out = append(out, p.Name)
	}
	return out
}

// ReadFloat32s reads the values of a tensor of the view.
func (v *View) ReadFloat32s(name string, at int, dst []float32) error {
	s, ok := v.seen[name]
	switch {
	case !ok: // the file says what is wrong
		return v.File.ReadFloat32s(name, at, dst)
	case at < 0 || at > s.info.Elements || len(dst) > s.info.Elements-at:
		return v.outside(name, "elements", int64(at), int64(len(dst)), int64(s.info.Elements))
	}
	if len(s.Parts) == 0 {
		copy(dst, s.Values[at:])
		return nil
	}
	err := s.stretches(at, len(dst), func(part string, from, to, n int) error { return v.File.ReadFloat32s(part, from, dst[to:to+n]) })
	if s.Shift != 0 {
		for i := range dst {
			dst[i] += s.Shift
		}
	}
	return err
}

// ReadBytes reads the bytes of a tensor of the view, those of F32 where it is not as in the file.
func (v *View) ReadBytes(name string, at int64, dst []byte) error {
	s, ok := v.seen[name]
	switch {
	case !ok: // the file says what is wrong
		return v.File.ReadBytes(name, at, dst)
	case at < 0 || at > s.info.Bytes || int64(len(dst)) > s.info.Bytes-at:
		return v.outside(name, "bytes", at, int64(len(dst)), s.info.Bytes)
	case len(s.Parts) == 0 || s.decoded:
		return v.encoded(name, at, dst)
	case len(s.Parts) == 1 && s.Heads == 0 && s.Parts[0].Elements == s.part.Elements:
		return v.File.ReadBytes(s.Parts[0].Name, at, dst)
	}
	block, size := s.info.Block, int64(s.info.BlockBytes)
	if at%size != 0 || int64(len(dst))%size != 0 {
		return v.ragged(name, at, dst, size)
	}
	return s.stretches(int(at/size)*block, int(int64(len(dst))/size)*block, func(part string, from, to, n int) error {
		begin := int64(to/block) * size
		return v.File.ReadBytes(part, int64(from/block)*size, dst[begin:begin+int64(n/block)*size])
	})
}

// ragged reads bytes that are no whole blocks: whole ones around them.
func (v *View) ragged(name string, at int64, dst []byte, size int64) error {
	begin, end := at/size*size, (at+int64(len(dst))+size-1)/size*size
	whole := make([]byte, end-begin)
	if err := v.ReadBytes(name, begin, whole); err != nil {
		return err
	}
	copy(dst, whole[at-begin:])
	return nil
}

// encoded gives the bytes of values.
func (v *View) encoded(name string, at int64, dst []byte) error {
	first, last := at/4, (at+int64(len(dst))+3)/4
	values := make([]float32, last-first)
	if err := v.ReadFloat32s(name, int(first), values); err != nil {
		return err
	}
	raw := make([]byte, 4*len(values))
	for i, x := range values {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(x))
	}
	copy(dst, raw[at-4*first:])
	return nil
}

// stretches calls read for each stretch of a part that elements [at, at+n) are made of: n elements of the part from from on are those from to
// on of the answer.
func (s *seenTensor) stretches(at, n int, read func(part string, from, to, n int) error) error {
	if n == 0 {
		return nil
	}
	if s.Heads > 0 {
		rows := s.Shape[0]
		row := s.info.Elements / rows
		for to := 0; to < n; {
			r, from := at/row, at%row
			m := min(row-from, n-to)
			if err := read(s.Parts[0].Name, s.Parts[0].At+decoder.Row(r, rows, s.Heads, s.ToGGUF)*row+from, to, m); err != nil {
				return err
			}
			at, to = at+m, to+m
		}
		return nil
	}
	to := 0
	for _, p := range s.Parts {
		if at >= p.Elements {
			at -= p.Elements
			continue
		}
		m := min(p.Elements-at, n-to)
		if err := read(p.Name, p.At+at, to, m); err != nil {
			return err
		}
		if at, to = 0, to+m; to == n {
			return nil
		}
	}
	return nil
}

// outside is the error for a stretch that a tensor has not.
func (v *View) outside(name, what string, at, n, has int64) error {
	return &format.Error{File: v.Path(), Field: name, Kind: ErrOutside, Text: fmt.Sprintf("%s %d to %d of %d", what, at, at+n, has), Fix: "ask for a part of the tensor: see Info"}
}
