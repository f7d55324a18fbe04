package main

import (
	"errors"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/merge/checkpoint"
)

// several makes what all recipes of a file but the last need, and returns them in the order in which they are made.
func (f mergeFlags) several(cmd *cobra.Command, a *app, recipes []checkpoint.Recipe, dir string) ([]checkpoint.Recipe, error) {
	if f.dryRun {
		return nil, &fault.Usage{Err: errors.New("--dry-run: models of later recipes are not there yet; give a file of one recipe")}
	}
	into := f.intermediate
	if into == "" {
		into = strings.TrimSuffix(strings.TrimSuffix(filepath.Clean(f.out), ".safetensors"), ".gguf") + "-merges"
	}
	recipes, err := checkpoint.Order(recipes, into)
	if err != nil {
		return nil, err
	}
	var made []string
	for _, r := range recipes {
		if err := r.Missing(dir, made); err != nil {
			return nil, err
		}
		made = append(made, filepath.Join(into, r.Name))
	}

	for _, r := range recipes[:len(recipes)-1] {
		one := f
		one.out, one.dtype, one.quantize, one.inner = filepath.Join(into, r.Name), "", "", true
		done, err := one.done(cmd, a, r, dir)
		if err == nil && !done {
			err = one.merge(cmd, a, r, dir)
		}
		if err != nil {
			return nil, err
		}
		if done {
			a.remark("note: %s is there already, made by the same recipe of the same models", one.out)
		}
	}
	return recipes, nil
}

// done reports whether the output of a recipe is there and whole.
func (f mergeFlags) done(cmd *cobra.Command, a *app, r checkpoint.Recipe, dir string) (bool, error) {
	o, err := f.options(a, dir)
	if err != nil {
		return false, err
	}
	plan, err := checkpoint.NewPlan(r, o)
	if err != nil {
		return false, err
	}
	defer plan.Close()
	return plan.Done(cmd.Context())
}
