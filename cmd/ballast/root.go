package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/anynumber"
	"github.com/ballast-ml/ballast/internal/console"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/strict"
)

// app is what every verb shares: the streams and the flags that mean the same everywhere.
type app struct {
	out io.Writer // results, and nothing else; what would act on a terminal is escaped on the way
	err io.Writer // everything else, escaped likewise

	outFile, errFile *os.File        // the same without escaping, for what draws on a terminal on purpose; nil in tests
	screen           *console.Screen // standard error, which may have a live line; nil in tests
	stop             *stopper        // nil in tests

	engine string
	seed   uint64
	memory string // as given; "" = what the machine has
	color  string
	json   bool
	quiet  bool
}

// newRoot builds the command tree. The list of verbs is literal: what is not here does not exist.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "ballast",
		Short: "Keep neural networks steady",
		Long: `Ballast finds out how a neural network breaks when data shift, labels are wrong or batches shrink, and mends it.

Results go to standard output, everything else to standard error. In text from files, such as names of tensors,
characters that would act on a terminal are escaped.

` + exitCodes,
		Example: `  ballast demo
  ballast train recipe.yaml epochs=3
  ballast evaluate runs/digits/model --data mnist`,
		Version:                    buildVersion().line(),
		SilenceUsage:               true,
		SilenceErrors:              true,
		SuggestionsMinimumDistance: 2,
		PersistentPreRunE:          func(cmd *cobra.Command, _ []string) error { return a.begin(cmd) },
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return flagFault(c, err) })
	flags := root.PersistentFlags()
	flags.StringVar(&a.engine, "engine", "", "engine: go, xla, xla:cpu, xla:cuda or xla:/path/to/plugin.so (default BALLAST_ENGINE, else the Go engine for a small run and the fastest found for others)")
	flags.Uint64Var(&a.seed, "seed", 1, "seed of everything random")
	flags.StringVar(&a.memory, "memory", "", "limit on the memory that a model, a recipe or a file may need, such as 512M or 4G (default three quarters of the machine's; merge: 1G)")
	flags.StringVar(&a.color, "color", "auto", "when to colour text: auto (on a terminal, unless NO_COLOR is set), always or never")
	flags.BoolVar(&a.json, "json", false, "print the result as JSON")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "print no progress and no remarks on standard error")
	root.AddCommand(
		newDemo(a), newTrain(a), newInpaint(a), newEvaluate(a), newCalibrate(a), newAdapt(a), newConvert(a), newMerge(a), newVerify(a), newSoup(a), newSignature(a), newInspect(a), newRun(a), newCompare(a),
		newReproduce(a), newPapers(a), newData(a), newEngine(a), newClean(a), newBench(a), newVersion(a),
	)
	group(root)
	a.setHelp(root)
	complete(root)
	return root
}

// begin looks at the flags of the whole command before a verb does anything.
func (a *app) begin(cmd *cobra.Command) error {
	if !slices.Contains(console.Modes(), a.color) {
		return usagef("--color is %s; use %s", strict.Short(a.color), strings.Join(console.Modes(), ", "))
	}
	a.paint()
	if err := checkFlags(cmd); err != nil {
		return err
	}
	if err := engine.Check(a.engine); err != nil {
		return err
	}
	return a.limitMemory()
}

// paint has both streams coloured, or not, as the flag, the environment and what they end in say.
func (a *app) paint() {
	for _, s := range []struct {
		door io.Writer
		file *os.File
	}{{a.out, a.outFile}, {a.err, a.errFile}} {
		if door, ok := s.door.(*printable.Writer); ok {
			door.Paint(nil)
			if console.Coloured(a.color, isTerminal(s.file)) {
				door.Paint(console.Escapes())
			}
		}
	}
}

// limitMemory takes --memory as the limit of every large request. Without it the machine's own holds.
func (a *app) limitMemory() error {
	if a.memory == "" {
		return nil
	}
	bytes, err := byteSize("--memory", a.memory)
	if err == nil {
		memory.SetLimit(bytes)
	}
	return err
}

// remark prints one line on standard error unless --quiet. A line break within an argument stays within the line.
func (a *app) remark(format string, args ...any) {
	if a.quiet {
		return
	}
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = printable.Line(text)
		}
	}
	a.tell(fmt.Sprintf(format, args...))
}

// tell prints a line on standard error, broken at blanks where the terminal is narrower.
func (a *app) tell(line string) {
	line = continued(line)
	if columns := console.Columns(a.err); columns > 0 {
		var parts []string
		for _, part := range strings.Split(line, "\n") {
			parts = append(parts, console.Wrap(part, columns, "  ")...)
		}
		line = strings.Join(parts, "\n")
	}
	fmt.Fprintln(a.err, line)
}

// outTerminal returns standard output if a person watches it.
func (a *app) outTerminal() (*os.File, bool) { return a.outFile, isTerminal(a.outFile) }

func isTerminal(f *os.File) bool { return f != nil && term.IsTerminal(int(f.Fd())) }

// printJSON prints a result as indented JSON on standard output.
func (a *app) printJSON(v any) error {
	text, err := anynumber.MarshalIndent(v, "  ")
	if err != nil {
		return err
	}
	_, err = a.out.Write(append(text, '\n'))
	return err
}

// heads are the heads of a table's columns.
func (a *app) heads(names ...string) string {
	colours := console.PaletteOf(a.out)
	for i, name := range names {
		names[i] = colours.Strong(name)
	}
	return strings.Join(names, "\t")
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
