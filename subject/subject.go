// Package subject opens models of any origin as something that answers examples, for audits, calibration and adaptation.
//
//	what a path is                               becomes
//	a folder with ballast.json                   its bundle
//	a folder with adapter.json                   an adapter, which changes as it answers
//	an ONNX file, or a folder with one           a Graph: a classifier with one input of images or features
//	a folder of transformers or timm,            a bundle, where zoo.Recognize knows the network: ResNet, ViT, ConvNeXt,
//	or a file of weights                         EfficientNet-Lite0
//	a command                                    a Command: a process that reads arrays and writes answers
//
// What a file does not say is assumed, and Model.Assumed tells what was: the layout of a batch, what outputs are, the preprocessing, the names
// of the classes.
//
//	m, err := subject.Open("model.onnx", subject.Options{})
//	photos, err := m.Images(data)                   // in the size that the model takes
//	answers, err := m.On(ctx, e, photos, 64)        // ready to answer; Close it
//	logits, err := answers.Answer(ctx, x, n)
package subject

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/preprocess"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/own"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/zoo"
)

// Forms of outputs.
const (
	Logits        = "logits"
	Probabilities = "probabilities"
)

// Options say what a model does not say itself.
type Options struct {
	Preprocess *preprocess.Preprocess // nil = what stands beside the model, else assumed
	Outputs    string                 // Logits or Probabilities; "" = detected
	Registry   own.Registry           // what the program brings itself, for bundles and adapters
}

// Assumption is something that a model was taken for.
type Assumption = report.Assumption

// Model is a model that was opened. Exactly one of Bundle, Graph and Command is set; Adapter beside the Bundle that it was made of.
type Model struct {
	Path string // where it is; the command itself
	Name string // what to call it

	Bundle  *bundle.Bundle
	Adapter *adapt.Saved
	Graph   *Graph
	Command *Command

	Preprocess preprocess.Preprocess // of a bundle that Ballast trained there is none
	Target     preprocess.Target     // what it takes

	assumed []Assumption
	foreign bool
	files   []string
}

// Files are the files that the model is made of; none of a command, nor of a bundle that Ballast wrote.
func (m *Model) Files() []string { return slices.Clone(m.files) }

// Foreign reports whether the model is one that Ballast did not write, so that something may have been assumed.
func (m *Model) Foreign() bool { return m.foreign }

// Assumed is what the model was taken for; nil for a bundle that Ballast wrote.
func (m *Model) Assumed() []Assumption { return slices.Clone(m.assumed) }

// assume adds an assumption.
func (m *Model) assume(what, because string, guess bool, format string, args ...any) {
	m.assumed = append(m.assumed, Assumption{What: what, Is: fmt.Sprintf(format, args...), Because: because, Guess: guess})
}

// Try are flags of the command that take the model for something else than it was taken for, where that was a guess.
func (m *Model) Try() []string {
	var flags []string
	for _, a := range m.assumed {
		switch {
		case !a.Guess:
		case a.What == "preprocessing":
			for _, preset := range []string{"imagenet", "-1-1", "0-1", "0-255", "clip"} {
				if "preset "+preset != m.Preprocess.Source {
					flags = append(flags, "--preprocess "+preset)
				}
			}
			if m.Target.Channels == 3 {
				flags = append(flags, fmt.Sprintf("--preprocess '{preset: %s, order: bgr}'", cmp.Or(m.Preprocess.Preset, "0-1")))
			}
		case a.What == "layout" && m.Graph != nil:
			other := preprocess.NHWC
			if m.Graph.Layout == other {
				other = preprocess.NCHW
			}
			flags = append(flags, fmt.Sprintf("--preprocess '{preset: %s, layout: %s}'", cmp.Or(m.Preprocess.Preset, "0-1"), other))
		}
	}
	if len(flags) == 0 && m.Command == nil && m.Graph != nil && m.Graph.Features == 0 {
		flags = append(flags, "another --preprocess")
	}
	return flags
}

// Images returns the examples of a set as the model takes them: images are resized to its size and given its channels. A set of other
// examples, and one that fits, is returned as it is.
func (m *Model) Images(ds data.Dataset) (data.Dataset, error) {
	switch {
	case m.Graph != nil && m.Graph.Features > 0, !m.foreign && (m.Bundle == nil || m.Bundle.Manifest.Images == nil):
		return ds, nil
	case m.Command != nil && !m.Command.preprocessed:
		return ds, nil
	}
	return m.Preprocess.Images(ds, m.Target)
}

// Answers is a model on an engine, or a process, that answers examples. It has what an audit asks of a subject.
type Answers interface {
	Name() string
	Task() zoo.Task
	Labels() []string
	Shape() []int
	Answer(ctx context.Context, x []float32, n int) ([]float32, error)
	Batch() int
	Calls() int
	Engine() string
	Close()
}

// On makes a model of another framework ready to answer the examples of a set, some of which it is asked about to see what its outputs are.
// A bundle is not for this: evaluate.NewModel runs it.
func (m *Model) On(ctx context.Context, e *engine.Engine, ds data.Dataset, batch int) (Answers, error) {
	switch {
	case m.Graph != nil:
		return m.onEngine(ctx, e, ds, batch)
	case m.Command != nil:
		return m.start(ctx, ds, batch)
	}
	return nil, fmt.Errorf("subject: %s is a bundle, which evaluate.NewModel runs", m.Name)
}

// OfCommand is a model that a command answers for; see Command. Nothing is run yet.
func OfCommand(line string, stderr io.Writer, o Options) (*Model, error) {
	c := &Command{Line: line, Stderr: stderr, outputs: o.Outputs}
	m := &Model{Path: line, Name: line, Command: c, foreign: true}
	m.assume("input", "", false, "batches of examples as .npy, float32, in the order of the data set's axes")
	if o.Preprocess == nil {
		m.assume("preprocessing", "the command does its own", false, "none: examples as the data set has them, images as numbers in [0,1]")
		return m, nil
	}
	m.Preprocess, c.preprocessed = *o.Preprocess, true
	if m.Preprocess.Layout == "" {
		m.Preprocess.Layout = preprocess.NHWC
	}
	size := [2]int{}
	if n := len(m.Preprocess.Size); n > 0 {
		size = [2]int{m.Preprocess.Size[0], m.Preprocess.Size[n-1]}
	}
	m.Target = preprocess.Target{Height: size[0], Width: size[1], Channels: m.Preprocess.Channels}
	m.assume("layout", "", false, "%s", m.Preprocess.Layout)
	m.assume("preprocessing", m.Preprocess.Source, false, "%s", m.Preprocess.Says(size[0], size[1], m.Target.Channels))
	return m, nil
}

// checkOutputs refuses a form that there is none of.
func checkOutputs(form string) error {
	if form != "" && form != Logits && form != Probabilities {
		return &fault.Usage{Err: fmt.Errorf("--outputs is %q; of a model they are %s or %s", form, Logits, Probabilities)}
	}
	return nil
}
