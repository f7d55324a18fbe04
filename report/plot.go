package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/ballast-ml/ballast/metric"
)

// The colours of the pictures: calm, apart for the colour-blind, readable on white.
var (
	ink     = color.RGBA{0x22, 0x2b, 0x33, 0xff}
	faint   = color.RGBA{0x9a, 0xa5, 0xb1, 0xff}
	palette = []color.RGBA{{0x1f, 0x6f, 0xb2, 0xff}, {0xd9, 0x6b, 0x1c, 0xff}, {0x2a, 0x8c, 0x5a, 0xff}, {0x8a, 0x4f, 0xa8, 0xff}, {0xb0, 0x3a, 0x48, 0xff}}
)

// ReliabilityPNG draws accuracy against confidence, one bar a bin; on the dashed diagonal the confidences are right. How many
// examples a bin holds shows as the bar's strength of colour, the gap to the mean confidence as a line.
func ReliabilityPNG(title string, curve []metric.Bin) ([]byte, error) {
	p := newPlot(title, "confidence", "accuracy")
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
	most := 0
	for _, b := range curve {
		most = max(most, b.Count)
	}
	for _, b := range curve {
		if b.Count == 0 {
			continue
		}
		bar, err := plotter.NewPolygon(plotter.XYs{{X: b.Low, Y: 0}, {X: b.High, Y: 0}, {X: b.High, Y: b.Accuracy}, {X: b.Low, Y: b.Accuracy}})
		if err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		strength := 0.25 + 0.75*math.Log1p(float64(b.Count))/math.Log1p(float64(most))
		bar.Color = fade(palette[0], strength)
		bar.LineStyle = draw.LineStyle{Color: color.White, Width: vg.Points(1)}
		gap, err := plotter.NewLine(plotter.XYs{{X: (b.Low + b.High) / 2, Y: b.Accuracy}, {X: (b.Low + b.High) / 2, Y: b.Confidence}})
		if err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		gap.LineStyle = draw.LineStyle{Color: palette[1], Width: vg.Points(2)}
		p.Add(bar, gap)
	}
	diagonal, err := plotter.NewLine(plotter.XYs{{X: 0, Y: 0}, {X: 1, Y: 1}})
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	diagonal.LineStyle = draw.LineStyle{Color: ink, Width: vg.Points(1), Dashes: []vg.Length{vg.Points(4), vg.Points(3)}}
	p.Add(diagonal)
	return render(p, 9.5, 9)
}

// SeverityPNG draws accuracy against severity, one line a shift; severity 0 is the data as it is, if clean is not NaN.
func SeverityPNG(title string, s Shift, clean float64) ([]byte, error) {
	p := newPlot(title, "severity", "accuracy")
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 5, 0, 1
	p.X.Tick.Marker = plot.TickerFunc(func(low, high float64) []plot.Tick {
		var ticks []plot.Tick
		for v := math.Ceil(low); v <= high; v++ {
			ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprint(int(v))})
		}
		return ticks
	})
	p.Legend.Top, p.Legend.Left = false, true
	for i, row := range s.Rows {
		var points plotter.XYs
		if !math.IsNaN(clean) {
			points = append(points, plotter.XY{X: 0, Y: clean})
		}
		for k, severity := range row.Severities {
			points = append(points, plotter.XY{X: float64(severity), Y: row.Accuracy[k]})
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		c := palette[i%len(palette)]
		line.LineStyle = draw.LineStyle{Color: c, Width: vg.Points(2)}
		dots.GlyphStyle = draw.GlyphStyle{Color: c, Radius: vg.Points(3), Shape: draw.CircleGlyph{}}
		p.Add(line, dots)
		p.Legend.Add(row.Name, line, dots)
	}
	return render(p, 12, 9)
}

// ConfusionPNG draws the confusion matrix: rows are labels, columns predictions, colour the share of the row, on a root scale
// so that few mistakes show. Counts are written in where they fit.
func ConfusionPNG(title string, confusion [][]int, labels []string) ([]byte, error) {
	n := len(confusion)
	p := newPlot(title, "predicted", "label")
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, float64(n), 0, float64(n)
	for i, row := range confusion {
		total := 0
		for _, count := range row {
			total += count
		}
		for j, count := range row {
			if count == 0 {
				continue
			}
			x, y := float64(j), float64(n-1-i)
			cell, err := plotter.NewPolygon(plotter.XYs{{X: x, Y: y}, {X: x + 1, Y: y}, {X: x + 1, Y: y + 1}, {X: x, Y: y + 1}})
			if err != nil {
				return nil, fmt.Errorf("report: %w", err)
			}
			base := palette[1]
			if i == j {
				base = palette[0]
			}
			cell.Color = fade(base, 0.08+0.92*math.Sqrt(float64(count)/float64(total)))
			cell.LineStyle.Width = 0
			p.Add(cell)
			if n <= 20 {
				text, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{{X: x + 0.5, Y: y + 0.5}}, Labels: []string{fmt.Sprint(count)}})
				if err != nil {
					return nil, fmt.Errorf("report: %w", err)
				}
				text.TextStyle[0].XAlign, text.TextStyle[0].YAlign = draw.XCenter, draw.YCenter
				text.TextStyle[0].Font.Size = vg.Points(8)
				text.TextStyle[0].Color = ink
				if i == j {
					text.TextStyle[0].Color = color.White
				}
				p.Add(text)
			}
		}
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = names(labels, false), names(labels, true)
	return render(p, 11, 10.5)
}

// names puts class names between the ticks, thinned out where there are many.
func names(labels []string, reversed bool) plot.Ticker {
	step := (len(labels) + 19) / 20
	var ticks plot.ConstantTicks
	for i, label := range labels {
		if i%max(step, 1) != 0 {
			continue
		}
		at := float64(i) + 0.5
		if reversed {
			at = float64(len(labels)) - at
		}
		if len(label) > 12 {
			label = label[:11] + "."
		}
		ticks = append(ticks, plot.Tick{Value: at, Label: label})
	}
	return ticks
}

func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.TextStyle.Color, p.Title.Padding = ink, vg.Points(6)
	p.Title.TextStyle.Font.Size = vg.Points(12)
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Color, axis.Tick.Color, axis.Label.TextStyle.Color, axis.Tick.Label.Color = faint, faint, ink, ink
		axis.Label.TextStyle.Font.Size, axis.Tick.Label.Font.Size = vg.Points(10), vg.Points(9)
	}
	p.Legend.TextStyle.Font.Size, p.Legend.TextStyle.Color = vg.Points(9), ink
	p.Legend.Padding = vg.Points(2)
	return p
}

// render draws a picture of the given size in centimetres at twice the resolution of a screen.
func render(p *plot.Plot, width, height vg.Length) ([]byte, error) {
	c := vgimg.NewWith(vgimg.UseWH(width*vg.Centimeter, height*vg.Centimeter), vgimg.UseDPI(192))
	// A margin, so that the dots and the legend at the right edge are whole.
	p.Draw(draw.Crop(draw.New(c), vg.Points(4), -vg.Points(12), vg.Points(4), -vg.Points(4)))
	var b bytes.Buffer
	if _, err := (vgimg.PngCanvas{Canvas: c}).WriteTo(&b); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return b.Bytes(), nil
}

// fade mixes a colour with white.
func fade(c color.RGBA, strength float64) color.Color {
	mix := func(v uint8) uint8 { return uint8(255 - strength*(255-float64(v))) }
	return color.RGBA{mix(c.R), mix(c.G), mix(c.B), 255}
}

// Colour is the i-th colour of Ballast's pictures.
func Colour(i int) color.Color { return palette[i%len(palette)] }
