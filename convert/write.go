package convert

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/printable"
)

// write writes the weights and fills in the result.
func (p *plan) write(file string) error {
	if p.ctx == nil {
		p.ctx = context.Background()
	}
	var err error
	switch p.options.To {
	case ToSafetensors:
		var meta map[string]string
		if meta, err = p.safetensorsMeta(); err == nil {
			err = safetensors.WriteFile(file, p.safetensors(), meta)
		}
	case ToSharded:
		var meta map[string]string
		if meta, err = p.safetensorsMeta(); err == nil {
			err = safetensors.WriteSharded(filepath.Dir(file), p.safetensors(), meta, p.options.shard())
		}
	case ToNPZ:
		err = p.writeNPZ(file)
	case ToGGUF:
		err = p.writeGGUF(file)
	}
	if err != nil {
		return err
	}
	p.finish(file)
	return nil
}

// finish describes what was written.
func (p *plan) finish(file string) {
	r := &p.result
	unpacked := map[string]int{}
	for i := range p.tensors {
		t := &p.tensors[i]
		r.Tensors = append(r.Tensors, Tensor{From: p.origin(t), To: t.name, FromType: t.from.Type, ToType: t.to, Shape: t.from.Shape, Overflowed: t.over, Remark: t.remark})
		r.Overflowed += t.over
		r.Bytes += int64(encodedSize(t.to, t.from.Elements))
		if t.remark != "" {
			unpacked[t.remark]++
		}
	}
	for _, remark := range slices.Sorted(maps.Keys(unpacked)) {
		p.remark("%s (%d tensors)", remark, unpacked[remark])
	}
	if r.Overflowed > 0 {
		p.remark("%d finite values are too large for %s and became infinite", r.Overflowed, p.options.Type)
	}
	if stat, err := os.Stat(file); err == nil && p.options.To != ToSharded {
		r.Bytes = stat.Size()
	}
}

// safetensors lists the tensors for the writer, which asks for each one's bytes in its turn.
func (p *plan) safetensors() []safetensors.Tensor {
	out := make([]safetensors.Tensor, len(p.tensors))
	for i := range p.tensors {
		t := &p.tensors[i]
		out[i] = safetensors.Tensor{Name: t.name, DType: safetensors.DType(t.to), Shape: t.from.Shape, Open: func() (io.Reader, error) { return p.open(t), nil }}
	}
	return out
}

// safetensorsMeta are the metadata of the output. Hugging Face's loaders ask for "format".
func (p *plan) safetensorsMeta() (map[string]string, error) {
	meta, err := p.carried()
	if err != nil {
		return nil, err
	}
	if meta["format"] == "" || p.result.From != weights.Safetensors && p.result.From != weights.Sharded {
		meta["format"] = "pt"
	}
	return meta, nil
}

// carried are the input's metadata for formats of text alone.
func (p *plan) carried() (map[string]string, error) {
	meta := map[string]string{}
	if p.result.From == weights.GGUF {
		return p.carryFromGGUF(), nil
	}
	prefix := ""
	switch p.result.From {
	case weights.PyTorch, weights.TFJS, weights.ONNX:
		prefix = string(p.result.From) + "."
	}
	for key, value := range p.meta {
		meta[prefix+key] = value
	}
	return meta, nil
}

// npyTypes are the types of the output in NumPy's words.
var npyTypes = map[string]npy.DType{"F64": npy.Float64, "F32": npy.Float32, "F16": npy.Float16, "I64": npy.Int64, "I32": npy.Int32, "I16": npy.Int16, "I8": npy.Int8,
	"U64": npy.Uint64, "U32": npy.Uint32, "U16": npy.Uint16, "U8": npy.Uint8, "BOOL": npy.Bool,
	"C64": npy.Complex64}

func (p *plan) writeNPZ(file string) error {
	var members []npy.Member
	for i := range p.tensors {
		t := &p.tensors[i]
		if t.name == weights.MetadataArray {
			return fmt.Errorf("convert: %s: a tensor may not have the name %s, which stands for the metadata; rename it", file, t.name)
		}
		members = append(members, npy.Member{Name: t.name, DType: npyTypes[t.to], Shape: t.from.Shape, Open: func() (io.Reader, error) { return p.open(t), nil }})
	}
	meta, err := p.carried()
	if err != nil {
		return err
	}
	if len(meta) > 0 {
		text, err := json.Marshal(meta)
		if err != nil {
			return fmt.Errorf("convert: metadata: %w", err)
		}
		members = append(members, npy.Member{Name: weights.MetadataArray, DType: npy.Uint8, Shape: []int{len(text)}, Open: func() (io.Reader, error) { return strings.NewReader(string(text)), nil }})
	}
	return npy.WriteArchiveFile(file, members, p.options.Compress)
}

// retypeConfig writes the folder's config.json where the copy is not of the type that the input's says, or no longer quantised: loaders
// take a config's word for it.
func (p *plan) retypeConfig(to string) error {
	if p.config == nil {
		return nil
	}
	dtype := ""
	if p.options.To == ToSafetensors || p.options.To == ToSharded {
		dtype = torchTypes[p.options.Type]
	}
	if _, values := weights.AsDequantised(p.file); dtype == "" && !values { // codes stay codes, and the config says so
		return nil
	}
	text, err := hf.ReadCompanion(p.dir, hf.ConfigFile)
	if err != nil {
		return err
	}
	_, dropped, err := hf.Typed(text, dtype)
	if err != nil {
		return err
	}
	typed, _, err := hf.Typed(hf.WithoutKeys(text, dropped...), dtype)
	if err != nil || bytes.Equal(typed, text) {
		return err
	}

	if len(dropped) > 0 {
		p.remark("config.json goes without %s: the copy holds values, not codes", printable.Line(strings.Join(dropped, " and ")))
	}
	p.result.Files = append(p.result.Files, hf.ConfigFile)
	return durable.WriteFile(filepath.Join(to, hf.ConfigFile), func(w io.Writer) error {
		_, err := w.Write(typed)
		return err
	})
}

// companions copies config, tokenizer, card and licences into the output's folder.
func (p *plan) companions(to string) error {
	if err := p.retypeConfig(to); err != nil {
		return err
	}
	if p.dir != "" {
		names, err := hf.CopyCompanions(p.dir, to)
		p.result.Files = append(p.result.Files, names...)
		if err != nil {
			return err
		}
	}
	return p.writeConfig(to)
}
