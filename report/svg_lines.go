package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/ballast-ml/ballast/metric"
)

// Series is one line of a picture. Spread, if not nil, is drawn as a bar of that length up and down.
type Series struct {
	Name   string    `json:"name"`
	X      []float64 `json:"x"`
	Y      []float64 `json:"y"`
	Spread []float64 `json:"spread,omitempty"`
}

// panel is lines over a number, with axes.
type panel struct {
	title, x, y   string // title is over the panel, "" = none
	alt           string
	series        []Series
	horizontal    scale
	vertical      scale
	width, height float64
	unit          string // of the values, for what is said of a point
	whole         bool   // the values of x are whole numbers, each of which is named
}

// mostMarks is the longest line whose points are marked.
const mostMarks = 20

// figure draws the panel; its legend is the caller's.
func (p panel) figure() *Figure {
	const left, right, top, bottom = 46, 10, 22, 36
	d := newDrawing(p.width, p.height)
	x, y := p.horizontal, p.vertical
	x.from, x.to = left, p.width-right
	y.from, y.to = p.height-bottom, top
	if p.title != "" { // a panel among others, over which stands what they are of
		y.to += 8
		d.text("name", "start", 2, 14, p.title)
	} else {
		d.text("soft", "start", 2, y.to-10, p.y)
	}

	for _, tick := range y.ticks(4) {
		d.line("grid", left, y.at(tick), p.width-right, y.at(tick))
		d.text("tick", "end", left-6, y.at(tick)+4, short(tick))
	}
	parts := 5
	if p.whole {
		parts = int(min(10, max(1, x.high-x.low)))
	}
	for _, tick := range x.ticks(parts) {
		d.line("axis", x.at(tick), y.from, x.at(tick), y.from+4)
		d.text("tick", "middle", x.at(tick), y.from+16, short(tick))
	}
	d.line("axis", left, y.from, p.width-right, y.from)
	d.text("soft", "middle", (x.from+x.to)/2, p.height-3, p.x)

	for i, s := range p.series {
		p.draw(d, i, s, x, y)
	}
	return d.figure(p.alt)
}

// draw draws one line.
func (p panel) draw(d *drawing, i int, s Series, x, y scale) {
	var points [][2]float64
	for k := range s.X {
		v := s.Y[k]
		if !s.drawn(k, y.logarithmic) {
			continue
		}
		points = append(points, [2]float64{x.at(s.X[k]), y.at(v)})
		if s.Spread == nil || !(s.Spread[k] > 0) {
			continue
		}
		low, high := v-s.Spread[k], v+s.Spread[k]
		if y.logarithmic && low <= 0 {
			low = v / 2
		}
		d.line(fmt.Sprintf("spread l%d", i%kinds), x.at(s.X[k]), y.at(low), x.at(s.X[k]), y.at(high))
	}
	d.path(fmt.Sprintf("l%d", i%kinds), points)
	if len(s.X) > mostMarks {
		return
	}
	for k := range s.X {
		if v := s.Y[k]; s.drawn(k, y.logarithmic) {
			says := metric.Number{Value: v, Unit: p.unit}.Text()
			d.mark(i, x.at(s.X[k]), y.at(v), strings.TrimSpace(fmt.Sprintf("%s %s %s: %s", s.Name, p.x, short(s.X[k]), says)))
		}
	}
}

// drawn reports whether a point can be drawn: it is finite, and above 0 on a logarithmic scale.
func (s Series) drawn(k int, logarithmic bool) bool {
	finite := func(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
	return finite(s.X[k]) && finite(s.Y[k]) && (!logarithmic || s.Y[k] > 0)
}

// bounds are the least and the largest value of some lines, with their spread.
func bounds(series []Series, logarithmic bool) (x, y [2]float64) {
	x, y = [2]float64{math.Inf(1), math.Inf(-1)}, [2]float64{math.Inf(1), math.Inf(-1)}
	for _, s := range series {
		for k, v := range s.Y {
			if !s.drawn(k, logarithmic) {
				continue
			}
			low, high := v, v
			if s.Spread != nil && s.Spread[k] > 0 {
				high += s.Spread[k]
				if low -= s.Spread[k]; logarithmic && low <= 0 {
					low = v / 2
				}
			}
			x[0], x[1] = min(x[0], s.X[k]), max(x[1], s.X[k])
			y[0], y[1] = min(y[0], low), max(y[1], high)
		}
	}
	return x, y
}

// figure draws a chart; it is an error if its lines do not fit together.
func (c Chart) figure() (*Figure, error) {
	for _, s := range c.Series {
		if len(s.X) != len(s.Y) || s.Spread != nil && len(s.Spread) != len(s.Y) {
			return nil, fmt.Errorf("report: series %s has %d places, %d values and %d spreads", s.Name, len(s.X), len(s.Y), len(s.Spread))
		}
	}
	x, y := bounds(c.Series, c.Logarithmic)
	if y[0] > y[1] {
		return nil, nil // nothing to draw
	}
	p := panel{
		x: c.X, y: c.Y, series: c.Series, horizontal: newScale(x[0], x[1], false), vertical: newScale(y[0], y[1], c.Logarithmic),
		width: 360, height: 250, alt: fmt.Sprintf("%s Lines of %s over %s: %s.", c.Title, c.Y, c.X, c.names()),
	}
	p.whole = wholes(c.Series)
	if p.whole {
		p.horizontal = scale{low: x[0], high: max(x[1], x[0]+1)}
	}
	f := p.figure()
	if len(c.Series) > 1 {
		for i, s := range c.Series {
			f.legend = append(f.legend, lineKey(i, s.Name))
		}
	}
	return f, nil
}

// names are the lines of a chart, as a sentence has them.
func (c Chart) names() string {
	var names []string
	for _, s := range c.Series {
		names = append(names, s.Name)
	}
	return list(names)
}

// wholes reports whether all places are whole numbers.
func wholes(series []Series) bool {
	for _, s := range series {
		for _, x := range s.X {
			if x != math.Trunc(x) {
				return false
			}
		}
	}
	return true
}
