package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/papers"
	"github.com/ballast-ml/ballast/papers/paper"
	"github.com/ballast-ml/ballast/train"
)

func newReproduce(a *app) *cobra.Command {
	var (
		seeds       int
		workers     int
		dir, ledger string
	)
	cmd := &cobra.Command{
		Use:   "reproduce SLUG",
		Short: "Measure a paper's claims again and write the ledger",
		Long: `Reproduce runs every arm of a paper's claims at the size the claim names, once a seed, and holds the means against
the claim's inequalities. Runs found complete in --out are not repeated; one cut short goes on where it stopped.
Exit code 4 says that a claim did not hold; the ledger records it either way.`,
		Example: `  ballast reproduce ghost-batch-norm
  ballast reproduce ghost-batch-norm --seeds 10 --json | jq .claims`,
		Args:              usageArgs(cobra.ExactArgs(1)),
		ValidArgsFunction: completeSlugs,
	}

	cmd.Flags().IntVar(&seeds, "seeds", 5, "number of seeds, counted from --seed")
	cmd.Flags().IntVar(&workers, "workers", 1, "runs made at the same time; more is faster on many cores")
	cmd.Flags().StringVar(&dir, "out", filepath.Join("runs", "reproduce"), "folder of the runs")
	cmd.Flags().StringVar(&ledger, "ledger", "", "ledger file (default papers/ledger.json in the repository, else ledger.json in the data folder)")
	cmd.RunE = func(c *cobra.Command, args []string) error {
		p, err := papers.Find(args[0])
		if err != nil {
			return err
		}
		if seeds < 1 || workers < 1 {
			return usagef("--seeds is %d and --workers %d; use at least 1 of each", seeds, workers)
		}
		a.remark("%s: seeds %d to %d", p.Slug, a.seed, a.seed+uint64(seeds)-1)
		if ledger == "" {
			if ledger, err = defaultLedger(); err != nil {
				return err
			}
		}
		stands, err := paper.ReadLedger(ledger) // before hours of work, not after
		if err != nil {
			return err
		}
		for _, claim := range p.Claims {
			if seeds < claim.Seeds {
				return usagef("--seeds is %d; claim %s of %s needs %d", seeds, claim.Name, p.Slug, claim.Seeds)
			}
		}
		return claimRun("reproduce", filepath.Join(dir, p.Slug), isReproduction, nil, false, func(begin func() error) error {
			e, err := a.openEngineOfClaims(p.Slug, stands)
			if err != nil {
				return err
			}
			defer e.Close()
			if err := begin(); err != nil {
				return err
			}
			show, done := a.counter(p.Slug)
			defer done()
			if show != nil {
				show(0, runsOf(p, seeds))
			}
			o := paper.Options{Engine: e, Dir: dir, Workers: workers, Progress: func(n, runs int, name string, metrics map[string]float64) {
				a.remark("%3d/%d  %-42s %s", n, runs, name, headline(metrics))
				if show != nil {
					show(n, runs)
				}
			}}
			for i := range seeds {
				o.Seeds = append(o.Seeds, a.seed+uint64(i))
			}
			entry, err := paper.Reproduce(c.Context(), p, o)
			done()
			if err != nil {
				return err
			}
			v := buildVersion()
			entry.Date, entry.Machine, entry.Version, entry.Commit = time.Now().UTC().Truncate(time.Second), machine(), v.summary(), v.Commit
			if err := paper.Record(ledger, entry); err != nil {
				return err
			}
			a.remark("ledger: %s", ledger)
			figures, err := paper.WriteFigures(p, entry, filepath.Join(dir, p.Slug, "figures"))
			if err != nil {
				return err
			}
			for _, path := range figures {
				a.remark("figure: %s", path)
			}
			if err = a.printReproduced(entry); err != nil || entry.Held() {
				return err
			}
			unmet := &fault.Unmet{}
			for _, claim := range entry.Claims {
				for _, q := range claim.Inequalities {
					if !q.Holds {
						unmet.What = append(unmet.What, fmt.Sprintf("%s: %s: %.4f against %.4f", claim.Name, q.Text, q.Left, q.Right))
					}
				}
			}
			return unmet
		})
	}

	return cmd
}

// openEngineOfClaims opens the engine on which a paper's results stand in the ledger, so that new ones can be held against them. Where it
// cannot be had, and where there are none, it is the fastest: claims are measured on many runs, whose numbers should be of one engine.
func (a *app) openEngineOfClaims(slug string, stands paper.Ledger) (*engine.Engine, error) {
	kind := ""
	for _, entry := range stands.Entries {
		if entry.Slug == slug {
			kind = entry.Engine
		}
	}
	if kind == "" || a.asked() {
		return a.openEngine()
	}
	e, err := engine.OpenAs(kind, "that of the results in the ledger")
	if err == nil {
		return a.opened(e, nil)
	}
	e, err = a.openEngine()
	if err == nil {
		a.remark("note: the results in the ledger were measured on %s, which cannot be had here", kind)
	}
	return e, err
}

// runsOf is how many runs the claims of a paper take.
func runsOf(p paper.Paper, seeds int) int {
	n := 0
	for _, claim := range p.Claims {
		n += len(claim.Arms) * seeds
	}
	return n
}

// isReproduction recognises a paper's folder: one for each engine, and the figures.
func isReproduction(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && !slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		return !e.IsDir() || e.Name() != "figures" && e.Name() != "go" && !strings.HasPrefix(e.Name(), "xla")
	})
}

// printReproduced shows what was measured.
func (a *app) printReproduced(e paper.Entry) error {
	if a.json {
		return a.printJSON(e)
	}
	printEntry(a.out, e)
	return nil
}

// printEntry prints what was measured: each claim with its verdict, its inequalities and its arms.
func printEntry(w io.Writer, e paper.Entry) {
	for _, c := range e.Claims {
		held := "HELD"
		if !c.Held {
			held = "NOT HELD"
		}
		fmt.Fprintf(w, "\nClaim %s: %s\n  %s\n", c.Name, held, c.Statement)
		for _, q := range c.Inequalities {
			mark := "yes"
			if !q.Holds {
				mark = "NO"
			}
			fmt.Fprintf(w, "    %-44s %9.4g  %9.4g  %s\n", q.Text, q.Left, q.Right, mark)
		}
		for _, arm := range c.Arms {
			fmt.Fprintf(w, "  %-14s", arm.Name)
			for _, metric := range slices.Sorted(maps.Keys(arm.Metrics)) {
				if strings.HasPrefix(metric, paper.CurvePrefix) {
					continue
				}
				s := arm.Metrics[metric]
				fmt.Fprintf(w, "  %s %.4g (sd %.2g)", metric, s.Mean, s.SD)
			}
			fmt.Fprintln(w)
		}
	}
	fmt.Fprintf(w, "\nSeeds %v, engine %s, %s, %s, commit %s, %s, %.0f s\n", e.Seeds, e.Engine, e.Machine, e.Version, e.Commit, e.Date.Format(time.DateOnly), e.Seconds)
}

// headline is the few numbers of a run that are worth a line: those that say how good it is on examples that it was not chosen by, or
// else the first ones.
func headline(metrics map[string]float64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(metrics)) {
		if _, ok := train.Describe(name); ok && !strings.HasPrefix(name, train.ValidationPrefix) {
			parts = append(parts, fmt.Sprintf("%s %.4f", name, metrics[name]))
		}
	}
	if len(parts) == 0 {
		for _, name := range slices.Sorted(maps.Keys(metrics))[:min(4, len(metrics))] {
			parts = append(parts, fmt.Sprintf("%s %.4g", name, metrics[name]))
		}
	}
	return strings.Join(parts, "  ")
}

// defaultLedger is the repository's ledger when the command runs in the repository.
func defaultLedger() (string, error) {
	if _, err := os.Stat(filepath.Join("papers", "list.go")); err == nil {
		return filepath.Join("papers", "ledger.json"), nil
	}
	home, err := engine.Home()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, "ledger.json"), nil
}

func machine() string {
	return fmt.Sprintf("%s/%s, %d cores", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
}
