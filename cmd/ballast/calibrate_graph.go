package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/subject"
)

// ofGraph reports whether the model is an ONNX file or a command, which are calibrated as they answer.
func (f calibrateFlags) ofGraph(args []string) bool {
	if f.subject.exec != "" {
		return true
	}
	if len(args) == 0 {
		return false
	}
	kind, _, err := subject.Find(args[0])
	return err == nil && kind == subject.OfONNX
}

// graphOut refuses an output that no copy of an ONNX file can have, before the file is read.
func graphOut(flag, model, out string) error {
	if err := graphEnding(flag, out); err != nil {
		return err
	}
	_, path, err := subject.Find(model)
	if err != nil {
		return err
	}
	in, err1 := os.Stat(path)
	there, err2 := os.Stat(out)
	if err1 == nil && err2 == nil && os.SameFile(in, there) {
		return usagef("%s %s is the model that is read; name another file for the copy", flag, out)
	}
	return nil
}

// graphEnding refuses an output that is not named as ONNX files are.
func graphEnding(flag, out string) error {
	if !strings.EqualFold(filepath.Ext(out), ".onnx") {
		return usagef("%s %s: the copy of an ONNX file is one too; name a .onnx file", flag, out)
	}
	return nil
}

// calibrateGraph fits a method to the answers of an ONNX file or a command, shows what it does, and writes it into a copy of the file.
func (a *app) calibrateGraph(ctx context.Context, chosen any, args []string, f calibrateFlags) error {
	model := f.subject.models(args)[0]
	if f.out != "" && !f.asJSON() {
		if f.subject.exec != "" {
			return usagef("--out %s: a command has no file into which a calibration could be written; name a .json file, for what is fitted", f.out)
		}
		if err := graphOut("--out", model, f.out); err != nil {
			return err
		}
	}
	var show func() error
	err := claimed(claimFile(f.out, f.overwrite), func() error {
		return claimed(claimFile(f.html, f.overwrite), func() (err error) {
			show, err = a.calibrateOpened(ctx, chosen, model, f)
			return err
		})
	})
	if err != nil {
		return err
	}
	if err := show(); err != nil {
		return err
	}
	if !f.asJSON() {
		a.nextAfterCalibrate(strings.Join(args, ""), f)
	}
	return nil
}

// asJSON reports whether what is fitted is written by itself.
func (f calibrateFlags) asJSON() bool { return filepath.Ext(f.out) == ".json" }

// calibrateOpened opens the model and the data. show prints what was found.
func (a *app) calibrateOpened(ctx context.Context, chosen any, model string, f calibrateFlags) (show func() error, err error) {
	m, err := a.openSubject(model, f.subject)
	if err != nil {
		return nil, err
	}
	if f.out != "" && !f.asJSON() {
		if err := m.CheckOut(f.out); err != nil {
			return nil, err
		}
	}
	var both [2]data.Dataset
	var taken []data.Note
	for i, name := range []string{f.data, f.on} {
		if name == "" {
			continue
		}
		if both[i], err = a.openData(name, []string{f.part, f.onPart}[i], f.taken); err != nil {
			return nil, err
		}
		if i == 0 {
			taken = data.NotesOf(both[i])
		}
		if both[i], err = fitted(m, both[i]); err != nil {
			return nil, err
		}
	}
	e, err := a.subjectEngine([]*subject.Model{m}, both[0].Len())
	if err != nil {
		return nil, err
	}
	if e != nil {
		defer e.Close()
	}

	err = a.askedOf(ctx, m, both[0], e, func(s evaluate.Subject, o evaluate.Options) (err error) {
		g := graphCalibration{app: a, m: m, s: s, o: o, ds: both[0], on: both[1], taken: taken, e: e, f: f}
		g.o = f.taken.into(g.o)
		g.o.ByPlace = f.byPlace
		method, _ := chosen.(calibrate.Method)
		conformal, sets := chosen.(calibrate.Conformal)
		scaling, temperature := method.(calibrate.TemperatureScaling)
		switch {
		case f.compare:
			show, err = g.compare(ctx)
		case sets:
			show, err = g.sets(ctx, conformal)
		case temperature && !f.onShifted:
			show, err = g.temperature(ctx, scaling)
		default:
			show, err = g.mend(ctx, method)
		}
		return err
	})
	return show, err
}

// graphCalibration is one call of calibrate for an ONNX file or a command.
type graphCalibration struct {
	*app
	m      *subject.Model
	s      evaluate.Subject
	o      evaluate.Options
	ds, on data.Dataset
	taken  []data.Note // what ds was taken for
	e      *engine.Engine
	f      calibrateFlags
}

// compare holds all methods beside each other.
func (g graphCalibration) compare(ctx context.Context) (func() error, error) {
	var done func()
	g.o.Progress, done = g.counter("calibrate")
	found, err := evaluate.CompareSubject(ctx, g.s, g.ds, g.on, allMethods(), g.o)
	done()
	return func() error { return g.printBeside(found) }, err
}

// sets fits conformal sets and writes their threshold.
func (g graphCalibration) sets(ctx context.Context, c calibrate.Conformal) (func() error, error) {
	o := g.o
	progress, done := g.counter("calibrate")
	o.Progress = progress
	found, err := evaluate.FitSubjectSets(ctx, g.s, g.ds, g.on, c, o)
	done()
	if err == nil && g.f.out != "" {
		err = evaluate.WriteFitted(g.f.out, found.Sets)
	}
	return func() error { return g.printSets(found, g.f) }, err
}

// temperature fits one and writes it.
func (g graphCalibration) temperature(ctx context.Context, method calibrate.TemperatureScaling) (func() error, error) {
	found := calibrated{Taken: g.taken}
	o := g.o
	progress, done := g.counter("calibrate")
	o.Progress = progress
	var err error
	found.Calibrated, err = evaluate.CalibrateSubject(ctx, g.s, g.ds, g.on, method, o)
	done()
	switch {
	case err != nil:
		return nil, err
	case found.Saturated && (g.f.html != "" || g.f.out != ""):
		return nil, noOptimum(g.m.Name, found.Calibrated)
	}
	fitted := calibrate.TemperatureMap{T: found.T}
	written, before, after, err := g.write(ctx, fitted)
	if err != nil {
		return nil, err
	}
	found.Graph = written
	if g.f.html != "" {
		found.Comparison = compared(found.T, before, after)
	}
	return func() error { return g.printCalibrated(found, g.f) }, writeCompared(g.f.html, found.Comparison)
}

// mend fits another method, or to shifted inputs too, and writes it.
func (g graphCalibration) mend(ctx context.Context, method calibrate.Method) (func() error, error) {
	var found mendedBy
	o := g.o
	progress, done := g.counter("calibrate")
	o.Progress = progress
	mend := evaluate.MendSubject
	if g.f.onShifted {
		mend = evaluate.MendSubjectShifted
	}
	var err error
	found.Mended, err = mend(ctx, g.s, g.ds, g.on, method, o)
	done()
	switch {
	case err != nil:
		return nil, err
	case found.Saturated && (g.f.html != "" || g.f.out != ""):
		return nil, nothingIsBest(g.m.Name, found.Mended)
	}
	written, before, after, err := g.write(ctx, found.Fitted.Fitted)
	if err != nil {
		return nil, err
	}
	if found.Graph = written; written != nil {
		found.Notes = append(found.Notes, written.Notes...)
	}
	if g.f.html != "" {
		c := report.NewComparison("calibration: "+found.Method, before, after)
		c.Why = evaluate.WorseUnderShift(before, after)
		found.Comparison = &c
	}
	return func() error { return g.printMended(found, g.f) }, writeCompared(g.f.html, found.Comparison)
}

// write writes the copy, and with --html audits both: the copy as it is in its file, where there is one.
func (g graphCalibration) write(ctx context.Context, f calibrate.Fitted) (written *subject.Calibrated, before, after report.Report, err error) {
	if g.f.html != "" {
		if before, err = g.audit(ctx, g.s); err == nil {
			err = g.signSubject(ctx, &before, g.m)
		}
		if err != nil {
			return nil, before, after, err
		}
	}
	switch {
	case g.f.out == "":
	case g.f.asJSON():
		if err := evaluate.WriteFitted(g.f.out, calibrate.FittedChoice{Fitted: f}); err != nil {
			return nil, before, after, err
		}
	default:
		feed, err := g.m.Feed(g.e, g.ds, batchFor(g.m, g.ds), 0)
		if err != nil {
			return nil, before, after, err
		}
		answers, _ := g.s.(subject.Answers)
		w, err := g.m.WriteCalibrated(ctx, answers, feed, f, g.f.out)
		if err != nil {
			return nil, before, after, err
		}
		written = &w
	}
	switch {
	case g.f.html == "":
	case written == nil:
		if after, err = g.audit(ctx, evaluate.Corrected(g.s, f)); err == nil {
			sign(&after, nil) // it is in no file
		}
	default:
		after, err = g.auditFile(ctx)
	}
	return written, before, after, err
}

// audit audits something that answers on the examples of --on.
func (g graphCalibration) audit(ctx context.Context, s evaluate.Subject) (report.Report, error) {
	o := g.o
	progress, done := g.counter("audit")
	o.Progress = progress
	defer done()
	return evaluate.Run(ctx, s, g.on, o)
}

// auditFile audits the copy that was written.
func (g graphCalibration) auditFile(ctx context.Context) (r report.Report, err error) {
	m, err := g.openSubject(g.f.out, g.f.subject)
	if err != nil {
		return r, err
	}
	answers, err := m.On(ctx, g.e, g.on, g.o.Batch)
	if err != nil {
		return r, err
	}
	defer answers.Close()
	if r, err = g.audit(ctx, answers); err != nil {
		return r, err
	}
	r.Model = g.m.Name
	return r, g.signSubject(ctx, &r, m)
}

// sayChecked says what the run of a copy beside its original found.
func (a *app) sayChecked(w *subject.Calibrated) {
	if w == nil {
		return
	}
	same := "the same to the bit"
	if !w.Check.Same {
		same = "the same but for rounding"
	}
	a.remark("run beside the original on %d examples: scores %s before the correction are %s; behind it probabilities differ from the method's by at most %.2g",
		w.Check.Examples, printable.Line(w.Scores), same, w.Check.Largest)
}
