package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/merge/signature"
	"github.com/ballast-ml/ballast/merge/tuned"
)

func newSignatureApply(a *app) *cobra.Command {
	var p tuned.Patch
	var out string
	var overwrite bool
	var total float64
	var shifts []string
	cmd := &cobra.Command{
		Use:   "apply MODEL SIGNATURE[=SCALE]... --out FOLDER",
		Short: "Add signatures to a model",
		Long: `Apply writes a copy of a model with signatures added, each multiplied by its scale (default 1), or with equal shares of --total.
The model records what was added, so that no signature is added twice. With --data and --shift, the statistics of batch norms are
estimated again in a pass over the corrupted training part.`,
		Example: `  ballast signature apply clean noise.sig --out patched
  ballast signature apply clean noise.sig=0.7 contrast.sig=0.5 --out patched
  ballast signature apply clean noise.sig --data mnist --shift gaussian-noise:3 --out patched`,
		Args: usageArgs(cobra.MinimumNArgs(2)),
	}
	flags := cmd.Flags()
	flags.StringVar(&out, "out", "", "where to write the patched model (a folder)")
	flags.BoolVar(&p.Force, "force", false, "add a signature to a model that has it already")
	flags.Float64Var(&total, "total", 0, "scale to share equally among the signatures, instead of one scale for each")
	flags.StringVar(&p.Data, "data", "", "data set whose training part is used to estimate the statistics of norms again")
	flags.StringArrayVar(&shifts, "shift", nil, "corruption of --data, as NAME:SEVERITY")
	overwriteFlag(cmd, &overwrite)
	cmd.RunE = func(c *cobra.Command, args []string) error {
		if out == "" {
			return &fault.Usage{Err: errors.New("signature apply: give --out, a folder for the patched model")}
		}
		var err error
		if p.Shifts, err = parseShifts(shifts); err != nil {
			return err
		}
		if err := knownData(p.Data, "train"); err != nil {
			return err
		}
		if args[0], err = data.ModelPath(args[0]); err != nil {
			return err
		}
		if p.Data != "" && !bundle.Is(args[0]) {
			return &fault.Usage{Err: errors.New(`signature apply: --data needs a model that "ballast train" has written`)}
		}
		if p.Data == "" {
			if err := idle(c, "without --data", "shift", "seed", "engine"); err != nil {
				return err
			}
		} else if len(shifts) == 0 {
			if err := idle(c, "without --shift", "seed"); err != nil {
				return err
			}
		}
		if c.Flags().Changed("total") && (total == 0 || math.IsNaN(total) || math.IsInf(total, 0)) {
			return usagef("--total is %v; use a number other than 0", total)
		}
		p.Model, p.Seed = args[0], a.seed
		if p.Signatures, err = scaledSignatures(args[1:], total); err != nil {
			return err
		}
		release, err := claimLike(args[0], out, overwrite)()
		if err != nil {
			return err
		}
		defer func() { _ = release() }()

		patched, err := p.Run(c.Context(), out, a.openEngine)
		if err != nil {
			return err
		}
		for _, w := range patched.Warnings {
			a.remark("warning: %s", w)
		}
		a.remark("written: %s", out)
		if a.json {
			return a.printJSON(map[string]any{"out": out, "applied": patched.Applied, "warnings": patched.Warnings})
		}
		for _, s := range patched.Applied {
			fmt.Fprintf(a.out, "%s (%s) x %v\n", s.ID, s.Name, s.Scale)
		}
		return nil
	}
	return cmd
}

// scaledSignatures reads FILE or FILE=SCALE arguments.
func scaledSignatures(args []string, total float64) ([]signature.Scaled, error) {
	var list []signature.Scaled
	var bare []signature.Signature
	for _, arg := range args {
		path, scale := arg, 1.0
		_, missing := os.Stat(arg) // a path may hold a =
		if i := strings.LastIndex(arg, "="); i >= 0 && missing != nil {
			v, err := strconv.ParseFloat(arg[i+1:], 64)
			if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, &fault.Usage{Err: fmt.Errorf("signature: the scale of %s is not a number; write FILE=0.5", arg)}
			}
			if total != 0 {
				return nil, &fault.Usage{Err: fmt.Errorf("signature: %s has a scale of its own; leave it out, or --total", arg)}
			}
			path, scale = arg[:i], v
		}
		s, err := signature.Load(path)
		if err != nil {
			return nil, err
		}
		list, bare = append(list, signature.Scaled{Signature: s, Scale: scale}), append(bare, s)
	}
	if total != 0 {
		return signature.EqualShares(total, bare...), nil
	}
	return list, nil
}

// parseShifts reads NAME:SEVERITY words.
func parseShifts(words []string) ([]tuned.Shift, error) {
	var list []tuned.Shift
	for _, text := range words {
		name, level, _ := strings.Cut(text, ":")
		severity, err := strconv.Atoi(level)
		if err != nil {
			return nil, &fault.Usage{Err: fmt.Errorf("signature apply: --shift %s; write NAME:SEVERITY, such as gaussian-noise:3", text)}
		}
		if _, err := corrupt.Find(name); err != nil {
			return nil, err
		}
		if severity < 1 || severity > corrupt.Severities {
			return nil, usagef("signature apply: --shift %s; severities are 1 to %d", text, corrupt.Severities)
		}
		list = append(list, tuned.Shift{Name: name, Severity: severity})
	}
	return list, nil
}

// claimLike claims the folder of a model of the same kind as that at path.
func claimLike(path, out string, overwrite bool) func() (func() error, error) {
	if bundle.Is(path) {
		return claimBundle(out, overwrite)
	}
	return claimMarked(out, overwrite)
}
