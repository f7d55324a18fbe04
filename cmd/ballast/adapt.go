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
	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/data/stream"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/lab"
	"github.com/ballast-ml/ballast/subject"
)

// adaptFlags are the flags of "ballast adapt".
type adaptFlags struct {
	data, part string
	shift      string
	method     string
	compare    bool
	streams    []string
	taken      dataFlags
	set        []string
	batch      int
	byPlace    bool
	out        string
	every      int
	resume     bool
	overwrite  bool
	export     string
	subject    subjectFlags
}

// adaptReport is what "ballast adapt --json" prints.
type adaptReport struct {
	Model    string         `json:"model"`
	Method   adapt.Choice   `json:"method"`
	Data     string         `json:"data"`
	Taken    []data.Note    `json:"data_assumed,omitempty"` // what data of a user's own were taken for
	Batch    int            `json:"batch"`
	Rest     int            `json:"rest,omitempty"` // examples of the last step, where it is smaller
	Engine   string         `json:"engine"`
	Seed     uint64         `json:"seed"`
	Resumed  int            `json:"resumed_at,omitempty"` // examples that an earlier call had answered
	Progress adapt.Progress `json:"progress"`

	AccuracyBefore *float64 `json:"accuracy_before"` // null where no example has a label
	Accuracy       *float64 `json:"accuracy"`
	MillisBefore   float64  `json:"ms_per_example_before"`
	Millis         float64  `json:"ms_per_example"`
	Warnings       []string `json:"warnings,omitempty"`
	Notes          []string `json:"notes,omitempty"`
	Out            string   `json:"out,omitempty"`
}

func newAdapt(a *app) *cobra.Command {
	f := adaptFlags{}
	cmd := &cobra.Command{
		Use:   "adapt [MODEL] --data DATA",
		Short: "Adapt a model to the inputs it answers",
		Long: `Adapt takes a model through a data set and changes it by the inputs alone, without labels: what it
normalises with, or some of its weights. It shows the accuracy before and after, where there are labels, and the cost.

Examples go in steps of --batch, in the order of the data or of a --stream; what is left is a smaller step of its own, with
statistics of its own examples alone. With --out the adapter and its state are kept in a folder, which
evaluate and run take like a model. A run that was cut short, by a signal or a crash, goes on with --resume, to the bit.

An ONNX file is adapted by new statistics of its batch norms: --export FILE.onnx is a copy with those of the data, by the
methods batch, alpha-bn and prior. They are statistics of all examples together, of each norm behind the new ones of the
norms before it. Exporters usually fold norms away: export the network with them. Without --export, an ONNX file and --exec
are adapted by the methods that work on inputs and answers alone: lame and crops, which keep nothing between batches.

Several methods, or --compare for all of them, and several streams give a table: each method on each stream, begun anew, beside
the model as it is. Nothing is written. A method that the model cannot be adapted by is a row with the reason.

Streams, each with options behind a colon, such as dirichlet:delta=0.01,slots=5:
` + streamTable() + `

A MODEL is what "ballast evaluate" takes; weights of other libraries are adapted as bundles are.

Methods, each with options for --set:
` + adaptMethods(),
		Example: `  ballast adapt runs/cnn/model --data photos --method alpha-bn --set source_weight=0.5
  ballast adapt runs/cnn/model --data mnist --shift contrast:3 --method tent --out adapted
  ballast evaluate adapted --data mnist
  ballast adapt runs/cnn/model --data mnist --compare --stream iid --stream sorted
  ballast adapt model.onnx --data photos --method batch --export mended.onnx
  ballast adapt model.onnx --data photos --method lame --preprocess imagenet`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.data, "data", "", `data set to go through (see "ballast data list")`)
	flags.StringVar(&f.part, "part", "test", "part of the data set: train, test or all, or val of a folder that has it")
	flags.StringVar(&f.shift, "shift", "", "shift the images, such as contrast:3: "+strings.Join(shiftNames(), ", ")+"; severities 1 to 5")
	flags.StringVar(&f.method, "method", "alpha-bn", "method: "+strings.Join(adapt.Names(), ", "))
	flags.Lookup("method").Usage += "; several with commas"
	flags.BoolVar(&f.compare, "compare", false, "show all methods beside each other, and write nothing")
	flags.StringArrayVar(&f.streams, "stream", nil, "order of the examples: "+strings.Join(stream.Names(), ", ")+"; may be repeated")
	flags.StringArrayVar(&f.set, "set", nil, "option of the method, such as source_weight=0.5; may be repeated")
	flags.IntVar(&f.batch, "batch", 64, "examples of a step")
	f.taken.add(cmd)
	flags.BoolVar(&f.byPlace, "by-place", false, "match class k of the data with output k of the model, whatever their names")
	flags.StringVar(&f.out, "out", "", "folder for the adapter")
	flags.IntVar(&f.every, "save-every", 50, "with --out: steps between two saves")
	flags.BoolVar(&f.resume, "resume", false, "with --out: go on where an earlier call with the same settings was cut short")
	flags.StringVar(&f.export, "export", "", "of an ONNX file: where to write the copy with new statistics, a .onnx file")
	f.subject.add(cmd)
	flags.StringVar(&f.subject.outputs, "outputs", "", "what an ONNX file or a command gives: logits or probabilities (default: detected)")
	overwriteRunFlag(cmd, &f.overwrite)
	flags.Lookup("overwrite").Usage += "; or replace the file of --export"
	cmd.RunE = func(c *cobra.Command, args []string) error {
		if f.table() {
			t, err := f.checkTable(c, args)
			if err != nil {
				return err
			}
			return a.adaptTable(c.Context(), f.subject.models(args)[0], t, f)
		}
		method, err := f.check(c, args)
		if err != nil {
			return err
		}
		model := f.subject.models(args)[0]
		if f.export != "" {
			return a.adaptExported(c.Context(), model, method, f)
		}
		if f.out == "" {
			return a.adapt(c.Context(), model, method, f, nil)
		}
		return claimRun("adapt", f.out, adapt.Is, adapt.Files, f.overwrite, func(begin func() error) error {
			if adapt.Is(f.out) && !f.resume && !f.overwrite {
				return usagef("%s holds an adapter; go on with --resume, begin anew with --overwrite, or name another folder", f.out)
			}
			return a.adapt(c.Context(), model, method, f, begin)
		})
	}
	return cmd
}

// adaptMethods is what help says of each method.
func adaptMethods() string {
	var b strings.Builder
	for _, k := range adapt.All() {
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

// shiftNames are the names of all shifts.
func shiftNames() []string {
	var names []string
	for _, s := range corrupt.All() {
		names = append(names, s.Name())
	}
	return names
}

// check refuses what no model could be adapted with, before anything is opened.
func (f *adaptFlags) check(c *cobra.Command, args []string) (adapt.Method, error) {
	if err := errors.Join(noteOutputs(f.subject.outputs), f.subject.check(args)); err != nil {
		return nil, err
	}

	if len(f.subject.models(args)) == 0 {
		return nil, usagef("give MODEL, or a command with --exec")
	}

	if f.data == "" {
		return nil, usagef("give --data, the examples that the model is to be adapted to")
	}
	if err := knownData(f.data, f.part); err != nil {
		return nil, err
	}
	if err := f.taken.check(c); err != nil {
		return nil, err
	}

	if f.shift != "" {
		if _, _, err := (showFlags{shift: f.shift}).shiftOf(); err != nil {
			return nil, err
		}
	}

	if f.batch < 1 {
		return nil, usagef("--batch is %d; use at least 1", f.batch)
	}

	if f.every < 1 {
		return nil, usagef("--save-every is %d; use at least 1", f.every)
	}

	if f.export != "" {
		if err := idle(c, "with --export, whose statistics are those of all examples together", "out", "batch", "exec", "stream"); err != nil {
			return nil, err
		}
	}

	if f.out == "" {
		never := []string{"save-every", "resume", "overwrite"}
		if f.export != "" {
			never = never[:2]
		}
		if err := idle(c, "without --out", never...); err != nil {
			return nil, err
		}
	}

	if f.resume && f.overwrite {
		return nil, usagef("give --resume or --overwrite, not both")
	}

	if _, err := f.orders(); err != nil {
		return nil, err
	}
	return f.chosen()
}

// chosen is the method that the flags name, with its options.
func (f adaptFlags) chosen() (adapt.Method, error) {
	var plain adapt.Choice
	name, err := json.Marshal(f.method)
	if err == nil {
		err = plain.UnmarshalJSON(name)
	}
	if err != nil {
		return nil, &fault.Usage{Err: fmt.Errorf("--method: %w", err)}
	}
	options, err := lab.ConfigOf(plain.Method)
	if err == nil {
		options, err = lab.Apply(options, lab.TypesOf(plain.Method), f.set)
	}
	if err != nil {
		return nil, &fault.Usage{Err: fmt.Errorf("--set: %w", err)}
	}
	options["name"] = f.method
	text, err := json.Marshal(options)
	if err != nil {
		return nil, err
	}
	var chosen adapt.Choice
	if err := chosen.UnmarshalJSON(text); err != nil {
		return nil, &fault.Usage{Err: fmt.Errorf("--set: %w", err)}
	}
	return chosen.Method, nil
}

// openStream opens the data that a model goes through, as it takes them; taken is what they were taken for.
func (a *app) openStream(m *subject.Model, f adaptFlags) (ds data.Dataset, taken []data.Note, err error) {
	if ds, err = a.openData(f.data, f.part, f.taken); err != nil {
		return nil, nil, err
	}
	taken = data.NotesOf(ds)
	if ds, err = fitted(m, ds); err != nil {
		return nil, nil, err
	}
	if b := m.Bundle; b != nil && !slices.Equal(ds.Info().Shape, b.Manifest.InputShape) {
		return nil, nil, usagef("%s has examples of shape %v, the model %s takes %v; choose data of the shape that the model was made for",
			ds.Info().Name, ds.Info().Shape, b.Manifest.Name, b.Manifest.InputShape)
	}
	ds, err = f.shifted(ds, a.seed)
	return ds, taken, err
}

// matched are the examples of a set with the classes of a model.
func (f adaptFlags) matched(ds data.Dataset, model string, labels []string) (data.Dataset, []string, error) {
	match := data.Matching{ByPlace: f.byPlace, SkipUnmatched: f.taken.skipUnmatched, Offer: skipUnmatchedFlag}
	return match.Match("adapt", ds, model, labels)
}

// shifted is a set whose images are shifted as --shift says.
func (f adaptFlags) shifted(ds data.Dataset, seed uint64) (data.Dataset, error) {
	if f.shift == "" {
		return ds, nil
	}
	shift, severity, err := showFlags{shift: f.shift}.shiftOf()
	if err != nil {
		return nil, err
	}
	if ds, err = corrupt.Wrap(ds, shift, severity, seed); err != nil {
		return nil, &fault.Usage{Err: err}
	}
	return ds, nil
}

// adapt opens the model and the data, goes through them and shows what came of it. begin is nil without a folder.
func (a *app) adapt(ctx context.Context, model string, method adapt.Method, f adaptFlags, begin func() error) error {
	m, err := a.openSubject(model, f.subject)
	if err != nil {
		return err
	}
	if m.Adapter != nil {
		return usagef("%s is an adapter; name the model, such as %s/%s", model, model, adapt.ModelFolder)
	}
	if m.Bundle == nil {
		if err := f.checkOutside(m, method); err != nil {
			return err
		}
	}
	ds, taken, err := a.openStream(m, f)
	if err != nil {
		return err
	}
	r := adaptReport{Taken: taken, Model: m.Name, Method: adapt.Choice{Method: method}, Batch: f.batch, Seed: a.seed, Out: f.out}
	if m.Bundle == nil {
		err = a.adaptOutside(ctx, &r, m, ds, f)
	} else {
		err = a.adaptBundle(ctx, &r, m, ds, f, begin)
	}
	if err != nil {
		return err
	}
	return a.printAdapted(r, f)
}

// adaptBundle adapts a bundle that Ballast wrote, or one of another library's weights.
func (a *app) adaptBundle(ctx context.Context, r *adaptReport, m *subject.Model, ds data.Dataset, f adaptFlags, begin func() error) error {
	b := m.Bundle
	ds, notes, err := f.matched(ds, b.Manifest.Name, b.Manifest.Labels)
	if err != nil {
		return err
	}
	if ds, err = f.ordered(ds, a.seed); err != nil {
		return err
	}
	e, err := a.openEngineFor(passesOf(2*ds.Len(), b))
	if err != nil {
		return err
	}
	defer e.Close()
	a.sayAssumed(m)
	r.into(ds, e.Kind, notes)
	return a.adaptThrough(ctx, r, adapt.Model{Bundle: b, Engine: e, Batch: f.batch, Seed: a.seed}, ds, f, begin)
}

// into notes what a model goes through, and where.
func (r *adaptReport) into(ds data.Dataset, engine string, notes []string) {
	r.Data, r.Rest, r.Engine, r.Notes = ds.Info().Name, ds.Len()%r.Batch, engine, notes
	if ds.Info().Part != "" {
		r.Data += " " + ds.Info().Part
	}
}

// adaptThrough starts the adapter, or takes up the one in the folder, and runs it.
func (a *app) adaptThrough(ctx context.Context, r *adaptReport, m adapt.Model, ds data.Dataset, f adaptFlags, begin func() error) error {
	adapter, err := r.Method.Start(m)
	if err != nil {
		return err
	}
	defer adapter.Close()
	if prepared, ok := adapter.(adapt.Preparer); ok && r.Rest > 0 { // before a folder is begun
		if err := prepared.Prepare(r.Rest); err != nil {
			return err
		}
	}
	forward, err := m.Bundle.NewForward(m.Engine, f.batch)
	if err != nil {
		return err
	}
	defer forward.Close()

	o := adapt.RunOptions{
		Data: ds, Batch: f.batch, Every: f.every,
		Before: func(_ context.Context, x []float32, n int) ([]float32, error) { return forward.Logits(x, n) },
	}
	if f.out != "" {
		o.Save = func(p adapt.Progress) error { return adapt.SaveState(f.out, adapter, p) }
		made := adapt.Manifest{
			Method: r.Method, Batch: f.batch, Seed: a.seed, Engine: m.Engine.Kind, Data: r.Data, DataChecksum: ds.Info().Checksum,
		}
		if o.From, err = takeUp(adapter, m.Bundle, made, f, begin); err != nil {
			return err
		}
	}
	return a.runThrough(ctx, r, adapter, o, m.Bundle.Manifest.Labels)
}

// runThrough runs an adapter and counts.
func (a *app) runThrough(ctx context.Context, r *adaptReport, adapter adapt.Adapter, o adapt.RunOptions, labels []string) (err error) {
	r.Resumed = o.From.Examples
	progress, done := a.counter("adapt")
	o.Progress = progress
	r.Progress, err = adapt.Run(ctx, adapter, o)
	done()
	if err != nil {
		if ctx.Err() != nil && r.Out != "" {
			a.remark("cut short behind %d examples; go on with the same command and --resume", r.Progress.Examples)
		}
		return err
	}
	r.fill(adapter, labels)
	return nil
}

// fill derives what is shown from what was counted.
func (r *adaptReport) fill(a adapt.Adapter, labels []string) {
	p := r.Progress
	if p.Labelled > 0 {
		before, after := p.AccuracyBefore(), p.Accuracy()
		r.AccuracyBefore, r.Accuracy = &before, &after
	}
	r.MillisBefore = 1e3 * p.SecondsBefore / float64(max(1, p.Timed))
	r.Millis = 1e3 * p.Seconds / float64(max(1, p.Timed))
	if w, ok := a.(adapt.Warner); ok {
		r.Warnings = append(r.Warnings, w.Warnings()...)
	}
	if text := p.Warning(labels); text != "" {
		r.Warnings = append(r.Warnings, text)
	}
}

// takeUp begins the folder of an adapter, or gives the adapter the state that is in it and returns where that is.
func takeUp(a adapt.Adapter, b *bundle.Bundle, made adapt.Manifest, f adaptFlags, begin func() error) (from adapt.Progress, err error) {
	if !f.resume || !adapt.Is(f.out) {
		if err := begin(); err != nil {
			return from, err
		}
		return from, adapt.Create(f.out, b, made)
	}

	saved, err := adapt.Open(f.out)
	if err != nil {
		return from, err
	}
	set, err := b.Weights()
	if err != nil {
		return from, err
	}
	made.SchemaVersion, made.Weights = saved.Manifest.SchemaVersion, set.Checksum()
	if what := otherThan(saved.Manifest, made); what != "" {
		return from, usagef("--resume: %s was made with another %s; give the settings that it was begun with, or begin anew with --overwrite", f.out, what)
	}
	if err := begin(); err != nil {
		return from, err
	}
	return saved.Progress, saved.Restore(a)
}

// otherThan says in which setting two adapters differ, "" in none.
func otherThan(a, b adapt.Manifest) string {
	text := func(c adapt.Choice) string { t, _ := c.MarshalJSON(); return string(t) }
	switch {
	case a.Weights != b.Weights:
		return "model"
	case text(a.Method) != text(b.Method):
		return "method or option (" + adapt.Describe(a.Method.Method) + ")"
	case a.Batch != b.Batch:
		return fmt.Sprintf("--batch (%d)", a.Batch)
	case a.Seed != b.Seed:
		return fmt.Sprintf("--seed (%d)", a.Seed)
	case a.Engine != b.Engine:
		return "--engine (" + a.Engine + ")"
	case a.Data != b.Data || a.DataChecksum != b.DataChecksum:
		return "data set (" + a.Data + ")"
	}
	return ""
}

// printAdapted shows what came of it.
func (a *app) printAdapted(r adaptReport, f adaptFlags) error {
	for _, note := range r.Notes {
		a.remark("note: %s", note)
	}
	if a.json {
		for _, w := range r.Warnings {
			a.remark("warning: %s", w)
		}
		return a.printJSON(r)
	}
	steps := fmt.Sprintf("%d examples in steps of %d", r.Progress.Examples, r.Batch)
	if r.Rest > 0 {
		steps += fmt.Sprintf(", the last of %d", r.Rest)
	}
	if r.Resumed > 0 {
		steps += fmt.Sprintf("; resumed at %d", r.Resumed)
	}
	fmt.Fprintf(a.out, "model        %s\nmethod       %s\ndata         %s, %s\n\n", printable.Line(r.Model), adapt.Describe(r.Method.Method), printable.Line(r.Data), steps)
	fmt.Fprintf(a.out, "             %9s %9s\n", "before", "after")
	if r.Accuracy != nil {
		fmt.Fprintf(a.out, "accuracy     %9.4f %9.4f\n", *r.AccuracyBefore, *r.Accuracy)
	}
	times := math.NaN()
	if r.MillisBefore > 0 {
		times = r.Millis / r.MillisBefore
	}
	_, err := fmt.Fprintf(a.out, "ms/example   %9.4f %9.4f  (%.1f times)\n", r.MillisBefore, r.Millis, times)
	for _, w := range r.Warnings {
		_, err2 := fmt.Fprintf(a.out, "\nwarning: %s\n", printable.Line(w))
		err = errors.Join(err, err2)
	}
	if f.out != "" {
		a.remark("written: %s", f.out)
		a.remark("next: %s  # the whole audit of the adapted model", shellLine("ballast", "evaluate", f.out, "--data", f.data))
	}
	return err
}
