package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/internal/console"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/merge/checkpoint"
)

func newMergeDiff(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "diff MODEL OTHER",
		Short: "Compare two models tensor by tensor",
		Long: `Diff reads two models of any format and size side by side and shows, for each tensor, how far apart the two are: the largest and
the mean of |x - y|, and the cosine of the flattened tensors. Tensors that only one model has, or whose shapes differ, are listed.`,
		Example: `  ballast merge diff base tuned
  ballast merge diff base tuned.gguf --json`,
		Args: usageArgs(cobra.ExactArgs(2)),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		paths, err := modelPaths(args)
		if err != nil {
			return err
		}
		d, err := checkpoint.Diff(cmd.Context(), paths[0], paths[1])
		if err != nil {
			return err
		}
		for _, note := range d.Notes {
			a.remark("%s", note)
		}
		if a.json {
			return a.printJSON(d)
		}
		fmt.Fprintf(a.out, "%d of %d tensors are the same\n", d.Equal, len(d.Tensors))
		list := slices.Clone(d.Tensors)
		slices.SortStableFunc(list, func(x, y checkpoint.TensorDiff) int {
			switch {
			case x.Cosine < y.Cosine:
				return -1
			case x.Cosine > y.Cosine:
				return 1
			}
			return 0
		})
		w := console.NewTable(a.out, 2, 1, 3)
		if d.Equal < len(list) {
			fmt.Fprintf(w, "tensor\ttypes\tlargest difference\tmean\tcosine\n")
		}
		for _, t := range list {
			if t.Largest > 0 {
				fmt.Fprintf(w, "%s\t%s and %s\t%.4g\t%.4g\t%.6f\n", printable.Line(t.Name), printable.Line(t.Type), printable.Line(t.OtherType), t.Largest, t.Mean, t.Cosine)
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
		for _, part := range []struct {
			what  string
			names []string
		}{{"other shapes", d.Shapes}, {"only in " + args[0], d.First}, {"only in " + args[1], d.Second}} {
			for _, name := range part.names {
				fmt.Fprintf(a.out, "%s: %s\n", printable.Line(part.what), printable.Line(name))
			}
		}
		return nil
	}
	return cmd
}
