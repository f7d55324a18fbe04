package main

import (
	"cmp"
	"fmt"
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
		Long: `Reproduce runs every arm of a paper's claims at the size the claim names, once per seed, and checks the claim's
inequalities on what was measured. Runs found complete in --out are not repeated; one cut short resumes where it stopped.

The verdict carries its certainty: the share of resamples of the seeds in which every inequality of the claim holds. From
97.5 % a claim is held, from 84 % held closely, from 16 % open, else not held. Other seeds (--seed 11) are evidence of their
own: the ledger keeps each set of seeds and judges all of them together. Exit code 4 says that with the seeds of this call a
claim is open or not held; the ledger records it either way.`,
		Example: `  ballast reproduce ghost-batch-norm
  ballast reproduce ghost-batch-norm --seed 11
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
			return a.recordReproduced(p, entry, ledger, filepath.Join(dir, p.Slug, "figures"))
		})
	}

	return cmd
}

// openEngineOfClaims opens the engine on which a paper's results stand in the ledger, so that new ones can be held against them. Where it
// cannot be had, and where there are none, it is the fastest: claims are measured on many runs, whose numbers should be of one engine.
func (a *app) openEngineOfClaims(slug string, stands paper.Ledger) (*engine.Engine, error) {
	found, ok := stands.Evidence(slug)
	if !ok || found.Sets[0].Engine == "" || a.asked() {
		return a.openEngine()
	}
	kind := found.Sets[0].Engine
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

// recordReproduced puts what was measured into the ledger, draws all there is of the paper, shows it, and says what is open or not held.
func (a *app) recordReproduced(p paper.Paper, entry paper.Entry, ledger, figures string) error {
	found, err := paper.Record(ledger, papers.List(), entry)
	if err != nil {
		return err
	}
	a.remark("%d runs made; ledger: %s", entry.Made, ledger)
	paths, err := paper.WriteFigures(p, found.Entry, figures)
	if err != nil {
		return err
	}
	for _, path := range paths {
		a.remark("figure: %s", path)
	}

	if err := a.printReproduced(p, entry, found); err != nil || entry.Stands() {
		return err
	}
	unmet := &fault.Unmet{}
	for _, claim := range entry.Claims {
		if !claim.Stands() {
			unmet.What = append(unmet.What, unmetText(claim))
		}
	}
	return unmet
}

// unmetText names the inequality of a claim that holds least.
func unmetText(claim paper.ClaimResult) string {
	least := slices.MinFunc(claim.Inequalities, func(a, b paper.Inequality) int { return cmp.Compare(holds(a), holds(b)) })
	return fmt.Sprintf("%s is %s: %s: %.4f against %.4f", claim.Name, claim.Certainty, least.Text, least.Left, least.Right)
}

// holds is the share of resamples in which an inequality does.
func holds(q paper.Inequality) float64 {
	switch {
	case q.Share != nil:
		return *q.Share
	case q.Holds:
		return 1
	}
	return 0
}

// reproduced is what "reproduce --json" prints: the seeds of this call, and the evidence with those of other calls.
type reproduced struct {
	paper.Entry
	Evidence paper.Evidence `json:"evidence"`
}

// printReproduced shows what was measured.
func (a *app) printReproduced(p paper.Paper, e paper.Entry, found paper.Evidence) error {
	if a.json {
		return a.printJSON(reproduced{e, found})
	}
	return p.WriteEvidence(a.out, found)
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
