package paper

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// took says how long the measuring took; runs that were complete before take no time.
func took(e Entry) string {
	if e.Seconds < 1 {
		return "of runs made before"
	}
	return fmt.Sprintf("%.0f s", e.Seconds)
}

// Markdown writes the catalogue of a list of papers with its evidence: what each claim demands, what was measured, and the paper's own figures.
func Markdown(w io.Writer, list []Paper, ledger Ledger) error {
	var b strings.Builder
	b.WriteString("# Papers\n\nWritten by `ballast papers --markdown` from papers/ledger.json; do not edit. Each claim is measured at the small size that its recipe\ngives, by `ballast reproduce SLUG`; the paper's own figures are at other sizes and stand beside, not against, ours.\n\n")
	b.WriteString("| paper | claims held | seeds |\n| --- | --- | --- |\n")
	for _, p := range list {
		e, ok := ledger.Entry(p.Slug)
		if !ok {
			fmt.Fprintf(&b, "| [%s](#%s) | not measured | |\n", p.Slug, p.Slug)
			continue
		}
		held := 0
		for _, c := range e.Claims {
			if c.Held {
				held++
			}
		}
		fmt.Fprintf(&b, "| [%s](#%s) | %d of %d | %d |\n", p.Slug, p.Slug, held, len(e.Claims), len(e.Seeds))
	}
	for _, p := range list {
		fmt.Fprintf(&b, "\n## %s\n\n%s. *%s*, %d, [arXiv %s](https://arxiv.org/abs/%s). In the library: `%s`.\n\nWhat it gives: %s.\n",
			p.Slug, p.Authors, p.Title, p.Year, p.ArXiv, p.ArXiv, strings.Join(p.Symbols, "`, `"), p.Summary)
		e, ok := ledger.Entry(p.Slug)
		if !ok {
			b.WriteString("\nIts claims have not been measured.\n")
		}
		for _, c := range e.Claims {
			held := "held"
			if !c.Held {
				held = "**not held**"
			}
			fmt.Fprintf(&b, "\n### %s: %s\n\n%s.\n\n| required | measured | bound | |\n| --- | --- | --- | --- |\n", c.Name, held, c.Statement)
			for _, q := range c.Inequalities {
				mark := "yes"
				if !q.Holds {
					mark = "**no**"
				}
				fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", strings.ReplaceAll(q.Text, "|", "\\|"), number(q.Left), number(q.Right), mark)
			}
			b.WriteString(armTable(c))
		}
		if ok {
			for _, f := range p.Figures {
				fmt.Fprintf(&b, "\n![%s](papers/%s/%s.png)\n", f.Title, p.Slug, f.Name)
			}
			fmt.Fprintf(&b, "\nMeasured %s on %s (%s), commit %s, %s, seeds %v.\n", e.Date.Format(time.DateOnly), e.Engine, e.Machine, e.Commit, took(e), e.Seeds)
		}
		b.WriteString("\nThe paper's own figures:\n\n")
		for _, f := range p.Published {
			fmt.Fprintf(&b, "- %s: %s\n", f.What, f.Value)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// bookkeeping are metrics that every run has and no claim is about.
var bookkeeping = map[string]bool{"epoch": true, "grad_norm": true}

// armTable is the mean and deviation of each metric of each arm.
func armTable(c ClaimResult) string {
	var names []string
	seen := map[string]bool{}
	for _, a := range c.Arms {
		for _, name := range sortedKeys(a.Metrics) {
			if !seen[name] && !bookkeeping[name] && !strings.HasPrefix(name, CurvePrefix) {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n| arm | %s |\n| --- |%s\n", strings.Join(names, " | "), strings.Repeat(" --- |", len(names)))
	for _, a := range c.Arms {
		fmt.Fprintf(&b, "| %s |", a.Name)
		for _, name := range names {
			if s, ok := a.Metrics[name]; ok {
				fmt.Fprintf(&b, " %s (sd %s) |", number(s.Mean), number(s.SD))
			} else {
				b.WriteString(" |")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// number writes a number with what digits matter.
func number(v float64) string {
	if v == 0 || math.Abs(v) >= 1e-3 {
		return fmt.Sprintf("%.4g", v)
	}
	return fmt.Sprintf("%.2g", v)
}

func sortedKeys(m map[string]Summary) []string { return slices.Sorted(maps.Keys(m)) }
