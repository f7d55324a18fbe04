package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/internal/console"
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
		if _, ok := ledger.Entry(p.Slug); !ok {
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
		e, ok := ledger.Entry(p.Slug)
		if !ok {
			continue
		}
		paths, err := paper.WriteFigures(p, e, filepath.Join(dir, p.Slug))
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
	Evidence *paper.Entry `json:"evidence"` // null if never measured
}

func (a *app) listPapers(ledger paper.Ledger) error {
	rows := []paperRow{}
	for _, p := range papers.List() {
		rows = append(rows, row(p, ledger))
	}
	if a.json {
		return a.printJSON(rows)
	}
	w := console.NewTable(a.out, 2, 1, 2)
	fmt.Fprintln(w, a.heads("PAPER", "YEAR", "ARXIV", "CLAIMS", "WHAT YOU GET"))
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", r.Slug, r.Year, r.ArXiv, verdict(r.Evidence), r.Summary)
	}
	return w.Flush()
}

func (a *app) showPaper(p paper.Paper, ledger paper.Ledger) error {
	r := row(p, ledger)
	if a.json {
		return a.printJSON(r)
	}
	fmt.Fprintf(a.out, "%s\n%s, %d, arXiv %s\n\n%s.\n\nCode: %s\n", p.Title, p.Authors, p.Year, p.ArXiv, p.Summary, strings.Join(p.Symbols, ", "))
	if r.Evidence != nil {
		printEntry(a.out, *r.Evidence)
	} else {
		for _, c := range p.Claims {
			fmt.Fprintf(a.out, "\nClaim %s (not measured yet): %s\n", c.Name, c.Statement)
		}
	}
	fmt.Fprintln(a.out, "\nThe paper's own figures:")
	for _, f := range p.Published {
		fmt.Fprintf(a.out, "  %s: %s\n", f.What, f.Value)
	}
	return nil
}

func row(p paper.Paper, ledger paper.Ledger) paperRow {
	r := paperRow{Paper: p}
	if e, ok := ledger.Entry(p.Slug); ok {
		r.Evidence = &e
	}
	return r
}

func verdict(e *paper.Entry) string {
	switch {
	case e == nil:
		return "not measured"
	case e.Held():
		return "held"
	}
	return "not held"
}

func completeSlugs(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var slugs []string
	for _, p := range papers.List() {
		slugs = append(slugs, p.Slug+"\t"+p.Title)
	}
	return slugs, cobra.ShellCompDirectiveNoFileComp
}
