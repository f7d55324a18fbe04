package figure_test

import (
	"bytes"
	"fmt"
	"image/png"
	"log"

	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/report/figure"
)

// A curve of two runs, as a picture of 12 by 9 centimetres at twice the resolution of a screen.
func ExampleLines() {
	epochs := []float64{1, 2, 3}
	file, err := figure.Lines("digits", "epoch", "accuracy", false,
		report.Series{Name: "batch", X: epochs, Y: []float64{0.80, 0.88, 0.90}},
		report.Series{Name: "ghost", X: epochs, Y: []float64{0.82, 0.91, 0.93}, Spread: []float64{0.02, 0.01, 0.01}})
	if err != nil {
		log.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(picture.Bounds().Max)
	// Output:
	// (907,680)
}
