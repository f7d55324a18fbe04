package report_test

import (
	"bytes"
	"image/png"
	"testing"

	"github.com/ballast-ml/ballast/report"
)

// TestFigures: every picture can be decoded and has ink; what does not fit together is an error.
func TestFigures(t *testing.T) {
	line := report.Series{Name: "a", X: []float64{1, 2, 3}, Y: []float64{10, 0, 0.1}, Spread: []float64{1, 1, 1}}
	strip := report.Strip{Pixels: []float32{0, 1, 0.5, 0.25, 1, 0, 0, 1}, Height: 2, Width: 2, Channels: 1}
	for name, draw := range map[string]func() ([]byte, error){
		"lines":       func() ([]byte, error) { return report.LinesPNG("t", "x", "y", false, line, line) },
		"logarithmic": func() ([]byte, error) { return report.LinesPNG("t", "x", "y", true, line) },
		"histogram": func() ([]byte, error) {
			return report.HistogramPNG("t", "x", []float64{0, 0.1, 1}, report.Series{Name: "a", Y: []float64{0.3, 0.7}})
		},
		"front": func() ([]byte, error) {
			return report.FrontPNG("t", "x", "y", [][2]float64{{0.2, 0.9}, {0.8, 0.4}, {0.1, 0.1}}, []int{0, 1})
		},
		"strips": func() ([]byte, error) { return report.StripsPNG(8, strip, strip) },
	} {
		picture, err := draw()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		m, err := png.Decode(bytes.NewReader(picture))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		colours := map[[4]uint32]bool{}
		for y := range m.Bounds().Dy() {
			for x := range m.Bounds().Dx() {
				r, g, b, a := m.At(x, y).RGBA()
				colours[[4]uint32{r, g, b, a}] = true
			}
		}
		if len(colours) < 4 {
			t.Errorf("%s has %d colours", name, len(colours))
		}
	}
	other := strip
	other.Width = 1
	for name, draw := range map[string]func() ([]byte, error){
		"lines":     func() ([]byte, error) { return report.LinesPNG("t", "x", "y", false, report.Series{X: []float64{1}}) },
		"histogram": func() ([]byte, error) { return report.HistogramPNG("t", "x", []float64{0, 1}, report.Series{}) },
		"strips":    func() ([]byte, error) { return report.StripsPNG(1, strip, other) },
	} {
		if _, err := draw(); err == nil {
			t.Errorf("%s: what does not fit together was drawn", name)
		}
	}
}

// TestStripsPNG: a pixel is a square of its value.
func TestStripsPNG(t *testing.T) {
	picture, err := report.StripsPNG(3, report.Strip{Pixels: []float32{1, 0, 0, 0, 0.5, 2}, Height: 1, Width: 2, Channels: 3})
	if err != nil {
		t.Fatal(err)
	}
	m, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[[2]int][3]uint32{{5, 5}: {255, 0, 0}, {7, 6}: {0, 128, 255}, {1, 1}: {255, 255, 255}} {
		r, g, b, _ := m.At(at[0], at[1]).RGBA()
		if got := [3]uint32{r >> 8, g >> 8, b >> 8}; got != want {
			t.Errorf("pixel %v is %v, want %v", at, got, want)
		}
	}
}
