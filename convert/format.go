package convert

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/own"
)

// The formats that are written.
const (
	ToSafetensors = "safetensors" // one file
	ToSharded     = "sharded"     // a folder of safetensors files with an index
	ToGGUF        = "gguf"        // one file
	ToNPZ         = "npz"         // one file of NumPy arrays
)

// Options says what Format writes.
type Options struct {
	// To is the format: "safetensors", "sharded", "gguf" or "npz".
	To string `json:"to"`

	// Type is the type of the weights: "" keeps what each tensor has, as near as the format can; F64, F32, F16 and BF16 for
	// safetensors; F32, F16 and F64 for npz; for GGUF also BF16 and the block types Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K and Q6_K.
	// Integers stay as they are. In GGUF, vectors stay F32, and tensors whose rows are not a multiple of a block take the nearest
	// type that fits.
	Type string `json:"type,omitempty"`

	MaxShard  int64  `json:"max_shard,omitempty"`  // bytes of tensor data per shard, for "sharded"; 0 means 5 GB
	Name      string `json:"name,omitempty"`       // general.name of a GGUF file; "" means the name of the input's folder
	Compress  bool   `json:"compress,omitempty"`   // deflate the arrays of an npz file
	KeepNames bool   `json:"keep_names,omitempty"` // do not translate the names of a llama between GGUF and Hugging Face

	Progress func(done, total int64) `json:"-"` // bytes read; may be nil
	Registry own.Registry            `json:"-"` // of RunBundle: what bundle.Open takes
	Warn     func(text string)       `json:"-"` // before anything is written, what programs will miss in a GGUF file that is meant to be run, and why; may be nil
}

// Result says what Format did.
type Result struct {
	From       weights.Kind `json:"from"`
	To         string       `json:"to"`
	Output     string       `json:"output"` // file, or folder for shards
	Tensors    []Tensor     `json:"tensors"`
	Overflowed int          `json:"overflowed"` // finite values that became infinite in the narrower type
	Bytes      int64        `json:"bytes"`      // of the weights written
	Files      []string     `json:"files"`      // config, tokenizer and card that were copied along
	Remarks    []string     `json:"remarks"`    // what a user should know
}

// Tensor describes how one tensor was written.
type Tensor struct {
	From       string `json:"from"` // name in the input
	To         string `json:"to"`   // name in the output
	FromType   string `json:"from_type"`
	ToType     string `json:"to_type"`
	Shape      []int  `json:"shape"`
	Overflowed int    `json:"overflowed,omitempty"`
	Remark     string `json:"remark,omitempty"`
}

// Format writes the tensors of a model file, of any kind that format/weights opens, in another format. Memory stays at a few
// pieces of a tensor whatever the size. The output is written atomically, so a killed conversion can simply be run
// again.
//
// The metadata go along, and come back when a file is converted back: GGUF's keys are in safetensors' and npz's metadata as
// "gguf.KEY", others in GGUF as "safetensors.KEY". When the output is a folder, so do config, tokenizer, card and licence.
// Decoders (see format/decoder) go to GGUF and back with the names, the layout, the keys and the tokenizer that programs have for them; what the
// other side cannot say is refused by name. Tensors of other models keep their names.
func Format(ctx context.Context, in, out string, o Options) (Result, error) {
	f, err := openInput(in, o)
	if err != nil {
		return Result{}, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	p, err := newPlan(f, in, o)
	if err != nil {
		return Result{}, err
	}
	file, folder := outputPath(out, o.To)
	if err := clear(f.Path(), file, folder); err != nil {
		return Result{}, err
	}
	if folder != "" && p.dir != "" {
		if err := hf.CheckCompanions(p.dir); err != nil {
			return Result{}, err
		}
	}
	p.ctx = ctx
	if folder == "" {
		err = p.write(file)
	} else {
		err = durable.WriteDir(folder, durable.Marked(false), func(tmp string) error {
			if err := p.write(filepath.Join(tmp, filepath.Base(file))); err != nil {
				return err
			}
			return p.companions(tmp)
		})
	}
	if err != nil {
		return Result{}, err
	}
	p.result.Output = out
	if folder == "" && p.dir != "" {
		if names, err := hf.Companions(p.dir); err == nil && len(names) > 0 {
			p.remark("%s stay in %s; give --out a folder to have them along", printable.Line(strings.Join(names, ", ")), printable.Line(p.dir))
		}
	}
	return p.result, nil
}

// outputPath tells the file to write, and the folder it stands in if that is made for it: a path with the format's ending is a
// file, any other a folder.
func outputPath(out, to string) (file, folder string) {
	switch to {
	case ToSharded:
		return filepath.Join(out, "model.safetensors.index.json"), out
	case ToSafetensors, ToGGUF, ToNPZ:
		if strings.EqualFold(filepath.Ext(out), "."+to) {
			return out, ""
		}
	}
	return filepath.Join(out, "model."+to), out
}

// clear refuses outputs that would take something away.
func clear(in, file, folder string) error {
	if folder != "" { // durable.WriteDir refuses others
		return nil
	}
	a, err1 := os.Stat(in)
	b, err2 := os.Stat(file)
	if err1 == nil && err2 == nil && os.SameFile(a, b) {
		return &fault.Usage{Err: fmt.Errorf("convert: %s is the input; name another output", file)}
	}
	if err2 == nil && b.IsDir() {
		return &fault.Usage{Err: fmt.Errorf("convert: %s is a folder; name a file", file)}
	}
	return nil
}

// Claim takes the output of Format for this process before the work begins, so that nothing is converted in vain: what is there is
// refused unless overwrite is set and, for a folder, Ballast wrote all it holds. Call release after Format.
func Claim(out, to string, overwrite bool) (release func() error, err error) {
	var c *durable.Claim
	if file, folder := outputPath(out, to); folder != "" {
		c, err = durable.ClaimDir(folder, durable.Marked(overwrite))
	} else {
		c, _, err = durable.ClaimFile(file, durable.Permit{Overwrite: overwrite})
	}
	return c.Release, err
}

// Validate says what is wrong with the format or the type, before anything is read: a *fault.Usage.
func (o Options) Validate() error { return o.check() }

// check refuses options that mean nothing.
func (o Options) check() error {
	types := map[string][]string{
		ToSafetensors: {"", "F64", "F32", "F16", "BF16"}, ToSharded: {"", "F64", "F32", "F16", "BF16"}, ToNPZ: {"", "F64", "F32", "F16"},
		ToGGUF: append([]string{"", "F64", "F32", "F16", "BF16"}, blockTypes...),
	}
	allowed, ok := types[o.To]
	if !ok {
		return &fault.Usage{Err: fmt.Errorf("convert: format %q cannot be written; use safetensors, sharded, gguf or npz%s", o.To, meant(o.To, []string{ToSafetensors, ToSharded, ToGGUF, ToNPZ}))}
	}
	if o.MaxShard < 0 {
		return &fault.Usage{Err: fmt.Errorf("convert: a shard of %d bytes; use more than 0, or 0 for 5 GB", o.MaxShard)}
	}
	for _, t := range allowed {
		if t == o.Type {
			return nil
		}
	}
	if o.To != ToGGUF {
		for _, t := range blockTypes {
			if t == o.Type {
				return &fault.Usage{Err: fmt.Errorf("convert: %s has no type %s; use --to gguf, or one of %s", o.To, o.Type, strings.Join(allowed[1:], ", "))}
			}
		}
	}
	return &fault.Usage{Err: fmt.Errorf("convert: type %q cannot be written to %s; use one of %s%s", o.Type, o.To, strings.Join(allowed[1:], ", "), meant(strings.ToUpper(o.Type), allowed[1:]))}
}

// meant names the nearest known word.
func meant(word string, known []string) string {
	if near, ok := strict.Nearest(word, known); ok {
		return fmt.Sprintf(" (did you mean %s?)", near)
	}
	return ""
}

func (o Options) shard() int64 {
	if o.MaxShard > 0 {
		return o.MaxShard
	}
	return safetensors.MaxShard
}
