package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/repair"
	"github.com/ballast-ml/ballast/subject"
)

// exportReport is what "ballast adapt --export --json" prints.
type exportReport struct {
	subject.Adapted

	Model  string       `json:"model"`
	Method adapt.Choice `json:"method"`
	Data   string       `json:"data"`
	Engine string       `json:"engine"`

	AccuracyBefore *float64 `json:"accuracy_before"` // null where the classes of the data are not those of the model
	Accuracy       *float64 `json:"accuracy"`
	Notes          []string `json:"notes,omitempty"`

	Taken []data.Note `json:"data_assumed,omitempty"` // what data of a user's own were taken for
}

// statisticsOf are the options of a re-estimation by a method, from so many examples.
func statisticsOf(m adapt.Method, examples int) (repair.Statistics, error) {
	s := repair.NewStatistics()
	switch m := m.(type) {
	case adapt.Batch:
	case adapt.AlphaBN:
		s.Mixed = norm.Mixed(m)
	case adapt.Prior:
		s.SourceWeight = m.Strength / (m.Strength + float64(examples))
	default:
		return s, usagef("--method %s changes the model as it answers, which no file does; with --export use batch, alpha-bn or prior", adapt.Name(m))
	}
	return s, nil
}

// adaptExported writes a copy of an ONNX file with the statistics of the data, and shows the accuracy before and after.
func (a *app) adaptExported(ctx context.Context, model string, method adapt.Method, f adaptFlags) error {
	if _, err := statisticsOf(method, 1); err != nil {
		return err
	}
	if err := graphEnding("--export", f.export); err != nil {
		return err
	}

	kind, _, err := subject.Find(model)
	switch {
	case err != nil:
		return err
	case kind != subject.OfONNX:
		return usagef("--export writes ONNX files, and %s is none: adapt it without --export; --out keeps the adapter", model)
	}
	if err := graphOut("--export", model, f.export); err != nil {
		return err
	}

	var r exportReport
	err = claimed(claimFile(f.export, f.overwrite), func() error {
		m, err := a.openSubject(model, f.subject)
		if err != nil {
			return err
		}
		ds, err := a.openData(f.data, f.part, f.taken)
		if err != nil {
			return err
		}
		r.Taken = data.NotesOf(ds)
		if ds, err = fitted(m, ds); err != nil {
			return err
		}
		if ds, err = f.shifted(ds, a.seed); err != nil {
			return err
		}
		e, err := a.openEngine()
		if err != nil {
			return err
		}
		defer e.Close()
		taken := r.Taken
		r, err = a.exported(ctx, m, ds, e, method, f)
		r.Taken = taken
		return err
	})
	if err != nil {
		return err
	}
	return a.printExported(r, f)
}

// exported re-estimates, writes and measures.
func (a *app) exported(ctx context.Context, m *subject.Model, ds data.Dataset, e *engine.Engine, method adapt.Method, f adaptFlags) (r exportReport, err error) {
	r = exportReport{Model: m.Name, Method: adapt.Choice{Method: method}, Data: ds.Info().Name, Engine: e.Kind}
	if part := ds.Info().Part; part != "" {
		r.Data += " " + part
	}
	s, err := statisticsOf(method, ds.Len())
	if err != nil {
		return r, err
	}
	feed, err := m.Feed(e, ds, batchFor(m, ds), 0)
	if err != nil {
		return r, err
	}
	show, done := a.counter("measure")
	at, most := 0, 1
	if show != nil {
		feed.Progress = func(n int) { show(at*ds.Len()+n, most*ds.Len()) }
	}
	r.Adapted, err = m.WriteStatistics(ctx, feed, s, f.export, func(i, of int) { at, most = i, of })
	done()
	if err != nil {
		return r, err
	}

	before, notes, err := a.accuracyOf(ctx, m, ds, e, f)
	if err != nil {
		r.Notes = append(r.Notes, fmt.Sprintf("no accuracy: %v", err))
		return r, nil
	}
	written, err := a.openSubject(f.export, subjectFlags{parsed: &m.Preprocess, outputs: f.subject.outputs})
	if m.Graph.Features > 0 {
		written, err = a.openSubject(f.export, subjectFlags{outputs: f.subject.outputs})
	}
	if err != nil {
		return r, err
	}
	after, _, err := a.accuracyOf(ctx, written, ds, e, f)
	if err != nil {
		return r, err
	}
	r.AccuracyBefore, r.Accuracy, r.Notes = &before, &after, notes
	return r, nil
}

// accuracyOf is the accuracy of a model on the data.
func (a *app) accuracyOf(ctx context.Context, m *subject.Model, ds data.Dataset, e *engine.Engine, f adaptFlags) (accuracy float64, notes []string, err error) {
	answers, err := m.On(ctx, e, ds, batchFor(m, ds))
	if err != nil {
		return 0, nil, err
	}
	defer answers.Close()
	progress, done := a.counter("answer")
	defer done()
	return evaluate.AccuracyOf(ctx, answers, ds, f.taken.into(evaluate.Options{Batch: batchFor(m, ds), ByPlace: f.byPlace, Progress: progress}))
}

// printExported shows what came of it.
func (a *app) printExported(r exportReport, f adaptFlags) error {
	for _, note := range r.Notes {
		a.remark("note: %s", note)
	}
	a.remark("written: %s", f.export)
	if a.json {
		return a.printJSON(r)
	}
	fmt.Fprintf(a.out, "model        %s\nmethod       %s\ndata         %s, %d examples\n", printable.Line(r.Model), adapt.Describe(r.Method.Method), printable.Line(r.Data), r.Examples)
	fmt.Fprintf(a.out, "norms        %d, %d of them behind each other; passes over the data: %d\n", r.Norms, r.Behind, r.Passes)
	fmt.Fprintf(a.out, "moved        means by up to %.3g standard deviations\n", r.Moved)
	var err error
	if r.Accuracy != nil {
		_, err = fmt.Fprintf(a.out, "\n             %9s %9s\naccuracy     %9.4f %9.4f\n", "before", "after", *r.AccuracyBefore, *r.Accuracy)
	}
	for _, l := range r.Left {
		_, err2 := fmt.Fprintf(a.out, "\nas it was: %s: %s\n", printable.Line(l.Node), l.Why)
		err = errors.Join(err, err2)
	}
	words := []string{"ballast", "evaluate", f.export, "--data", f.data}
	if f.subject.preprocess != "" {
		words = append(words, "--preprocess", f.subject.preprocess)
	}
	a.sayNext("the whole audit of the mended file", words...)
	return err
}
