package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/lab"
	"github.com/ballast-ml/ballast/train"
)

// trainFlags are the flags of "ballast train" that are not in the recipe.
type trainFlags struct {
	devices int
	out     string
	data    string
	resume  bool
	print   bool

	overwrite bool

	overrides []string // as they were given
}

func newTrain(a *app) *cobra.Command {
	f := trainFlags{}
	cmd := &cobra.Command{
		Use:   "train [RECIPE.yaml] [key=value ...]",
		Short: "Train a network from a recipe",
		Long: `Train a network as a recipe says and write the model, checkpoints and measurements into a folder.

Without a recipe the defaults are trained; key=value changes one setting. Ctrl-C, SIGTERM and SIGHUP finish the current update,
save a checkpoint and exit with 130, 143 and 129; a second signal ends the run at once. --resume continues bit for bit, also after a crash,
on the engine that the run was begun on.`,
		Example: `  ballast train --print-recipe > recipe.yaml
  ballast train recipe.yaml epochs=3 optimizer.lr=0.05
  ballast train --data mnist network=cnn norm='{name: ghost, ghost_size: 32}' --out runs/mnist
  ballast train recipe.yaml --out runs/mnist --resume`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.overrides = args
			if f.print {
				if err := idle(cmd, "with --print-recipe", "out", "resume", "overwrite", "devices", "engine"); err != nil {
					return err
				}
			}
			if f.devices < 1 {
				return &fault.Usage{Err: fmt.Errorf("--devices is %d; use at least 1", f.devices)}
			}
			if err := seedTwice(cmd, args); err != nil {
				return err
			}
			recipe, err := readRecipe(args, f.data)
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("seed") {
				recipe.Seed = a.seed
			}
			if f.print && a.json {
				return a.printJSON(recipe)
			}
			if f.print {
				return printRecipe(a.out, recipe)
			}
			if f.out == "" {
				if f.out, err = lab.RunDir(recipe.Name); err != nil {
					return nameFault(args, err)
				}
			}
			if f.resume && f.overwrite {
				return &fault.Usage{Err: errors.New("give --resume or --overwrite, not both")}
			}
			// Data that is not there is told before a folder is taken for the run.
			set, err := recipe.Data.Open(recipe.Part)
			if err != nil {
				return err
			}
			return claimRun("train", f.out, lab.IsRun, lab.RunFiles, f.overwrite, func(begin func() error) error {
				e, err := a.trainEngine(recipe, set, f)
				if err != nil {
					return err
				}
				defer e.Close()
				return a.train(cmd.Context(), recipe, e, f, begin)
			})
		},
	}
	cmd.Flags().StringVar(&f.out, "out", "", "folder for the model and the checkpoints (default runs/NAME of the recipe)")
	cmd.Flags().StringVar(&f.data, "data", "", "data set, in place of the recipe's")
	overwriteRunFlag(cmd, &f.overwrite)
	cmd.Flags().BoolVar(&f.resume, "resume", false, "continue from the newest checkpoint in the folder")
	cmd.Flags().IntVar(&f.devices, "devices", 1, "devices of the engine to spread each batch over; the result is the same up to rounding")
	cmd.Flags().BoolVar(&f.print, "print-recipe", false, "print the recipe with every setting and stop")
	return cmd
}

// trained is what "ballast train --json" prints.
type trained struct {
	Model   string             `json:"model"`
	Steps   int                `json:"steps"`
	Seconds float64            `json:"seconds"`
	Resumed bool               `json:"resumed"`
	From    int                `json:"from,omitempty"`
	Files   []string           `json:"files,omitempty"` // beside the model
	Metrics map[string]float64 `json:"metrics"`
}

func (a *app) train(ctx context.Context, recipe train.Recipe, e *engine.Engine, f trainFlags, begin func() error) error {
	settings, err := lab.ConfigOf(recipe)
	if err != nil {
		return err
	}
	run, err := lab.Start(lab.StartOptions{
		Dir: f.out, Config: settings, Overrides: f.overrides, Engine: e.Kind, Seed: recipe.Seed, Resume: f.resume, Anew: f.overwrite,
	})
	if err != nil {
		return err
	}
	progress, done := a.progress()
	result, err := train.Run(ctx, recipe, train.Options{
		Engine: e, Dir: f.out, Resume: f.resume, Anew: f.overwrite, Sink: run, Progress: progress, Devices: f.devices,
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
		if ctx.Err() != nil {
			a.remark("%v; continue with: ballast train ... --out %s --resume", err, f.out)
		}
		return err
	}
	model := filepath.Join(f.out, "model")
	if err := result.Bundle.Replace(model); err != nil {
		return err
	}
	report := trained{model, result.Steps, result.Seconds, result.Resumed, result.From, nil, result.Metrics}
	for _, file := range result.Files {
		path := filepath.Join(f.out, file.Name)
		if err := durable.WriteFile(path, func(w io.Writer) error { _, err := w.Write(file.Content); return err }); err != nil {
			return err
		}
		report.Files = append(report.Files, path)
	}
	defer a.nextAfterTrain(model, result.Bundle, recipe)
	if a.json {
		return a.printJSON(report)
	}
	fmt.Fprintf(a.out, "%d updates in %s", report.Steps, time.Duration(report.Seconds*float64(time.Second)).Round(100*time.Millisecond))
	if report.Resumed {
		fmt.Fprintf(a.out, ", resumed at %d", report.From)
	}
	fmt.Fprintln(a.out)
	for _, name := range slices.Sorted(maps.Keys(report.Metrics)) {
		fmt.Fprintf(a.out, "  %-20s %.6g\n", name, report.Metrics[name])
	}
	fmt.Fprintln(a.out, "model:", printable.Line(model))
	for _, path := range report.Files {
		fmt.Fprintln(a.out, "beside it:", printable.Line(path))
	}
	return nil
}

// readRecipe reads the recipe, if a file is named, and puts the overrides on top.
func readRecipe(args []string, dataName string) (train.Recipe, error) {
	defer collectEarly()()
	settings := map[string]any{}
	file := ""
	if len(args) > 0 && isRecipeFile(args[0]) {
		file, args = args[0], args[1:]
		text, err := untrusted.ReadFile(file, train.MaxRecipe)
		if errors.Is(err, fs.ErrNotExist) && isKey(file) {
			return train.Recipe{}, &fault.Usage{Err: fmt.Errorf("%s: missing =; write key=value", file)}
		}
		if err != nil {
			return train.Recipe{}, &fault.Input{Err: err, Fix: "name a recipe file; ballast train --print-recipe shows one"}
		}
		if settings, err = strict.Settings(text); err != nil {
			return train.Recipe{}, &fault.Input{File: file, Err: err}
		}
	}
	if _, err := lab.Recipe(settings); err != nil {
		return train.Recipe{}, &fault.Input{File: file, Err: err}
	}
	if dataName != "" {
		if err := givenTwice(args, "data", "--data"); err != nil {
			return train.Recipe{}, err
		}
		settings["data"] = dataName // as it stands: npy:X.npy,Y.npy has a comma
	}
	recipe, err := lab.Recipe(settings, args...)
	if err != nil {
		return recipe, &fault.Usage{Err: err}
	}
	return recipe, nil
}

// isRecipeFile reports whether an argument names a file rather than a setting. A path may hold a =, as those of a comparison's runs do; a
// key holds no slash.
func isRecipeFile(arg string) bool {
	key, _, setting := strings.Cut(arg, "=")
	if !setting || strings.ContainsAny(key, `/\`) {
		return true
	}
	if ext := filepath.Ext(arg); ext == ".yaml" || ext == ".yml" {
		_, err := os.Stat(arg)
		first, _, _ := strings.Cut(strings.TrimLeft(key, "+~"), ".")
		return err == nil || lab.TypesOf(train.NewRecipe())[first] == "" // no key is called so
	}
	return false
}

// isKey reports whether a word is a key of a recipe, or the last name of one, that lacks its value.
func isKey(word string) bool {
	for path := range lab.TypesOf(train.NewRecipe()) {
		if path == word || strings.HasSuffix(path, "."+word) {
			return true
		}
	}
	return word == "lr" // of every optimizer
}

// givenTwice refuses an override of a key that a flag sets too.
func givenTwice(overrides []string, key, flag string) error {
	for _, o := range overrides {
		if path, _, _ := strings.Cut(strings.TrimLeft(o, "+~"), "="); path == key || strings.HasPrefix(path, key+".") {
			return &fault.Usage{Err: fmt.Errorf("give %s or %s, not both", flag, strict.Short(o))}
		}
	}
	return nil
}

// nameFault is what is wrong with the name of a recipe, which the command line or a file has.
func nameFault(overrides []string, err error) error {
	for _, o := range overrides {
		if strings.HasPrefix(strings.TrimLeft(o, "+"), "name=") {
			return &fault.Usage{Err: err}
		}
	}
	return &fault.Input{Err: err}
}

// printRecipe writes a recipe with every setting as YAML.
func printRecipe(w io.Writer, r train.Recipe) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	text, err := yaml.JSONToYAML(raw)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}
