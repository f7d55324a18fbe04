package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/merge/signature"
	"github.com/ballast-ml/ballast/merge/tuned"
)

func newSignatureRemove(a *app) *cobra.Command {
	var out string
	var overwrite bool
	cmd := &cobra.Command{
		Use:   "remove MODEL SIGNATURE --out FOLDER",
		Short: "Remove a signature from a model",
		Long: `Remove subtracts what apply added. It says whether every tensor is bit for bit what it was; rounding may leave a difference in the
last bit, so keep the clean model where that matters.`,
		Example: "  ballast signature remove patched noise.sig --out clean-again",
		Args:    usageArgs(cobra.ExactArgs(2)),
	}
	cmd.Flags().StringVar(&out, "out", "", "where to write the model (a folder)")
	overwriteFlag(cmd, &overwrite)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if out == "" {
			return &fault.Usage{Err: errors.New("signature remove: give --out, a folder for the model")}
		}
		var err error
		if args[0], err = data.ModelPath(args[0]); err != nil {
			return err
		}
		release, err := claimLike(args[0], out, overwrite)()
		if err != nil {
			return err
		}
		defer func() { _ = release() }()
		s, err := signature.Load(args[1])
		if err != nil {
			return err
		}
		left, exact, err := tuned.Unpatch(args[0], s, out)
		if err != nil {
			return err
		}
		a.remark("written: %s", out)
		if a.json {
			return a.printJSON(map[string]any{"out": out, "exact": exact, "applied": left})
		}
		text := "rounding left differences in the last bit"
		if exact {
			text = "every tensor is what it was, to the bit"
		}
		_, err = fmt.Fprintln(a.out, text)
		return err
	}
	return cmd
}
