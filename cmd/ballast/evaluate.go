package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/internal/fault"
	"github.com/ballast-ml/ballast/report"
)

// evaluateFlags are the flags of "ballast evaluate".
type evaluateFlags struct {
	data, part     string
	logits, labels string
	suites         []string
	bins           int
	require        string
	html           string
}

func newEvaluate(a *app) *cobra.Command {
	f := evaluateFlags{}
	cmd := &cobra.Command{
		Use:   "evaluate [MODEL]",
		Short: "Audit a model: accuracy, calibration, shifted inputs",
		Long: `Evaluate audits a model on a data set, or the saved outputs of any framework's model: logits [examples, classes] and
labels [examples] as .npy files. --require turns the audit into a test: exit code 4 when a threshold is not met.`,
		Example: `  ballast evaluate runs/model/model --data mnist --html audit.html
  ballast evaluate runs/model/model --data mnist --require 'acc>=0.98,ece<=0.02,shift.contrast.3.acc>=0.5'
  ballast evaluate --logits logits.npy --labels labels.npy --json | jq .calibration.ece`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.data, "data", "", `data set (see "ballast data list")`)
	flags.StringVar(&f.part, "part", "test", "part of the data set: train, test or all")
	flags.StringVar(&f.logits, "logits", "", ".npy file of logits, in place of MODEL")
	flags.StringVar(&f.labels, "labels", "", ".npy file of labels, with --logits")
	flags.StringSliceVar(&f.suites, "suite", nil, "suites to run: clean, calibration, shift (default all)")
	flags.IntVar(&f.bins, "bins", 15, "bins of the calibration errors")
	flags.StringVar(&f.require, "require", "", "thresholds to meet, such as 'acc>=0.98,ece<=0.02'")
	flags.StringVar(&f.html, "html", "", "also write the report as one HTML page")
	cmd.RunE = func(c *cobra.Command, args []string) error {
		requirements, err := evaluate.ParseRequirements(f.require)
		if err != nil {
			return err
		}
		r, err := a.audit(c.Context(), args, f)
		if err != nil {
			return err
		}
		if f.html != "" {
			if err := report.WriteHTML(f.html, r); err != nil {
				return err
			}
			a.remark("report: %s", f.html)
		}
		if a.json {
			err = a.printJSON(r)
		} else {
			err = r.Text(a.out)
		}
		if err != nil {
			return err
		}
		return evaluate.Require(r, requirements)
	}
	return cmd
}

// audit measures what the flags name: saved outputs, or a model on data.
func (a *app) audit(ctx context.Context, args []string, f evaluateFlags) (report.Report, error) {
	progress, done := a.counter("evaluate")
	defer done()
	o := evaluate.Options{Suites: f.suites, Seed: a.seed, Bins: f.bins, Progress: progress}
	if f.logits != "" || f.labels != "" {
		if f.logits == "" || f.labels == "" || len(args) > 0 {
			return report.Report{}, &fault.Usage{Err: fmt.Errorf("give --logits and --labels together, without MODEL")}
		}
		saved, err := evaluate.OpenSaved(f.logits, f.labels)
		if err != nil {
			return report.Report{}, err
		}
		defer saved.Close() //nolint:errcheck // a mapping that was only read
		return saved.Report(o)
	}
	if len(args) == 0 || f.data == "" {
		return report.Report{}, &fault.Usage{Err: fmt.Errorf("give MODEL and --data, or --logits and --labels")}
	}
	b, err := bundle.Open(args[0])
	if err != nil {
		return report.Report{}, err
	}
	ds, err := data.Open(f.data, f.part)
	if err != nil {
		return report.Report{}, err
	}
	e, err := a.openEngine()
	if err != nil {
		return report.Report{}, err
	}
	defer e.Close()
	return evaluate.Bundle(ctx, b, ds, e, o)
}
