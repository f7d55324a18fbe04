package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/fault"
)

// app is what every verb shares: the streams and the flags that mean the same everywhere.
type app struct {
	out io.Writer // results, and nothing else
	err io.Writer // everything else

	engine string
	seed   uint64
	json   bool
	quiet  bool
}

// newRoot builds the command tree. The list of verbs is literal: what is not here does not exist.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "ballast",
		Short: "Keep neural networks steady",
		Long: `Ballast finds out how a neural network breaks when data shifts, labels lie or batches shrink, and mends it.

Results go to standard output, everything else to standard error. Exit codes: 0 ok, 1 failed, 2 wrong usage,
3 a bad input file, 4 a claim or threshold not met, 5 out of disk or memory, 130 and 143 stopped by a signal.`,
		Example: `  ballast demo
  ballast train recipe.yaml epochs=3
  ballast evaluate runs/digits/model --data mnist`,
		SilenceUsage:               true,
		SilenceErrors:              true,
		SuggestionsMinimumDistance: 2,
	}
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &fault.Usage{Err: err} })
	flags := root.PersistentFlags()
	flags.StringVar(&a.engine, "engine", "", "engine: go, xla, xla:cpu, xla:cuda or xla:/path/to/plugin.so (default BALLAST_ENGINE, else the fastest found)")
	flags.Uint64Var(&a.seed, "seed", 1, "master seed of everything random")
	flags.BoolVar(&a.json, "json", false, "print the result as JSON")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "no progress and no remarks on standard error")
	root.AddCommand(
		newDemo(a), newTrain(a), newInpaint(a), newEvaluate(a), newCalibrate(a), newConvert(a), newMerge(a), newVerify(a), newSoup(a), newSignature(a), newInspect(a), newRun(a), newCompare(a),
		newReproduce(a), newPapers(a), newData(a), newEngine(a), newClean(a), newBench(a), newVersion(a),
	)
	return root
}

// openEngine opens the engine the flags ask for and says on standard error which one it is.
func (a *app) openEngine() (*engine.Engine, error) {
	e, err := engine.Open(a.engine)
	if err != nil {
		return nil, err
	}
	a.remark("engine: %s (%s)", e.Kind, e.Why)
	if e.Hint != "" {
		a.remark("        %s", e.Hint)
	}
	return e, nil
}

// remark prints one line on standard error unless --quiet.
func (a *app) remark(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.err, format+"\n", args...)
	}
}

// printJSON prints a result as indented JSON on standard output.
func (a *app) printJSON(v any) error {
	encoder := json.NewEncoder(a.out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// usageArgs makes a wrong number of arguments a usage error (exit code 2).
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &fault.Usage{Err: errors.New(err.Error() + "; see: " + cmd.CommandPath() + " --help")}
		}
		return nil
	}
}
