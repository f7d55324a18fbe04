package main

import (
	"errors"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/merge/signature"
	"github.com/ballast-ml/ballast/merge/tuned"
)

func newSignatureExtract(a *app) *cobra.Command {
	x := tuned.NewExtraction()
	var out string
	var overwrite bool
	cmd := &cobra.Command{
		Use:   "extract --pre MODEL --clean MODEL --robust MODEL --out FILE",
		Short: "Extract a signature from three models",
		Long: `Extract computes, for every selected tensor, v = robust - pretrained without its component along b = clean - pretrained. The three are
models that "ballast train" has written, or weight files of any format.

--layers: first:N, the first N convolutions; blocks:N, the first N blocks of a residual network with their norms; all; or names,
separated by commas, with * for any characters. --levels is the number of values that a stored weight may have, not the number of bits: 16
levels take 4 bits.`,
		Example: `  ballast signature extract --pre base --clean clean --robust noisy --layers first:3 --levels 16 --out noise.sig
  ballast signature extract --pre p.safetensors --clean c.safetensors --robust r.safetensors --layers 'features.*' --out noise.sig`,
		Args: usageArgs(cobra.NoArgs),
	}
	flags := cmd.Flags()
	flags.StringVar(&x.Pretrained, "pre", "", "the pretrained model that the others were fine-tuned from")
	flags.StringVar(&x.Clean, "clean", "", "the model fine-tuned on clean data")
	flags.StringVar(&x.Robust, "robust", "", "the model fine-tuned on corrupted data")
	flags.StringVar(&x.Method.Layers, "layers", x.Method.Layers, "what to patch: first:N, blocks:N, all, or names")
	flags.StringVar(&x.Method.Norms, "norms", x.Method.Norms, "how norms are treated: recalibrate, patch or replace")
	flags.StringVar(&x.Quantizer, "quantizer", x.Quantizer, "with --levels: linear, tanh or log")
	flags.IntVar(&x.Levels, "levels", 0, "levels of the stored values (0 = float32)")
	flags.StringVar(&x.Name, "name", "", "name of the signature, such as the corruption (default: the name of --out)")
	flags.StringVar(&out, "out", "", "the signature file to write")
	overwriteFlag(cmd, &overwrite)
	cmd.RunE = func(c *cobra.Command, _ []string) error {
		if x.Levels == 0 {
			if err := idle(c, "without --levels", "quantizer"); err != nil {
				return err
			}
		}
		if x.Pretrained == "" || x.Clean == "" || x.Robust == "" || out == "" {
			return &fault.Usage{Err: errors.New("signature extract: give --pre, --clean, --robust and --out")}
		}
		if err := x.Method.Validate(); err != nil {
			return &fault.Usage{Err: err}
		}
		if x.Levels != 0 {
			if err := errors.Join(signature.CheckQuantizer(x.Quantizer), signature.CheckLevels(x.Levels)); err != nil {
				return err
			}
		}
		paths, err := modelPaths([]string{x.Pretrained, x.Clean, x.Robust})
		if err != nil {
			return err
		}
		x.Pretrained, x.Clean, x.Robust = paths[0], paths[1], paths[2]
		if x.Name == "" {
			x.Name = strings.TrimSuffix(filepath.Base(out), filepath.Ext(out))
		}
		release, err := claimFile(out, overwrite)()
		if err != nil {
			return err
		}
		defer func() { _ = release() }() // the lock ends with the process at the latest

		s, err := x.Run()
		if err != nil {
			return err
		}
		if err := s.Save(out); err != nil {
			return err
		}
		for _, w := range s.Warnings {
			a.remark("warning: %s", w)
		}
		a.remark("written: %s", out)
		return a.printSignature(s)
	}
	return cmd
}
