package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/papers"
	"github.com/ballast-ml/ballast/papers/paper"
)

func newPapers(a *app) *cobra.Command {
	var (
		recipe, markdown bool
		figures          string
		overwrite        bool
	)
	cmd := &cobra.Command{
		Use:   "papers [SLUG]",
		Short: "List the papers, or show one: what it offers, its claims, the measurements",
		Long: `Papers lists the papers with the verdicts on their claims, or shows one with all that was measured: with each set of
seeds, and with all seeds together. A verdict carries the share of resamples of the seeds in which the claim holds: held from
97.5 %, held closely from 84 %, open from 16 %, else not held.`,
		Example: `  ballast papers
  ballast papers ghost-batch-norm
  ballast papers ghost-batch-norm --recipe > my-recipe.yaml
  ballast papers --figures docs/papers`,
		Args:              usageArgs(cobra.MaximumNArgs(1)),
		ValidArgsFunction: completeSlugs,
	}
	cmd.Flags().BoolVar(&recipe, "recipe", false, "print the recipe of the paper as YAML")
	cmd.Flags().BoolVar(&markdown, "markdown", false, "print the catalogue with all evidence as Markdown, as in docs/papers.md")
	cmd.Flags().StringVar(&figures, "figures", "", "folder to draw the measurements into, as FOLDER/SLUG, of one paper or of all")
	overwriteFlag(cmd, &overwrite)
	cmd.RunE = func(c *cobra.Command, args []string) error {
		if err := idlePapers(c, args, figures, recipe, markdown); err != nil {
			return err
		}
		ledger, err := papers.EmbeddedLedger()
		if err != nil {
			return err
		}
		if figures != "" {
			return a.drawPapers(args, ledger, figures, overwrite)
		}
		if markdown {
			return paper.Markdown(a.out, papers.List(), ledger)
		}
		if len(args) == 0 {
			return a.listPapers(ledger)
		}
		p, err := papers.Find(args[0])
		if err != nil {
			return err
		}
		if recipe && a.json {
			settings, err := strict.YAML(p.Recipe)
			if err != nil {
				return err
			}
			return a.printJSON(settings)
		}
		if recipe {
			_, err := a.out.Write(p.Recipe)
			return err
		}
		return a.showPaper(p, ledger)
	}
	return cmd
}

// idlePapers refuses flags of another of the three things that the verb shows.
func idlePapers(cmd *cobra.Command, args []string, figures string, recipe, markdown bool) error {
	switch {
	case figures != "":
		return idle(cmd, "with --figures", "recipe", "markdown")
	case markdown && len(args) > 0:
		return usagef("--markdown is of the whole catalogue; leave out %s", args[0])
	case markdown:
		return idle(cmd, "with --markdown", "recipe", "overwrite", "json")
	case recipe && len(args) == 0:
		return usagef("--recipe needs a paper; ballast papers lists them")
	}
	return idle(cmd, "without --figures", "overwrite")
}

// drawPapers draws the figures of the papers named, or of all, that were measured.
func (a *app) drawPapers(slugs []string, ledger paper.Ledger, dir string, overwrite bool) error {
	list := papers.List()
	if len(slugs) > 0 {
		p, err := papers.Find(slugs[0])
		if err != nil {
			return err
		}
		list = []paper.Paper{p}
	}
	for _, p := range list { // before the first is drawn
		if _, ok := ledger.Evidence(p.Slug); !ok {
			continue
		}
		for _, figure := range p.Figures {
			if _, err := (durable.Permit{Overwrite: overwrite}).CheckFile(filepath.Join(dir, p.Slug, figure.Name+".png")); err != nil {
				return err
			}
		}
	}
	drawn := []string{}
	for _, p := range list {
		found, ok := ledger.Evidence(p.Slug)
		if !ok {
			continue
		}
		paths, err := paper.WriteFigures(p, found.Entry, filepath.Join(dir, p.Slug))
		if err != nil {
			return err
		}
		drawn = append(drawn, paths...)
	}
	if a.json {
		return a.printJSON(drawn)
	}
	for _, path := range drawn {
		fmt.Fprintln(a.out, path)
	}
	return nil
}

// paperRow is one paper in the JSON catalogue.
type paperRow struct {
	paper.Paper
	Evidence *paper.Evidence `json:"evidence"` // null if never measured
}

func (a *app) listPapers(ledger paper.Ledger) error {
	rows := []paperRow{}
	for _, p := range papers.List() {
		rows = append(rows, row(p, ledger))
	}
	if a.json {
		return a.printJSON(rows)
	}
	return paper.Catalogue(a.out, papers.List(), ledger)
}

func (a *app) showPaper(p paper.Paper, ledger paper.Ledger) error {
	r := row(p, ledger)
	if a.json {
		return a.printJSON(r)
	}
	return p.Text(a.out, r.Evidence)
}

func row(p paper.Paper, ledger paper.Ledger) paperRow {
	r := paperRow{Paper: p}
	if found, ok := ledger.Evidence(p.Slug); ok {
		r.Evidence = &found
	}
	return r
}

func completeSlugs(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var slugs []string
	for _, p := range papers.List() {
		slugs = append(slugs, p.Slug+"\t"+p.Title)
	}
	return slugs, cobra.ShellCompDirectiveNoFileComp
}
