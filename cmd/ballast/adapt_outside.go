package main

import (
	"context"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/subject"
)

// checkOutside refuses what cannot be done with a model that only answers: an ONNX file, or a command.
func (f adaptFlags) checkOutside(m *subject.Model, method adapt.Method) error {
	_, err := adapt.OuterOf(method, m.Name)
	if err != nil && m.Graph != nil {
		if _, exported := statisticsOf(method, 1); exported == nil {
			return usagef("%s is an ONNX file, which is adapted by a copy with new statistics; name it with --export mended.onnx, or use --method lame or crops, "+
				"which work on inputs and answers alone", m.Name)
		}
	}
	if err != nil {
		return err
	}
	if f.out != "" {
		return usagef("--out %s: %s keeps nothing between batches, so that there is nothing to keep of %s, which stays as it is; leave --out out",
			f.out, adapt.Name(method), m.Name)
	}
	return nil
}

// adaptOutside adapts a model that only answers.
func (a *app) adaptOutside(ctx context.Context, r *adaptReport, m *subject.Model, ds data.Dataset, f adaptFlags) error {
	e, err := a.subjectEngine([]*subject.Model{m}, 2*ds.Len())
	if err != nil {
		return err
	}
	kind := "command"
	if e != nil {
		defer e.Close()
		kind = e.Kind
	}
	answers, err := m.On(ctx, e, ds, min(f.batch, max(1, ds.Len())))
	if err != nil {
		return err
	}
	defer answers.Close()
	a.sayAssumed(m)
	fit, notes, err := f.matched(ds, m.Name, answers.Labels())
	if err != nil {
		return err
	}
	if fit, err = f.ordered(fit, a.seed); err != nil {
		return err
	}
	r.into(fit, kind, notes)
	look := subject.LookOf(answers)
	if err := lookOnce(ctx, r.Method.Method, look, fit, f.batch); err != nil {
		return err
	}
	adapter, err := adapt.StartOutside(r.Method.Method, adapt.Outside{
		Name: m.Name, Shape: answers.Shape(), Batch: f.batch, Answer: answers.Answer, Look: look,
	})
	if err != nil {
		return err
	}
	defer adapter.Close()
	return a.runThrough(ctx, r, adapter, adapt.RunOptions{Data: fit, Batch: f.batch, Before: answers.Answer}, answers.Labels())
}

// look is what adapt.Outside.Look is.
type look func(ctx context.Context, x []float32, n int) (logits, features []float32, err error)

// lookOnce has the graph of features compiled, by the first batch, so that its cost is not counted as that of examples.
func lookOnce(ctx context.Context, method adapt.Method, see look, ds data.Dataset, batch int) error {
	if l, ok := method.(adapt.Lame); !ok || l.Near == adapt.NearAnswers || see == nil {
		return nil
	}
	n, size := min(batch, ds.Len()), ds.Info().Size()
	x := make([]float32, n*size)
	for i := range n {
		if err := ds.Read(i, x[i*size:(i+1)*size]); err != nil {
			return err
		}
	}
	_, _, err := see(ctx, x, n)
	return err
}
