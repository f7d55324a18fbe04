package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/subject"
)

// calibrateFlags are the flags of "ballast calibrate".
type calibrateFlags struct {
	data, part  string
	on, onPart  string
	taken       dataFlags
	saved       savedFlags
	subject     subjectFlags
	byPlace     bool
	method, out string
	set         []string
	compare     bool
	onShifted   bool
	html        string
	overwrite   bool

	maxIterations int
	foreign       bool // MODEL is an ONNX file, or a command
}

// calibrated is what "ballast calibrate --json" prints.
type calibrated struct {
	evaluate.Calibrated
	Comparison *report.Comparison  `json:"comparison,omitempty"`   // of the audits before and after, with --html
	Graph      *subject.Calibrated `json:"graph,omitempty"`        // of an ONNX file that was written
	Taken      []data.Note         `json:"data_assumed,omitempty"` // what data of a user's own were taken for
}

// savedFlags are the flags of saved outputs, of which several verbs take.
type savedFlags struct {
	logits, labels string
	outputs        string
	probabilities  bool
	ignore         []int64
}

// add adds the flags to a verb.
func (f *savedFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.logits, "logits", "", ".npy or .npz file of logits or probabilities, in place of MODEL; FILE.npz:NAME names one of several arrays")
	flags.StringVar(&f.labels, "labels", "", ".npy or .npz file of labels, with --logits (default: the labels in its .npz file)")
	flags.StringVar(&f.outputs, "outputs", "", "what --logits holds, or the model gives: "+strings.Join(evaluate.Forms(), ", ")+" (default: detected)")
	flags.BoolVar(&f.probabilities, "probabilities", false, "the same as --outputs probabilities")
	flags.Int64SliceVar(&f.ignore, "ignore-label", nil, "with --labels: leave out examples with this label, such as -100; may be repeated")
}

// given reports whether saved outputs were named.
func (f savedFlags) given() bool { return f.logits != "" || f.labels != "" }

// options are the options of the saved outputs.
func (f savedFlags) options() evaluate.SavedOptions {
	return evaluate.SavedOptions{Outputs: evaluate.Form(f.outputs), Ignore: f.ignore}
}

// check refuses half of a pair, a model beside it, and flags that are not for what was named.
func (f *savedFlags) check(cmd *cobra.Command, args []string, ofModels ...string) error {
	if f.probabilities {
		if f.outputs != "" && f.outputs != string(evaluate.FormProbabilities) {
			return usagef("give --probabilities or --outputs %s, not both", f.outputs)
		}
		f.outputs = string(evaluate.FormProbabilities)
	}
	if file, _ := npy.SplitName(f.logits); f.labels == "" && strings.EqualFold(filepath.Ext(file), ".npz") {
		f.labels = file // one file with both
	}
	if !f.given() {
		if err := noteOutputs(f.outputs); err != nil {
			return err
		}
		return idle(cmd, "without --logits and --labels", "ignore-label")
	}
	if f.logits == "" || f.labels == "" || len(args) > 0 {
		return &fault.Usage{Err: fmt.Errorf("give --logits and --labels together, without MODEL")}
	}
	if err := f.options().Validate(); err != nil {
		return err
	}
	return idle(cmd, "with --logits and --labels", append(ofModels, "engine", "by-place")...)
}

func newCalibrate(a *app) *cobra.Command {
	f := calibrateFlags{}
	cmd := &cobra.Command{
		Use:   "calibrate [MODEL]",
		Short: "Fix a model's confidences",
		Long: `Calibrate fits a temperature, or what another method asks for, to examples that the model was not trained on and writes a model whose
confidences are right for them; at a temperature its answers stay the same. With --logits and --labels it works on the saved outputs of a
model of any framework and, with --out FILE.npy or FILE.npz, writes the corrected logits, or, with --out FILE.json, what was fitted.

` + methodTable + `

--compare fits all methods and shows them beside each other. --on-shifted fits to a mixture of inputs as they are and shifted, and shows
what that and the fit to inputs as they are do to each.

The numbers shown are measured on examples that the temperature was not fitted to: those of --on, or else the same examples in five
parts, each measured with a fit to the other four. Where nothing is best, for example no temperature because every answer is right,
calibrate says so and writes nothing.

A MODEL is what "ballast evaluate" takes. Of an ONNX file, --out FILE.onnx is a copy with the calibration in its graph, which was run
beside the original: names of inputs and outputs stay. What is fitted to --exec is shown.

With --html, the examples of --on are audited before and after, shifted inputs among them where they are images, and a page
shows what became better and what became worse.`,
		Example: `  ballast calibrate runs/model/model --data mnist --part test --out runs/model/calibrated
  ballast calibrate runs/model/model --data dir:aside --on dir:more --out runs/model/calibrated
  ballast calibrate runs/model/model --data dir:aside --on dir:more --out mended --html mended.html
  ballast calibrate model.onnx --data dir:aside --preprocess imagenet --out mended.onnx
  ballast calibrate runs/model/model --data mnist --method conformal --set coverage=0.95 --out sets
  ballast calibrate --logits logits.npy --labels labels.npy --compare
  ballast calibrate --logits logits.npy --labels labels.npy --method matrix --set lambda=0.01 --out corrected.npy
  ballast calibrate --logits logits.npy --labels labels.npy --json | jq .temperature`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.data, "data", "", `data set to calibrate on (see "ballast data list")`)
	flags.StringVar(&f.part, "part", "test", "part of the data set: train, test or all, or val of a folder that has it")
	flags.StringVar(&f.on, "on", "", "data set to measure on; with --logits two files, LOGITS.npy,LABELS.npy (default: the same, in five parts)")
	flags.StringVar(&f.onPart, "on-part", "test", "part of that data set")
	f.taken.add(cmd)
	f.saved.add(cmd)
	f.subject.add(cmd)
	flags.BoolVar(&f.byPlace, "by-place", false, "match class k of the data with output k of the model, whatever their names")
	flags.StringVar(&f.method, "method", methodTemperature, "method: "+strings.Join(calibrateMethods(), ", "))
	flags.StringArrayVar(&f.set, "set", nil, "setting of the method, such as bins=20; may be repeated")
	flags.BoolVar(&f.compare, "compare", false, "show all methods beside each other, and write nothing")
	flags.BoolVar(&f.onShifted, "on-shifted", false, "fit to shifted inputs too, and compare with a fit to inputs as they are")
	flags.StringVar(&f.out, "out", "", "where to write the mended model (a folder, or of an ONNX file a .onnx file), the corrected logits (a .npy or .npz file) or what was fitted (a .json file, with --logits)")
	flags.StringVar(&f.html, "html", "", "also write audits of --on, before and after, as one HTML page")
	overwriteFlag(cmd, &f.overwrite)
	flags.IntVar(&f.maxIterations, "max-iterations", calibrate.NewTemperatureScaling().MaxIterations, "most Newton steps, of methods that take any")
	cmd.RunE = func(c *cobra.Command, args []string) error {
		chosen, err := f.chosen(c)
		if err != nil {
			return err
		}
		f.foreign = f.ofGraph(args)
		if err := f.check(c, args); err != nil {
			return err
		}
		if f.foreign {
			return a.calibrateGraph(c.Context(), chosen, args, f)
		}
		method, ok := chosen.(calibrate.TemperatureScaling)
		if !ok || f.compare || f.onShifted || f.saved.given() && filepath.Ext(f.out) == ".json" {
			return a.byMethod(c.Context(), chosen, args, f)
		}
		var found calibrated
		claim := claimBundle(f.out, f.overwrite)
		if f.saved.given() {
			claim = claimFile(f.out, f.overwrite)
		}
		err = claimed(claim, func() error {
			return claimed(claimFile(f.html, f.overwrite), func() (err error) {
				if f.saved.given() {
					found, err = a.calibrateSaved(c.Context(), method, f)
				} else {
					found, err = a.calibrateModel(c.Context(), method, f.subject.models(args)[0], f)
				}
				return err
			})
		})
		if err != nil {
			return err
		}
		if err := a.printCalibrated(found, f); err != nil {
			return err
		}
		a.nextAfterCalibrate(strings.Join(args, ""), f) // there is one, or none with saved outputs
		return nil
	}
	return cmd
}

// check refuses what does not go together, before anything is read.
func (f *calibrateFlags) check(cmd *cobra.Command, args []string) error {
	if err := f.checkMethods(cmd); err != nil {
		return err
	}
	if err := f.saved.check(cmd, args, append([]string{"data", "part", "on-part", "exec", "preprocess"}, dataFlagNames...)...); err != nil {
		return err
	}
	if err := f.taken.check(cmd); err != nil {
		return err
	}

	f.subject.outputs = f.saved.outputs
	if err := f.subject.check(args); err != nil {
		return err
	}

	if !f.saved.given() && (len(f.subject.models(args)) == 0 || f.data == "") {
		return errNoOut()
	}

	if f.out == "" && f.html == "" {
		if err := idle(cmd, "without --out and --html", "overwrite"); err != nil {
			return err
		}
	}

	if f.html != "" && f.on == "" {
		return &fault.Usage{Err: errors.New("--html shows audits of examples that the temperature was not fitted to; name them with --on")}
	}

	if f.on == "" {
		if err := idle(cmd, "without --on", "on-part"); err != nil {
			return err
		}
		return knownData(f.data, f.part)
	}

	if f.saved.given() {
		_, _, err := f.judged()
		return err
	}
	if err := errors.Join(knownData(f.data, f.part), knownData(f.on, f.onPart)); err != nil {
		return err
	}

	if f.on == f.data && f.onPart == f.part {
		return &fault.Usage{Err: errors.New("--on names the examples that the temperature is fitted to; name others, or leave it out")}
	}
	return nil
}

// errNoOut is half of what calibrate needs.
func errNoOut() error {
	return &fault.Usage{Err: errors.New("give MODEL, --data and --out, or --logits and --labels")}
}

// judged are the two files of --on.
func (f calibrateFlags) judged() (logits, labels string, err error) {
	logits, labels, ok := strings.Cut(f.on, ",")
	if !ok {
		return "", "", usagef("--on %s: with --logits it names two files, LOGITS.npy,LABELS.npy", f.on)
	}
	return logits, labels, nil
}

// printCalibrated shows what was found.
func (a *app) printCalibrated(c calibrated, f calibrateFlags) error {
	if f.out != "" {
		a.remark("written: %s", f.out)
	}
	if f.html != "" {
		a.remark("report: %s", f.html)
	}
	a.sayChecked(c.Graph)
	for _, note := range c.Notes {
		a.remark("note: %s", note)
	}
	if a.json {
		return a.printJSON(c)
	}
	saturated := ""
	if c.Saturated {
		saturated = fmt.Sprintf(" (saturated: %s)", c.Why)
	}
	fmt.Fprintf(a.out, "temperature %.6g%s\nfitted to    %d examples of %s\n", c.T, saturated, c.Fitted, c.FittedTo)
	if c.JudgedOn == "" {
		return nil
	}
	_, err := fmt.Fprintf(a.out, "judged on    %s (%d)\nNLL before   %.6f\nNLL after    %.6f\nECE before   %.6f\nECE after    %.6f\n",
		c.JudgedOn, c.Examples, c.NLLBefore, c.NLLAfter, c.ECEBefore, c.ECEAfter)
	if err != nil || c.Comparison == nil {
		return err
	}
	fmt.Fprintln(a.out)
	return c.Comparison.Text(a.out)
}

// noOptimum says that nothing is written, and what to do.
func noOptimum(name string, c evaluate.Calibrated) error {
	fix := map[calibrate.Without]string{
		calibrate.AllRight:    "give more examples, some of which are answered wrong",
		calibrate.NoUse:       "see whether the labels are those of these outputs",
		calibrate.Unreachable: "scale the outputs",
		calibrate.Beyond:      "see whether all rows are of one model",
		calibrate.Constant:    "see whether these are the model's outputs",
		calibrate.Unfinished:  "raise --max-iterations",
	}[c.Why]
	return fmt.Errorf("calibrate: %s: no temperature is best for these %d examples: %s; %s; nothing is written", name, c.Fitted, c.Why, fix)
}

func (a *app) calibrateSaved(ctx context.Context, method calibrate.TemperatureScaling, f calibrateFlags) (found calibrated, err error) {
	saved, err := f.saved.options().Open(f.saved.logits, f.saved.labels)
	if err != nil {
		return found, err
	}
	defer saved.Close() //nolint:errcheck // a mapping that was only read
	var on *evaluate.Saved
	if f.on != "" {
		logits, labels, err := f.judged()
		if err != nil {
			return found, err
		}
		if on, err = f.saved.options().Open(logits, labels); err != nil {
			return found, err
		}
		defer on.Close() //nolint:errcheck // the same
	}

	found.Calibrated, err = saved.Calibrate(method, on, a.seed)
	switch {
	case err != nil || f.out == "" && f.html == "":
		return found, err
	case found.Saturated:
		return found, noOptimum(f.saved.logits, found.Calibrated)
	}
	if f.html != "" {
		if found.Comparison, err = auditedSaved(ctx, on, found.T); err != nil {
			return found, err
		}
	}
	if f.out != "" {
		if err := saved.WriteScaled(f.out, found.T); err != nil {
			return found, err
		}
	}
	return found, writeCompared(f.html, found.Comparison)
}

// auditedSaved audits saved outputs as they are, and divided by a temperature.
func auditedSaved(ctx context.Context, on *evaluate.Saved, t float64) (*report.Comparison, error) {
	scaled, err := on.Scaled(t)
	if err != nil {
		return nil, err
	}
	c, err := auditedPair(ctx, on, scaled, "")
	if err != nil {
		return nil, err
	}
	return compared(t, c.Before, c.After), nil
}

// auditedPair audits saved outputs as they are, and corrected by a method.
func auditedPair(ctx context.Context, on, corrected *evaluate.Saved, method string) (*report.Comparison, error) {
	before, err := on.Report(evaluate.Options{})
	if err != nil {
		return nil, err
	}
	after, err := corrected.Report(evaluate.Options{})
	if err != nil {
		return nil, err
	}
	files, err := bundle.Sums(ctx, on.Files(), nil)
	if err != nil {
		return nil, err
	}
	sign(&before, files)
	sign(&after, nil) // it is in no file yet
	c := report.NewComparison("calibration: "+method, before, after)
	return &c, nil
}

// compared is what a temperature did, and why.
func compared(t float64, before, after report.Report) *report.Comparison {
	c := report.NewComparison(fmt.Sprintf("temperature scaling, T = %.4f", t), before, after)
	c.Why = evaluate.WhyTemperature(t, before, after)
	if worse := evaluate.WorseUnderShift(before, after); worse != "" {
		c.Why += " " + worse
	}
	return &c
}

// writeCompared writes the page of a comparison; nothing without one.
func writeCompared(path string, c *report.Comparison) error {
	if c == nil {
		return nil
	}
	return report.WriteHTML(path, *c)
}

func (a *app) calibrateModel(ctx context.Context, method calibrate.TemperatureScaling, model string, f calibrateFlags) (found calibrated, err error) {
	if f.out == "" {
		return found, errNoOut()
	}
	err = a.withModel(model, f, func(x fitting) error {
		b := x.model.Bundle
		uncalibrated := *b // its manifest is its own, and its weights are not changed
		found.Taken = x.taken
		found.Calibrated, err = evaluate.CalibrateJudged(ctx, b, x.ds, x.on, x.engine, method, x.o)
		x.fitted()
		switch {
		case err != nil:
			return err
		case found.Saturated:
			return noOptimum(model, found.Calibrated)
		}
		var before report.Report
		if f.html != "" {
			if before, err = a.auditOn(ctx, &uncalibrated, x, func(r *report.Report) error { return a.signSubject(ctx, r, x.model) }); err != nil {
				return err
			}
			before.Assumed = x.model.Assumed()
		}
		if err := b.Save(f.out); err != nil || f.html == "" {
			return err
		}
		after, err := a.auditOn(ctx, b, x, func(r *report.Report) error { return signModel(ctx, r, f.out) })
		if err != nil {
			return err
		}
		found.Comparison = compared(found.T, before, after)
		if next, ok := (evaluateFlags{data: f.on, part: f.onPart, taken: f.taken, byPlace: f.byPlace}).nextRequire(after, f.out); ok {
			found.Comparison.Next = []report.Next{next}
		}
		return writeCompared(f.html, found.Comparison)
	})
	return found, err
}

// auditOn audits a model on the examples that a fit is judged on. signed writes into the report which files the model is made of.
func (a *app) auditOn(ctx context.Context, b *bundle.Bundle, x fitting, signed func(r *report.Report) error) (report.Report, error) {
	o := x.o
	progress, done := a.counter("audit")
	o.Progress = progress
	r, err := evaluate.Bundle(ctx, b, x.on, x.engine, o)
	done()
	if err != nil {
		return r, err
	}
	return r, signed(&r)
}
