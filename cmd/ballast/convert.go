package main

import (
	"fmt"
	"math/rand/v2"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/convert"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/subject"
)

// convertFlags are the flags of "ballast convert".
type convertFlags struct {
	foldNorms  bool
	overwrite  bool
	data, part string
	out        string
	examples   int
	format     formatFlags
}

func newConvert(a *app) *cobra.Command {
	f := convertFlags{}
	cmd := &cobra.Command{
		Use:   "convert MODEL --to FORMAT --out PATH",
		Short: "Write a model in another format or type, or with its norms folded away",
		Long: `Convert writes a copy of a model. With --to, the tensors of a model file of any kind (safetensors, shards, GGUF, npz, PyTorch,
TensorFlow.js, ONNX, a bundle's weights) are written as safetensors, sharded, gguf or npz, and with --type in another type.
Values are rounded to nearest, ties to even; finite values that become infinite are counted. Metadata are kept, and when --out is a
folder, so are config, tokenizer and card. With --check both models are read again and the largest difference of each tensor is compared
with what rounding to its type allows: the exit code is 4 when one is larger; a bundle is also run with both sets of weights. Memory stays
small whatever the size of the model. The output appears complete or not at all.

With --fold-norms, normalisation that is a scale and an offset at inference (batch, ghost, estimated, unified, and power without group
scaling) is folded into the layers before it, and standardised kernels become plain ones. The copy and the model are run on the same
batch, and the largest difference is reported. Of an ONNX file, batch norms are folded into the convolution or the matrix product before
them; the copy says how many, and how many stay and why.`,
		Example: `  ballast convert model/ --to gguf --type Q8_0 --out model.gguf --check
  ballast convert checkpoint.pth --to safetensors --type F16 --out checkpoint.safetensors
  ballast convert model.gguf --to sharded --max-shard 2000000000 --out model/
  ballast convert runs/model/model --fold-norms --out runs/model/folded
  ballast convert runs/model/model --fold-norms --data mnist --out runs/model/folded --json
  ballast convert model.onnx --fold-norms --out folded.onnx`,
		Args: usageArgs(cobra.ExactArgs(1)),
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.foldNorms, "fold-norms", false, "fold normalisation into the layers before it")
	flags.StringVar(&f.data, "data", "", "data set whose first examples the two models are compared on (default: random numbers)")
	flags.StringVar(&f.part, "part", "test", "part of the data set: train, test or all")
	flags.StringVar(&f.out, "out", "", "where to write the copy: a folder, or with --to a file with the format's ending")
	flags.StringVar(&f.format.To, "to", "", "format to write: safetensors, sharded, gguf or npz")
	flags.StringVar(&f.format.Type, "type", "", "type of the weights: F64, F32, F16, BF16; for gguf also Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K (default as they are)")
	flags.Int64Var(&f.format.MaxShard, "max-shard", 0, "bytes of tensors per shard, with --to sharded (default 5 GB)")
	flags.BoolVar(&f.format.Compress, "compress", false, "deflate the arrays, with --to npz")
	flags.BoolVar(&f.format.KeepNames, "keep-names", false, "keep the names of a llama's tensors between GGUF and Hugging Face")
	flags.BoolVar(&f.format.check, "check", false, "read the model and the copy again and compare them, with --to")
	overwriteFlag(cmd, &f.overwrite)
	flags.IntVar(&f.examples, "examples", 64, "number of examples to compare the two models on")
	cmd.RunE = func(c *cobra.Command, args []string) error {
		path, err := data.ModelPath(args[0])
		if err != nil {
			return err
		}
		if err := f.idle(c, path); err != nil {
			return err
		}
		if f.format.To != "" {
			if f.foldNorms {
				return &fault.Usage{Err: fmt.Errorf("give --to or --fold-norms, not both")}
			}
			if f.examples < 1 {
				return &fault.Usage{Err: fmt.Errorf("give at least 1 of --examples")}
			}
			if f.out == "" {
				return &fault.Usage{Err: fmt.Errorf("give --out, a file or a folder to write")}
			}
			claim := func() (func() error, error) { return convert.Claim(f.out, f.format.To, f.overwrite) }
			return claimed(claim, func() error { return a.convertFormat(c.Context(), path, f) })
		}
		if !f.foldNorms || f.out == "" || f.examples < 1 {
			return &fault.Usage{Err: fmt.Errorf("give --to and --out; or --fold-norms, --out, and at least 1 of --examples")}
		}
		if kind, graph, err := subject.Find(path); err == nil && kind == subject.OfONNX {
			if err := graphOut("--out", path, f.out); err != nil {
				return err
			}
			return claimed(claimFile(f.out, f.overwrite), func() error { return a.foldGraph(c.Context(), graph, f) })
		}
		return claimed(claimBundle(f.out, f.overwrite), func() error { return a.foldNorms(path, f) })
	}
	return cmd
}

// idle refuses flags of the other way to convert, and of another format.
func (f convertFlags) idle(cmd *cobra.Command, path string) error {
	if err := knownData(f.data, f.part); err != nil {
		return err
	}
	if f.format.To != "" {
		if err := f.format.Validate(); err != nil {
			return err
		}
	}
	if f.data == "" {
		if err := idle(cmd, "without --data", "part"); err != nil {
			return err
		}
	} else if err := idle(cmd, "with --data, whose first examples are compared on", "seed"); err != nil {
		return err
	}
	if f.format.To == "" {
		return idle(cmd, "without --to", "type", "max-shard", "compress", "keep-names", "check")
	}
	if f.format.To != convert.ToSharded {
		if err := idle(cmd, "without --to sharded", "max-shard"); err != nil {
			return err
		}
	}
	if f.format.To != convert.ToNPZ {
		if err := idle(cmd, "without --to npz", "compress"); err != nil {
			return err
		}
	}
	if f.format.check && convert.IsBundle(path) {
		return nil // both are run
	}
	return idle(cmd, "with --to, but for a bundle with --check", "data", "part", "examples", "seed", "engine")
}

// foldNorms writes a copy of a bundle without its norms.
func (a *app) foldNorms(path string, f convertFlags) error {
	b, err := bundle.Open(path)
	if err != nil {
		return err
	}
	folded, report, err := convert.FoldNorms(b)
	if err != nil {
		return &fault.Input{File: path, Err: err}
	}

	x, n, err := f.inputs(b, a.seed)
	if err != nil {
		return err
	}
	e, err := a.openEngineFor(passesOf(n, b, folded))
	if err != nil {
		return err
	}
	defer e.Close()
	if err := report.Compare(e, b, folded, x, n); err != nil {
		return err
	}

	if err := folded.Save(f.out); err != nil {
		return err
	}
	a.remark("written: %s", f.out)
	if a.json {
		return a.printJSON(report)
	}
	_, err = fmt.Fprintf(a.out, "%d norms folded, %d kernels standardised for good\nlargest change of a logit %.3g, largest logit %.3g, on %d examples\n",
		len(report.Norms), len(report.Standardized), report.LargestChange, report.LargestLogit, report.ExamplesTested)
	return err
}

// inputs are the examples to compare on.
func (f convertFlags) inputs(b *bundle.Bundle, seed uint64) (x []float32, n int, err error) {
	size := 1
	for _, d := range b.Manifest.InputShape {
		size *= d
	}
	if f.data == "" {
		r := rand.New(rand.NewPCG(seed, 1))
		x = make([]float32, f.examples*size)
		for i := range x {
			x[i] = r.Float32()
		}
		return x, f.examples, nil
	}
	ds, err := data.Open(f.data, f.part)
	if err != nil {
		return nil, 0, err
	}
	if ds.Info().Size() != size {
		return nil, 0, usagef("convert: examples of %s have shape %v, the model takes %v", f.data, ds.Info().Shape, b.Manifest.InputShape)
	}
	n = min(f.examples, ds.Len())
	x = make([]float32, n*size)
	for i := range n {
		if err := ds.Read(i, x[i*size:(i+1)*size]); err != nil {
			return nil, 0, err
		}
	}
	return x, n, nil
}
