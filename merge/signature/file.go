package signature

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// A signature file is a safetensors file. Under signature/NAME lie the values, F32, or the codes of a quantized tensor, U8, packed
// without gaps, the lowest bits first; under norms/NAME the norms that replace a model's. The metadata signatureKey holds a
// fileHeader.
const (
	signatureKey     = "ballast.signature"
	signatureVersion = 1
	signaturePrefix  = "signature/"
	replacedPrefix   = "norms/"
	maxSignatureFile = 1 << 31
)

type fileHeader struct {
	SchemaVersion int               `json:"schema_version"`
	ID            string            `json:"id"`
	Name          string            `json:"name,omitempty"`
	Norms         string            `json:"norms"`
	Quantizer     string            `json:"quantizer"`
	Levels        int               `json:"levels,omitempty"`
	Model         int               `json:"model_values,omitempty"`
	Tensors       []fileEntry       `json:"tensors"` // in order
	Replaced      []string          `json:"replaced,omitempty"`
	Metadata      map[string]string `json:"metadata,omitempty"`
}

type fileEntry struct {
	Name    string  `json:"name"`
	Shape   []int   `json:"shape"`
	Removed float64 `json:"removed"`
	Low     float64 `json:"low,omitempty"`
	High    float64 `json:"high,omitempty"`
	Zeros   bool    `json:"zeros,omitempty"`
}

// WriteTo writes the signature as a file's bytes.
func (s Signature) WriteTo(w io.Writer) (int64, error) {
	h := fileHeader{
		SchemaVersion: signatureVersion, ID: s.ID, Name: s.Name, Norms: s.Norms, Quantizer: s.Quantizer, Levels: s.Levels, Model: s.Model,
		Tensors: []fileEntry{}, Metadata: s.Metadata,
	}
	var list []safetensors.Tensor
	for i, t := range s.Tensors {
		e := fileEntry{Name: t.Name, Shape: append([]int{}, t.Shape...)}
		if i < len(s.Removed) {
			e.Removed = s.Removed[i]
		}
		if s.packed == nil {
			list = append(list, safetensors.FromFloat32s(signaturePrefix+t.Name, t.Shape, t.Values))
		} else {
			p := s.packed[i]
			e.Low, e.High, e.Zeros = p.low, p.high, p.zeros
			list = append(list, safetensors.Tensor{Name: signaturePrefix + t.Name, DType: safetensors.U8, Shape: []int{len(p.data)}, Data: p.data})
		}
		h.Tensors = append(h.Tensors, e)
	}

	for _, t := range s.Replaced {
		h.Replaced = append(h.Replaced, t.Name)
		list = append(list, safetensors.FromFloat32s(replacedPrefix+t.Name, t.Shape, t.Values))
	}

	text, err := json.Marshal(h)
	if err != nil {
		return 0, fmt.Errorf("merge: signature: %w", err)
	}
	count := &countingWriter{w: w}
	err = safetensors.Write(count, list, map[string]string{signatureKey: string(text)})
	return count.n, err
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// Save writes the signature to a file atomically.
func (s Signature) Save(path string) error {
	return durable.WriteFile(path, func(w io.Writer) error {
		_, err := s.WriteTo(w)
		return err
	})
}

// PackedSize is the number of bytes of the values in a file, without names.
func (s Signature) PackedSize() int64 {
	var n int64
	for i, t := range s.Tensors {
		if s.packed == nil {
			n += 4 * int64(len(t.Values))
			continue
		}
		n += int64(len(s.packed[i].data))
	}
	return n + 4*int64(s.Replaced.Size())
}

// Load reads a signature file.
func Load(path string) (Signature, error) {
	data, err := untrusted.ReadFilled(path, maxSignatureFile)
	var refused *untrusted.Error
	if errors.As(err, &refused) {
		return Signature{}, err
	}
	if err != nil {
		return Signature{}, &fault.Input{File: path, Err: err, Fix: `write one with "ballast signature extract"`}
	}
	return Parse(path, data)
}

// Parse reads a signature from a file's bytes; name is for messages.
func Parse(name string, data []byte) (Signature, error) {
	file, err := safetensors.Parse(data)
	if err != nil {
		return Signature{}, fmt.Errorf("%s: %w", name, err)
	}
	bad := func(field, format string, args ...any) (Signature, error) {
		return Signature{}, &fault.Input{File: name, Field: field, Err: fmt.Errorf(format, args...), Fix: "extract the signature again"}
	}

	text, ok := file.Metadata()[signatureKey]
	if !ok {
		return Signature{}, &fault.Input{File: name, Err: errors.New("this safetensors file is not a signature"), Fix: `write one with "ballast signature extract"`}
	}
	var h fileHeader
	if err := strict.Decode([]byte(text), &h); err != nil {
		return bad(signatureKey, "%w", err)
	}
	switch {
	case h.SchemaVersion != signatureVersion:
		return bad("schema_version", "it is %d, this build reads %d", h.SchemaVersion, signatureVersion)
	case !slices.Contains(Quantizers(), h.Quantizer):
		return bad("quantizer", "there is no %q", strict.Short(h.Quantizer))
	case h.Quantizer != QuantizeNone && (h.Levels < 2 || h.Levels > maxLevels), h.Quantizer == QuantizeNone && h.Levels != 0:
		return bad("levels", "they are %d", h.Levels)
	case (Robust{Layers: "all", Norms: h.Norms}).Validate() != nil:
		return bad("norms", "there is no %q", strict.Short(h.Norms))
	case len(h.Tensors) == 0:
		return bad("tensors", "there is none")
	case len(h.Tensors)+len(h.Replaced) != len(file.Names()):
		return bad("tensors", "the header names %d, the file holds %d", len(h.Tensors)+len(h.Replaced), len(file.Names()))
	}
	// Codes of one bit become values of 32, and the header may name a tensor twice: the whole is measured before any is made.
	whole := int64(0)
	for _, e := range h.Tensors {
		n, ok := untrusted.Product(math.MaxInt32, e.Shape...)
		if !ok {
			return bad(e.Name, "shape is %v", e.Shape)
		}
		whole += 4 * int64(n)
		if err := memory.Need(name, whole); err != nil {
			return Signature{}, err
		}
	}

	s := Signature{Name: h.Name, Norms: h.Norms, Quantizer: h.Quantizer, Levels: h.Levels, Model: h.Model, Metadata: maps.Clone(h.Metadata)}
	for _, e := range h.Tensors {
		t, p, err := readTensor(file, h, e)
		if err != nil {
			return bad(e.Name, "%w", err)
		}
		s.Tensors, s.Removed = append(s.Tensors, t), append(s.Removed, e.Removed)
		if h.Quantizer != QuantizeNone {
			s.packed = append(s.packed, p)
		}
	}

	for _, tensor := range h.Replaced {
		info, ok := file.Info(replacedPrefix + tensor)
		if !ok || info.DType != safetensors.F32 {
			return bad(tensor, "the norm is missing, or no F32")
		}
		values, err := file.Float32s(replacedPrefix + tensor)
		if err != nil {
			return bad(tensor, "%w", err)
		}
		s.Replaced = append(s.Replaced, weights.Tensor{Name: tensor, Shape: info.Shape, Values: slices.Clone(values)})
	}
	if err := errors.Join(s.Tensors.Finite(name), s.Replaced.Finite(name)); err != nil {
		return Signature{}, err
	}
	if s.ID = s.contentID(); s.ID != h.ID {
		return bad("id", "it is %s, the content is that of %s", strict.Short(h.ID), s.ID)
	}
	return s, nil
}

func readTensor(file *safetensors.File, h fileHeader, e fileEntry) (t weights.Tensor, p packedTensor, err error) {
	info, ok := file.Info(signaturePrefix + e.Name)
	if !ok {
		return t, p, errors.New("the header names it, the file has no such tensor")
	}
	n, ok := untrusted.Product(math.MaxInt32, e.Shape...)
	if !ok {
		return t, p, fmt.Errorf("shape is %s", strict.Short(fmt.Sprint(e.Shape)))
	}
	t = weights.Tensor{Name: e.Name, Shape: e.Shape}
	if h.Quantizer == QuantizeNone {
		if info.DType != safetensors.F32 || !slices.Equal(info.Shape, e.Shape) {
			return t, p, fmt.Errorf("it is %s %v, the header says F32 %v", info.DType, info.Shape, e.Shape)
		}
		values, err := file.Float32s(signaturePrefix + e.Name)
		t.Values = slices.Clone(values)
		return t, p, err
	}

	p = packedTensor{low: e.Low, high: e.High, zeros: e.Zeros}
	_, codes := quantizerSteps(h.Quantizer, h.Levels, p.zeros)
	width := codeBits(codes)
	if info.DType != safetensors.U8 || info.Elements != (n*width+7)/8 {
		return t, p, fmt.Errorf("%s %v does not hold %d codes of %d bits", info.DType, info.Shape, n, width)
	}
	if !(p.low <= p.high) || math.IsInf(p.low, 0) || math.IsInf(p.high, 0) {
		return t, p, fmt.Errorf("its values run from %v to %v", p.low, p.high)
	}
	data, err := file.Bytes(signaturePrefix + e.Name)
	if err != nil {
		return t, p, err
	}
	p.data = bytes.Clone(data)
	if spare := len(data)*8 - n*width; spare > 0 && data[len(data)-1]>>(8-spare) != 0 {
		return t, p, errors.New("bits behind the last code are set")
	}
	if _, err := untrusted.Bytes("signature tensor "+e.Name, 4, n); err != nil {
		return t, p, err
	}
	t.Values = make([]float32, n)
	for j := range t.Values {
		c := codeAt(data, j, width)
		if c >= uint32(codes) {
			return t, p, fmt.Errorf("code %d is %d, there are %d", j, c, codes)
		}
		t.Values[j] = float32(p.decode(h.Quantizer, h.Levels, c))
	}
	return t, p, nil
}
