package report_test

import (
	"bytes"
	"image/png"
	"testing"

	"github.com/ballast-ml/ballast/report"
)

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

// TestStripsRefuses: images of several sizes do not go below each other.
func TestStripsRefuses(t *testing.T) {
	strip := report.Strip{Pixels: []float32{0, 1, 0.5, 0.25, 1, 0, 0, 1}, Height: 2, Width: 2, Channels: 1}
	if _, err := report.StripsPNG(8, strip, strip); err != nil {
		t.Error(err)
	}
	other := strip
	other.Width = 1
	if _, err := report.StripsPNG(1, strip, other); err == nil {
		t.Error("what does not fit together was drawn")
	}
}
