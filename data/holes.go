package data

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/ballast-ml/ballast/internal/strict"
)

// Holes says what holes in images look like. "rectangle" is one rectangle with sides from Least to Most pixels; "irregular" is Strokes strokes, each a walk
// of a round brush whose width is from Least/4 to Most/4 and at least 1, as a person scratches something out.
type Holes struct {
	Kind    string `json:"kind"`    // irregular or rectangle
	Least   int    `json:"least"`   // pixels; 8
	Most    int    `json:"most"`    // pixels; 16
	Strokes int    `json:"strokes"` // of an irregular hole, at most 1000; 4
}

// NewHoles returns irregular holes for images of 32 pixels and more.
func NewHoles() Holes { return Holes{Kind: "irregular", Least: 8, Most: 16, Strokes: 4} }

// maxStrokes is more than cover any image.
const maxStrokes = 1000

// Validate says what is wrong with the options for images of a side.
func (h Holes) Validate(side int) error {
	switch {
	case h.Kind != "irregular" && h.Kind != "rectangle":
		return fmt.Errorf("holes.kind is %q; use irregular or rectangle", strict.Short(h.Kind))
	case h.Least < 1 || h.Most < h.Least:
		return fmt.Errorf("holes are from %d to %d pixels; use at least 1, and least up to most", h.Least, h.Most)
	case h.Most >= side:
		return fmt.Errorf("holes of up to %d pixels leave nothing of patches of %d; use smaller holes", h.Most, side)
	case h.Kind == "irregular" && (h.Strokes < 1 || h.Strokes > maxStrokes):
		return fmt.Errorf("holes.strokes is %d; use 1 to %d", h.Strokes, maxStrokes)
	}
	return nil
}

// Draw makes n masks [n, side, side, 1], 1 in the hole. Every hole has a pixel, and leaves one.
func (h Holes) Draw(n, side int, r *rand.Rand) []float32 {
	masks := make([]float32, n*side*side)
	for i := range n {
		mask := masks[i*side*side : (i+1)*side*side]
		if h.Kind == "rectangle" {
			h.rectangle(mask, side, r)
		} else {
			for range h.Strokes {
				h.stroke(mask, side, r)
			}
		}

		mask[r.IntN(len(mask))] = 0
		if at := r.IntN(len(mask)); !slices.Contains(mask, 1) {
			mask[at] = 1
		}
	}
	return masks
}

func (h Holes) rectangle(mask []float32, side int, r *rand.Rand) {
	height, width := h.Least+r.IntN(h.Most-h.Least+1), h.Least+r.IntN(h.Most-h.Least+1)
	top, left := r.IntN(side-height+1), r.IntN(side-width+1)
	for y := top; y < top+height; y++ {
		for x := left; x < left+width; x++ {
			mask[y*side+x] = 1
		}
	}
}

func (h Holes) stroke(mask []float32, side int, r *rand.Rand) {
	x, y, angle := r.Float64()*float64(side), r.Float64()*float64(side), 2*math.Pi*r.Float64()
	radius := math.Max(0.5, (float64(h.Least)+r.Float64()*float64(h.Most-h.Least))/8)
	length := h.Least + r.IntN(h.Most-h.Least+1)
	for range length {
		for j := int(y - radius); j <= int(y+radius); j++ {
			for i := int(x - radius); i <= int(x+radius); i++ {
				if i >= 0 && j >= 0 && i < side && j < side && math.Hypot(float64(i)+0.5-x, float64(j)+0.5-y) <= radius {
					mask[j*side+i] = 1
				}
			}
		}
		angle += r.NormFloat64() / 2
		x, y = x+math.Cos(angle), y+math.Sin(angle)
	}
}
