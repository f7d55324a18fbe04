package lab

import (
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/ballast-ml/ballast/internal/console"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/markdown"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/report/figure"
)

// Pair is two variants held against each other over the same seeds, by a paired t-test.
type Pair struct {
	A          string     `json:"a"`
	B          string     `json:"b"`
	Difference float64    `json:"difference"` // mean of B - A
	Interval   [2]float64 `json:"interval"`   // 95 % confidence; both NaN-free only with 2 seeds or more
	P          float64    `json:"p"`          // two-sided; 1 with one seed
	Detectable float64    `json:"detectable"` // smallest difference these seeds would show 8 times of 10 at the 5 % level; 0 with one seed
	Verdict    string     `json:"verdict"`
}

// judge fills in means, deviations and pairs.
func (c *Comparison) judge() {
	for i := range c.Variants {
		v := &c.Variants[i]
		v.Mean = stat.Mean(v.Values, nil)
		if len(v.Values) > 1 {
			v.SD = stat.StdDev(v.Values, nil)
		}
	}
	for _, v := range c.Variants[min(1, len(c.Variants)):] {
		c.Pairs = append(c.Pairs, paired(c.Variants[0], v, c.Metric))
	}
}

// paired is the paired t-test of two variants whose values stand in the order of the same seeds:
//
//	d_i = b_i - a_i      t = mean(d) / (sd(d)/sqrt(n)), n-1 degrees of freedom
//	detectable = (t_0.975 + t_0.8) sd(d)/sqrt(n)
func paired(a, b Variant, metric string) Pair {
	n := min(len(a.Values), len(b.Values))
	d := make([]float64, n)
	for i := range d {
		d[i] = b.Values[i] - a.Values[i]
	}
	p := Pair{A: a.Name, B: b.Name, Difference: stat.Mean(d, nil), P: 1}
	if n < 2 {
		p.Interval = [2]float64{p.Difference, p.Difference}
		p.Verdict = fmt.Sprintf("%s of %s differs from %s by %+.4f in the one seed there is; one seed shows nothing, use three or more", metric, b.Name, a.Name, p.Difference)
		return p
	}
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(n - 1)}
	se := stat.StdDev(d, nil) / math.Sqrt(float64(n))
	half := t.Quantile(0.975) * se
	p.Interval = [2]float64{p.Difference - half, p.Difference + half}
	p.Detectable = (t.Quantile(0.975) + t.Quantile(0.8)) * se
	switch {
	case se > 0:
		p.P = 2 * t.Survival(math.Abs(p.Difference)/se)
	case p.Difference != 0:
		p.P = 0
	}
	switch {
	case se == 0 && p.Difference == 0:
		p.Verdict = fmt.Sprintf("%s and %s are the same on every seed", b.Name, a.Name)
	case p.P < 0.05:
		word := "more"
		if p.Difference < 0 {
			word = "less"
		}
		p.Verdict = fmt.Sprintf("%s has %.4f %s %s than %s (95 %% interval %+.4f to %+.4f, p = %.2g, %d seeds)",
			b.Name, math.Abs(p.Difference), word, metric, a.Name, p.Interval[0], p.Interval[1], p.P, n)
	default:
		p.Verdict = fmt.Sprintf("no difference between %s and %s that %d seeds show (%+.4f, p = %.2g); one below %.4f would likely be missed",
			b.Name, a.Name, n, p.Difference, p.P, p.Detectable)
	}
	return p
}

// Text writes the table and the verdicts.
func (c *Comparison) Text(w io.Writer) error {
	t := console.NewTable(w, 2, 4)
	fmt.Fprintf(t, "%s\tmean\tsd\tn\tvalues\n", printable.Line(c.Metric))
	for _, v := range c.Variants {
		fmt.Fprintf(t, "%s\t%.4f\t%.4f\t%d\t%s\n", printable.Line(v.Name), v.Mean, v.SD, len(v.Values), list(v.Values))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, verdict := range c.verdicts() {
		if _, err := fmt.Fprintf(w, "- %s\n", printable.Line(verdict)); err != nil {
			return err
		}
	}
	return nil
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
		fmt.Fprintf(w, "# Comparison of %s\n\nSeeds %s, engine %s.\n\n| variant | mean | sd | n |\n| --- | --- | --- | --- |\n",
			markdown.Text(c.Metric), markdown.Text(strings.Join(c.Seeds, ", ")), markdown.Text(c.Engine))
		for _, v := range c.Variants {
			fmt.Fprintf(w, "| %s | %.4f | %.4f | %d |\n", markdown.Text(v.Name), v.Mean, v.SD, len(v.Values))
		}
		fmt.Fprintln(w)
		for _, verdict := range c.verdicts() {
			fmt.Fprintf(w, "- %s\n", markdown.Text(verdict))
		}
		_, err := fmt.Fprint(w, "\n![values of each seed and their means](comparison.png)\n")
		return err
	})
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(c.Dir, "comparison.png"), c.plot)
}

// maxWidth is the most centimetres of a picture, whatever there is to compare; it has 15,000 pixels then.
const maxWidth = 400

// plot draws every seed's value as a dot and the mean as a bar with its standard deviation.
func (c *Comparison) plot(w io.Writer) error {
	if len(c.Choices) > 1 {
		p, err := c.choicePlot()
		if err != nil {
			return err
		}
		png, err := p.WriterTo(vg.Length(min(maxWidth, 8+5*len(c.Choices)))*vg.Centimeter, 14*vg.Centimeter, "png")
		if err != nil {
			return fmt.Errorf("lab: %w", err)
		}
		_, err = png.WriteTo(w)
		return err
	}
	p := plot.New()
	p.Title.Text, p.Y.Label.Text = c.Metric+" by variant", c.Metric
	var names []string
	for i, v := range c.Variants {
		names = append(names, v.Name)
		x := float64(i)
		var dots plotter.XYs
		for _, value := range v.Values {
			dots = append(dots, plotter.XY{X: x, Y: value})
		}
		scatter, err := plotter.NewScatter(dots)
		if err != nil {
			return fmt.Errorf("lab: %w", err)
		}
		scatter.Color, scatter.Radius = figure.Colour(0), vg.Points(3)
		mean, err := plotter.NewLine(plotter.XYs{{X: x - 0.25, Y: v.Mean}, {X: x + 0.25, Y: v.Mean}})
		if err != nil {
			return fmt.Errorf("lab: %w", err)
		}
		mean.Color, mean.Width = figure.Colour(1), vg.Points(2)
		spread, err := plotter.NewLine(plotter.XYs{{X: x, Y: v.Mean - v.SD}, {X: x, Y: v.Mean + v.SD}})
		if err != nil {
			return fmt.Errorf("lab: %w", err)
		}
		spread.Color, spread.Width = figure.Colour(1), vg.Points(1)
		p.Add(spread, mean, scatter)
	}
	p.NominalX(names...)
	p.X.Min, p.X.Max = -0.5, float64(len(names))-0.5
	p.X.Tick.Label.Rotation = -0.35
	p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = 0, -1
	png, err := p.WriterTo(vg.Length(min(maxWidth, max(12, 4*len(names))))*vg.Centimeter, 10*vg.Centimeter, "png")
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	_, err = png.WriteTo(w)
	return err
}

func list(values []float64) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = fmt.Sprintf("%.4f", v)
	}
	return strings.Join(parts, " ")
}
