package paper

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Markdown writes the catalogue of a list of papers with its evidence: what each claim demands, what was measured with each set of seeds
// and with all together, how sure the verdict is, and the paper's own figures.
func Markdown(w io.Writer, list []Paper, ledger Ledger) error {
	var b strings.Builder
	fmt.Fprintf(&b, `# Papers

Written by %[1]sballast papers --markdown%[1]s from papers/ledger.json; do not edit. Each claim is measured at the small size that its
recipe gives, by %[1]sballast reproduce SLUG%[1]s; the paper's own figures are at other sizes and stand beside ours, not against them.

%[2]s

| claim | with each set of seeds | all seeds together |
| --- | --- | --- |
`, "`", rules)
	for _, p := range list {
		b.WriteString(overview(p, ledger))
	}
	for _, p := range list {
		b.WriteString(section(p, ledger))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// rules says how verdicts come about.
var rules = fmt.Sprintf(`A verdict carries its certainty: the share of resamples of the seeds, drawn with replacement and the same ones for every arm, in which
every inequality of the claim holds. From 97.5 %% a claim is **held**, from 84 %% **held closely**, from 16 %% **open**, else **not
held**. Up to %d seeds every resample counts (all 3125 of five seeds); with more, %d are drawn, always the same ones. Where every seed
gives the same numbers there is no share. Five seeds are few for a bootstrap, which makes it too sure; that is why fresh seeds stand
beside the first ones.`, maxExact, drawnResamples)

// overview is one line of each claim of a paper.
func overview(p Paper, ledger Ledger) string {
	found, ok := ledger.Evidence(p.Slug)
	if !ok {
		return fmt.Sprintf("| [%s](#%s) | not measured | |\n", p.Slug, p.Slug)
	}
	var b strings.Builder
	for _, c := range found.Claims {
		var sets []string
		for _, e := range found.Sets {
			if of, ok := e.claim(c.Name); ok {
				sets = append(sets, fmt.Sprintf("%s: %s", seedsText(e.Seeds), of.Certainty))
			}
		}
		fmt.Fprintf(&b, "| [%s](#%s): %s | %s | %s |\n", p.Slug, p.Slug, c.Name, strings.Join(sets, "; "), c.bold())
	}
	return b.String()
}

// bold is the certainty with its verdict in bold, which is what the eye looks for.
func (c Certainty) bold() string {
	return "**" + string(c.Verdict) + "**" + strings.TrimPrefix(c.String(), string(c.Verdict))
}

// section is all of a paper.
func section(p Paper, ledger Ledger) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s\n\n*%s*. %s, %d, [arXiv %s](https://arxiv.org/abs/%s).\n\nWhat it gives: %s. In the library: `%s`.\n",
		p.Slug, p.Title, p.Authors, p.Year, p.ArXiv, p.ArXiv, p.Summary, strings.Join(p.Symbols, "`, `"))

	found, ok := ledger.Evidence(p.Slug)
	if !ok {
		b.WriteString("\nIts claims have not been measured.\n")
	}
	for _, c := range found.Claims {
		fmt.Fprintf(&b, "\n### %s: %s\n\n%s.\n", c.Name, c.Verdict, sentence(c.Statement))
		b.WriteString(inequalityTable(found, c))
		b.WriteString(valueTable(p, found, c))
	}
	if ok {
		for _, f := range p.Figures {
			fmt.Fprintf(&b, "\n![%s](papers/%s/%s.png)\n", f.Title, p.Slug, f.Name)
		}
		b.WriteString("\n")
		for _, e := range found.Sets {
			fmt.Fprintf(&b, "- Seeds %s: %s.\n", seedsText(e.Seeds), circumstances(e))
		}
	}

	if len(p.Published) > 0 {
		b.WriteString("\nThe paper's own figures:\n\n")
	}
	for _, f := range p.Published {
		fmt.Fprintf(&b, "- %s: %s\n", f.What, f.Value)
	}
	return b.String()
}

// inequalityTable has a row for each inequality and a column for each set of seeds.
func inequalityTable(found Evidence, c ClaimResult) string {
	columns := found.columns(c)
	var b strings.Builder
	b.WriteString("\n| required |")
	for _, column := range columns {
		fmt.Fprintf(&b, " %s |", column.name)
	}
	fmt.Fprintf(&b, "\n| --- |%s\n", strings.Repeat(" --- |", len(columns)))

	for i, q := range c.Inequalities {
		fmt.Fprintf(&b, "| %s |", cell(q.Text))
		for _, column := range columns {
			if i < len(column.claim.Inequalities) {
				fmt.Fprintf(&b, " %s |", column.claim.Inequalities[i].outcome("**"))
			} else {
				b.WriteString(" |")
			}
		}
		b.WriteString("\n")
	}
	b.WriteString("| **verdict** |")
	for _, column := range columns {
		fmt.Fprintf(&b, " %s |", column.claim.bold())
	}
	b.WriteString("\n")
	return b.String()
}

// valueTable has a row for each arm and metric that the claim is about.
func valueTable(p Paper, found Evidence, c ClaimResult) string {
	names := p.metrics(c)
	arms, metrics := len(c.Arms) > 1, len(names) > 1
	mean := "mean (sd)"
	if !metrics && len(names) == 1 {
		mean = names[0] + ": " + mean
	}

	var b strings.Builder
	b.WriteString("\n|")
	columns := 2
	if arms {
		b.WriteString(" arm |")
		columns++
	}
	if metrics {
		b.WriteString(" metric |")
		columns++
	}
	fmt.Fprintf(&b, " %s | per seed |\n|%s\n", mean, strings.Repeat(" --- |", columns))
	for _, arm := range c.Arms {
		for _, name := range names {
			s, ok := arm.Metrics[name]
			if !ok {
				continue
			}
			b.WriteString("|")
			if arms {
				fmt.Fprintf(&b, " %s |", arm.Name)
			}
			if metrics {
				fmt.Fprintf(&b, " %s |", cell(name))
			}
			fmt.Fprintf(&b, " %s | %s |\n", s, strings.Join(found.perSeed(c.Name, arm.Name, name), " · "))
		}
	}
	return b.String()
}

// circumstances say when, how long and on what a set of seeds was measured.
func circumstances(e Entry) string {
	text := "measured " + e.Date.Format(time.DateOnly)
	if e.Seconds >= 1 { // else all runs had been made before
		text += fmt.Sprintf(" in %.0f s", e.Seconds)
	}
	text += fmt.Sprintf(" on %s (%s)", e.Engine, e.Machine)
	if e.Commit != "" && e.Commit != "unknown" {
		text += ", commit " + e.Commit[:min(12, len(e.Commit))]
	}
	return text
}

// cell is text for a cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }

// sentence begins with a capital letter.
func sentence(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
