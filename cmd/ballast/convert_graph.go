package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/repair"
	"github.com/ballast-ml/ballast/subject"
)

// foldedGraph is what "ballast convert --fold-norms --json" prints of an ONNX file.
type foldedGraph struct {
	repair.Folded
	repair.Compared

	Out string `json:"out"`
}

// foldGraph writes a copy of an ONNX file whose batch norms are folded into the layers before them.
func (a *app) foldGraph(ctx context.Context, path string, f convertFlags) error {
	m, err := onnx.Open(path)
	if err != nil {
		return err
	}
	r := foldedGraph{Out: f.out}
	if r.Folded, err = repair.Fold(m); err != nil {
		return err
	}
	c, err := m.Rewrite(f.out, r.Edit)
	if err != nil {
		return err
	}
	if r.Compared, err = a.compareGraphs(ctx, m, c.Model, f); err != nil {
		return err
	}
	if err := r.Same(m); err != nil {
		return err
	}
	if err := c.WriteFile(); err != nil {
		return err
	}

	a.remark("written: %s", f.out)
	if a.json {
		return a.printJSON(r)
	}
	_, err = fmt.Fprintf(a.out, "%d norms folded, %d stay\n", len(r.Folded.Folded), len(r.Left))
	for _, l := range r.Left {
		_, err2 := fmt.Fprintf(a.out, "  %s: %s\n", printable.Line(l.Node), l.Why)
		err = errors.Join(err, err2)
	}
	_, err2 := fmt.Fprintf(a.out, "largest change of an output %.3g, largest output %.3g, on %d examples\n", r.LargestChange, r.LargestOutput, r.Examples)
	return errors.Join(err, err2)
}

// compareGraphs runs a model and its copy on the first examples of --data, or on random numbers.
func (a *app) compareGraphs(ctx context.Context, m, copied *onnx.Model, f convertFlags) (c repair.Compared, err error) {
	if f.data == "" {
		e, err := a.openEngine()
		if err != nil {
			return c, err
		}
		defer e.Close()
		return repair.CompareRandom(ctx, e, m, copied, f.examples, a.seed)
	}
	model, err := subject.Open(m.Path, subject.Options{})
	if err != nil {
		return c, err
	}
	ds, err := data.Open(f.data, f.part)
	if err != nil {
		return c, err
	}
	if ds, err = fitted(model, ds); err != nil {
		return c, err
	}
	e, err := a.openEngine()
	if err != nil {
		return c, err
	}
	defer e.Close()
	feed, err := model.Feed(e, ds, batchFor(model, ds), f.examples)
	if err != nil {
		return c, err
	}
	return repair.CompareOn(ctx, feed, m, copied)
}
