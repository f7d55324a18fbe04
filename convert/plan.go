package convert

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/decoder"
	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/printable"
)

// plan is what becomes of each tensor, before anything is read.
type plan struct {
	ctx        context.Context
	options    Options
	file       weights.File
	dir        string          // folder that the input stands in, if it is a model's folder
	config     *hf.Config      // of that folder, nil if there is none
	view       *weights.View   // the file as the other side has its tensors; nil where they are taken as they are
	decoder    *decoder.Config // what both sides know of the model; nil where it is none that both know
	configured bool            // all of it, not its names alone
	tensors    []planned
	meta       map[string]string
	total      int64 // bytes of the input's tensors
	done       int64
	leftOut    []string // why the tokenizer of the folder does not go into a GGUF file
	result     Result
}

// planned is one tensor on its way.
type planned struct {
	from   weights.Info
	name   string
	to     string // type in the output, in safetensors' and GGUF's words
	raw    bool   // the bytes are copied as they stand
	remark string
	over   int // filled in while writing
}

// canonical gives the types of other formats in safetensors' words.
var canonical = map[string]string{
	"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
	"uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64", "bool": "BOOL", "complex64": "C64",
	"float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e4m3fnuz": "F8_E4M3FNUZ", "float8_e5m2fnuz": "F8_E5M2FNUZ", "float8_e8m0fnu": "F8_E8M0",
	"FLOAT": "F32", "DOUBLE": "F64", "FLOAT16": "F16", "BFLOAT16": "BF16", "INT64": "I64", "INT32": "I32", "INT16": "I16", "INT8": "I8",
	"UINT8": "U8", "UINT16": "U16", "UINT32": "U32", "UINT64": "U64", "FLOAT8E4M3FN": "F8_E4M3", "FLOAT8E5M2": "F8_E5M2",
	"FLOAT8E4M3FNUZ": "F8_E4M3FNUZ", "FLOAT8E5M2FNUZ": "F8_E5M2FNUZ", "FLOAT8E8M0": "F8_E8M0", "COMPLEX64": "C64",
	"UINT4": "U8", "INT4": "I8", "UINT2": "U8", "INT2": "I8", "FLOAT4E2M1": "F32", // unpacked, which no value changes by
}

// belowByte are the types of ONNX of less than a byte, of which no other format keeps whole numbers.
var belowByte = map[string]bool{"UINT4": true, "INT4": true, "UINT2": true, "INT2": true, "FLOAT4E2M1": true}

// typeOf is the type of a tensor in safetensors' words. raw tells whether its stored bytes are of that type; packed and
// quantised types are F32 once they are read.
func typeOf(i weights.Info) (t string, raw bool) {
	t = i.Type
	if c, ok := canonical[t]; ok {
		t = c
	}
	if bits := safetensors.DType(t).Bits(); bits > 0 {
		// ONNX keeps some types in fields of other widths, which have no bytes in one piece.
		return t, bits%8 != 0 || i.BlockBytes*8 == bits*i.Block
	}
	if strings.HasPrefix(t, "int32(") {
		return "I32", false
	}
	return "F32", false
}

// isFloat tells whether a type holds fractions.
func isFloat(t string) bool {
	switch t {
	case "F64", "F32", "F16", "BF16":
		return true
	}
	return strings.HasPrefix(t, "F8")
}

// newPlan looks at the whole input and decides.
func newPlan(f weights.File, in string, o Options) (*plan, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	p := &plan{options: o, file: f, meta: f.Metadata(), result: Result{From: f.Kind(), To: o.To, Tensors: []Tensor{}, Files: []string{}, Remarks: []string{}}}
	p.dir = filepath.Dir(f.Path())
	if stat, err := os.Stat(in); err == nil && stat.IsDir() {
		p.dir = in
	}
	if p.dir == in || exists(filepath.Join(p.dir, hf.ConfigFile)) {
		// Before anything is written: a folder may hold links to files that are not its own.
		if _, err := hf.Companions(p.dir); err != nil {
			return nil, err
		}
	}
	if path := filepath.Join(p.dir, hf.ConfigFile); exists(path) {
		var err error
		if p.config, err = hf.LoadConfig(path); err != nil {
			return nil, err
		}
	} else if p.dir != in {
		p.dir = "" // a file among others: nothing beside it need belong to it
	}
	if err := p.said(); err != nil {
		return nil, err
	}
	if err := p.findDecoder(); err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, info := range p.file.Tensors() {
		t, err := p.tensor(info)
		if err != nil {
			return nil, err
		}
		if other, twice := names[t.name]; twice {
			return nil, &fault.Input{File: f.Path(), Field: info.Name, Err: fmt.Errorf("%s and it would both be named %s", printable.Line(other), printable.Line(t.name)), Fix: "convert with --keep-names"}
		}
		names[t.name] = info.Name
		p.tensors = append(p.tensors, *t)
		p.total += info.Bytes
	}
	if len(p.tensors) == 0 {
		return nil, &fault.Input{File: f.Path(), Err: fmt.Errorf("it holds no tensors that can be written")}
	}
	return p, nil
}

// tensor decides about one tensor.
func (p *plan) tensor(info weights.Info) (*planned, error) {
	if err := weights.Readable(p.file, info); err != nil {
		return nil, err
	}
	t := &planned{from: info, name: info.Name}
	from, raw := typeOf(info)
	theirs := strings.ToLower(info.Type)
	if from == "C64" || strings.HasPrefix(theirs, "complex") || theirs == "string" {
		if !raw || p.options.To == ToGGUF {
			return nil, &fault.Input{File: p.file.Path(), Field: info.Name, Err: fmt.Errorf("type %s cannot be written to %s", info.Type, p.options.To), Fix: "take it out of the model first"}
		}
	}
	want := p.options.Type
	if want == "" || !isFloat(from) {
		want = from
		if !raw && !isFloat(info.Type) && p.options.Type == "" && from == "F32" && (info.Block > 1 || strings.HasPrefix(theirs, "q")) {
			t.remark = info.Type + " is unpacked"
		}
	}
	t.to, t.raw = want, raw && want == from
	switch p.options.To {
	case ToNPZ:
		if err := p.forNPZ(t, from); err != nil {
			return nil, err
		}
	case ToGGUF:
		if err := p.forGGUF(t, from); err != nil {
			return nil, err
		}
	}
	if belowByte[info.Type] {
		t.remark = fmt.Sprintf("%s is unpacked to %s", info.Type, t.to)
	}
	if safetensors.DType(from).Bits()%8 != 0 && !t.raw {
		return nil, &fault.Input{File: p.file.Path(), Field: info.Name, Err: fmt.Errorf("type %s cannot be written to %s", info.Type, p.options.To), Fix: "use --to safetensors without --type"}
	}
	return t, nil
}

// forNPZ takes the nearest type that NumPy has.
func (p *plan) forNPZ(t *planned, from string) error {
	if t.to == "BF16" || strings.HasPrefix(t.to, "F8") {
		t.to, t.raw = "F32", false
		t.remark = fmt.Sprintf("NumPy has no %s, its values are F32", from)
	}
	if npyTypes[t.to] == "" {
		return &fault.Input{File: p.file.Path(), Field: t.from.Name, Err: fmt.Errorf("type %s cannot be written to npz", t.from.Type), Fix: "take it out of the model first, or use --to safetensors"}
	}
	return nil
}

// remark keeps one line for the user.
func (p *plan) remark(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(p.result.Remarks, text) {
		p.result.Remarks = append(p.result.Remarks, text)
	}
}

// step counts bytes that were read, and stops when the caller wants it.
func (p *plan) step(n int64) error {
	p.done += n
	if p.options.Progress != nil {
		p.options.Progress(p.done, p.total)
	}
	return context.Cause(p.ctx)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
