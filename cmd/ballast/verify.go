package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/merge/checkpoint"
)

func newVerify(a *app) *cobra.Command {
	var inputs bool
	var folder string
	cmd := &cobra.Command{
		Use:   "verify FOLDER",
		Short: "Compare a merged model with the checksums of its manifest",
		Long: `Verify reads the files of a model that "ballast merge" has written and compares their SHA-256 with the manifest beside them,
ballast-merge.json. With --inputs the files that it was merged from are compared too, if they still exist: they
must be in the current folder, or in the one that --inputs-in names, since a manifest could name any file.`,
		Example: `  ballast verify merged
  ballast verify merged.safetensors --inputs-in /models --json`,
		Args: usageArgs(cobra.ExactArgs(1)),
	}
	cmd.Flags().BoolVar(&inputs, "inputs", false, "also compare the files that it was merged from")
	cmd.Flags().StringVar(&folder, "inputs-in", "", "the same, for files in this folder")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if inputs && folder == "" {
			folder = "."
		}
		return a.verifyMerged(cmd, args[0], folder, func(list []checkpoint.Verification, m checkpoint.Manifest) error {
			if a.json {
				return a.printJSON(struct {
					Recipe json.RawMessage           `json:"recipe"`
					Method string                    `json:"method"`
					Files  []checkpoint.Verification `json:"files"`
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
func (a *app) verifyMerged(cmd *cobra.Command, path, inputs string, show func([]checkpoint.Verification, checkpoint.Manifest) error) error {
	m, list, err := checkpoint.Verify(cmd.Context(), path, inputs)
	if err != nil {
		return err
	}
	if show != nil {
		if err := show(list, m); err != nil {
			return err
		}
	}
	return checkpoint.Damaged(path, list)
}
