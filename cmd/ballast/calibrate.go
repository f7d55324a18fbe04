package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/fault"
)

// calibrateFlags are the flags of "ballast calibrate".
type calibrateFlags struct {
	data, part     string
	logits, labels string
	method, out    string
	overwrite      bool
}

func newCalibrate(a *app) *cobra.Command {
	f := calibrateFlags{}
	method := calibrate.NewTemperatureScaling()
	cmd := &cobra.Command{
		Use:   "calibrate [MODEL]",
		Short: "Fix a model's confidences",
		Long: `Calibrate fits a temperature to examples the model was not trained on and writes a model whose confidences are right
for them; its answers stay the same. With --logits and --labels it works on the saved outputs of any framework's model
and, with --out FILE.npy, writes the scaled logits.`,
		Example: `  ballast calibrate runs/model/model --data mnist --part test --out runs/model/calibrated
  ballast calibrate --logits logits.npy --labels labels.npy --json | jq .temperature`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.data, "data", "", `data set to calibrate on (see "ballast data list")`)
	flags.StringVar(&f.part, "part", "test", "part of the data set: train, test or all")
	flags.StringVar(&f.logits, "logits", "", ".npy file of logits, in place of MODEL")
	flags.StringVar(&f.labels, "labels", "", ".npy file of labels, with --logits")
	flags.StringVar(&f.method, "method", "temperature", "method: temperature")
	flags.StringVar(&f.out, "out", "", "where to write the mended model (a folder) or the scaled logits (a .npy file)")
	overwriteFlag(cmd, &f.overwrite)
	flags.IntVar(&method.MaxIterations, "max-iterations", method.MaxIterations, "Newton steps at most")
	cmd.RunE = func(c *cobra.Command, args []string) error {
		if f.method != "temperature" {
			return &fault.Usage{Err: fmt.Errorf("calibrate: no method %q; there is temperature", f.method)}
		}
		var fit calibrate.Temperature
		var err error
		if f.logits != "" || f.labels != "" {
			if f.logits == "" || f.labels == "" || len(args) > 0 {
				return &fault.Usage{Err: fmt.Errorf("give --logits and --labels together, without MODEL")}
			}
			err = claimed(claimFile(f.out, f.overwrite), func() error {
				fit, err = calibrateSaved(method, f)
				return err
			})
		} else {
			if len(args) == 0 || f.data == "" || f.out == "" {
				return &fault.Usage{Err: fmt.Errorf("give MODEL, --data and --out, or --logits and --labels")}
			}
			err = claimed(claimBundle(f.out, f.overwrite), func() error {
				fit, err = a.calibrateModel(c.Context(), method, args[0], f)
				return err
			})
		}
		if err != nil {
			return err
		}
		if f.out != "" {
			a.remark("written: %s", f.out)
		}
		if a.json {
			return a.printJSON(fit)
		}
		saturated := ""
		if fit.Saturated {
			saturated = " (saturated: no finite optimum)"
		}
		_, err = fmt.Fprintf(a.out, "temperature %.6g%s\nNLL before   %.6f\nNLL after    %.6f\n", fit.T, saturated, fit.NLLBefore, fit.NLLAfter)
		return err
	}
	return cmd
}

func calibrateSaved(method calibrate.TemperatureScaling, f calibrateFlags) (calibrate.Temperature, error) {
	saved, err := evaluate.OpenSaved(f.logits, f.labels)
	if err != nil {
		return calibrate.Temperature{}, err
	}
	defer saved.Close() //nolint:errcheck // a mapping that was only read
	fit, err := saved.FitTemperature(method)
	if err != nil || f.out == "" {
		return fit, err
	}
	return fit, saved.WriteScaled(f.out, fit.T)
}

func (a *app) calibrateModel(ctx context.Context, method calibrate.TemperatureScaling, model string, f calibrateFlags) (calibrate.Temperature, error) {
	path, err := data.ModelPath(model)
	if err != nil {
		return calibrate.Temperature{}, err
	}
	b, err := bundle.Open(path)
	if err != nil {
		return calibrate.Temperature{}, err
	}
	ds, err := data.Open(f.data, f.part)
	if err != nil {
		return calibrate.Temperature{}, err
	}
	e, err := a.openEngine()
	if err != nil {
		return calibrate.Temperature{}, err
	}
	defer e.Close()
	progress, done := a.counter("calibrate")
	fit, err := evaluate.Calibrate(ctx, b, ds, e, method, evaluate.Options{Progress: progress})
	done()
	if err != nil {
		return fit, err
	}
	if fit.Saturated {
		return fit, fmt.Errorf("calibrate: %s: no temperature is best for these %d examples, as when all are answered right; give more examples", model, ds.Len())
	}
	return fit, b.Save(f.out)
}
