package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/internal/fault"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/merge"
)

func newVerify(a *app) *cobra.Command {
	var inputs bool
	cmd := &cobra.Command{
		Use:   "verify FOLDER",
		Short: "Compare a merged model with the checksums of its manifest",
		Long: `Verify reads the files of a model that "ballast merge" has written and compares their SHA-256 with the manifest beside them,
ballast-merge.json. With --inputs the files it was merged from are compared too, where they still are: run it in a folder that holds
them, since no file outside the current folder is read.`,
		Example: `  ballast verify merged
  ballast verify merged.safetensors --inputs --json`,
		Args: usageArgs(cobra.ExactArgs(1)),
	}
	cmd.Flags().BoolVar(&inputs, "inputs", false, "compare the files it was merged from too")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.verifyMerged(cmd, args[0], inputs, func(list []merge.Verification, m merge.Manifest) error {
			if a.json {
				return a.printJSON(struct {
					Recipe json.RawMessage      `json:"recipe"`
					Method string               `json:"method"`
					Files  []merge.Verification `json:"files"`
				}{m.Recipe, m.Method, list})
			}
			for _, v := range list {
				if _, err := fmt.Fprintf(a.out, "%s: %s\n", printable.Line(v.File), printable.Line(v.Status)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return cmd
}

// verifyMerged compares, shows what was found, and fails where something differs.
func (a *app) verifyMerged(cmd *cobra.Command, path string, inputs bool, show func([]merge.Verification, merge.Manifest) error) error {
	m, list, err := merge.Verify(cmd.Context(), path, inputs)
	if err != nil {
		return err
	}
	if show != nil {
		if err := show(list, m); err != nil {
			return err
		}
	}
	for _, v := range list {
		if !v.OK() {
			return &fault.Input{File: path, Field: v.File, Err: errors.New(v.Status), Mend: "the file is damaged or was changed: merge again"}
		}
	}
	return nil
}
