package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/lab"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/train"
)

//go:embed demo.yaml
var demoRecipe []byte

// demoFlags are the flags of "ballast demo".
type demoFlags struct {
	out   string
	quick bool

	overwrite bool
}

func newDemo(a *app) *cobra.Command {
	f := demoFlags{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Train a digit classifier, audit it, mend it, audit it again",
		Long: `Demo does the whole job on real data: it trains a small CNN on all 60,000 training digits of MNIST, audits it (accuracy,
calibration, and the corruptions of CIFAR-10-C at severities 1, 3 and 5), mends it, audits it again, and shows both audits in one report.

There are two things to mend. Corrupted digits are not what the norms of the network were made for: it is adapted by alpha-BN, which
mixes the statistics of each batch in. And label smoothing leaves it less sure than it should be: a temperature is fitted to digits as
they are and shifted, of which those of CIFAR-10-C are not. The report says what became better and what became worse.

The test digits are split once: a fifth (half with --quick) is used to calibrate, and the audit is on others (2,000, or all that are left),
so it sees no digit that the calibration was fitted to. A training that was cut short is resumed.`,
		Example: `  ballast demo
  ballast demo --quick --engine go`,
		Args: usageArgs(cobra.NoArgs),
	}
	cmd.Flags().StringVar(&f.out, "out", filepath.Join("runs", "demo"), "folder for the models and the report")
	cmd.Flags().BoolVar(&f.quick, "quick", false, "use optdigits, the small digits built into the binary; takes seconds")
	overwriteRunFlag(cmd, &f.overwrite)
	cmd.RunE = func(c *cobra.Command, _ []string) error {
		if f.quick {
			f.out += "-quick"
		}
		return claimRun("demo", f.out, isDemo, demoFiles, f.overwrite, func(begin func() error) error { return a.demo(c.Context(), f, begin) })
	}
	return cmd
}

// demoFiles are the files of a demo's folder.
var demoFiles = slices.Concat([]string{"report.html", "report.json"},
	durable.Within("training", lab.RunFiles), durable.Within("model", bundle.Files), durable.Within("mended", adapt.Files),
	durable.Within("mended", bundle.Files)) // of earlier versions

// isDemo recognises a demo's folder.
func isDemo(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, "training", "checkpoints"))
	return err == nil
}

// demoResult is what "ballast demo --json" prints.
type demoResult struct {
	Accuracy float64         `json:"accuracy"` // on all test digits
	Seconds  float64         `json:"seconds"`
	Method   adapt.Choice    `json:"method"` // that adapts
	Mended   evaluate.Mended `json:"mended"` // the temperature of the adapted model
	Report   string          `json:"report"` // the HTML page
	report.Comparison
}

func (a *app) demo(ctx context.Context, f demoFlags, begin func() error) error {
	start := time.Now()
	recipe, err := a.demoSettings(ctx, f)
	if err != nil {
		return err
	}

	kind := ""
	if !f.overwrite { // a training that was cut short goes on
		kind = train.EngineOf(filepath.Join(f.out, "training"))
	}
	e, err := a.openEngineOf(f.out, kind, workOf(recipe, nil, 1))
	if err != nil {
		return err
	}
	defer e.Close()

	trained, accuracy, err := a.demoTrain(ctx, recipe, e, f, begin)
	if err != nil {
		return err
	}

	test, err := recipe.Data.Open("test")
	if err != nil {
		return err
	}

	share := 0.2
	if f.quick {
		share = 0.5 // few digits are answered wrong, and a temperature needs mistakes
	}

	audited, calibration, err := demoSplit(test, share)
	if err != nil {
		return err
	}

	a.remark("audit on %d test digits", audited.Len())
	before, err := a.demoAudit(ctx, filepath.Join(f.out, "model"), audited, e)
	if err != nil {
		return err
	}

	a.remark("mend: alpha-BN, and a temperature fitted to %d other test digits", calibration.Len())
	mended := filepath.Join(f.out, "mended")
	found, err := a.demoMend(ctx, trained, calibration, e, mended)
	if err != nil {
		return err
	}
	after, err := a.demoAudit(ctx, mended, audited, e)
	if err != nil {
		return err
	}

	page := filepath.Join(f.out, "report.html")
	result := demoResult{Accuracy: accuracy, Method: adapt.Choice{Method: demoMethod()}, Mended: found, Report: page, Comparison: report.NewComparison(whatMends(found), before, after)}
	result.Why = whyDemo(found, before, after)
	result.Next = []report.Next{{
		Why:     "hold the methods of adaptation beside each other",
		Command: shellLine("ballast", "adapt", filepath.Join(f.out, "model"), "--data", recipe.Data.String(), "--compare", "--sample", "1000"),
	}}
	if err := report.WriteHTML(page, result.Comparison); err != nil {
		return err
	}

	result.Seconds = time.Since(start).Seconds()
	if err := report.WriteJSON(filepath.Join(f.out, "report.json"), result); err != nil {
		return err
	}

	return a.printDemo(result, f.out, test.Len(), e.Kind)
}

// printDemo shows what the demo found, and where it is.
func (a *app) printDemo(result demoResult, out string, digits int, engineKind string) error {
	if a.json {
		return a.printJSON(result)
	}

	fmt.Fprintf(a.out, "test accuracy on all %d test digits: %.2f %%\n\n", digits, 100*result.Accuracy)
	if err := result.Text(a.out); err != nil {
		return err
	}

	if p := engine.CompiledPrograms(); p.Compiled+p.Cached > 0 {
		a.remark("graphs: %d compiled, %d from the cache of compiled ones", p.Compiled, p.Cached)
	}

	_, err := fmt.Fprintf(a.out, "\nmodel    %s\nmended   %s\nreport   %s\n%.0f seconds on %s\n",
		filepath.Join(out, "model"), filepath.Join(out, "mended"), result.Report, result.Seconds, engineKind)
	return err
}

// demoSettings is the recipe, and the data set on this machine.
func (a *app) demoSettings(ctx context.Context, f demoFlags) (train.Recipe, error) {
	recipe, err := train.DecodeYAML(demoRecipe)
	if err != nil {
		return recipe, err
	}
	recipe.Seed = a.seed
	if f.quick {
		recipe.Name, recipe.Data, recipe.Epochs, recipe.BatchSize = "optdigits-cnn", data.Choice{Source: data.Named("optdigits")}, 20, 32
		return recipe, nil
	}
	show, done := a.bytesCounter("mnist")
	_, already, err := data.Get(ctx, recipe.Data.String(), data.GetOptions{Progress: show})
	done()
	if err == nil && !already {
		a.remark("got mnist")
	}
	return recipe, err
}

// demoTrain trains, or goes on, and saves the model. It returns the accuracy on all test digits.
func (a *app) demoTrain(ctx context.Context, recipe train.Recipe, e *engine.Engine, f demoFlags, begin func() error) (*bundle.Bundle, float64, error) {
	a.remark("train %s on %s, %d epochs", recipe.Name, recipe.Data, recipe.Epochs)
	settings, err := lab.ConfigOf(recipe)
	if err != nil {
		return nil, 0, err
	}
	dir := filepath.Join(f.out, "training")
	run, err := lab.Start(lab.StartOptions{Dir: dir, Config: settings, Engine: e.Kind, Seed: recipe.Seed, Resume: true, Anew: f.overwrite})
	if err != nil {
		return nil, 0, err
	}
	progress, done := a.progress()
	result, err := train.Run(ctx, recipe, train.Options{
		Engine: e, Dir: dir, Resume: true, Anew: f.overwrite, Sink: run, Progress: progress,
		Accept: func() error {
			if err := begin(); err != nil {
				return err
			}
			return run.Begin()
		},
		Remark: func(line string) { a.remark("%s", line) },
	})
	done()
	if err = errors.Join(err, run.Finish(err)); err != nil {
		return nil, 0, err
	}
	a.remark("trained %d updates in %.0f s", result.Steps-result.From, result.Seconds)
	return result.Bundle, result.Metrics["accuracy"], result.Bundle.Replace(filepath.Join(f.out, "model"))
}

// mostAudited is how many test digits are audited.
const mostAudited = 2000

// demoSplit keeps a share of the test digits for calibration, as many of each class, and of the others those that are audited.
func demoSplit(test data.Dataset, share float64) (audited, calibration data.Dataset, err error) {
	rest, held, err := data.Stratified(data.Labels(test), share, 0)
	if err != nil {
		return nil, nil, err
	}
	audited = data.Subset(test, rest)
	if n := audited.Len(); n > mostAudited {
		_, some, err := data.Stratified(data.Labels(audited), float64(mostAudited)/float64(n), 0)
		if err != nil {
			return nil, nil, err
		}
		audited = data.Subset(audited, some)
	}
	return audited, data.Subset(test, held), nil
}
