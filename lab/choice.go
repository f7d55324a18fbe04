package lab

import (
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/ballast-ml/ballast/report/figure"
	"github.com/ballast-ml/ballast/train"
)

// Choice answers which value of the first setting swept to use, where the others have given values.
type Choice struct {
	Setting string `json:"setting"` // what is chosen
	Where   string `json:"where"`   // the other settings; "" if there are none
	Ranking []Rank `json:"ranking"` // best first
	Verdict string `json:"verdict"`
}

// Rank is one value's place.
type Rank struct {
	Value string  `json:"value"`
	Mean  float64 `json:"mean"`
	SD    float64 `json:"sd"`
	P     float64 `json:"p"`    // of the difference from the best, paired over seeds; 1 for the best itself
	Tied  bool    `json:"tied"` // no difference from the best that the seeds show
}

// choose ranks the values of the first setting of the sweep. It needs at least three variants of it to be worth a word.
func (c *Comparison) choose() {
	if len(c.Variants) < 3 || len(c.Variants[0].Overrides) == 0 {
		return
	}
	var places []string
	groups := map[string][]Variant{}
	for _, v := range c.Variants {
		parts := strings.Split(v.Name, " ")
		where := strings.Join(parts[1:], " ")
		if _, ok := groups[where]; !ok {
			places = append(places, where)
		}
		groups[where] = append(groups[where], v)
	}
	for _, where := range places {
		variants := groups[where]
		if len(variants) < 2 {
			return
		}
		slices.SortStableFunc(variants, func(a, b Variant) int {
			switch {
			case c.better(a.Mean, b.Mean):
				return -1
			case c.better(b.Mean, a.Mean):
				return 1
			}
			return 0
		})
		choice := Choice{Where: where}
		for i, v := range variants {
			key, value, _ := strings.Cut(strings.Split(v.Name, " ")[0], "=")
			choice.Setting = key
			r := Rank{Value: value, Mean: v.Mean, SD: v.SD, P: 1, Tied: true}
			if i > 0 {
				r.P = paired(variants[0], v, c.Metric).P
				r.Tied = r.P >= 0.05
			}
			choice.Ranking = append(choice.Ranking, r)
		}
		choice.Verdict = choice.words(c.Metric, len(c.Seeds))
		c.Choices = append(c.Choices, choice)
	}
}

// better reports whether the value a of the metric is better than b; of a metric that is not known, more is.
func (c *Comparison) better(a, b float64) bool {
	n, ok := train.Describe(c.Metric)
	if !ok {
		return a > b
	}
	return n.Better.Than(a, b)
}

// words says which value to use.
func (c Choice) words(metric string, seeds int) string {
	best := c.Ranking[0]
	text := fmt.Sprintf("use %s=%s (%s %.4f)", c.Setting, best.Value, metric, best.Mean)
	if c.Where != "" {
		text = fmt.Sprintf("with %s %s", c.Where, text)
	}
	if seeds < 2 {
		return text + "; one seed shows nothing of the noise, use three or more"
	}
	var tied, behind []string
	for _, r := range c.Ranking[1:] {
		entry := fmt.Sprintf("%s %.4f", r.Value, r.Mean)
		if r.Tied {
			tied = append(tied, entry)
		} else {
			behind = append(behind, entry)
		}
	}
	if len(tied) > 0 {
		text += fmt.Sprintf("; %d seeds show no difference to %s", seeds, strings.Join(tied, ", "))
	}
	if len(behind) > 0 {
		text += "; behind it are " + strings.Join(behind, ", ")
	}
	return text
}

// choicePlot draws the mean of each value of the first setting over the other settings, with its standard deviation.
func (c *Comparison) choicePlot() (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text, p.Y.Label.Text = c.Metric+" by "+c.Choices[0].Setting, c.Metric
	p.Legend.Top, p.Legend.Left = false, false
	var values []string
	for _, r := range c.Choices[0].Ranking {
		values = append(values, r.Value)
	}
	var names []string
	for _, choice := range c.Choices {
		names = append(names, choice.Where)
	}
	shapes := []draw.GlyphDrawer{draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.PyramidGlyph{}, draw.CrossGlyph{}, draw.PlusGlyph{}, draw.RingGlyph{}, draw.BoxGlyph{}}
	for i, value := range values {
		var points plotter.XYs
		offset := 0.5 * (float64(i)/float64(max(1, len(values)-1)) - 0.5)
		for x, choice := range c.Choices {
			k := slices.IndexFunc(choice.Ranking, func(r Rank) bool { return r.Value == value })
			if k < 0 {
				continue
			}
			r := choice.Ranking[k]
			points = append(points, plotter.XY{X: float64(x) + offset, Y: r.Mean})
			spread, err := plotter.NewLine(plotter.XYs{{X: float64(x) + offset, Y: r.Mean - r.SD}, {X: float64(x) + offset, Y: r.Mean + r.SD}})
			if err != nil {
				return nil, fmt.Errorf("lab: %w", err)
			}
			spread.Color = figure.Colour(i)
			p.Add(spread)
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, fmt.Errorf("lab: %w", err)
		}
		line.Color, dots.Color, dots.Shape, dots.Radius = figure.Colour(i), figure.Colour(i), shapes[i%len(shapes)], vg.Points(3.5)
		line.Dashes = []vg.Length{vg.Points(1), vg.Points(3)}
		p.Add(line, dots)
		p.Legend.Add(value, dots)
	}
	p.NominalX(names...)
	p.X.Min, p.X.Max = -0.5, float64(len(names))-0.1
	return p, nil
}
