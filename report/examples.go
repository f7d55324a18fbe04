package report

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"

	xdraw "golang.org/x/image/draw"
)

// Example is one example that a model was asked about.
type Example struct {
	Index      int     `json:"index"`      // its place in the data set, or its row in the file of saved outputs
	Label      string  `json:"label"`      // the right answer
	Predicted  string  `json:"predicted"`  // the model's answer
	Confidence float64 `json:"confidence"` // the probability that the model gives its answer

	Picture []byte `json:"-"` // a PNG of it, as Thumbnail makes one; nil = it is no image, or was not kept
}

// mostShown is how many examples a page shows.
const mostShown = 12

// thumbnailSide is the most pixels of a side of a thumbnail: what a page shows at twice its width, for fine screens.
const thumbnailSide = 192

// Thumbnail is an image [height, width, channels] of values in [0,1] as a PNG, made smaller where a side has more than 192 pixels. One channel is
// grey, three are red, green and blue; of any other number, and of no pixels, it is nil.
func Thumbnail(pixels []float32, shape []int) ([]byte, error) {
	if len(shape) != 3 || shape[0] < 1 || shape[1] < 1 || shape[2] != 1 && shape[2] != 3 {
		return nil, nil
	}
	height, width, channels := shape[0], shape[1], shape[2]
	if len(pixels) != height*width*channels {
		return nil, fmt.Errorf("report: %d values are no image %v", len(pixels), shape)
	}
	full := image.NewRGBA(image.Rect(0, 0, width, height))
	for i := range height * width {
		v := pixels[i*channels:]
		c := color.RGBA{level(v[0]), level(v[0]), level(v[0]), 255}
		if channels == 3 {
			c.G, c.B = level(v[1]), level(v[2])
		}
		full.SetRGBA(i%width, i/width, c)
	}

	shown := full
	if side := max(height, width); side > thumbnailSide {
		shown = image.NewRGBA(image.Rect(0, 0, max(1, width*thumbnailSide/side), max(1, height*thumbnailSide/side)))
		xdraw.ApproxBiLinear.Scale(shown, shown.Bounds(), full, full.Bounds(), xdraw.Src, nil)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, shown); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return b.Bytes(), nil
}

// level is a value as a byte, rounded.
func level(v float32) uint8 { return uint8(math.Round(255 * math.Max(0, math.Min(1, float64(v))))) }
