package weights

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/printable"
)

// scale says which tensors make values of codes: value = (code - zero) scale factor, one scale for each block.
type scale struct {
	scale, zero string  // names; zero is "" for none
	blocks      []int   // elements of a block along each axis of the codes
	counts      []int   // blocks along each axis
	factor      float64 // 1; 1/127 where a scale is the largest value
}

// scaleOf finds the scale that lies beside a tensor of codes in a file. found is false where there is none of a name that is known.
func scaleOf(info Info, f File, block []int) (s scale, found bool, err error) {
	base, isWeight := strings.CutSuffix(info.Name, "weight")
	candidates := []string{info.Name + "_scale_inv", info.Name + "_scale"} // DeepSeek's inverse is multiplied all the same
	if isWeight {
		candidates = append(candidates, base+"scale_weight", base+"SCB")
	}
	for _, name := range candidates {
		of, ok := f.Info(name)
		if !ok {
			continue
		}
		s = scale{scale: name, factor: 1}
		if strings.HasSuffix(name, "SCB") {
			s.factor = 1.0 / 127
		}
		if zero, ok := f.Info(info.Name + "_zero_point"); ok {
			if s.zero = zero.Name; !slices.Equal(zero.Shape, of.Shape) {
				return s, true, fmt.Errorf("%s has shape %v, its scale %v", printable.Short(zero.Name), zero.Shape, of.Shape)
			}
		}
		for _, other := range []string{"_g_idx", "_scale_2", "_global_scale", "_shape"} {
			if _, more := f.Info(info.Name + other); more {
				return s, true, fmt.Errorf("%s takes %s%s too", printable.Short(info.Name), printable.Short(info.Name), other)
			}
		}
		if format, ok := f.Info(base + "weight_format"); ok && isWeight && format.Elements != 1 {
			return s, true, fmt.Errorf("%s has shape %v", printable.Short(format.Name), format.Shape)
		}
		s.blocks, s.counts, err = blocksOf(info.Shape, of.Shape, block)
		if err != nil {
			err = fmt.Errorf("%s has shape %v, its scale %v", printable.Short(info.Name), info.Shape, of.Shape)
		}
		return s, true, err
	}
	return s, false, nil
}

// usualBlock is the side of a block where nothing says it.
const usualBlock = 128

// blocksOf says how many elements of codes share a scale along each axis. block are the sides along the last axes, from a config.
func blocksOf(codes, scales, block []int) (blocks, counts []int, err error) {
	n := 1
	for _, dim := range scales {
		n *= dim
	}
	counts = make([]int, len(codes))
	for i := range counts {
		counts[i] = 1
	}
	switch {
	case n == 1:
	case len(scales) <= len(codes) && slices.Equal(scales, codes[:len(scales)]): // one for each row
		copy(counts, scales)
	case len(scales) == len(codes):
		copy(counts, scales)
	default:
		return nil, nil, errBlocks
	}

	blocks = make([]int, len(codes))
	for i, dim := range codes {
		side := 0
		if at := i - (len(codes) - len(block)); at >= 0 {
			side = block[at]
		}
		count := counts[i]
		fits := func(side int) bool { return side > 0 && (dim+side-1)/side == count }
		switch {
		case dim == 0 || count < 1 || count > dim:
			return nil, nil, errBlocks
		case count == 1:
			blocks[i] = dim
		case count == dim:
			blocks[i] = 1
		case fits(side):
			blocks[i] = side
		case fits(usualBlock):
			blocks[i] = usualBlock
		case dim%count == 0:
			blocks[i] = dim / count
		default:
			return nil, nil, errBlocks
		}
	}
	return blocks, counts, nil
}

var errBlocks = fmt.Errorf("the scales do not fit the codes")

// dequantised is a file whose codes are seen as the values they stand for.
type dequantised struct {
	File
	q       *Quantisation
	tensors []Info
	scales  map[string]*loaded
}

// loaded are the scales of a tensor, once they were read.
type loaded struct {
	once   sync.Once
	values []float32
	zeros  []float32 // nil for none
	err    error
}

// Unwrap is the file as it is stored.
func (v *dequantised) Unwrap() File { return v.File }

func (v *dequantised) Tensors() []Info { return slices.Clone(v.tensors) }

func (v *dequantised) Info(name string) (Info, bool) {
	info, ok := v.File.Info(name)
	if !ok || slices.Contains(v.q.hidden, name) {
		return Info{}, false
	}
	if _, coded := v.q.codes[name]; coded {
		info.Type, info.Bytes, info.Block, info.BlockBytes = string(safetensors.F32), 4*int64(info.Elements), 1, 4
	}
	return info, true
}

// load reads the scales of a tensor.
func (v *dequantised) load(name string) (*loaded, error) {
	l, how := v.scales[name], v.q.codes[name]
	l.once.Do(func() {
		read := func(name string) ([]float32, error) {
			info, _ := v.File.Info(name)
			if err := memory.Need("the scales "+printable.Quote(name), 4*int64(info.Elements)); err != nil {
				return nil, err
			}
			values := make([]float32, info.Elements)
			return values, v.File.ReadFloat32s(name, 0, values)
		}
		if l.values, l.err = read(how.scale); l.err == nil && how.zero != "" {
			l.zeros, l.err = read(how.zero)
		}
		if base, ok := strings.CutSuffix(how.scale, "SCB"); ok && l.err == nil {
			l.err = v.plainRows(base + "weight_format")
		}
	})
	return l, l.err
}

// plainRows refuses codes of bitsandbytes whose rows are in the order of a processor: format 0 alone is by rows.
func (v *dequantised) plainRows(name string) error {
	if _, ok := v.File.Info(name); !ok {
		return nil
	}
	format := make([]float32, 1)
	if err := v.File.ReadFloat32s(name, 0, format); err != nil {
		return err
	}
	if format[0] != 0 {
		return &Error{File: v.Path(), Kind: ErrQuantised, Text: fmt.Sprintf("%s is %v: the rows are in the order of a processor", printable.Quote(name), format[0]), Fix: "save the model again by rows"}
	}
	return nil
}

func (v *dequantised) ReadFloat32s(name string, at int, dst []float32) error {
	how, coded := v.q.codes[name]
	if !coded {
		return v.File.ReadFloat32s(name, at, dst)
	}
	l, err := v.load(name)
	if err != nil {
		return err
	}
	if err := v.File.ReadFloat32s(name, at, dst); err != nil {
		return err
	}
	info, _ := v.File.Info(name)
	how.restore(dst, at, info.Shape, l)
	return nil
}

// restore turns codes, elements from at on in row-major order, into values: products are rounded once.
func (s scale) restore(dst []float32, at int, shape []int, l *loaded) {
	if len(shape) == 0 {
		shape, s.blocks, s.counts = []int{1}, []int{1}, []int{1}
	}
	last := len(shape) - 1
	for len(dst) > 0 {
		// The elements up to the end of the row, or of the block within it, share a scale.
		rest, place, step := at/shape[last], 0, s.counts[last]
		column := at % shape[last]
		for axis := last - 1; axis >= 0; axis-- {
			place += rest % shape[axis] / s.blocks[axis] * step
			rest /= shape[axis]
			step *= s.counts[axis]
		}
		b := column / s.blocks[last]
		n := min(len(dst), min((b+1)*s.blocks[last], shape[last])-column)
		place += b
		by, zero := float64(l.values[place])*s.factor, 0.0
		if l.zeros != nil {
			zero = float64(l.zeros[place])
		}
		for i, code := range dst[:n] {
			dst[i] = float32((float64(code) - zero) * by)
		}
		dst, at = dst[n:], at+n
	}
}

func (v *dequantised) ReadBytes(name string, at int64, dst []byte) error {
	if _, coded := v.q.codes[name]; !coded {
		return v.File.ReadBytes(name, at, dst)
	}
	info, _ := v.Info(name)
	if at < 0 || at > info.Bytes || int64(len(dst)) > info.Bytes-at {
		return &Error{File: v.Path(), Kind: ErrStretch, Text: fmt.Sprintf("bytes %d to %d of %d of %s", at, at+int64(len(dst)), info.Bytes, printable.Quote(name)), Fix: "stay within the tensor"}
	}
	const piece = 1 << 16
	values, raw := make([]float32, 0, piece), make([]byte, 0, 4*piece)
	for len(dst) > 0 {
		first := int(at / 4)
		n := min(piece, (int(at%4)+len(dst)+3)/4)
		values = values[:n]
		if err := v.ReadFloat32s(name, first, values); err != nil {
			return err
		}
		raw = raw[:0]
		for _, x := range values {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
		}
		copied := copy(dst, raw[at%4:])
		dst, at = dst[copied:], at+int64(copied)
	}
	return nil
}

// Inner is the file that a view shows, as it is stored: below other names, and below the values of codes.
func Inner(f File) File {
	for {
		v, ok := f.(interface{ Unwrap() File })
		if !ok {
			return f
		}
		f = v.Unwrap()
	}
}
