package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/lab"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/subject"
)

// The methods of calibrate that are named in this package. The others are those of calibrate.All.
const (
	methodTemperature = "temperature"
	methodConformal   = "conformal"
)

// calibrateMethods are the methods of calibrate.
func calibrateMethods() []string { return append(calibrate.Names(), methodConformal) }

// methodTable is what help says of each method.
const methodTable = `  temperature  one number divides all logits; answers stay the same
  vector       a number scales and one moves the logit of each class
  matrix       a matrix mixes the logits of all classes, held by a penalty
  platt        a sigmoid for each class, against all others
  isotonic     a rising function for each class, against all others
  histogram    how often the class was right, for probabilities in the same bin
  conformal    sets of classes that hold the right one as often as asked for`

// chosen is the method that the flags name, with its settings: a calibrate.Method or a calibrate.Conformal.
func (f calibrateFlags) chosen(cmd *cobra.Command) (any, error) {
	if !slices.Contains(calibrateMethods(), f.method) {
		return nil, &fault.Usage{Err: fmt.Errorf("calibrate: %w", choice.NewUnknown("method", f.method, calibrateMethods()))}
	}
	var defaults any = calibrate.NewConformal()
	if f.method != methodConformal {
		m, err := calibrate.Named(f.method, nil)
		if err != nil {
			return nil, &fault.Usage{Err: err}
		}
		defaults = m
	}
	base, err := lab.ConfigOf(defaults)
	if err != nil {
		return nil, err
	}
	overrides := f.set
	if cmd.Flags().Changed("max-iterations") {
		if _, ok := base["max_iterations"]; !ok {
			return nil, usagef("--max-iterations has no effect on %s, which is not searched for; leave it out", f.method)
		}
		overrides = append([]string{fmt.Sprintf("max_iterations=%d", f.maxIterations)}, overrides...)
	}
	settings, err := lab.Apply(base, lab.TypesOf(defaults), overrides)
	if err != nil {
		return nil, &fault.Usage{Err: fmt.Errorf("--set: %w", err)}
	}
	var m any
	if f.method == methodConformal {
		m, err = conformalOf(settings)
	} else {
		m, err = calibrate.Named(f.method, settings)
	}
	if err != nil {
		return nil, &fault.Usage{Err: err}
	}
	return m, nil
}

// conformalOf is Conformal with settings.
func conformalOf(settings lab.Config) (calibrate.Conformal, error) {
	c := calibrate.NewConformal()
	if err := strict.DecodeMap(settings, &c); err != nil {
		return c, err
	}
	return c, c.Validate()
}

// checkMethods refuses what does not go together with a method, a comparison of all, or shifted inputs.
func (f calibrateFlags) checkMethods(cmd *cobra.Command) error {
	switch {
	case f.compare:
		if err := idle(cmd, "with --compare, which holds all methods beside each other and writes nothing", "method", "set", "out", "html", "on-shifted", "max-iterations"); err != nil {
			return err
		}
	case f.onShifted && f.saved.given():
		return usagef("--on-shifted shifts a model's inputs, and --logits has outputs alone; give MODEL and --data")
	case f.onShifted && f.method == methodConformal:
		return usagef("--on-shifted is for methods that correct confidences; conformal sets promise nothing for inputs that are mixed")
	}
	if ext := filepath.Ext(f.out); f.foreign && f.method == methodConformal && f.out != "" && ext != ".json" {
		return usagef("--out %s: an ONNX file and a command have no place for sets of classes; name a .json file, for their threshold", f.out)
	}
	if !f.foreign && !f.saved.given() && !f.compare && f.out == "" && (f.method != methodTemperature || f.onShifted) {
		return errNoOut()
	}
	if f.html != "" && f.method == methodConformal {
		return usagef("--html shows audits before and after, which sets of classes do not change; leave it out")
	}
	if !f.saved.given() || f.out == "" {
		return nil
	}
	if ext := filepath.Ext(f.out); f.method == methodConformal && ext != ".json" {
		return usagef("--out %s: with --logits, conformal writes its threshold; name a .json file", f.out)
	}
	return nil
}

// methods are all of calibrate.All.
func allMethods() (list []calibrate.Method) {
	for _, k := range calibrate.All() {
		list = append(list, k.New())
	}
	return list
}

// savedPair opens the saved outputs, and those that are judged on.
func (f calibrateFlags) savedPair() (saved, on *evaluate.Saved, done func(), err error) {
	done = func() {}
	if saved, err = f.saved.options().Open(f.saved.logits, f.saved.labels); err != nil {
		return nil, nil, done, err
	}
	done = func() { saved.Close() } //nolint:errcheck // a mapping that was only read
	if f.on == "" {
		return saved, nil, done, nil
	}
	logits, labels, err := f.judged()
	if err != nil {
		return saved, nil, done, err
	}
	if on, err = f.saved.options().Open(logits, labels); err != nil {
		return saved, nil, done, err
	}
	return saved, on, func() { on.Close(); saved.Close() }, nil //nolint:errcheck // the same
}

// fitting is what a method is fitted to and judged on, as a model takes it, and what runs the model.
type fitting struct {
	model  *subject.Model // one that is written with what is fitted: its Bundle is set
	taken  []data.Note    // what ds was taken for
	ds, on data.Dataset   // on is nil where nothing else is judged on
	engine *engine.Engine
	o      evaluate.Options
	fitted func() // is to be called when it is fitted: it ends the progress
}

// withModel runs f on a model that Ballast wrote or on weights of another library, with an engine and progress.
func (a *app) withModel(model string, f calibrateFlags, run func(x fitting) error) error {
	m, err := a.openSubject(model, f.subject)
	if err == nil && m.Adapter != nil { // its bundle alone would be fitted
		_, err = bundle.Open(m.Path)
	}
	if err != nil {
		return err
	}
	x := fitting{model: m}
	if x.ds, err = a.openData(f.data, f.part, f.taken); err != nil {
		return err
	}
	x.taken = data.NotesOf(x.ds)
	if f.on != "" {
		if x.on, err = a.openData(f.on, f.onPart, f.taken); err != nil {
			return err
		}
	}
	if x.ds, err = fitted(m, x.ds); err != nil {
		return err
	}
	if x.on, err = fitted(m, x.on); err != nil {
		return err
	}
	if x.engine, err = a.openEngineFor(passesOf(f.examples(x), m.Bundle)); err != nil {
		return err
	}
	defer x.engine.Close()
	a.sayAssumed(m)
	progress, done := a.counter("calibrate")
	x.fitted = sync.OnceFunc(done)
	defer x.fitted()
	x.o = f.taken.into(evaluate.Options{
		Progress: progress, ByPlace: f.byPlace, Seed: a.seed, Batch: batchFor(m, x.ds), Assumed: m.Assumed(), Try: m.Try(),
	})
	return run(x)
}

// examples is how many examples go through the model.
func (f calibrateFlags) examples(x fitting) int {
	n := x.ds.Len()
	if x.on != nil {
		n += x.on.Len()
	}
	if f.onShifted {
		n *= 1 + corrupt.Severities*len(corrupt.All())
	}
	if f.html != "" { // audited twice, as it is and shifted
		n += 2 * x.on.Len() * (1 + evaluate.NewShift().Needs().Passes)
	}
	return n
}

// compareMethods prints the table of all methods.
func (a *app) compareMethods(ctx context.Context, args []string, f calibrateFlags) (err error) {
	var found evaluate.Beside
	if f.saved.given() {
		saved, on, done, err := f.savedPair()
		defer done()
		if err != nil {
			return err
		}
		if found, err = saved.CompareMethods(allMethods(), on, a.seed); err != nil {
			return err
		}
	} else {
		err = a.withModel(args[0], f, func(x fitting) (err error) {
			found, err = evaluate.CompareMethods(ctx, x.model.Bundle, x.ds, x.on, x.engine, allMethods(), x.o)
			return err
		})
		if err != nil {
			return err
		}
	}
	return a.printBeside(found)
}

// printBeside shows the table of all methods.
func (a *app) printBeside(found evaluate.Beside) error {
	for _, note := range found.Notes {
		a.remark("note: %s", note)
	}
	if a.json {
		return a.printJSON(found)
	}
	fmt.Fprintf(a.out, "fitted to  %d examples of %s\njudged on  %s (%d)\n\n", found.FittedOn, found.FittedTo, found.JudgedOn, found.JudgedAt)
	printRows(a, found.Methods)
	fmt.Fprintf(a.out, "\nsmallest NLL: %s\n", found.Best)
	return nil
}

// printRows prints methods beside each other.
func printRows(a *app, rows []calibrate.Row) {
	fmt.Fprintf(a.out, "%-12s %9s %9s %9s %9s %9s %13s\n", "method", "accuracy", "NLL", "Brier", "ECE", "ECE mass", "classwise ECE")
	for _, r := range rows {
		why := ""
		if r.Saturated {
			why = "  saturated: " + string(r.Why)
		}
		fmt.Fprintf(a.out, "%-12s %9.4f %9.4f %9.4f %9.4f %9.4f %13.4f%s\n", r.Method, r.Accuracy, r.NLL, r.Brier, r.ECE, r.ECEMass, r.ClasswiseECE, why)
	}
}

// mendedBy is what is printed of a method.
type mendedBy struct {
	evaluate.Mended
	Comparison *report.Comparison  `json:"comparison,omitempty"` // of the audits before and after, with --html
	Graph      *subject.Calibrated `json:"graph,omitempty"`      // of an ONNX file that was written
}

// mendSaved fits a method to saved outputs and writes what it makes of them.
func (a *app) mendSaved(ctx context.Context, m calibrate.Method, f calibrateFlags) (found mendedBy, err error) {
	saved, on, done, err := f.savedPair()
	defer done()
	if err != nil {
		return found, err
	}
	found.Mended, err = saved.Mend(m, on, a.seed)
	switch {
	case err != nil || f.out == "" && f.html == "":
		return found, err
	case found.Saturated:
		return found, nothingIsBest(f.saved.logits, found.Mended)
	}
	if f.html != "" {
		mapped, err := on.Mapped(found.Fitted)
		if err != nil {
			return found, err
		}
		if found.Comparison, err = auditedPair(ctx, on, mapped, found.Method); err != nil {
			return found, err
		}
	}
	switch {
	case f.out == "":
	case filepath.Ext(f.out) == ".json":
		err = evaluate.WriteFitted(f.out, found.Fitted)
	default:
		err = saved.WriteMapped(f.out, found.Fitted)
	}
	if err != nil {
		return found, err
	}
	return found, writeCompared(f.html, found.Comparison)
}

// mendModel fits a method to a model's outputs and writes the model with it.
func (a *app) mendModel(ctx context.Context, m calibrate.Method, model string, f calibrateFlags) (found mendedBy, err error) {
	err = a.withModel(model, f, func(x fitting) (err error) {
		b := x.model.Bundle
		uncalibrated := *b
		mend := evaluate.Mend
		if f.onShifted {
			mend = evaluate.MendShifted
		}
		found.Mended, err = mend(ctx, b, x.ds, x.on, x.engine, m, x.o)
		x.fitted()
		switch {
		case err != nil:
			return err
		case found.Saturated:
			return nothingIsBest(model, found.Mended)
		case f.html == "":
			return b.Save(f.out)
		}
		before, err := a.auditOn(ctx, &uncalibrated, x, func(r *report.Report) error { return a.signSubject(ctx, r, x.model) })
		if err != nil {
			return err
		}
		before.Assumed = x.model.Assumed()
		if err := b.Save(f.out); err != nil {
			return err
		}
		after, err := a.auditOn(ctx, b, x, func(r *report.Report) error { return signModel(ctx, r, f.out) })
		if err != nil {
			return err
		}
		what := "calibration: " + found.Method
		if f.onShifted {
			what += ", fitted to shifted inputs too"
		}
		c := report.NewComparison(what, before, after)
		c.Why = evaluate.WorseUnderShift(before, after)
		found.Comparison = &c
		return writeCompared(f.html, found.Comparison)
	})
	return found, err
}

// nothingIsBest says that nothing is written, and what to do.
func nothingIsBest(name string, m evaluate.Mended) error {
	fix := map[calibrate.Without]string{
		calibrate.AllRight:     "give more examples, some of which are answered wrong",
		calibrate.NoUse:        "see whether the labels are those of these outputs",
		calibrate.Unreachable:  "scale the outputs",
		calibrate.Beyond:       "use a method with fewer numbers, such as temperature",
		calibrate.Constant:     "see whether these are the model's outputs",
		calibrate.Unfinished:   "raise --max-iterations",
		calibrate.MissingClass: "give examples of every class, or use the method temperature",
		calibrate.Separable:    "use --set smooth=true",
	}[m.Why]
	return fmt.Errorf("calibrate: %s: no %s is best for these %d examples: %s; %s; nothing is written", name, m.Method, m.FittedOn, m.Why, fix)
}

// printMended shows what a method does.
func (a *app) printMended(m mendedBy, f calibrateFlags) error {
	if f.out != "" {
		a.remark("written: %s", f.out)
	}
	if f.html != "" {
		a.remark("report: %s", f.html)
	}
	a.sayChecked(m.Graph)
	for _, note := range m.Notes {
		a.remark("note: %s", note)
	}
	if a.json {
		return a.printJSON(m)
	}
	fmt.Fprintf(a.out, "method       %s\n", m.Method)
	if m.Saturated {
		fmt.Fprintf(a.out, "saturated    %s\n", m.Why)
	}
	fmt.Fprintf(a.out, "fitted to    %d examples of %s\n", m.FittedOn, m.FittedTo)
	if m.JudgedOn == "" {
		return nil
	}
	fmt.Fprintf(a.out, "judged on    %s (%d)\n\n", m.JudgedOn, m.JudgedAt)
	printRows(a, []calibrate.Row{m.Before, m.After})
	if m.Shift != nil {
		a.printUnderShift(*m.Shift)
	}
	if m.Comparison == nil {
		return nil
	}
	fmt.Fprintln(a.out)
	return m.Comparison.Text(a.out)
}

// printUnderShift shows both fits beside the outputs as they are.
func (a *app) printUnderShift(u evaluate.UnderShift) {
	fmt.Fprintf(a.out, "\n%-16s %9s  %26s  %26s\n", "", "", "NLL fitted to", "ECE fitted to")
	fmt.Fprintf(a.out, "%-16s %9s  %8s %8s %8s  %8s %8s %8s\n", "inputs", "accuracy", "before", "clean", "mixture", "before", "clean", "mixture")
	var worseClean, worseMixed []string
	for _, r := range u.Rows {
		clean, mixed := r.Worse()
		mark := ""
		switch {
		case clean && mixed:
			mark = "  worse by both"
		case clean:
			mark = "  worse by the fit to clean inputs"
		case mixed:
			mark = "  worse by the fit to the mixture"
		}
		if clean {
			worseClean = append(worseClean, r.Shift)
		}
		if mixed {
			worseMixed = append(worseMixed, r.Shift)
		}
		fmt.Fprintf(a.out, "%-16s %9.4f  %8.4f %8.4f %8.4f  %8.4f %8.4f %8.4f%s\n", r.Shift, r.Accuracy, r.NLLBefore, r.NLLClean, r.NLLMixed,
			r.ECEBefore, r.ECEClean, r.ECEMixed, mark)
	}
	fmt.Fprintf(a.out, "\nNLL became worse: fitted to clean inputs, %s; fitted to the mixture, %s\n", inWords(worseClean), inWords(worseMixed))
}

// inWords is a list in words.
func inWords(names []string) string {
	if len(names) == 0 {
		return "nowhere"
	}
	return "under " + strings.Join(names, ", ")
}

// fitSets fits conformal sets and writes the model with them, or their threshold.
func (a *app) fitSets(ctx context.Context, c calibrate.Conformal, args []string, f calibrateFlags) (found evaluate.Sets, err error) {
	if f.saved.given() {
		saved, on, done, err := f.savedPair()
		defer done()
		if err != nil {
			return found, err
		}
		if found, err = saved.FitSets(c, on, a.seed); err != nil || f.out == "" {
			return found, err
		}
		return found, evaluate.WriteFitted(f.out, found.Sets)
	}
	err = a.withModel(args[0], f, func(x fitting) (err error) {
		if found, err = evaluate.FitSets(ctx, x.model.Bundle, x.ds, x.on, x.engine, c, x.o); err != nil {
			return err
		}
		return x.model.Bundle.Save(f.out)
	})
	return found, err
}

// printSets shows what sets hold.
func (a *app) printSets(s evaluate.Sets, f calibrateFlags) error {
	if f.out != "" {
		a.remark("written: %s", f.out)
	}
	for _, note := range s.Notes {
		a.remark("note: %s", note)
	}
	if a.json {
		return a.printJSON(s)
	}
	threshold := fmt.Sprintf("%.6g", s.Sets.Threshold)
	if s.Sets.Everything {
		threshold = "none: every set holds all classes"
	}
	fmt.Fprintf(a.out, "method       conformal, %s\nasked for    %.6g\nthreshold    %s\nfitted to    %d examples of %s\n", s.Sets.Score, s.Sets.Coverage, threshold,
		s.Sets.Examples, s.FittedTo)
	if s.Covered == nil {
		return nil
	}
	c := s.Covered
	fmt.Fprintf(a.out, "judged on    %s (%d)\ncoverage     %.4f\nmean size    %.4f\nempty sets   %d\n\n%-12s %9s %9s\n", s.JudgedOn, c.Examples, c.Coverage, c.MeanSize,
		c.Empty, "set size", "sets", "coverage")
	for _, size := range c.Sizes {
		fmt.Fprintf(a.out, "%-12d %9d %9.4f\n", size.Size, size.Examples, size.Coverage)
	}
	fmt.Fprintf(a.out, "\n%-12s %9s %9s %9s\n", "class", "examples", "coverage", "mean size")
	for _, of := range worstClasses(c.Classes) {
		name := fmt.Sprint(of.Class)
		if of.Class < len(s.Names) {
			name = printable.Line(s.Names[of.Class])
		}
		fmt.Fprintf(a.out, "%-12s %9d %9.4f %9.4f\n", name, of.Examples, of.Coverage, of.MeanSize)
	}
	if more := len(c.Classes) - mostClasses; more > 0 {
		fmt.Fprintf(a.out, "and %d classes of a higher coverage; --json has them all\n", more)
	}
	return nil
}

// mostClasses is how many classes are shown.
const mostClasses = 20

// worstClasses are all classes in their order, or of many those of the least coverage.
func worstClasses(all []calibrate.OfClass) []calibrate.OfClass {
	if len(all) <= mostClasses {
		return all
	}
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b calibrate.OfClass) int {
		switch {
		case a.Coverage < b.Coverage:
			return -1
		case a.Coverage > b.Coverage:
			return 1
		}
		return 0
	})
	return sorted[:mostClasses]
}

// byMethod does what the flags ask for, where that is not a temperature fitted to inputs as they are.
func (a *app) byMethod(ctx context.Context, method any, args []string, f calibrateFlags) error {
	if f.compare {
		return a.compareMethods(ctx, args, f)
	}
	claim := claimBundle(f.out, f.overwrite)
	if f.saved.given() {
		claim = claimFile(f.out, f.overwrite)
	}
	var show func() error
	err := claimed(claim, func() error {
		return claimed(claimFile(f.html, f.overwrite), func() (err error) {
			var found mendedBy
			switch m := method.(type) {
			case calibrate.Conformal:
				sets, err := a.fitSets(ctx, m, args, f)
				show = func() error { return a.printSets(sets, f) }
				return err
			case calibrate.Method:
				if f.saved.given() {
					found, err = a.mendSaved(ctx, m, f)
				} else {
					found, err = a.mendModel(ctx, m, args[0], f)
				}
			}
			show = func() error { return a.printMended(found, f) }
			return err
		})
	})
	if err != nil {
		return err
	}
	if err := show(); err != nil {
		return err
	}
	if filepath.Ext(f.out) != ".json" {
		a.nextAfterCalibrate(strings.Join(args, ""), f)
	}
	return nil
}
