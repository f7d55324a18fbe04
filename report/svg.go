package report

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Figure is a picture of a page: a drawing whose text has the page's font and whose colours follow the reader's choice of light or dark, or
// a PNG.
type Figure struct {
	svg    template.HTML
	legend []key
	png    []byte
	alt    string // what the picture shows, for those who cannot see it
}

// PNGFigure is a PNG as a picture of a page; alt says what it shows.
func PNGFigure(png []byte, alt string) *Figure { return &Figure{png: png, alt: alt} }

// key is an entry of a legend: how a line or an area looks, and what it stands for.
type key struct {
	Mark template.HTML
	Name string
}

// drawing is an SVG that grows. Classes name what the page's style gives a colour.
type drawing struct {
	b             strings.Builder
	width, height float64
}

// newDrawing begins a drawing; its units are pixels where it is shown in full size.
func newDrawing(width, height float64) *drawing { return &drawing{width: width, height: height} }

// figure ends the drawing.
func (d *drawing) figure(alt string, legend ...key) *Figure {
	text := fmt.Sprintf(`<svg viewBox="0 0 %s %s" role="img" aria-label="%s">%s</svg>`,
		coordinate(d.width), coordinate(d.height), escaped(alt), d.b.String())
	return &Figure{svg: template.HTML(text), legend: legend, alt: alt} //nolint:gosec // every text in it was escaped
}

// line draws a straight line.
func (d *drawing) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(&d.b, `<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s"/>`, class, coordinate(x1), coordinate(y1), coordinate(x2), coordinate(y2))
}

// rect draws a rectangle that says what it is when it is pointed at; opacity is from 0 to 1.
func (d *drawing) rect(class string, x, y, width, height, opacity float64, says string) {
	fmt.Fprintf(&d.b, `<rect class="%s" x="%s" y="%s" width="%s" height="%s" fill-opacity="%.2f"><title>%s</title></rect>`,
		class, coordinate(x), coordinate(y), coordinate(width), coordinate(height), opacity, escaped(says))
}

// path joins points.
func (d *drawing) path(class string, points [][2]float64) {
	var b strings.Builder
	for i, p := range points {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(coordinate(p[0]) + "," + coordinate(p[1]))
	}
	fmt.Fprintf(&d.b, `<polyline class="%s" points="%s"/>`, class, b.String())
}

// text writes a text; anchor is start, middle or end.
func (d *drawing) text(class, anchor string, x, y float64, text string) {
	fmt.Fprintf(&d.b, `<text class="%s" text-anchor="%s" x="%s" y="%s">%s</text>`, class, anchor, coordinate(x), coordinate(y), escaped(text))
}

// slanted writes a text that ends at a point below an axis, and names it in full when it is pointed at.
func (d *drawing) slanted(class string, x, y float64, text, full string) {
	fmt.Fprintf(&d.b, `<text class="%s" text-anchor="end" transform="translate(%s %s) rotate(-40)">%s<title>%s</title></text>`,
		class, coordinate(x), coordinate(y), escaped(text), escaped(full))
}

// mark draws the i-th kind of point, which differs from the others in its shape too.
func (d *drawing) mark(i int, x, y float64, says string) {
	const r = 3.4
	p := func(dx, dy float64) string { return coordinate(x+dx*r) + "," + coordinate(y+dy*r) }
	shape := ""
	switch i % kinds {
	case 0:
		shape = fmt.Sprintf(`<circle class="p%d" cx="%s" cy="%s" r="%s">`, i%kinds, coordinate(x), coordinate(y), coordinate(r))
	case 1:
		shape = fmt.Sprintf(`<polygon class="p%d" points="%s %s %s %s">`, i%kinds, p(-0.9, -0.9), p(0.9, -0.9), p(0.9, 0.9), p(-0.9, 0.9))
	case 2:
		shape = fmt.Sprintf(`<polygon class="p%d" points="%s %s %s">`, i%kinds, p(0, -1.2), p(1.1, 0.9), p(-1.1, 0.9))
	case 3:
		shape = fmt.Sprintf(`<polygon class="p%d" points="%s %s %s %s">`, i%kinds, p(0, -1.3), p(1.3, 0), p(0, 1.3), p(-1.3, 0))
	case 4:
		shape = fmt.Sprintf(`<polygon class="p%d" points="%s %s %s">`, i%kinds, p(0, 1.2), p(1.1, -0.9), p(-1.1, -0.9))
	default:
		shape = fmt.Sprintf(`<circle class="p%d" cx="%s" cy="%s" r="%s">`, i%kinds, coordinate(x), coordinate(y), coordinate(r*0.85))
	}
	name := shape[1:strings.IndexByte(shape, ' ')]
	fmt.Fprintf(&d.b, `%s<title>%s</title></%s>`, shape, escaped(says), name)
}

// kinds is the number of lines that can be told apart; the next one looks like the first again.
const kinds = 6

// lineKey is the entry of the i-th line in a legend.
func lineKey(i int, name string) key {
	d := newDrawing(34, 12)
	d.path(fmt.Sprintf("l%d", i%kinds), [][2]float64{{1, 6}, {33, 6}})
	d.mark(i, 17, 6, name)
	return key{Mark: swatch(d), Name: name}
}

// markKey is the entry of the i-th kind of point.
func markKey(i int, name string) key {
	d := newDrawing(34, 12)
	d.mark(i, 17, 6, name)
	return key{Mark: swatch(d), Name: name}
}

// classKey is the entry of a line or an area of a class.
func classKey(area bool, class, name string) key {
	d := newDrawing(34, 12)
	if area {
		d.rect(class, 8, 1, 18, 10, 0.8, name)
	} else {
		d.path(class, [][2]float64{{1, 6}, {33, 6}})
	}
	return key{Mark: swatch(d), Name: name}
}

// swatch is a drawing without a name: the text beside it has it.
func swatch(d *drawing) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg class="key" viewBox="0 0 %s %s" aria-hidden="true">%s</svg>`, //nolint:gosec // every text in it was escaped
		coordinate(d.width), coordinate(d.height), d.b.String()))
}

// coordinate is a number as a drawing has it: one digit behind the point will do.
func coordinate(v float64) string { return strconv.FormatFloat(math.Round(10*v)/10, 'f', -1, 64) }

// scale turns values of an axis into places.
type scale struct {
	low, high   float64 // values at the ends; logarithms where logarithmic
	from, to    float64 // places of the ends
	logarithmic bool
}

// at is the place of a value.
func (s scale) at(v float64) float64 {
	if s.logarithmic {
		v = math.Log10(v)
	}
	return s.from + (v-s.low)/(s.high-s.low)*(s.to-s.from)
}

// newScale covers values, wider where it helps: to steps that are easy to read, and to more than one value.
func newScale(low, high float64, logarithmic bool) scale {
	if !(low <= high) || math.IsInf(low, 0) || math.IsInf(high, 0) { // nothing, or nothing that can be drawn
		low, high = 0, 1
	}
	if logarithmic {
		low, high = math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
		if low == high {
			high++
		}
		return scale{low: low, high: high, logarithmic: true}
	}
	if low == high {
		spread := math.Max(math.Abs(low)/10, 0.05)
		low, high = low-spread, high+spread
	}
	step := stepOf(low, high, 5)
	return scale{low: step * math.Floor(low/step+1e-9), high: step * math.Ceil(high/step-1e-9)}
}

// stepOf is a step of 1, 2 or 5 times a power of ten that divides a range into about so many parts.
func stepOf(low, high float64, parts int) float64 {
	rough := (high - low) / float64(parts)
	power := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, m := range []float64{1, 2, 5} {
		if rough <= m*power*1.0001 {
			return m * power
		}
	}
	return 10 * power
}

// ticks are the values to name along the axis, at most about so many.
func (s scale) ticks(parts int) []float64 {
	var all []float64
	if s.logarithmic {
		every := math.Max(1, math.Ceil((s.high-s.low)/float64(parts)))
		for e := s.low; e <= s.high+1e-9; e += every {
			all = append(all, math.Pow(10, e))
		}
		return all
	}
	step := stepOf(s.low, s.high, parts)
	for k := math.Ceil(s.low/step - 1e-9); k*step <= s.high+step*1e-6; k++ {
		all = append(all, k*step)
	}
	return all
}

// short is a number as an axis names it.
func short(v float64) string {
	if math.Abs(v) < 1e-12 {
		return "0"
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// cut makes a name fit, with an ellipsis.
func cut(name string, most int) string {
	if utf8.RuneCountInString(name) <= most {
		return name
	}
	return string([]rune(name)[:most-1]) + "…"
}
