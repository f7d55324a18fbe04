package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/lab"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/subject"
	"github.com/ballast-ml/ballast/zoo"
)

// evaluateFlags are the flags of "ballast evaluate".
type evaluateFlags struct {
	data, part   string
	taken        dataFlags
	saved        savedFlags
	subject      subjectFlags
	byPlace      bool
	suites       []string
	shifts       []string
	set          []string
	bins         int
	training     string
	trainingPart string
	require      string
	html         string
	overwrite    bool
}

func newEvaluate(a *app) *cobra.Command {
	f := evaluateFlags{}
	cmd := &cobra.Command{
		Use:   "evaluate [MODEL...]",
		Short: "Audit models: accuracy, calibration, shifted inputs",
		Long: `Evaluate audits a model on a data set, or the saved outputs of a model of any framework: logits [examples, classes] and
labels [examples] as .npy or .npz files. Several models are audited on the same data and shown side by side. --require turns the audit
into a test: the exit code is 4 when any of the models misses a threshold.

A MODEL is a folder that Ballast wrote, an ONNX file of a classifier, weights of a ResNet, ViT or ConvNeXt as torchvision, timm and
transformers save them, or a network that "ballast data get" has fetched, such as digit-nets/mnist. --exec asks a process in place of
a MODEL. What was assumed is said before the audit.

Suites, each a set of questions:

` + suiteTable(),
		Example: `  ballast evaluate runs/model/model --data mnist --html audit.html
  ballast evaluate runs/model/model --data mnist --require 'acc>=0.98,ece<=0.02,shift.contrast.3.acc>=0.5'
  ballast evaluate digit-nets/mnist digit-nets/usps digit-nets/svhn --data mnist --html digits.html
  ballast evaluate model.onnx --data photos --preprocess imagenet --html audit.html
  ballast evaluate --exec 'python serve.py' --data photos
  ballast evaluate runs/model/model --data optdigits --suite clean,shots --set shots.few=10
  ballast evaluate runs/model/model --data mnist --shifts cifar-c --require 'shift.fog.3.acc>=0.5'
  ballast evaluate --logits logits.npy --labels labels.npy --json | jq .calibration.ece`,
		Args: usageArgs(cobra.ArbitraryArgs),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.data, "data", "", `data set (see "ballast data list")`)
	flags.StringVar(&f.part, "part", "test", "part of the data set: train, test or all, or val of a folder that has it")
	f.taken.add(cmd)
	f.saved.add(cmd)
	f.subject.add(cmd)
	flags.BoolVar(&f.byPlace, "by-place", false, "match class k of the data with output k of the model, whatever their names")
	flags.StringSliceVar(&f.suites, "suite", nil, "suites to run: "+strings.Join(evaluate.Names(), ", ")+" (default: those that fit the model's task)")
	flags.StringSliceVar(&f.shifts, "shifts", nil, "table of shifts ("+strings.Join(corrupt.TableNames(), ", ")+"), and names to run no others of it, such as cifar-c,fog,jpeg (default "+corrupt.Ballast+")")
	flags.StringArrayVar(&f.set, "set", nil, "setting of a suite, such as shots.few=10; may be repeated")
	flags.IntVar(&f.bins, "bins", metric.DefaultBins, "bins of the calibration errors, for the suites calibration and shift")
	flags.StringVar(&f.training, "training", "", "data set that the model was trained on, for the suites shots and pairs (default: what the model records)")
	flags.StringVar(&f.trainingPart, "training-part", "train", "part of that data set")
	flags.StringVar(&f.require, "require", "", "thresholds to meet, such as 'acc>=0.98,ece<=0.02'")
	flags.StringVar(&f.html, "html", "", "also write the report as one HTML page")
	overwriteFlag(cmd, &f.overwrite)
	cmd.RunE = func(c *cobra.Command, args []string) error {
		if err := f.check(c, args); err != nil {
			return err
		}
		suites, requirements, err := f.asked()
		if err != nil {
			return err
		}
		return claimed(claimFile(f.html, f.overwrite), func() error { return a.evaluate(c.Context(), args, f, suites, requirements) })
	}
	return cmd
}

// asked reads what the flags say of suites and requirements, and refuses what no model could be asked.
func (f evaluateFlags) asked() (suites []evaluate.Suite, requirements []evaluate.Requirement, err error) {
	if suites, err = f.chosen(); err != nil {
		return nil, nil, err
	}
	if requirements, err = evaluate.ParseRequirements(f.require); err != nil {
		return nil, nil, err
	}
	return suites, requirements, evaluate.CheckRequirements(requirements, suites)
}

// check refuses what does not go together, before anything is read.
func (f *evaluateFlags) check(cmd *cobra.Command, args []string) error {
	if err := f.saved.check(cmd, args, append([]string{"data", "part", "training-part", "exec", "preprocess"}, dataFlagNames...)...); err != nil {
		return err
	}

	f.subject.outputs = f.saved.outputs
	if err := f.subject.check(args); err != nil {
		return err
	}

	if !f.saved.given() && (len(f.subject.models(args)) == 0 || f.data == "") {
		return &fault.Usage{Err: fmt.Errorf("give MODEL and --data, or --logits and --labels")}
	}
	if err := knownData(f.data, f.part); err != nil {
		return err
	}
	if err := f.taken.check(cmd); err != nil {
		return err
	}
	if err := knownData(f.training, f.trainingPart); err != nil {
		return err
	}

	if f.html == "" {
		if err := idle(cmd, "without --html", "overwrite"); err != nil {
			return err
		}
	}

	if f.training == "" {
		if err := idle(cmd, "without --training", "training-part"); err != nil {
			return err
		}
	}

	if f.suites == nil {
		return nil
	}

	if !slices.Contains(f.suites, "shift") {
		if err := idle(cmd, "without the suite shift", "shifts"); err != nil {
			return err
		}
	}

	if !slices.Contains(f.suites, "calibration") && !slices.Contains(f.suites, "shift") {
		if err := idle(cmd, "without the suites calibration and shift", "bins"); err != nil {
			return err
		}
	}

	if !slices.Contains(f.suites, "shots") && !slices.Contains(f.suites, "pairs") {
		return idle(cmd, "without the suites shots and pairs", "training", "training-part")
	}
	return nil
}

// suiteTable is what help says of each suite.
func suiteTable() string {
	var b strings.Builder
	for _, k := range evaluate.All() {
		fmt.Fprintf(&b, "  %-12s %s\n", k.Name, k.New().Asks())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// chosen are the suites that the flags name, with their settings; nil where none is named and nothing is set.
func (f evaluateFlags) chosen() ([]evaluate.Suite, error) {
	if f.suites == nil && len(f.set) == 0 && f.bins == metric.DefaultBins && f.shifts == nil {
		return nil, nil
	}
	names := f.suites
	if names == nil {
		for _, s := range evaluate.Default(zoo.Classify) {
			names = append(names, evaluate.Name(s))
		}
	}
	defaults, err := evaluate.Named(names, nil)
	if err != nil {
		return nil, err
	}

	// The settings of all of them as one tree, in the language of a recipe's overrides.
	settings, types := lab.Config{}, lab.Types{}
	overrides, err := shiftSettings(f.shifts)
	if err != nil {
		return nil, err
	}
	overrides = append(overrides, f.set...)
	for _, s := range defaults {
		name := evaluate.Name(s)
		own, err := lab.ConfigOf(s)
		if err != nil {
			return nil, err
		}
		settings[name] = map[string]any(own)
		for key, kind := range lab.TypesOf(s) {
			types[name+"."+key] = kind
		}
		if _, ok := own["bins"]; ok && f.bins != metric.DefaultBins {
			overrides = append([]string{fmt.Sprintf("%s.bins=%d", name, f.bins)}, overrides...)
		}
	}
	if settings, err = lab.Apply(settings, types, overrides); err != nil {
		return nil, &fault.Usage{Err: fmt.Errorf("--set: %w; of suites that are run, write SUITE.SETTING=VALUE, such as shots.few=10", err)}
	}
	return evaluate.Named(names, settings)
}

// shiftSettings are the settings of the suite shift that --shifts stands for: a table, and names of its shifts.
func shiftSettings(words []string) ([]string, error) {
	if len(words) == 0 {
		return nil, nil
	}
	table, names := corrupt.Ballast, words
	if slices.Contains(corrupt.TableNames(), words[0]) {
		table, names = words[0], words[1:]
	} else if len(words) == 1 { // a name that there is not may be meant for a table
		if _, err := corrupt.Find(words[0]); err != nil {
			if _, err := corrupt.FindTable(words[0]); strings.Contains(fmt.Sprint(err), "did you mean") {
				return nil, err
			}
		}
	}
	t, err := corrupt.FindTable(table)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if _, err := t.Find(name); err != nil {
			if _, there := corrupt.Find(name); there == nil && table == corrupt.Ballast {
				return nil, usagef("--shifts: the table %s has no %s; name the table first, such as %s,%s", table, name, corrupt.ImageNetC, name)
			}
			return nil, err
		}
	}
	settings := []string{"shift.table=" + table}
	if len(names) > 0 {
		settings = append(settings, "shift.shifts=["+strings.Join(names, ",")+"]")
	}
	return settings, nil
}

// evaluate audits what the flags name, shows the reports and holds them against the requirements.
func (a *app) evaluate(ctx context.Context, args []string, f evaluateFlags, suites []evaluate.Suite, requirements []evaluate.Requirement) error {
	reports, err := a.audits(ctx, args, f, suites)
	if err != nil {
		return err
	}
	for _, left := range reports[0].LeftOut {
		a.remark("left out: %s; %s", left.Suite, left.Why)
	}
	if a.json { // the text has them
		for _, r := range reports {
			for _, note := range r.Notes {
				a.remark("note: %s", note)
			}
		}
	}

	var found any = reports[0]
	var page audited = reports[0]
	if len(reports) > 1 {
		several := report.NewSeveral(reports)
		found, page = several, several
	}

	met := requireAll(reports, requirements)
	var unmet *fault.Unmet
	if met != nil && !errors.As(met, &unmet) { // a number that there is not: nothing is written
		return met
	}

	if f.html != "" {
		if err := report.WriteHTML(f.html, page); err != nil {
			return err
		}
		a.remark("report: %s", f.html)
	}
	if a.json {
		err = a.printJSON(found)
	} else {
		err = page.Text(a.out)
	}
	if err != nil {
		return err
	}
	if !a.json && len(reports) == 1 { // JSON has it, and of several models each has another
		for _, n := range reports[0].Next {
			a.sayLine(n)
		}
	}
	return met
}

// audited is what can be shown of one model or several.
type audited interface {
	Text(w io.Writer) error
	HTML(w io.Writer) error
}

// requireAll holds every report against the requirements.
func requireAll(reports []report.Report, requirements []evaluate.Requirement) error {
	unmet := &fault.Unmet{}
	for _, r := range reports {
		err := evaluate.Require(r, requirements)
		var one *fault.Unmet
		if !errors.As(err, &one) {
			if err != nil {
				return err
			}
			continue
		}
		if len(reports) == 1 {
			return err
		}
		for _, what := range one.What {
			unmet.What = append(unmet.What, r.Model+": "+what)
		}
	}
	if len(unmet.What) > 0 {
		return unmet
	}
	return nil
}

// audits measures what the flags name: saved outputs, or models on data.
func (a *app) audits(ctx context.Context, args []string, f evaluateFlags, suites []evaluate.Suite) ([]report.Report, error) {
	progress, done := a.counter("evaluate")
	defer done()
	o := f.taken.into(evaluate.Options{Suites: suites, LeaveOut: f.suites == nil, Seed: a.seed, ByPlace: f.byPlace, Progress: progress})
	if f.training != "" {
		var err error
		if o.Training, err = data.Open(f.training, f.trainingPart); err != nil {
			return nil, err
		}
	}

	if f.saved.given() {
		r, err := f.auditSaved(ctx, o)
		return []report.Report{r}, err
	}
	return a.auditModels(ctx, args, f, o)
}

// auditSaved measures saved outputs.
func (f evaluateFlags) auditSaved(ctx context.Context, o evaluate.Options) (report.Report, error) {
	saved, err := f.saved.options().Open(f.saved.logits, f.saved.labels)
	if err != nil {
		return report.Report{}, err
	}
	defer saved.Close() //nolint:errcheck // a mapping that was only read
	r, err := saved.Report(o)
	if err != nil {
		return r, err
	}

	files, err := bundle.Sums(ctx, saved.Files(), nil)
	if err != nil {
		return r, err
	}
	sign(&r, files)
	r.Next = f.next(r, "", false)
	return r, nil
}

// auditModels measures models on the same data.
func (a *app) auditModels(ctx context.Context, args []string, f evaluateFlags, o evaluate.Options) ([]report.Report, error) {
	var err error
	models := make([]*subject.Model, len(f.subject.models(args)))
	for i, name := range f.subject.models(args) {
		if models[i], err = a.openSubject(name, f.subject); err != nil {
			return nil, err
		}
	}
	ds, err := a.openData(f.data, f.part, f.taken)
	if err != nil {
		return nil, err
	}
	task := zoo.Classify
	if models[0].Bundle != nil {
		task = models[0].Bundle.Manifest.Answers()
	}

	e, err := a.subjectEngine(models, ds.Len()*evaluate.Passes(o.Suites, task))
	if err != nil {
		return nil, err
	}
	if e != nil {
		defer e.Close()
	}

	reports := make([]report.Report, len(models))
	named := map[string]int{}
	for i, m := range models {
		images, err := fitted(m, ds)
		if err != nil {
			return nil, err
		}
		if reports[i], err = a.auditSubject(ctx, m, images, e, o); err != nil {
			return nil, err
		}

		name := m.Path
		if m.Command == nil {
			name = args[i]
		}
		if m.Adapter == nil { // what to do next is for models
			scaled := m.Bundle != nil && m.Bundle.Manifest.Calibration.Temperature != 1
			reports[i].Next = f.next(reports[i], name, scaled)
		}
		named[reports[i].Model]++
	}

	for i := range reports {
		if named[reports[i].Model] > 1 { // runs of one recipe have one name
			reports[i].Model = f.subject.models(args)[i]
		}
	}
	return reports, nil
}
