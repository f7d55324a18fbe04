package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/zoo"
)

// runFlags are the flags of "ballast run".
type runFlags struct {
	inputs []string
	output string

	overwrite bool
	batch     int

	changedBatch bool
}

// runOutput is one array that a run gives.
type runOutput struct {
	Name  string    `json:"name"`
	Shape []int     `json:"shape"`
	DType npy.DType `json:"type"`
	bytes []byte    // elements, little endian
}

func newRun(a *app) *cobra.Command {
	f := runFlags{}
	cmd := &cobra.Command{
		Use:   "run MODEL --input [NAME=]x.npy --output y.npz",
		Short: "Run a model on arrays",
		Long: `Run computes a model's outputs for given inputs, both as NumPy arrays. A bundle has one input, input [n, shape of an example], in
the units of its data set, and returns logits and probabilities [n, classes]. An ONNX graph has the inputs and outputs that it names.`,
		Example: `  ballast run runs/model/model --input x.npy --output y.npz
  ballast run model.onnx --input input_ids=ids.npy --input attention_mask=mask.npy --output y.npz`,
		Args: usageArgs(cobra.ExactArgs(1)),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.inputs, "input", nil, "input: NAME=FILE.npy, or FILE.npy where the model has one input; repeat for several")
	flags.StringVar(&f.output, "output", "", "where to write the outputs (.npz)")
	flags.IntVar(&f.batch, "batch", 64, "examples per call, for bundles")
	overwriteFlag(cmd, &f.overwrite)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f.changedBatch = cmd.Flags().Changed("batch")
		if len(f.inputs) == 0 || filepath.Ext(f.output) != ".npz" || f.batch < 1 {
			return &fault.Usage{Err: fmt.Errorf("give --input, --output FILE.npz, and at least 1 of --batch")}
		}
		release, err := claimFile(f.output, f.overwrite)()
		if err != nil {
			return err
		}
		defer func() { _ = release() }() // the lock ends with the process at the latest
		arrays, err := openInputs(f.inputs)
		defer func() {
			for _, array := range arrays {
				array.Close() //nolint:errcheck // it was only read
			}
		}()
		if err != nil {
			return err
		}
		outputs, err := a.runModel(cmd.Context(), args[0], arrays, f)
		if err != nil {
			return err
		}
		var members []npy.Member
		for _, o := range outputs {
			members = append(members, npy.Member{Name: o.Name, DType: o.DType, Shape: o.Shape, Open: func() (io.Reader, error) { return bytes.NewReader(o.bytes), nil }})
		}
		if err := npy.WriteArchiveFile(f.output, members, false); err != nil {
			return err
		}
		a.remark("written: %s", f.output)
		if a.json {
			return a.printJSON(outputs)
		}
		for _, o := range outputs {
			fmt.Fprintf(a.out, "%s %s %v\n", printable.Line(o.Name), o.DType, o.Shape)
		}
		return nil
	}
	return cmd
}

// openInputs opens the arrays of --input by their names; "" is the one without a name.
func openInputs(flags []string) (map[string]*npy.Array, error) {
	arrays := map[string]*npy.Array{}
	for _, text := range flags {
		name, path, named := strings.Cut(text, "=")
		if _, err := os.Stat(text); !named || err == nil { // a path may hold a =
			name, path, named = "", text, false
		}
		if arrays[name] != nil || !named && len(flags) > 1 {
			return arrays, &fault.Usage{Err: fmt.Errorf("--input %s: with several inputs give each as NAME=FILE.npy, once", text)}
		}
		array, err := npy.Open(path)
		if err != nil {
			return arrays, err
		}
		arrays[name] = array
	}
	return arrays, nil
}

// runModel runs whatever can be run.
func (a *app) runModel(ctx context.Context, path string, arrays map[string]*npy.Array, f runFlags) ([]runOutput, error) {
	path, err := data.ModelPath(path)
	if err != nil {
		return nil, err
	}
	b, err := bundle.Open(path)
	var foreign *bundle.ForeignError
	if errors.As(err, &foreign) && foreign.Kind == "onnx" {
		if f.changedBatch {
			return nil, usagef("--batch has no effect on an ONNX graph, which takes the inputs as they are; leave it out")
		}
		return a.runGraph(ctx, foreign.File, arrays)
	}
	if err != nil {
		return nil, err
	}
	return a.runBundle(b, arrays, f.batch)
}

// bundleInput is the name of the one input of a bundle.
const bundleInput = "input"

func (a *app) runBundle(b *bundle.Bundle, arrays map[string]*npy.Array, batch int) ([]runOutput, error) {
	array := arrays[bundleInput]
	if array == nil {
		array = arrays[""]
	}
	if array == nil || len(arrays) != 1 {
		return nil, &fault.Usage{Err: fmt.Errorf("a bundle has one input, %s; got %s", bundleInput, strings.Join(slices.Sorted(maps.Keys(arrays)), ", "))}
	}
	shape := b.Manifest.InputShape
	if len(array.Shape) != len(shape)+1 || !slices.Equal(array.Shape[1:], shape) {
		return nil, &fault.Usage{Err: fmt.Errorf("the input has shape %v, the model takes [n] and %v", array.Shape, shape)}
	}
	x, err := array.Float32s()
	if err != nil {
		return nil, err
	}
	n := array.Shape[0]
	e, err := a.openEngineFor(passesOf(n, b))
	if err != nil {
		return nil, err
	}
	defer e.Close()
	forward, err := b.NewForward(e, max(1, min(batch, n)))
	if err != nil {
		return nil, err
	}
	defer forward.Close()
	logits, err := forward.Logits(x, n)
	if err != nil {
		return nil, err
	}
	if b.Manifest.Answers() != zoo.Classify {
		one, err := floats("output", append([]int{n}, forward.Answer()...), logits)
		return []runOutput{one}, err
	}

	classes := b.Manifest.Network.Outputs()
	wide := make([]float64, len(logits))
	for i, v := range logits {
		wide[i] = float64(v)
	}
	probabilities, err := metric.Softmax(wide, classes)
	if err != nil {
		return nil, err
	}
	narrow := make([]float32, len(logits))
	for i, v := range probabilities {
		narrow[i] = float32(v)
	}
	one, err1 := floats("logits", []int{n, classes}, logits)
	two, err2 := floats("probabilities", []int{n, classes}, narrow)
	return []runOutput{one, two}, errors.Join(err1, err2)
}

func floats(name string, shape []int, values []float32) (runOutput, error) {
	raw, err := binary.Append(nil, binary.LittleEndian, values)
	return runOutput{Name: name, Shape: shape, DType: npy.Float32, bytes: raw}, err
}
