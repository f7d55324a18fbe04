// Package figure draws pictures as PNG files with gonum/plot, which carries fonts and writers of PDF and LaTeX: it stands apart, so that
// programs that train, evaluate or report do without. Pages of package report draw their own pictures.
//
//	Lines       values over a number, a line for each series
//	Histogram   shares between edges
//	Front       candidates by two numbers, the best of them joined
package figure

import (
	"bytes"
	"fmt"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// The colours of the pictures: calm, apart for the colour-blind, readable on white.
var (
	ink     = color.RGBA{0x22, 0x2b, 0x33, 0xff}
	faint   = color.RGBA{0x9a, 0xa5, 0xb1, 0xff}
	palette = []color.RGBA{{0x1f, 0x6f, 0xb2, 0xff}, {0xd9, 0x6b, 0x1c, 0xff}, {0x2a, 0x8c, 0x5a, 0xff}, {0x8a, 0x4f, 0xa8, 0xff}, {0xb0, 0x3a, 0x48, 0xff}}
)

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
		return nil, fmt.Errorf("figure: %w", err)
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
