package figure_test

import (
	"bytes"
	"image/png"
	"testing"

	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/report/figure"
)

// TestFigures: every picture can be decoded and has ink; what does not fit together is an error.
func TestFigures(t *testing.T) {
	line := report.Series{Name: "a", X: []float64{1, 2, 3}, Y: []float64{10, 0, 0.1}, Spread: []float64{1, 1, 1}}
	for name, draw := range map[string]func() ([]byte, error){
		"lines":       func() ([]byte, error) { return figure.Lines("t", "x", "y", false, line, line) },
		"logarithmic": func() ([]byte, error) { return figure.Lines("t", "x", "y", true, line) },
		"histogram": func() ([]byte, error) {
			return figure.Histogram("t", "x", []float64{0, 0.1, 1}, report.Series{Name: "a", Y: []float64{0.3, 0.7}})
		},
		"front": func() ([]byte, error) {
			return figure.Front("t", "x", "y", [][2]float64{{0.2, 0.9}, {0.8, 0.4}, {0.1, 0.1}}, []int{0, 1})
		},
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
	for name, draw := range map[string]func() ([]byte, error){
		"lines":     func() ([]byte, error) { return figure.Lines("t", "x", "y", false, report.Series{X: []float64{1}}) },
		"histogram": func() ([]byte, error) { return figure.Histogram("t", "x", []float64{0, 1}, report.Series{}) },
	} {
		if _, err := draw(); err == nil {
			t.Errorf("%s: what does not fit together was drawn", name)
		}
	}
}
