package report

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"

	xdraw "golang.org/x/image/draw"
)

// Strip is images beside each other, [count, height, width, channels], values in [0,1], of 1 channel (grey) or 3 (red, green, blue).
type Strip struct {
	Pixels                  []float32
	Height, Width, Channels int
}

// StripsPNG lays strips of images of one size below each other, such as images, the same with holes, and filled, so that each
// column is one image; every pixel becomes a square of zoom pixels.
func StripsPNG(zoom int, strips ...Strip) ([]byte, error) {
	const gap = 4
	if len(strips) == 0 || zoom < 1 {
		return nil, fmt.Errorf("report: %d strips at zoom %d; want at least 1 of each", len(strips), zoom)
	}
	s := strips[0]
	per := s.Height * s.Width * s.Channels
	if per == 0 || len(s.Pixels)%per != 0 || s.Channels != 1 && s.Channels != 3 {
		return nil, fmt.Errorf("report: %d values are no images of %d x %d with %d channels; want 1 or 3", len(s.Pixels), s.Height, s.Width, s.Channels)
	}
	columns := len(s.Pixels) / per
	out := image.NewRGBA(image.Rect(0, 0, gap+columns*(s.Width*zoom+gap), gap+len(strips)*(s.Height*zoom+gap)))
	xdraw.Draw(out, out.Bounds(), image.NewUniform(color.White), image.Point{}, xdraw.Src)
	for row, strip := range strips {
		if strip.Height != s.Height || strip.Width != s.Width || strip.Channels != s.Channels || len(strip.Pixels) != len(s.Pixels) {
			return nil, fmt.Errorf("report: strip %d is of other images than the first one", row+1)
		}
		for column := range columns {
			one := image.NewRGBA(image.Rect(0, 0, s.Width, s.Height))
			for i := range s.Height * s.Width {
				v := strip.Pixels[column*per+i*s.Channels:]
				c := color.RGBA{level(v[0]), level(v[0]), level(v[0]), 255}
				if s.Channels == 3 {
					c.G, c.B = level(v[1]), level(v[2])
				}
				one.SetRGBA(i%s.Width, i/s.Width, c)
			}
			at := image.Pt(gap+column*(s.Width*zoom+gap), gap+row*(s.Height*zoom+gap))
			xdraw.NearestNeighbor.Scale(out, image.Rectangle{Min: at, Max: at.Add(image.Pt(s.Width*zoom, s.Height*zoom))}, one, one.Bounds(), xdraw.Src, nil)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, out); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return b.Bytes(), nil
}
