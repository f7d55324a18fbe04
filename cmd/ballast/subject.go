package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/preprocess"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/subject"
)

// subjectFlags are the flags of verbs that take a model of any origin.
type subjectFlags struct {
	exec       string
	preprocess string

	outputs string                 // of savedFlags, where the verb has them
	parsed  *preprocess.Preprocess // of preprocess, once it was checked
}

// add adds the flags to a verb.
func (f *subjectFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.exec, "exec", "", "command that answers in place of MODEL: it reads batches as .npy from standard input and writes logits as .npy")
	flags.StringVar(&f.preprocess, "preprocess", "", "what images go through: "+strings.Join(preprocess.Presets(), ", ")+", settings in YAML, or a file (default: what is beside the model)")
}

// check refuses what does not go together and settings that are none, before a model is opened.
func (f *subjectFlags) check(args []string) error {
	if f.exec != "" && len(args) > 0 {
		return usagef("give MODEL or --exec, not both")
	}
	return f.parse()
}

// parse reads --preprocess.
func (f *subjectFlags) parse() error {
	if f.preprocess == "" {
		return nil
	}
	p, err := preprocess.Parse(f.preprocess)
	if err != nil {
		return err
	}
	f.parsed = &p
	return nil
}

// models are the models that were named; a command is named "".
func (f *subjectFlags) models(args []string) []string {
	if f.exec != "" {
		return []string{""}
	}
	return args
}

// words are how a command line names a model, with the flags that say how to take it.
func (f subjectFlags) words(model string) []string {
	words := []string{model}
	if f.exec != "" {
		words = []string{"--exec", f.exec}
	}
	if f.preprocess != "" {
		words = append(words, "--preprocess", f.preprocess)
	}
	if f.outputs != "" {
		words = append(words, "--outputs", f.outputs)
	}
	return words
}

// openSubject opens a model of any origin, or the command for "".
func (a *app) openSubject(name string, f subjectFlags) (*subject.Model, error) {
	o := subject.Options{Preprocess: f.parsed, Outputs: f.outputs}
	if name == "" {
		return subject.OfCommand(f.exec, a.err, o)
	}
	return subject.Open(name, o)
}

// most numbers of a batch of images, so that a network's intermediate values stay small.
const batchNumbers = 4 << 20

// batchFor is how many examples of a set a model of another framework, or a bundle that was made of one, is asked about at a time; 0 = as
// ever.
func batchFor(m *subject.Model, ds data.Dataset) int {
	if !m.Foreign() && (m.Bundle == nil || m.Bundle.Manifest.Images == nil) {
		return 0
	}
	return max(1, min(batchNumbers/max(ds.Info().Size(), 1), 256, ds.Len()))
}

// sayAssumed says what a model was taken for, in one block.
func (a *app) sayAssumed(m *subject.Model) {
	if len(m.Assumed()) == 0 {
		return
	}
	a.remark("%s is taken for:", printable.Line(m.Name))
	for _, one := range m.Assumed() {
		a.remark("  %-13s %s", one.What, one.Text())
	}
}

// subjectEngine opens the engine for some models and so many examples; none where all are commands.
func (a *app) subjectEngine(models []*subject.Model, examples int) (*engine.Engine, error) {
	var bundles []*bundle.Bundle
	for _, m := range models {
		if m.Bundle != nil {
			bundles = append(bundles, m.Bundle)
		}
	}
	switch {
	case len(bundles) == len(models):
		return a.openEngineFor(passesOf(examples, bundles...))
	case slices.ContainsFunc(models, func(m *subject.Model) bool { return m.Command == nil }):
		return a.openEngine()
	}
	return nil, nil
}

// asked runs f with what answers the examples of a set for a model, and says before what the model was taken for.
func (a *app) askedOf(ctx context.Context, m *subject.Model, ds data.Dataset, e *engine.Engine, f func(s evaluate.Subject, o evaluate.Options) error) error {
	batch := batchFor(m, ds)
	o := evaluate.Options{Batch: batch, Seed: a.seed, Assumed: m.Assumed(), Try: m.Try()}
	if m.Adapter != nil {
		adapter, err := m.Adapter.Start(e)
		if err != nil {
			return err
		}
		defer adapter.Close()
		made := m.Adapter.Manifest
		s, err := evaluate.NewAdapted(adapter, adapt.Model{Bundle: m.Bundle, Engine: e, Batch: made.Batch, Seed: made.Seed}, made.Method.Method)
		if err != nil {
			return err
		}
		return f(s, o)
	}
	if m.Bundle != nil {
		if batch == 0 {
			batch = min(256, max(1, ds.Len()))
		}
		model, err := evaluate.NewModel(m.Bundle, e, batch)
		if err != nil {
			return err
		}
		defer model.Close()
		a.sayAssumed(m)
		return f(model.Subject(), o)
	}
	answers, err := m.On(ctx, e, ds, batch)
	if err != nil {
		return err
	}
	defer answers.Close()
	a.sayAssumed(m)
	o.Assumed = m.Assumed() // what was seen of the first answers is among it
	return f(answers, o)
}

// auditSubject audits a model on a set that was fitted to it.
func (a *app) auditSubject(ctx context.Context, m *subject.Model, ds data.Dataset, e *engine.Engine, o evaluate.Options) (r report.Report, err error) {
	err = a.askedOf(ctx, m, ds, e, func(s evaluate.Subject, own evaluate.Options) error {
		o.Batch, o.Assumed, o.Try = own.Batch, own.Assumed, own.Try
		r, err = evaluate.Run(ctx, s, ds, o)
		return err
	})
	if err != nil {
		return r, err
	}
	if m.Adapter != nil {
		r.Notes = append(r.Notes, fmt.Sprintf("adapted by %s, in steps of %d; each pass of the data begins with the state that was saved, and moves on from it",
			adapt.Describe(m.Adapter.Manifest.Method.Method), m.Adapter.Manifest.Batch))
	}
	return r, a.signSubject(ctx, &r, m)
}

// signSubject writes into a report which files the model is made of.
func (a *app) signSubject(ctx context.Context, r *report.Report, m *subject.Model) error {
	if m.Adapter != nil {
		files, err := bundle.Sums(ctx, m.Adapter.Files(), nil)
		if err != nil {
			return err
		}
		sign(r, files)
		return nil
	}
	if !m.Foreign() {
		return signModel(ctx, r, m.Path)
	}
	files, err := bundle.Sums(ctx, m.Files(), nil)
	if err != nil {
		return err
	}
	sign(r, files)
	return nil
}

// noteOutputs refuses a form of outputs that no model has, before one is opened.
func noteOutputs(outputs string) error {
	if outputs != "" && outputs != subject.Logits && outputs != subject.Probabilities {
		return usagef("--outputs is %q; of a model they are %s or %s", outputs, subject.Logits, subject.Probabilities)
	}
	return nil
}

// fitted is a set as a model takes it; nil stays nil.
func fitted(m *subject.Model, ds data.Dataset) (data.Dataset, error) {
	if ds == nil {
		return nil, nil
	}
	fit, err := m.Images(ds)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", printable.Line(m.Name), err)
	}
	return fit, nil
}
