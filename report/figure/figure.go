package figure

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/ballast-ml/ballast/report"
)

// Lines draws values against a number, such as the depth of a block or a decay, one line a series; with logarithmic, on a
// logarithmic scale, where values of 0 and below are left out.
func Lines(title, x, y string, logarithmic bool, series ...report.Series) ([]byte, error) {
	p := newPlot(title, x, y)
	p.Legend.Top = true
	if logarithmic {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	for i, s := range series {
		if len(s.X) != len(s.Y) || s.Spread != nil && len(s.Spread) != len(s.Y) {
			return nil, fmt.Errorf("figure: series %s has %d places, %d values and %d spreads", s.Name, len(s.X), len(s.Y), len(s.Spread))
		}
		c := palette[i%len(palette)]
		var points plotter.XYs
		for k := range s.X {
			if logarithmic && s.Y[k] <= 0 {
				continue
			}
			points = append(points, plotter.XY{X: s.X[k], Y: s.Y[k]})
			if s.Spread == nil || s.Spread[k] <= 0 {
				continue
			}
			low, high := s.Y[k]-s.Spread[k], s.Y[k]+s.Spread[k]
			if logarithmic && low <= 0 {
				low = s.Y[k] / 2
			}
			bar, err := plotter.NewLine(plotter.XYs{{X: s.X[k], Y: low}, {X: s.X[k], Y: high}})
			if err != nil {
				return nil, fmt.Errorf("figure: %w", err)
			}
			bar.LineStyle = draw.LineStyle{Color: fade(c, 0.5), Width: vg.Points(3)}
			p.Add(bar)
		}
		if len(points) == 0 {
			continue
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, fmt.Errorf("figure: %w", err)
		}
		line.LineStyle = draw.LineStyle{Color: c, Width: vg.Points(2)}
		dots.GlyphStyle = draw.GlyphStyle{Color: c, Radius: vg.Points(3), Shape: draw.CircleGlyph{}}
		p.Add(line, dots)
		p.Legend.Add(s.Name, line, dots)
	}
	// Room for the legend above the lines.
	if logarithmic {
		p.Y.Max *= math.Pow(p.Y.Max/p.Y.Min, 0.25)
	} else {
		p.Y.Max += 0.25 * (p.Y.Max - p.Y.Min)
	}
	return render(p, 12, 9)
}

// Histogram draws shares between edges, one outline a series; Y[i] is the share from edges[i] up to edges[i+1]. What is drawn is the
// share over the distance of the edges, so that an area is a share.
func Histogram(title, x string, edges []float64, series ...report.Series) ([]byte, error) {
	p := newPlot(title, x, "density")
	p.Legend.Top = true
	p.Y.Min = 0
	for i, s := range series {
		if len(s.Y) != len(edges)-1 {
			return nil, fmt.Errorf("figure: series %s has %d shares for %d edges; want one fewer", s.Name, len(s.Y), len(edges))
		}
		outline := plotter.XYs{{X: edges[0], Y: 0}}
		for k, share := range s.Y {
			density := share / (edges[k+1] - edges[k])
			outline = append(outline, plotter.XY{X: edges[k], Y: density}, plotter.XY{X: edges[k+1], Y: density})
		}
		outline = append(outline, plotter.XY{X: edges[len(edges)-1], Y: 0})
		line, err := plotter.NewLine(outline)
		if err != nil {
			return nil, fmt.Errorf("figure: %w", err)
		}
		line.LineStyle = draw.LineStyle{Color: palette[i%len(palette)], Width: vg.Points(2)}
		p.Add(line)
		p.Legend.Add(s.Name, line)
	}
	return render(p, 12, 9)
}

// Front draws candidates by what they reach on two tasks; those in front, which no other beats on both, are joined.
func Front(title, x, y string, candidates [][2]float64, front []int) ([]byte, error) {
	p := newPlot(title, x, y)
	var all, best plotter.XYs
	for i, c := range candidates {
		if slices.Contains(front, i) {
			best = append(best, plotter.XY{X: c[0], Y: c[1]})
		} else {
			all = append(all, plotter.XY{X: c[0], Y: c[1]})
		}
	}
	slices.SortFunc(best, func(a, b plotter.XY) int { return int(math.Copysign(1, a.X-b.X)) })
	if len(all) > 0 {
		dots, err := plotter.NewScatter(all)
		if err != nil {
			return nil, fmt.Errorf("figure: %w", err)
		}
		dots.GlyphStyle = draw.GlyphStyle{Color: faint, Radius: vg.Points(2.5), Shape: draw.CircleGlyph{}}
		p.Add(dots)
		p.Legend.Add("candidates", dots)
	}
	if len(best) > 0 {
		line, dots, err := plotter.NewLinePoints(best)
		if err != nil {
			return nil, fmt.Errorf("figure: %w", err)
		}
		line.LineStyle = draw.LineStyle{Color: palette[0], Width: vg.Points(1.5)}
		dots.GlyphStyle = draw.GlyphStyle{Color: palette[0], Radius: vg.Points(3.5), Shape: draw.CircleGlyph{}}
		p.Add(line, dots)
		p.Legend.Add("front", line, dots)
	}
	p.Legend.Top, p.Legend.Left = true, true
	return render(p, 11, 10)
}
