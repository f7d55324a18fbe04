package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/lab"
	"github.com/ballast-ml/ballast/train"
)

// compareFlags are the flags of "ballast compare".
type compareFlags struct {
	on, recipe, out, metric string
	print                   bool
	keep                    bool
	overwrite               bool
}

func newCompare(a *app) *cobra.Command {
	f := compareFlags{}
	cmd := &cobra.Command{
		Use:   "compare key=a,b [key=c,d ...] [seed=1,2,3]",
		Short: "Train every combination of settings and compare them over seeds",
		Long: `Compare makes one run for every combination of the given settings and shows them side by side: mean and standard deviation
over seeds, paired t-tests with the smallest difference that these seeds would show, a verdict in words and a plot. Of three
variants or more, each is tested against the best, and the p-values are corrected for the number of comparisons by Holm's
method. Run again, it makes only the runs that are missing. All runs are made on one engine.

With --keep-models each run's model is kept in VARIANT/seed-N/model of the folder, as a model of "ballast train": "ballast evaluate" and
"ballast soup" take it. A run that is there without its model gets it from its last checkpoint.

Where norm is compared and no recipe is given, a built-in one is used that is fair to every norm: --print-recipe shows it.
Without seed=, three seeds are run.`,
		Example: `  ballast compare --on mnist norm=batch,ghost,group,layer,instance,evonorm-s0 batch_size=2,8,64
  ballast compare --on optdigits norm=batch,ghost batch_size=32,640 seed=1,2,3
  ballast compare --on optdigits optimizer.lr=0.02,0.05 seed=1 --keep-models --out sweep
  ballast compare --on mnist 'optimizer.lr=choice(0.01,0.05,0.1)' epochs=1 seed=1,2,3 --json`,
		Args: usageArgs(func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && !f.print {
				return fmt.Errorf("name at least one setting with its values, such as norm=batch,layer")
			}
			return nil
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.on, "on", "", "data set, in place of the recipe's")
	flags.StringVar(&f.recipe, "recipe", "", "recipe file that all runs share (default: the defaults)")
	flags.StringVar(&f.out, "out", "", "folder of the runs (default runs/compare-HASH)")
	flags.BoolVar(&f.print, "print-recipe", false, "print the built-in recipe for comparing norms and stop")
	overwriteRunFlag(cmd, &f.overwrite)
	flags.BoolVar(&f.keep, "keep-models", false, "keep the model of each run, in VARIANT/seed-N/model of the folder")
	flags.StringVar(&f.metric, "metric", "accuracy", "number that the variants are compared by")
	cmd.RunE = func(c *cobra.Command, args []string) error {
		if f.print {
			return a.printNorms(c, args)
		}
		if err := seedTwice(c, args); err != nil {
			return err
		}
		return a.compare(c.Context(), f, args)
	}
	return cmd
}

// printNorms prints the recipe that compares norms.
func (a *app) printNorms(cmd *cobra.Command, args []string) error {
	if err := idle(cmd, "with --print-recipe", others(cmd, "print-recipe", "json")...); err != nil {
		return err
	}
	if len(args) > 0 {
		return &fault.Usage{Err: fmt.Errorf("%s has no effect with --print-recipe; leave it out", args[0])}
	}
	if !a.json {
		_, err := a.out.Write(lab.NormsRecipe())
		return err
	}
	settings, err := strict.YAML(lab.NormsRecipe())
	if err != nil {
		return err
	}
	return a.printJSON(settings)
}

// compare runs every combination of the settings and shows them side by side.
func (a *app) compare(ctx context.Context, f compareFlags, args []string) error {
	settings, err := f.settings()
	if err != nil {
		return err
	}
	if f.recipe == "" && slices.ContainsFunc(args, func(s string) bool { return strings.HasPrefix(s, "norm=") }) {
		if settings, err = strict.YAML(lab.NormsRecipe()); err != nil {
			return err
		}
	}

	if f.on != "" {
		if err := givenTwice(args, "data", "--on"); err != nil {
			return err
		}
		settings["data"] = f.on
	}
	if !hasSeeds(args) {
		args = append(args, fmt.Sprintf("seed=%d,%d,%d", a.seed, a.seed+1, a.seed+2))
	}

	// A mistake in the settings is told before an engine is opened and a run is made.
	combinations, err := lab.Expand(args)
	if err != nil {
		return &fault.Usage{Err: err}
	}
	recipes := make([]train.Recipe, len(combinations))
	for i, overrides := range combinations {
		if recipes[i], err = lab.Recipe(settings, overrides...); err != nil {
			return &fault.Usage{Err: err}
		}
		if err := recipes[i].CheckMeasure(f.metric); err != nil {
			return fmt.Errorf("--metric: %w", err)
		}
		if name, ok := recipes[i].Data.Source.(data.Named); ok {
			if err := knownData(string(name), recipes[i].Part); err != nil {
				return err
			}
		}
	}

	if f.out == "" {
		f.out = lab.CompareOptions{Settings: settings, Sweep: args, Metric: f.metric}.DefaultDir()
	}
	return claimRun("compare", f.out, lab.IsComparison, lab.CompareFiles, f.overwrite, func(begin func() error) error {
		kind := ""
		if !f.overwrite {
			kind = lab.EngineOfRuns(f.out)
		}
		e, err := a.openEngineOf(f.out, kind, largest(recipes))
		if err != nil {
			return err
		}
		defer e.Close()
		return a.compareRuns(ctx, f, e, settings, args, len(combinations), begin)
	})
}

// compareRuns makes the runs, all on one engine, and shows what they say.
func (a *app) compareRuns(ctx context.Context, f compareFlags, e *engine.Engine, settings map[string]any, args []string, runs int, begin func() error) error {
	training, ran, done := a.sweep(runs)
	comparison, err := lab.Compare(ctx, lab.CompareOptions{
		Settings: settings, Sweep: args, Metric: f.metric, Dir: f.out, Engine: e, Training: training, Anew: f.overwrite, Accept: begin, Keep: f.keep,
		Progress: func(n, runs int, name string, metrics map[string]float64) {
			ran(n)
			a.remark("%3d/%d  %-44s %s", n, runs, name, headline(metrics))
		},
	})
	done()
	if err != nil {
		return err
	}

	defer a.nextAfterCompare(comparison, settings, args)
	if a.json {
		return a.printJSON(comparison)
	}
	if err := comparison.Text(a.out); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "\n%d runs made, %d were there\nplot %s\n", comparison.Ran, runs-comparison.Ran, filepath.Join(comparison.Dir, "comparison.png"))
	if bytes := int64(0); err == nil && f.keep {
		for _, m := range comparison.Models {
			bytes += m.Bytes
		}
		_, err = fmt.Fprintf(a.out, "models %s: %d, %.1f MB on the disk\n", filepath.Join(comparison.Dir, "*", "seed-*", "model"), len(comparison.Models), float64(bytes)/1e6)
	}
	return err
}

// settings are those of the recipe that all runs share.
func (f compareFlags) settings() (map[string]any, error) {
	if f.recipe == "" {
		return map[string]any{}, nil
	}
	defer collectEarly()()
	text, err := untrusted.ReadFile(f.recipe, train.MaxRecipe)
	if err != nil {
		return nil, &fault.Input{Err: err, Fix: "name a recipe file; ballast train --print-recipe shows one"}
	}
	settings, err := strict.Settings(text)
	if err == nil {
		_, err = lab.Recipe(settings)
	}
	if err != nil {
		return nil, &fault.Input{File: f.recipe, Err: err}
	}
	return settings, nil
}

func hasSeeds(args []string) bool {
	for _, arg := range args {
		if strings.HasPrefix(strings.TrimLeft(arg, "+"), "seed=") {
			return true
		}
	}
	return false
}
