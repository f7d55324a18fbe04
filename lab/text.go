package lab

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/ballast-ml/ballast/internal/console"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/markdown"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/report"
)

// Text writes the table of the variants, the tests between them and the verdicts; on a terminal it fits the width.
func (c *Comparison) Text(w io.Writer) error {
	t := console.NewTable(w, 2, 4)
	fmt.Fprintf(t, "%s\tmean\tsd\tn\tvalues\n", printable.Line(c.Metric))
	for _, v := range c.Variants {
		fmt.Fprintf(t, "%s\t%.4f\t%.4f\t%d\t%s\n", printable.Line(v.Name), v.Mean, v.SD, len(v.Values), list(v.Values))
	}
	if err := t.Flush(); err != nil {
		return err
	}

	for _, f := range c.families() {
		t := console.NewTable(w, 2, 2) // the interval can be spared first
		fmt.Fprintln(t)
		for _, row := range f.rows(printable.Line) {
			fmt.Fprintln(t, strings.Join(row, "\t"))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}

	words := console.NewTable(w, 2)
	if note := c.note(); note != "" {
		fmt.Fprintf(words, "\n%s\n\n", note)
	}
	for _, verdict := range c.verdicts() {
		fmt.Fprintf(words, "- %s\n", printable.Line(verdict))
	}
	return words.Flush()
}

// tests are a table of tests against the same variant.
type tests struct {
	against string
	pairs   []Pair
}

// families are the tests that are shown: against the best one in each place of a choice, or else against the first variant.
func (c *Comparison) families() (all []tests) {
	if len(c.Seeds) < 2 {
		return nil
	}
	for _, choice := range c.Choices {
		f := tests{against: choice.Ranking[0].variant.Name}
		for _, r := range choice.Ranking[1:] {
			f.pairs = append(f.pairs, r.pair)
		}
		all = append(all, f)
	}
	if len(all) == 0 && len(c.Pairs) > 0 {
		all = []tests{{against: c.Pairs[0].A, pairs: c.Pairs}}
	}
	return all
}

// rows are those of the table; clean makes a name fit for where it is written.
func (f tests) rows(clean func(string) string) [][]string {
	rows := [][]string{{"against " + clean(f.against), "difference", "95 % interval", "p", "Holm", "could see"}}
	for _, p := range f.pairs {
		rows = append(rows, []string{
			clean(p.B), fmt.Sprintf("%+.4f", p.Difference), fmt.Sprintf("%+.4f to %+.4f", p.Interval[0], p.Interval[1]),
			fmt.Sprintf("%.2g", p.P), fmt.Sprintf("%.2g", p.PHolm), fmt.Sprintf("%.4f", p.Detectable),
		})
	}
	return rows
}

// note says what the columns of the tests are.
func (c *Comparison) note() string {
	if len(c.families()) == 0 {
		return ""
	}
	return fmt.Sprintf("p: paired t-test over %d seeds, two-sided. Holm: p corrected for %s by Holm's method, which decides at 0.05. "+
		"Could see: the smallest difference that these seeds show 8 times of 10.", len(c.Seeds), counted(c.Comparisons))
}

func counted(n int) string {
	if n == 1 {
		return "1 comparison"
	}
	return fmt.Sprintf("%d comparisons", n)
}

// verdicts are the answers in words: which value to use, or else how each variant differs from the first.
func (c *Comparison) verdicts() (lines []string) {
	for _, choice := range c.Choices {
		lines = append(lines, choice.Verdict)
	}
	if len(lines) == 0 {
		for _, p := range c.Pairs {
			lines = append(lines, p.Verdict)
		}
	}
	return lines
}

// write leaves the comparison beside its runs.
func (c *Comparison) write() error {
	if err := report.WriteJSON(filepath.Join(c.Dir, "comparison.json"), c); err != nil {
		return err
	}
	err := durable.WriteFile(filepath.Join(c.Dir, "report.md"), func(w io.Writer) error {
		_, err := io.WriteString(w, c.markdown())
		return err
	})
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(c.Dir, "comparison.png"), c.plot)
}

// markdown is report.md.
func (c *Comparison) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Comparison of %s\n\nSeeds %s, engine %s.\n\n| variant | mean | sd | n |\n| --- | --- | --- | --- |\n",
		markdown.Text(c.Metric), markdown.Text(strings.Join(c.Seeds, ", ")), markdown.Text(c.Engine))
	for _, v := range c.Variants {
		fmt.Fprintf(&b, "| %s | %.4f | %.4f | %d |\n", markdown.Text(v.Name), v.Mean, v.SD, len(v.Values))
	}
	for _, f := range c.families() {
		b.WriteString("\n")
		for i, row := range f.rows(markdown.Text) {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
			if i == 0 {
				fmt.Fprintf(&b, "|%s\n", strings.Repeat(" --- |", len(row)))
			}
		}
	}
	if note := c.note(); note != "" {
		b.WriteString("\n" + note + "\n")
	}
	b.WriteString("\n")
	for _, verdict := range c.verdicts() {
		fmt.Fprintf(&b, "- %s\n", markdown.Text(verdict))
	}
	b.WriteString("\n![values of each seed and their means](comparison.png)\n")
	return b.String()
}

func list(values []float64) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = fmt.Sprintf("%.4f", v)
	}
	return strings.Join(parts, " ")
}
