package paper

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// width is how many columns the text of a paper takes at most, which every terminal has.
const width = 80

// Catalogue writes a list of papers: what each gives, and the verdicts on its claims over all seeds, in lines of 80 columns.
func Catalogue(w io.Writer, list []Paper, ledger Ledger) error {
	var b strings.Builder
	const row = "%-25s %-5s %-11s %s\n"
	fmt.Fprintf(&b, row, "PAPER", "YEAR", "ARXIV", "CLAIMS")
	for _, p := range list {
		found, ok := ledger.Evidence(p.Slug)
		verdicts := found.verdicts()
		if !ok {
			verdicts = "not measured"
		}
		fmt.Fprintf(&b, row, p.Slug, fmt.Sprint(p.Year), p.ArXiv, verdicts)
		b.WriteString(wrap(p.Summary, "  ", "  "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// verdicts counts the claims by verdict, such as "2 held, 1 open".
func (v Evidence) verdicts() string {
	var parts []string
	for _, verdict := range []Verdict{Held, HeldClosely, Open, NotHeld} {
		n := 0
		for _, c := range v.Claims {
			if c.Verdict == verdict {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, verdict))
		}
	}
	return strings.Join(parts, ", ")
}

// Text writes what a paper is, what was measured of its claims, and its own figures, in lines of 80 columns.
func (p Paper) Text(w io.Writer, found *Evidence) error {
	var b strings.Builder
	b.WriteString(wrap(p.Title, "", ""))
	b.WriteString(wrap(fmt.Sprintf("%s, %d, arXiv %s", p.Authors, p.Year, p.ArXiv), "", ""))
	b.WriteString("\n" + wrap(p.Summary+".", "", ""))
	b.WriteString("\n" + wrap("Code: "+strings.Join(p.Symbols, ", "), "", "  "))
	if found != nil {
		b.WriteString(p.evidence(*found))
	} else {
		for _, c := range p.Claims {
			b.WriteString("\n" + wrap(fmt.Sprintf("Claim %s (not measured yet): %s", c.Name, c.Statement), "", "  "))
		}
	}
	b.WriteString("\nThe paper's own figures:\n")
	for _, f := range p.Published {
		b.WriteString(wrap(f.What+": "+f.Value, "  ", "    "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteEvidence writes what was measured of a paper's claims, in lines of 80 columns.
func (p Paper) WriteEvidence(w io.Writer, found Evidence) error {
	_, err := io.WriteString(w, p.evidence(found))
	return err
}

func (p Paper) evidence(found Evidence) string {
	var b strings.Builder
	for _, c := range found.Claims {
		columns := found.columns(c)
		fmt.Fprintf(&b, "\n%s%s", wrap(fmt.Sprintf("Claim %s: %s", c.Name, c.Certainty), "", "  "), wrap(c.Statement, "  ", "  "))
		if len(columns) > 1 {
			b.WriteString("\n")
			for _, column := range columns {
				fmt.Fprintf(&b, "  %-16s %s\n", column.name, column.claim.Certainty)
			}
		}

		b.WriteString("\n")
		for i, q := range c.Inequalities {
			b.WriteString(wrap(q.Text, "  ", "    "))
			for _, column := range columns {
				if i < len(column.claim.Inequalities) {
					fmt.Fprintf(&b, "    %-16s %s\n", column.name, column.claim.Inequalities[i].outcome(""))
				}
			}
		}

		for _, name := range p.metrics(c) {
			fmt.Fprintf(&b, "\n  %s: mean (sd); per seed\n", name)
			for _, arm := range c.Arms {
				if s, ok := arm.Metrics[name]; ok {
					lines := strings.Join(found.perSeed(c.Name, arm.Name, name), " · ")
					b.WriteString(wrap(lines, fmt.Sprintf("    %-14s %s;  ", arm.Name, s), "                   "))
				}
			}
		}
	}
	b.WriteString("\n")
	for _, e := range found.Sets {
		b.WriteString(wrap(fmt.Sprintf("Seeds %s: %s; %s", seedsText(e.Seeds), circumstances(e), e.Version), "", "  "))
	}
	return b.String()
}

// column is a set of seeds in a table of a claim.
type column struct {
	name  string
	claim ClaimResult
}

// columns are the sets of seeds that measured a claim, and where there are several, all together.
func (v Evidence) columns(c ClaimResult) (all []column) {
	for _, e := range v.Sets {
		if of, ok := e.claim(c.Name); ok {
			all = append(all, column{name: "seeds " + seedsText(e.Seeds), claim: of})
		}
	}
	if len(all) > 1 {
		all = append(all, column{name: "together", claim: c})
	}
	return all
}

// claim is a claim of the entry.
func (e Entry) claim(name string) (ClaimResult, bool) {
	i := slices.IndexFunc(e.Claims, func(c ClaimResult) bool { return c.Name == name })
	if i < 0 {
		return ClaimResult{}, false
	}
	return e.Claims[i], true
}

// perSeed writes the values of each seed, one text for each set.
func (v Evidence) perSeed(claim, arm, metric string) (sets []string) {
	for _, e := range v.Sets {
		s, err := e.Summary(claim, arm, metric)
		if err != nil {
			continue // measured with another set alone
		}
		values := make([]string, len(s.Values))
		for i, v := range s.Values {
			values[i] = number(v)
		}
		sets = append(sets, strings.Join(values, " "))
	}
	return sets
}

// String is the mean with its standard deviation.
func (s Summary) String() string { return fmt.Sprintf("%s (%s)", number(s.Mean), number(s.SD)) }

// outcome says how the sides of an inequality compare and how sure that is, such as "0.9482 >= 0.9142, 100 %". What does not hold is
// marked on both sides, or in words where the mark is "".
func (q Inequality) outcome(mark string) string {
	sign := ">="
	switch {
	case math.IsNaN(q.Left) || math.IsNaN(q.Right):
		sign = "and"
	case q.Left < q.Right:
		sign = "<"
	case q.Left == q.Right:
		sign = "="
	case q.Strict || q.AtMost:
		sign = ">"
	}
	if q.AtMost && q.Left < q.Right {
		sign = "<="
	}

	left, right := number(q.Left), number(q.Right)
	for digits := 5; left == right && q.Left != q.Right && digits < 17; digits++ {
		left, right = fmt.Sprintf("%.*g", digits, q.Left), fmt.Sprintf("%.*g", digits, q.Right)
	}
	text := fmt.Sprintf("%s %s %s", left, sign, right)
	if !q.Holds && mark != "" {
		text = mark + text + mark
	}
	if q.Share != nil {
		text += ", " + Percent(*q.Share)
	}
	if !q.Holds && mark == "" {
		text += ", does not hold"
	}
	return text
}

// seedsText writes seeds, runs of them as "1 to 5".
func seedsText(seeds []uint64) string {
	var parts []string
	for i := 0; i < len(seeds); {
		j := i
		for j+1 < len(seeds) && seeds[j+1] == seeds[j]+1 {
			j++
		}
		switch {
		case j >= i+2:
			parts = append(parts, fmt.Sprintf("%d to %d", seeds[i], seeds[j]))
		case j == i+1:
			parts = append(parts, fmt.Sprint(seeds[i]), fmt.Sprint(seeds[j]))
		default:
			parts = append(parts, fmt.Sprint(seeds[i]))
		}
		i = j + 1
	}
	return strings.Join(parts, ", ")
}

// bookkeeping are metrics that every run has and no claim is about.
var bookkeeping = map[string]bool{"epoch": true, "grad_norm": true}

// metrics are the names of those that the claim reads, in the order in which it does. What else was measured is in the ledger; of a claim
// that is in no list any more it is shown all.
func (p Paper) metrics(r ClaimResult) (names []string) {
	i := slices.IndexFunc(p.Claims, func(c Claim) bool { return c.Name == r.Name })
	if i >= 0 {
		if names = reads(p.Claims[i], r.measured()); len(names) > 0 {
			return names
		}
	}
	for _, arm := range r.Arms {
		for _, name := range slices.Sorted(maps.Keys(arm.Metrics)) {
			if !slices.Contains(names, name) && !bookkeeping[name] && !strings.HasPrefix(name, CurvePrefix) {
				names = append(names, name)
			}
		}
	}
	return names
}

// reads finds out what a claim reads: it is checked on nothing, and given what it asks for until it asks for no more.
func reads(c Claim, m Measured) (names []string) {
	known := Measured{}
	for {
		_, err := check(c, known)
		missing, ok := err.(NotMeasured) //nolint:errorlint // check wraps nothing
		if !ok {
			return names
		}
		values := m[missing.Arm][missing.Metric]
		if len(values) == 0 {
			return nil
		}
		if known[missing.Arm] == nil {
			known[missing.Arm] = map[string][]float64{}
		}
		known[missing.Arm][missing.Metric] = values
		if !slices.Contains(names, missing.Metric) {
			names = append(names, missing.Metric)
		}
	}
}

// number writes a number with what digits matter.
func number(v float64) string {
	if v == 0 || math.Abs(v) >= 1e-3 {
		return fmt.Sprintf("%.4g", v)
	}
	return fmt.Sprintf("%.2g", v)
}

// wrap breaks text into lines of at most 80 columns: the first begins with one indentation, the others with another. A word that is
// longer than a line stays whole.
func wrap(text, first, rest string) string {
	var b strings.Builder
	line, empty := first, true
	for _, word := range strings.Fields(text) {
		if !empty && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			b.WriteString(line + "\n")
			line, empty = rest, true
		}
		if !empty {
			line += " "
		}
		line += word
		empty = false
	}
	return b.String() + line + "\n"
}
