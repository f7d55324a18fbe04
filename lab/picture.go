package lab

import (
	"fmt"
	"image/color"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/report/figure"
)

// The sizes of a picture, in centimetres and letters. Names stand to the left of their rows, so that long ones are not cut: they are
// broken into lines, and the picture is as wide and as high as names and rows need.
const (
	rangeWidth = 13.0 // of the part that shows values
	lineHeight = 0.5
	nameLength = 44
	maxHeight  = 390.0 // 15,000 pixels; of more rows, the first are drawn
)

// mark is a variant's values in a row of the picture.
type mark struct {
	row    float64 // counted from the top
	v      Variant
	colour int
	legend string // what it is called, "" = by its row
}

// plot draws each seed's value as a dot, and the mean as a larger mark with its standard deviation: a row for each variant, or where
// there are choices in several places, a row for each place and a colour and shape for each value of the setting.
func (c *Comparison) plot(w io.Writer) error {
	title := c.Metric + " by variant"
	var names []string
	var marks []mark
	rowHeight := lineHeight
	if len(c.Choices) > 1 {
		title = c.Metric + " by " + c.Choices[0].Setting
		names, marks = c.choiceMarks()
		rowHeight *= float64(max(1, len(c.Choices[0].Ranking)))
	} else {
		for i, v := range c.Variants {
			names, marks = append(names, v.Name), append(marks, mark{row: float64(i), v: v})
		}
	}
	return drawRows(w, title, c.Metric, names, marks, rowHeight)
}

// choiceMarks are the marks of the choices: the values of the setting beside each other in each place.
func (c *Comparison) choiceMarks() (places []string, marks []mark) {
	var values []string
	for _, r := range c.Choices[0].Ranking {
		values = append(values, r.Value)
	}
	for row, choice := range c.Choices {
		places = append(places, choice.Where)
		for _, r := range choice.Ranking {
			i := slices.Index(values, r.Value)
			if i < 0 {
				i = len(values)
				values = append(values, r.Value)
			}
			offset := 0.7 * ((float64(i)+0.5)/float64(len(choice.Ranking)) - 0.5)
			marks = append(marks, mark{row: float64(row) + offset, v: r.variant, colour: i, legend: r.Value})
		}
	}
	return places, marks
}

// faint is the colour of the grid and of each seed's value.
var faint = color.Gray{Y: 0xa0}

var shapes = []draw.GlyphDrawer{
	draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.PyramidGlyph{}, draw.CrossGlyph{}, draw.PlusGlyph{}, draw.RingGlyph{}, draw.BoxGlyph{},
}

// drawRows draws marks in rows of at least the height given, with a legend beside where marks are told apart by it.
func drawRows(w io.Writer, title, metric string, names []string, marks []mark, rowHeight float64) error {
	labels := make([]string, len(names))
	for i, name := range names {
		labels[i] = strings.Join(cut(printable.Line(name), nameLength), "\n")
		rowHeight = max(rowHeight, lineHeight*float64(strings.Count(labels[i], "\n")+1)+0.2)
	}
	rows := min(len(labels), max(1, int(maxHeight/rowHeight)))
	if rows < len(labels) {
		title = fmt.Sprintf("%s, the first %d of %d", title, rows, len(labels))
		labels = labels[:rows]
	}

	p := plot.New()
	p.Title.Text, p.X.Label.Text = strings.Join(cut(printable.Line(title), nameLength), "\n"), printable.Line(metric)
	p.Title.Padding = vg.Points(6)
	slices.Reverse(labels) // the first row is the topmost
	p.NominalY(labels...)
	p.Y.Min, p.Y.Max = -0.5, float64(rows)-0.5
	grid := plotter.NewGrid()
	grid.Horizontal.Width, grid.Vertical.Color = 0, faint
	p.Add(grid)

	legend := plot.NewLegend()
	legend.Left, legend.Top = true, true
	legend.Padding = vg.Points(4)
	told := map[string]bool{}
	for _, m := range marks {
		if m.row > float64(rows)-0.5 {
			continue
		}
		mean, err := m.add(p, float64(rows)-1-m.row)
		if err != nil {
			return fmt.Errorf("lab: %w", err)
		}
		if m.legend != "" && !told[m.legend] {
			told[m.legend] = true
			legend.Add(strings.Join(cut(printable.Line(m.legend), nameLength), "\n"), mean)
		}
	}
	return render(w, p, legend, len(told) > 0, labels, float64(rows)*rowHeight)
}

// add draws a variant at a height: the seeds as dots, the mean as a larger mark, its standard deviation as a line.
func (m mark) add(p *plot.Plot, y float64) (*plotter.Scatter, error) {
	var seeds plotter.XYs
	for _, value := range m.v.Values {
		seeds = append(seeds, plotter.XY{X: value, Y: y})
	}
	dots, err := plotter.NewScatter(seeds)
	if err != nil {
		return nil, err
	}
	spread, err := plotter.NewLine(plotter.XYs{{X: m.v.Mean - m.v.SD, Y: y}, {X: m.v.Mean + m.v.SD, Y: y}})
	if err != nil {
		return nil, err
	}
	mean, err := plotter.NewScatter(plotter.XYs{{X: m.v.Mean, Y: y}})
	if err != nil {
		return nil, err
	}
	colour := figure.Colour(m.colour)
	dots.Color, dots.Radius, dots.Shape = faint, vg.Points(2), draw.CircleGlyph{}
	spread.Color, spread.Width = colour, vg.Points(1.5)
	mean.Color, mean.Radius, mean.Shape = colour, vg.Points(4), shapes[m.colour%len(shapes)]
	p.Add(spread, dots, mean)
	return mean, nil
}

// render writes a picture that is as large as what stands around the values needs.
func render(w io.Writer, p *plot.Plot, legend plot.Legend, beside bool, labels []string, height float64) error {
	widest := vg.Length(0)
	for _, label := range labels {
		widest = max(widest, p.Y.Tick.Label.Width(label))
	}
	left := max(widest+rangeWidth*vg.Centimeter, p.Title.TextStyle.Width(p.Title.Text)+2*vg.Centimeter, p.X.Label.TextStyle.Width(p.X.Label.Text)+widest+2*vg.Centimeter)
	tall := vg.Length(height+1.6)*vg.Centimeter + p.Title.TextStyle.Height(p.Title.Text)

	right := vg.Length(0)
	if beside {
		measure := draw.New(vgimg.New(1, 1))
		size := legend.Rectangle(measure).Size()
		right, tall = size.X+vg.Centimeter, max(tall, size.Y+2*vg.Centimeter)
	}

	image := vgimg.New(left+right, tall)
	canvas := draw.New(image)
	p.Draw(draw.Crop(canvas, vg.Points(4), -right-vg.Points(8), vg.Points(4), -vg.Points(4)))
	if beside {
		legend.Draw(draw.Crop(canvas, left, 0, 0, -vg.Centimeter))
	}
	_, err := vgimg.PngCanvas{Canvas: image}.WriteTo(w)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	return nil
}

// cut breaks text into lines of at most so many letters, between words where it can.
func cut(text string, letters int) (lines []string) {
	for _, line := range broken(text, letters) {
		for utf8.RuneCountInString(line) > letters {
			runes := []rune(line)
			lines, line = append(lines, string(runes[:letters])), string(runes[letters:])
		}
		lines = append(lines, line)
	}
	return lines
}

// broken breaks text between words into lines of at most so many letters; a longer word stays whole.
func broken(text string, letters int) (lines []string) {
	for _, word := range strings.Fields(text) {
		if n := len(lines); n > 0 && utf8.RuneCountInString(lines[n-1])+1+utf8.RuneCountInString(word) <= letters {
			lines[n-1] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}
