package signature

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/strict"
)

// The quantizers of signatures.
const (
	QuantizeNone   = "none"   // float32
	QuantizeLinear = "linear" // levels evenly spaced from the least to the largest value
	QuantizeTanh   = "tanh"   // evenly spaced in tanh(v): finer around 0
	QuantizeLog    = "log"    // sign and log2|v| on levels/2 evenly spaced values; 0 stays 0
)

// Quantizers are their names.
func Quantizers() []string {
	return []string{QuantizeNone, QuantizeLinear, QuantizeTanh, QuantizeLog}
}

// maxLevels is the most that a code of 16 bits can tell apart, one kept for 0.
const maxLevels = 1<<16 - 1

// CheckQuantizer refuses the name of a quantizer that there is none of.
func CheckQuantizer(kind string) error {
	if slices.Contains(Quantizers(), kind) {
		return nil
	}
	text := "use none, linear, tanh or log"
	if near, ok := strict.Nearest(kind, Quantizers()); ok {
		text = fmt.Sprintf("did you mean %q?", near)
	}
	return &fault.Usage{Err: fmt.Errorf("merge: signature: no quantizer %q; %s", kind, text)}
}

// CheckLevels refuses a number of levels that no signature can have.
func CheckLevels(levels int) error {
	if levels < 2 || levels > maxLevels {
		return &fault.Usage{Err: fmt.Errorf("merge: signature: %d levels; use 3 to %d", levels, maxLevels)}
	}
	return nil
}

// packedTensor is a quantized tensor: a code for each value, packed.
type packedTensor struct {
	low, high float64 // what the codes span, in v, tanh(v) or log2|v|
	zeros     bool    // log: code 2 (levels/2) stands for 0
	data      []byte  // the codes, see packCodes
}

// Quantize rounds signatures to a number of levels a tensor (levels, not bits):
//
//	linear   q = round((v - min)/(max - min) (L-1))/(L-1) (max - min) + min
//	tanh     the same of tanh(v), and atanh of it
//	log      sign(v) 2^q, q the same of log2|v| with L/2 levels; 0 stays 0
//
// min and max are those of the tensor over all the signatures, so that several that are used together share their levels. Fewer
// than 3 levels cannot hold 0, and are refused; 2 are allowed where min = -max. The signatures given stay as they are.
func Quantize(kind string, levels int, signatures ...Signature) ([]Signature, error) {
	if err := CheckQuantizer(kind); err != nil {
		return nil, err
	}

	if len(signatures) == 0 {
		return nil, errors.New("merge: signature: there is none to quantize")
	}
	out := make([]Signature, len(signatures))
	for i, s := range signatures {
		if err := signatures[0].Tensors.SameLayout(signatureName(signatures[0]), s.Tensors, signatureName(s)); err != nil {
			return nil, err
		}
		if err := s.Tensors.Finite(signatureName(s)); err != nil {
			return nil, err
		}
		out[i] = s
		out[i].Tensors, out[i].packed = s.Tensors.Clone(), nil
	}

	if kind == QuantizeNone {
		return out, nil
	}
	if err := CheckLevels(levels); err != nil {
		return nil, err
	}
	for t := range out[0].Tensors {
		p := packedTensor{low: math.Inf(1), high: math.Inf(-1)}
		for _, s := range out {
			for _, v := range s.Tensors[t].Values {
				if kind == QuantizeLog && v == 0 {
					p.zeros = true
					continue
				}
				x := quantizerSpace(kind, float64(v))
				p.low, p.high = math.Min(p.low, x), math.Max(p.high, x)
			}
		}
		if p.low > p.high { // no value at all, or zeros alone
			p.low, p.high = 0, 0
		}
		if levels == 2 && (kind == QuantizeLog || p.low != -p.high) {
			return nil, &fault.Usage{Err: fmt.Errorf("merge: signature: 2 levels cannot hold %s, whose values run from %v to %v; use 3 or more", out[0].Tensors[t].Name, p.low, p.high)}
		}
		for i := range out {
			q := p
			values := out[i].Tensors[t].Values
			codes := make([]uint32, len(values))
			for j, v := range values {
				codes[j] = q.encode(kind, levels, float64(v))
				values[j] = float32(q.decode(kind, levels, codes[j]))
			}
			_, distinct := quantizerSteps(kind, levels, q.zeros)
			q.data = packCodes(codes, codeBits(distinct))
			if slices.ContainsFunc(values, func(v float32) bool { return v-v != 0 }) {
				return nil, &fault.Usage{Err: fmt.Errorf("merge: signature: values of %s are too large for the quantizer %s; use linear", out[i].Tensors[t].Name, kind)}
			}
			out[i].packed = append(out[i].packed, q)
		}
	}

	for i := range out {
		out[i].Quantizer, out[i].Levels = kind, levels
		out[i].ID = out[i].contentID()
	}
	return out, nil
}

// Quantize rounds one signature; see Quantize.
func (s Signature) Quantize(kind string, levels int) (Signature, error) {
	out, err := Quantize(kind, levels, s)
	if err != nil {
		return Signature{}, err
	}
	return out[0], nil
}

func quantizerSpace(kind string, v float64) float64 {
	switch kind {
	case QuantizeTanh:
		return math.Tanh(v)
	case QuantizeLog:
		return math.Log2(math.Abs(v))
	}
	return v
}

// steps is the number of evenly spaced values, and codes that of all codes.
func quantizerSteps(kind string, levels int, zeros bool) (steps, codes int) {
	if kind != QuantizeLog {
		return levels, levels
	}
	steps = levels / 2
	codes = 2 * steps
	if zeros {
		codes++
	}
	return steps, codes
}

func (p packedTensor) encode(kind string, levels int, v float64) uint32 {
	steps, _ := quantizerSteps(kind, levels, p.zeros)
	if kind == QuantizeLog && v == 0 {
		return uint32(2 * steps)
	}
	code := uint32(0)
	if p.high > p.low && steps > 1 {
		code = uint32(math.RoundToEven((quantizerSpace(kind, v) - p.low) / (p.high - p.low) * float64(steps-1)))
	}
	if kind == QuantizeLog && v < 0 {
		code += uint32(steps)
	}
	return code
}

func (p packedTensor) decode(kind string, levels int, code uint32) float64 {
	steps, _ := quantizerSteps(kind, levels, p.zeros)
	sign := 1.0
	if kind == QuantizeLog {
		if code == uint32(2*steps) {
			return 0
		}
		if code >= uint32(steps) {
			code, sign = code-uint32(steps), -1
		}
	}
	q := p.low
	if steps > 1 {
		q = float64(code)/float64(steps-1)*(p.high-p.low) + p.low
	}
	switch kind {
	case QuantizeTanh:
		return math.Atanh(q)
	case QuantizeLog:
		return sign * math.Exp2(q)
	}
	return q
}

// codeBits is the width of a code.
func codeBits(codes int) int { return max(1, bits.Len(uint(codes-1))) }

// packCodes puts codes of a width after one another, the lowest bits first.
func packCodes(codes []uint32, width int) []byte {
	out := make([]byte, (len(codes)*width+7)/8)
	for i, c := range codes {
		for b := range width {
			if c>>b&1 == 1 {
				at := i*width + b
				out[at/8] |= 1 << (at % 8)
			}
		}
	}
	return out
}

// codeAt is the i-th code of packed ones.
func codeAt(data []byte, i, width int) uint32 {
	code := uint32(0)
	for b := range width {
		at := i*width + b
		if data[at/8]>>(at%8)&1 == 1 {
			code |= 1 << b
		}
	}
	return code
}
