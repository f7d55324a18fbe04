package report

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/ballast-ml/ballast/metric"
)

// profileFigure draws a number of each of several things, such as the share of each class that is right: a line for each thing, on it a mark
// for each report. captions name the reports.
func profileFigure(profiles []Profile, captions []string) *Figure {
	const width, right, top, bottom, each, mostName = 360, 14, 8, 36, 20, 14
	first := profiles[0]
	longest := 0
	low, high := math.Inf(1), math.Inf(-1)
	for i, name := range first.Names {
		longest = max(longest, utf8.RuneCountInString(name))
		for _, p := range profiles {
			if v := p.Values[i]; !math.IsNaN(v) && !math.IsInf(v, 0) {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if low > high {
		return nil
	}
	left := 14 + 6.6*float64(min(longest, mostName))
	height := top + bottom + each*float64(len(first.Names))
	d := newDrawing(width, height)
	x := newScale(low, high, false)
	if first.Unit == metric.Share {
		x.low, x.high = max(0, x.low), min(1, x.high)
	}
	x.from, x.to = left+4, width-right
	for _, tick := range x.ticks(4) {
		d.line("grid", x.at(tick), top, x.at(tick), height-bottom)
		d.text("tick", "middle", x.at(tick), height-bottom+16, short(tick))
	}
	d.text("soft", "middle", (x.from+x.to)/2, height-3, first.Y)

	for i, name := range first.Names {
		y := top + each*(float64(i)+0.5)
		d.text("tick", "end", left-4, y+4, cut(name, mostName))
		d.line("grid", x.from, y, x.to, y)
		for k, p := range profiles {
			if v := p.Values[i]; !math.IsNaN(v) && !math.IsInf(v, 0) {
				says := fmt.Sprintf("%s %s: %s", captions[k], name, metric.Number{Value: v, Unit: p.Unit}.Text())
				// Marks of several reports stand a little below each other, so that none hides another.
				offset := math.Min(4, (each-6)/float64(len(profiles))) * (float64(k) - float64(len(profiles)-1)/2)
				d.mark(k, x.at(v), y+offset, strings.TrimSpace(says))
			}
		}
	}
	var legend []key
	if len(profiles) > 1 {
		for k, caption := range captions {
			legend = append(legend, markKey(k, caption))
		}
	}
	return d.figure(first.describe(captions, profiles), legend...)
}

// describe names, of each report, the thing with the least value.
func (p Profile) describe(captions []string, profiles []Profile) string {
	var parts []string
	for k, own := range profiles {
		least := 0
		for i, v := range own.Values {
			if v < own.Values[least] {
				least = i
			}
		}
		text := fmt.Sprintf("lowest for %s, %s", p.Names[least], metric.Number{Value: own.Values[least], Unit: own.Unit}.Text())
		parts = append(parts, strings.TrimSpace(captions[k]+" "+text))
	}
	return fmt.Sprintf("%s for each %s: %s.", sentence(p.Y), p.X, strings.Join(parts, "; "))
}
