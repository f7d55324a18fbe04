package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/stream"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/lab"
)

// adaptRow is a method on a stream.
type adaptRow struct {
	Stream string       `json:"stream"`
	Method adapt.Choice `json:"method"`
	Reason string       `json:"reason,omitempty"` // why the model cannot be adapted by it; nothing below is measured then

	Progress       *adapt.Progress `json:"progress,omitempty"`
	AccuracyBefore *float64        `json:"accuracy_before"` // null where no example has a label
	Accuracy       *float64        `json:"accuracy"`
	Change         *float64        `json:"change"`
	ChangeError    *float64        `json:"change_standard_error"` // over examples, of the pairs of answers on this one stream
	MillisBefore   float64         `json:"ms_per_example_before"`
	Millis         float64         `json:"ms_per_example"`
	Times          float64         `json:"times_plain"`
	Warnings       []string        `json:"warnings,omitempty"`
}

// adaptRows is what "ballast adapt --json" prints of several methods or streams.
type adaptRows struct {
	Model  string     `json:"model"`
	Data   string     `json:"data"`
	Batch  int        `json:"batch"`
	Engine string     `json:"engine"`
	Seed   uint64     `json:"seed"`
	Notes  []string   `json:"notes,omitempty"`
	Rows   []adaptRow `json:"rows"`
}

// adaptTask is what a table is of.
type adaptTask struct {
	methods []adapt.Choice
	streams []stream.Choice // one without a stream: the order of the data
}

// streamTable is what help says of each stream.
func streamTable() string {
	var b strings.Builder
	for _, k := range stream.All() {
		var options []string
		if own, err := lab.ConfigOf(k.New()); err == nil {
			for name := range own {
				options = append(options, name)
			}
		}
		slices.Sort(options)
		fmt.Fprintf(&b, "  %-9s %s\n", k.Name, strings.Join(options, ", "))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// table says whether the flags ask for methods beside each other.
func (f adaptFlags) table() bool {
	return f.compare || len(f.streams) > 1 || strings.Contains(f.method, ",")
}

// checkTable is check for several methods or streams.
func (f *adaptFlags) checkTable(c *cobra.Command, args []string) (adaptTask, error) {
	var t adaptTask
	const why = "with several methods or streams, which are shown beside each other and nothing is written"
	if err := idle(c, why, "out", "export", "save-every", "resume", "overwrite"); err != nil {
		return t, err
	}
	names := strings.Split(f.method, ",")
	if f.compare {
		if err := idle(c, "with --compare, which takes all methods", "method"); err != nil {
			return t, err
		}
		names = adapt.Names()
	}
	if len(names) > 1 {
		if err := idle(c, "with several methods, whose options differ", "set"); err != nil {
			return t, err
		}
	}
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return t, usagef("--method names %s twice; name each once", name)
		}
		one := *f
		one.method = name
		method, err := one.check(c, args)
		if err != nil {
			return t, err
		}
		t.methods = append(t.methods, adapt.Choice{Method: method})
	}
	var err error
	t.streams, err = f.orders()
	if len(t.streams) == 0 {
		t.streams = []stream.Choice{{}}
	}
	return t, err
}

// orders are the streams that the flags name.
func (f adaptFlags) orders() ([]stream.Choice, error) {
	var all []stream.Choice
	for i, text := range f.streams {
		if slices.Contains(f.streams[:i], text) {
			return nil, usagef("--stream names %s twice; name each once", text)
		}
		s, err := streamOf(text)
		if err != nil {
			return nil, &fault.Usage{Err: fmt.Errorf("--stream: %w", err)}
		}
		all = append(all, s)
	}
	return all, nil
}

// streamOf is a stream from its name and options: "sorted", or "dirichlet:delta=0.01,slots=5".
func streamOf(text string) (stream.Choice, error) {
	var plain, chosen stream.Choice
	named, rest, more := strings.Cut(text, ":")
	name, err := json.Marshal(named)
	if err == nil {
		err = plain.UnmarshalJSON(name)
	}
	if err != nil || !more {
		return plain, err
	}
	options, err := lab.ConfigOf(plain.Stream)
	if err == nil {
		options, err = lab.Apply(options, lab.TypesOf(plain.Stream), cutOptions(rest))
	}
	if err != nil {
		return plain, err
	}
	options["name"] = named
	full, err := json.Marshal(options)
	if err != nil {
		return plain, err
	}
	err = chosen.UnmarshalJSON(full)
	return chosen, err
}

// cutOptions cuts at commas that stand in no brackets: "shifts=[contrast,fog],severity=3" is two options.
func cutOptions(text string) []string {
	var all []string
	depth, from := 0, 0
	for i, c := range text {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case ',':
			if depth == 0 {
				all = append(all, text[from:i])
				from = i + 1
			}
		}
	}
	return append(all, text[from:])
}

// ordered is a set in the order of the one stream that the flags name, or as it is.
func (f adaptFlags) ordered(ds data.Dataset, seed uint64) (data.Dataset, error) {
	all, err := f.orders()
	if err != nil || len(all) == 0 {
		return ds, err
	}
	return f.inOrder(ds, all[0], seed)
}

// inOrder is a set in the order of a stream.
func (f adaptFlags) inOrder(ds data.Dataset, s stream.Choice, seed uint64) (data.Dataset, error) {
	if s.Stream == nil {
		return ds, nil
	}
	d, err := stream.Open(ds, s.Stream, seed)
	if err != nil {
		return nil, err
	}
	if f.shift != "" && d.Len() > 0 && d.Step(0).Shift != "" {
		return nil, usagef("--shift %s and the stream %s would shift twice; give one of them", f.shift, stream.Name(s.Stream))
	}
	return d, nil
}

// adaptTable takes a model through each stream by each method, and shows them beside each other.
func (a *app) adaptTable(ctx context.Context, model string, t adaptTask, f adaptFlags) error {
	m, err := a.openSubject(model, f.subject)
	if err != nil {
		return err
	}
	if m.Adapter != nil {
		return usagef("%s is an adapter; name the model, such as %s/%s", model, model, adapt.ModelFolder)
	}
	if m.Bundle == nil {
		return usagef("%s only answers, and methods are compared on models whose weights are known; give one --method and one --stream", m.Name)
	}
	ds, _, err := a.openStream(m, f)
	if err != nil {
		return err
	}
	b := m.Bundle
	ds, notes, err := f.matched(ds, b.Manifest.Name, b.Manifest.Labels)
	if err != nil {
		return err
	}
	sets := make([]data.Dataset, len(t.streams))
	examples := 0
	for i, s := range t.streams { // all before the first is gone through: a wrong one costs no time
		if sets[i], err = f.inOrder(ds, s, a.seed); err != nil {
			return err
		}
		examples += 2 * sets[i].Len() * len(t.methods)
	}
	e, err := a.openEngineFor(passesOf(examples, b))
	if err != nil {
		return err
	}
	defer e.Close()
	a.sayAssumed(m)

	found := adaptRows{Model: m.Name, Data: ds.Info().Name, Batch: f.batch, Engine: e.Kind, Seed: a.seed, Notes: notes}
	for i, set := range sets {
		for _, method := range t.methods {
			row := adaptRow{Method: method, Stream: "order of the data"}
			if t.streams[i].Stream != nil {
				row.Stream = f.streams[i]
			}
			if err := a.adaptRow(ctx, &row, adapt.Model{Bundle: b, Engine: e, Batch: f.batch, Seed: a.seed}, set, f); err != nil {
				return err
			}
			found.Rows = append(found.Rows, row)
		}
	}
	return a.printAdaptRows(found)
}

// adaptRow measures one row. A method that does not fit the model is a row too.
func (a *app) adaptRow(ctx context.Context, row *adaptRow, m adapt.Model, ds data.Dataset, f adaptFlags) error {
	adapter, err := row.Method.Start(m)
	if err == nil {
		defer adapter.Close()
		if p, ok := adapter.(adapt.Preparer); ok && ds.Len()%f.batch > 0 {
			err = p.Prepare(ds.Len() % f.batch)
		}
	}
	var misused *fault.Usage
	if errors.As(err, &misused) {
		row.Reason = misused.Error()
		return nil
	}
	if err != nil {
		return err
	}
	forward, err := m.Bundle.NewForward(m.Engine, f.batch)
	if err != nil {
		return err
	}
	defer forward.Close()

	after, before := &noted{Adapter: adapter}, &noted{}
	o := adapt.RunOptions{Data: ds, Batch: f.batch, Before: func(_ context.Context, x []float32, n int) ([]float32, error) {
		logits, err := forward.Logits(x, n)
		before.note(logits, n)
		return logits, err
	}}
	r := adaptReport{Method: row.Method, Batch: f.batch}
	if err := a.runThrough(ctx, &r, after, o, m.Bundle.Manifest.Labels); err != nil {
		return err
	}
	row.Progress, row.Accuracy, row.AccuracyBefore = &r.Progress, r.Accuracy, r.AccuracyBefore
	row.Millis, row.MillisBefore, row.Warnings = r.Millis, r.MillisBefore, r.Warnings
	if row.MillisBefore > 0 {
		row.Times = row.Millis / row.MillisBefore
	}
	if r.Accuracy != nil {
		change, deviation := changeOf(ds, before.answers, after.answers, r.Progress.Labelled)
		row.Change, row.ChangeError = &change, &deviation
	}
	return nil
}

// noted is an adapter whose answers are noted, in the order of the stream.
type noted struct {
	adapt.Adapter
	answers []int32
}

// Answer answers as the adapter does.
func (n *noted) Answer(ctx context.Context, x []float32, examples int) ([]float32, error) {
	logits, err := n.Adapter.Answer(ctx, x, examples)
	if err == nil {
		n.note(logits, examples)
	}
	return logits, err
}

// Prepare is that of the adapter, where it has one.
func (n *noted) Prepare(examples int) error {
	if p, ok := n.Adapter.(adapt.Preparer); ok {
		return p.Prepare(examples)
	}
	return nil
}

// Warnings are those of the adapter, where it has some.
func (n *noted) Warnings() []string {
	if w, ok := n.Adapter.(adapt.Warner); ok {
		return w.Warnings()
	}
	return nil
}

// note notes the class with the largest value of each example, the first of several.
func (n *noted) note(logits []float32, examples int) {
	classes := len(logits) / max(1, examples)
	for i := 0; i+classes <= len(logits) && classes > 0; i += classes {
		at := 0
		for c, v := range logits[i : i+classes] {
			if v > logits[i+at] {
				at = c
			}
		}
		n.answers = append(n.answers, int32(at))
	}
}

// changeOf is by how much the accuracy changes, and the standard error of that over examples: each is +1 where only the second answer is
// right, -1 where only the first is, else 0.
func changeOf(ds data.Dataset, before, after []int32, labelled int) (change, deviation float64) {
	gained, lost := 0.0, 0.0
	for i := range after {
		switch label := ds.Label(i); {
		case after[i] == label && before[i] != label:
			gained++
		case after[i] != label && before[i] == label:
			lost++
		}
	}
	n := float64(labelled)
	change = (gained - lost) / n
	return change, math.Sqrt(max(0, (gained+lost)/n-change*change) / n)
}

// printAdaptRows shows methods beside each other on each stream.
func (a *app) printAdaptRows(found adaptRows) error {
	for _, note := range found.Notes {
		a.remark("note: %s", note)
	}
	if a.json {
		return a.printJSON(found)
	}
	fmt.Fprintf(a.out, "model   %s\ndata    %s, in steps of %d\n", printable.Line(found.Model), printable.Line(found.Data), found.Batch)
	last := ""
	for _, r := range found.Rows {
		if r.Stream != last {
			fmt.Fprintf(a.out, "\n%s\n%-10s %9s %9s %18s %12s %7s\n", printable.Line(r.Stream), "method", "before", "after", "change", "ms/example", "times")
			last = r.Stream
		}
		name := adapt.Name(r.Method.Method)
		if r.Reason != "" {
			fmt.Fprintf(a.out, "%-10s not measured: %s\n", name, printable.Line(r.Reason))
			continue
		}
		before, after, change := "-", "-", "-"
		if r.Accuracy != nil {
			before, after = fmt.Sprintf("%.4f", *r.AccuracyBefore), fmt.Sprintf("%.4f", *r.Accuracy)
			change = fmt.Sprintf("%+.4f +- %.4f", *r.Change, 2**r.ChangeError)
		}
		fmt.Fprintf(a.out, "%-10s %9s %9s %18s %12.4f %7.1f\n", name, before, after, change, r.Millis, r.Times)
		for _, w := range r.Warnings {
			fmt.Fprintf(a.out, "           warning: %s\n", printable.Line(w))
		}
	}
	_, err := fmt.Fprintln(a.out, "\n+- is two standard errors over the examples of this one stream; times is the cost beside a plain pass")
	return err
}
