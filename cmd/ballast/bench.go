package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/bench"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/lock"
)

// benchFlags are the flags of "ballast bench".
type benchFlags struct {
	only, out, peers, compare string
	quick, list, overwrite    bool
}

func newBench(a *app) *cobra.Command {
	f := benchFlags{}
	cmd := &cobra.Command{
		Use:   "bench [SUITE...]",
		Short: "Measure the limits of this machine and engine, and how close Ballast comes",
		Long: `Bench measures suites of lines: limits (memory, matrix product, disk, calls), ops, norm, train, data, corrupt, merge; all of them if none is
named. Each line is checked first and timed afterwards, for at least two seconds and 20 runs, and compared with a limit of the
machine measured in the same run: 1.00 x is the best possible. Times are medians; run it on an idle machine.

--peer-results sets the lines beside another program's, measured on this machine by a script of bench/peers. --compare sets
two files of --out side by side.`,
		Example: `  ballast bench train
  ballast bench --out before.json
  ballast bench --compare before.json after.json
  python bench/peers/torch_train.py --out torch.json && ballast bench train --peer-results torch.json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := idleBench(cmd, f.compare != "", f.list, f.out != ""); err != nil {
				return err
			}
			if f.compare != "" {
				return a.benchCompare(f.compare, args)
			}
			return a.bench(cmd.Context(), f, args)
		},
	}

	overwriteFlag(cmd, &f.overwrite)
	cmd.Flags().StringVar(&f.only, "only", "", "measure only lines whose suite and name match this regular expression")
	cmd.Flags().StringVar(&f.out, "out", "", "write the results to this file too")
	cmd.Flags().StringVar(&f.peers, "peer-results", "", "results of another program on this machine, from a script of bench/peers")
	cmd.Flags().StringVar(&f.compare, "compare", "", "set two result files side by side: --compare BEFORE AFTER")
	cmd.Flags().BoolVar(&f.quick, "quick", false, "run each line twice, to see that everything works")
	cmd.Flags().BoolVar(&f.list, "list", false, "list the lines and stop")
	return cmd
}

// bench measures the suites and shows the lines.
func (a *app) bench(ctx context.Context, f benchFlags, suites []string) error {
	if len(suites) == 0 {
		suites = bench.Suites
	}
	for _, s := range suites {
		if !slices.Contains(bench.Suites, s) {
			return &fault.Usage{Err: fmt.Errorf("no suite %q; there are %s", s, strings.Join(bench.Suites, ", "))}
		}
	}

	o := bench.Options{Suites: suites, Quick: f.quick}
	if f.only != "" {
		pattern, err := regexp.Compile(f.only)
		if err != nil {
			return &fault.Usage{Err: fmt.Errorf("--only: %w", err)}
		}
		o.Only = pattern.MatchString
	}
	if f.list {
		return a.benchList(o)
	}

	var err error
	if f.peers != "" {
		if o.Peers, err = bench.ReadPeers(f.peers); err != nil {
			return err
		}
	}

	release, err := claimFile(f.out, f.overwrite)()
	if err != nil {
		return err
	}
	defer func() { _ = release() }() // the lock ends with the process at the latest
	remove, err := a.benchFolder(&o)
	if err != nil {
		return err
	}
	defer remove()
	e, err := a.openEngine()
	if err != nil {
		return err
	}
	defer e.Close()
	o.Engine = e

	show, done := a.counter("bench")
	o.Progress = func(n, total int, _ string) {
		if show != nil {
			show(n, total)
		}
	}
	file, err := bench.Run(ctx, o)
	done()
	if err != nil {
		return err
	}

	if f.out != "" {
		if err := file.Write(f.out); err != nil {
			return err
		}
	}
	if a.json {
		return a.printJSON(file)
	}
	return file.Table(a.out)
}

// idleBench refuses flags of a measurement where none is made.
func idleBench(cmd *cobra.Command, compared, listed, written bool) error {
	switch {
	case compared:
		return idle(cmd, "with --compare", others(cmd, "compare", "json")...)
	case listed:
		return idle(cmd, "with --list", others(cmd, "list", "only", "json")...)
	case !written:
		return idle(cmd, "without --out", "overwrite")
	}
	return nil
}

// benchFolder makes the folder of the benchmark's files, on the disk that is measured, and removes those that a benchmark that was
// killed has left.
func (a *app) benchFolder(o *bench.Options) (remove func(), err error) {
	const pattern, lockFile = ".ballast-bench-*", "lock"
	left, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	for _, dir := range left {
		path := filepath.Join(dir, lockFile)
		if stat, err := os.Lstat(path); err != nil || !stat.Mode().IsRegular() {
			continue // not made here
		}
		held, _, err := lock.Try(path)
		if err != nil || held == nil {
			continue // in use
		}
		if err := errors.Join(held.Release(), os.RemoveAll(dir)); err != nil {
			return nil, err
		}
		a.remark("removed what an earlier benchmark left: %s", dir)
	}
	if o.Dir, err = os.MkdirTemp(".", pattern); err != nil {
		return nil, err
	}
	held, _, err := lock.Try(filepath.Join(o.Dir, lockFile)) // nobody else knows the folder
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(o.Dir))
	}
	dir := o.Dir
	// Files of a benchmark that stay do no harm: the next one removes them.
	a.stop.cleanup(func() { _ = os.RemoveAll(dir) })
	return func() {
		_ = held.Release()
		_ = os.RemoveAll(dir)
	}, nil
}

func (a *app) benchList(o bench.Options) error {
	var names []string
	for _, l := range bench.Lines() {
		if name := l.Suite + " " + l.Name; slices.Contains(o.Suites, l.Suite) && (o.Only == nil || o.Only(name)) {
			names = append(names, name)
		}
	}
	if a.json {
		return a.printJSON(names)
	}
	_, err := fmt.Fprintln(a.out, strings.Join(names, "\n"))
	return err
}

func (a *app) benchCompare(before string, args []string) error {
	if len(args) != 1 {
		return &fault.Usage{Err: fmt.Errorf("--compare wants two files: --compare BEFORE AFTER")}
	}
	b, err := bench.Read(before)
	if err != nil {
		return err
	}
	c, err := bench.Read(args[0])
	if err != nil {
		return err
	}
	if b.Machine.CPU != c.Machine.CPU {
		a.remark("the files are of different machines: %s and %s", b.Machine.CPU, c.Machine.CPU)
	}
	changes := bench.Compare(b, c)
	if a.json {
		return a.printJSON(changes)
	}
	return bench.CompareTable(a.out, changes)
}
