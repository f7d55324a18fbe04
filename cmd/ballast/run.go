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

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/subject"
	"github.com/ballast-ml/ballast/zoo"
)

// runFlags are the flags of "ballast run".
type runFlags struct {
	inputs  []string
	outputs []string

	overwrite bool
	batch     int
	top       int

	subject      subjectFlags
	changedBatch bool
}

// runOutput is one array that a run gives.
type runOutput struct {
	Name  string    `json:"name"`
	Shape []int     `json:"shape"`
	DType npy.DType `json:"type"`
	File  string    `json:"file,omitempty"` // that it is written to; "" = it is not
	bytes []byte    // elements, little endian
	shown []string  // lines that are printed of it
}

// member is the output as it is written.
func (o runOutput) member() npy.Member {
	return npy.Member{Name: o.Name, DType: o.DType, Shape: o.Shape, Open: func() (io.Reader, error) { return bytes.NewReader(o.bytes), nil }}
}

// runnable is a model that was opened and takes the inputs.
type runnable struct {
	outputs []string // their names
	run     func(ctx context.Context) ([]runOutput, error)
}

func newRun(a *app) *cobra.Command {
	f := runFlags{}
	cmd := &cobra.Command{
		Use:   "run MODEL (IMAGE... | --input [NAME=]x.npy --output [NAME=]y.npy)",
		Short: "Run a model on images or arrays",
		Long: `Run computes a model's outputs for given inputs, both as NumPy arrays. A bundle has one input, input [n, shape of an example], in
the units of its data set, and returns logits and probabilities [n, classes], and, where it has conformal sets, sets [n, classes], 1 where
a class is in the set. An ONNX graph has the inputs and outputs that it names.

With images, PNG or JPEG, a classifier's most probable classes are printed for each. The MODEL is what "ballast evaluate" takes; with --exec
all arguments are images.

--output y.npz takes all outputs. --output y.npy takes the output of a model that has one; of several, each is written to a file of its
own, y.NAME.npy. --output NAME=y.npy takes the output NAME alone, and may be repeated.`,
		Example: `  ballast run runs/model/model --input x.npy --output y.npz
  ballast run runs/model/model --input x.npy --output logits=logits.npy
  ballast run model.onnx --input input_ids=ids.npy --input attention_mask=mask.npy --output y.npz
  ballast run model.onnx cat.jpg dog.png --preprocess imagenet`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.inputs, "input", nil, "input: NAME=FILE, or FILE where the model has one input; .npy, or FILE.npz:ARRAY; repeat for several")
	flags.StringArrayVar(&f.outputs, "output", nil, "where to write the outputs, .npz or .npy, or NAME=FILE.npy for one of them; repeat for several")
	flags.IntVar(&f.batch, "batch", 64, "examples per call, for bundles")
	flags.IntVar(&f.top, "top", 5, "with images: classes printed for each")
	f.subject.add(cmd)
	overwriteFlag(cmd, &f.overwrite)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f.changedBatch = cmd.Flags().Changed("batch")
		if err := f.subject.parse(); err != nil {
			return err
		}
		if f.subject.exec != "" || len(args) > 1 {
			if err := f.checkImages(cmd); err != nil {
				return err
			}
			if f.subject.exec != "" {
				args = append([]string{""}, args...)
			}
			return a.runImages(cmd.Context(), args[0], args[1:], f)
		}
		if err := errors.Join(f.check(), idle(cmd, "without images", "top")); err != nil {
			return err
		}
		return a.runVerb(cmd.Context(), args[0], f)
	}
	return cmd
}

// runVerb opens the model and the inputs, takes the files of the outputs, and computes and writes them.
func (a *app) runVerb(ctx context.Context, model string, f runFlags) error {
	arrays, err := openInputs(f.inputs)
	defer func() {
		for _, array := range arrays {
			array.Close() //nolint:errcheck // it was only read
		}
	}()
	if err != nil {
		return err
	}
	m, err := a.openRunnable(model, arrays, f)
	if err != nil {
		return err
	}
	files, err := f.files(m.outputs)
	if err != nil {
		return err
	}

	for _, path := range slices.Compact(slices.Sorted(maps.Values(files))) {
		release, err := claimFile(path, f.overwrite)()
		if err != nil {
			return err
		}
		defer func() { _ = release() }() // the lock ends with the process at the latest
	}
	outputs, err := m.run(ctx)
	if err != nil {
		return err
	}
	for i, o := range outputs {
		outputs[i].File = files[o.Name]
	}
	if err := a.writeOutputs(outputs); err != nil {
		return err
	}

	if a.json {
		return a.printJSON(outputs)
	}
	for _, o := range outputs {
		fmt.Fprintf(a.out, "%s %s %v\n", printable.Line(o.Name), o.DType, o.Shape)
		for _, line := range o.shown {
			fmt.Fprintln(a.out, line)
		}
	}
	return nil
}

// writeOutputs writes each output where it belongs, and says which file has which.
func (a *app) writeOutputs(outputs []runOutput) error {
	archives := map[string][]npy.Member{}
	for _, o := range outputs {
		switch {
		case o.File == "":
		case filepath.Ext(o.File) == archiveExt:
			archives[o.File] = append(archives[o.File], o.member())
		default:
			if err := npy.WriteMemberFile(o.File, o.member()); err != nil {
				return err
			}
			a.remark("written: %s (%s)", o.File, o.Name)
		}
	}
	for path, members := range archives {
		if err := npy.WriteArchiveFile(path, members, false); err != nil {
			return err
		}
		a.remark("written: %s", path)
	}
	return nil
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
		array, _, _, err := npy.OpenOne(path, name)
		if err != nil {
			return arrays, err
		}
		arrays[name] = array
	}
	return arrays, nil
}

// openRunnable opens whatever can be run, and checks that it takes the inputs.
func (a *app) openRunnable(path string, arrays map[string]*npy.Array, f runFlags) (m runnable, err error) {
	kind, where, err := subject.Find(path)
	if err != nil {
		return m, err
	}
	if kind == subject.OfONNX {
		switch {
		case f.changedBatch:
			return m, usagef("--batch has no effect on an ONNX graph, which takes the inputs as they are; leave it out")
		case f.subject.parsed != nil:
			return m, usagef("--preprocess has no effect on the arrays of --input for an ONNX graph, which takes them as they are; leave it out")
		}
		return a.openGraph(where, arrays)
	}
	opened, err := a.openSubject(path, f.subject)
	if err != nil {
		return m, err
	}
	if opened.Adapter != nil {
		if f.changedBatch {
			return m, usagef("--batch has no effect on an adapter, whose steps have %d examples; leave it out", opened.Adapter.Manifest.Batch)
		}
		return a.openBundle(opened.Bundle, arrays, func(array *npy.Array) ([]runOutput, error) { return a.runAdapter(opened.Adapter, array) })
	}
	a.sayAssumed(opened)
	return a.openBundle(opened.Bundle, arrays, func(array *npy.Array) ([]runOutput, error) { return a.runBundle(opened.Bundle, array, f.batch) })
}

// bundleInput is the name of the one input of a bundle.
const bundleInput = "input"

// Names of a bundle's outputs: of one that classifies, and of others.
const (
	bundleLogits        = "logits"
	bundleProbabilities = "probabilities"
	bundleOutput        = "output"
	bundleSets          = "sets" // of one that has conformal sets
)

// openBundle checks that a bundle takes the inputs.
func (a *app) openBundle(b *bundle.Bundle, arrays map[string]*npy.Array, run func(array *npy.Array) ([]runOutput, error)) (m runnable, err error) {
	array := arrays[bundleInput]
	if array == nil {
		array = arrays[""]
	}
	if array == nil || len(arrays) != 1 {
		return m, &fault.Usage{Err: fmt.Errorf("a bundle has one input, %s; got %s", bundleInput, strings.Join(slices.Sorted(maps.Keys(arrays)), ", "))}
	}
	shape := b.Manifest.InputShape
	if len(array.Shape) != len(shape)+1 || !slices.Equal(array.Shape[1:], shape) {
		return m, &fault.Usage{Err: fmt.Errorf("the input has shape %v, the model takes [n] and %v", array.Shape, shape)}
	}
	m.outputs = []string{bundleOutput}
	if b.Manifest.Answers() == zoo.Classify {
		m.outputs = []string{bundleLogits, bundleProbabilities}
	}
	if b.Manifest.Calibration.Sets != nil {
		m.outputs = append(m.outputs, bundleSets)
	}
	m.run = func(context.Context) ([]runOutput, error) { return run(array) }
	return m, nil
}

func (a *app) runBundle(b *bundle.Bundle, array *npy.Array, batch int) ([]runOutput, error) {
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
	return bundleOutputs(b, n, logits, forward.Answer())
}

// runAdapter answers with an adapter from the state it was saved with, which stays as it is in the folder.
func (a *app) runAdapter(s *adapt.Saved, array *npy.Array) ([]runOutput, error) {
	x, err := array.Float32s()
	if err != nil {
		return nil, err
	}
	n := array.Shape[0]
	e, err := a.openEngineFor(passesOf(n, s.Bundle))
	if err != nil {
		return nil, err
	}
	defer e.Close()
	adapter, err := s.Start(e)
	if err != nil {
		return nil, err
	}
	defer adapter.Close()
	logits, err := adapter.Answer(context.Background(), x, n)
	if err != nil {
		return nil, err
	}
	return bundleOutputs(s.Bundle, n, logits, []int{len(logits) / max(n, 1)})
}

// bundleOutputs are the answers of a bundle to n examples as its outputs; shape is that of one answer.
func bundleOutputs(b *bundle.Bundle, n int, logits []float32, shape []int) ([]runOutput, error) {
	if b.Manifest.Answers() != zoo.Classify {
		one, err := floats(bundleOutput, append([]int{n}, shape...), logits)
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
	one, err1 := floats(bundleLogits, []int{n, classes}, logits)
	two, err2 := floats(bundleProbabilities, []int{n, classes}, narrow)
	outputs := []runOutput{one, two}
	if b.Manifest.Calibration.Sets == nil || err1 != nil || err2 != nil {
		return outputs, errors.Join(err1, err2)
	}
	sets, err := setsOf(b, wide, n)
	return append(outputs, sets), err
}

// shownSets is how many examples' sets are shown.
const shownSets = 10

// setsOf are the conformal sets of a model's logits: 1 where a class is in the set of an example. The first are kept as text.
func setsOf(b *bundle.Bundle, logits []float64, n int) (runOutput, error) {
	m := b.Manifest
	classes := m.Network.Outputs()
	o := runOutput{Name: bundleSets, Shape: []int{n, classes}, DType: npy.Uint8, bytes: make([]byte, n*classes)}
	for i := range n {
		set, err := m.Calibration.Sets.Of(logits[i*classes:(i+1)*classes], i)
		if err != nil {
			return o, err
		}
		names := make([]string, len(set))
		for j, class := range set {
			o.bytes[i*classes+class] = 1
			names[j] = printable.Line(m.Labels[class])
		}
		if i < shownSets {
			o.shown = append(o.shown, fmt.Sprintf("  example %d: {%s}", i, strings.Join(names, ", ")))
		}
	}
	if n > shownSets {
		o.shown = append(o.shown, fmt.Sprintf("  and %d more; --output sets=FILE.npy has all", n-shownSets))
	}
	return o, nil
}

func floats(name string, shape []int, values []float32) (runOutput, error) {
	raw, err := binary.Append(nil, binary.LittleEndian, values)
	return runOutput{Name: name, Shape: shape, DType: npy.Float32, bytes: raw}, err
}
