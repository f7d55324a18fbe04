package data

import (
	"cmp"
	"math/rand/v2"
	"slices"
)

// point has its y axis downwards.
type point struct{ x, y float64 }

// mix is a point between two. Products are rounded before they are added, so that no compiler fuses the two: pixels are the same on
// every machine.
func mix(a, b point, t float64) point {
	return point{float64((1-t)*a.x) + float64(t*b.x), float64((1-t)*a.y) + float64(t*b.y)}
}

// outline is closed curves made of lines. What is inside has a winding number other than 0.
type outline [][2]point

// image draws the outline with a random size, place, angle and noise.
func (o outline) image(r *rand.PCG) []byte {
	size := float64(26 + below(r, 8))
	place := point{float64(below(r, 7) - 3), float64(below(r, 7) - 3)}

	// The angle goes by the tangent of its half, up to that of 6 degrees, from which sine and cosine follow without a series.
	const most = 0.10510423526567646
	t := most * (2*unit(r) - 1)
	square := float64(t * t)
	cos, sin := (1-square)/(1+square), 2*t/(1+square)

	turned := make(outline, len(o))
	for i, line := range o {
		for end, p := range line {
			x := float64(float64(cos*p.x)*size) - float64(float64(sin*p.y)*size)
			y := float64(float64(sin*p.x)*size) + float64(float64(cos*p.y)*size)
			turned[i][end] = point{x + place.x + glyphCanvas/2, y + place.y + glyphCanvas/2}
		}
	}
	counts := turned.cover()

	pixels := make([]byte, len(counts))
	for i, n := range counts {
		v := float64(n)/(glyphSamples*glyphSamples) + float64(0.05*bell(r))
		pixels[i] = byte(min(max(v, 0), 1)*255 + 0.5)
	}
	return pixels
}

// glyphSamples is how many samples a pixel has in each direction: two for each of the canvas.
const glyphSamples = 2 * glyphCanvas / glyphSide

// cover counts, for each pixel, its samples that lie inside.
func (o outline) cover() []int {
	counts := make([]int, glyphSide*glyphSide)
	type crossing struct {
		x    float64
		turn int
	}
	for row := range glyphSide * glyphSamples {
		y := (float64(row) + 0.5) / 2
		var crossings []crossing
		for _, line := range o {
			a, b, turn := line[0], line[1], 1
			if a.y > b.y {
				a, b, turn = b, a, -1
			}
			if a.y <= y && y < b.y {
				along := (y - a.y) / (b.y - a.y)
				crossings = append(crossings, crossing{a.x + float64(along*(b.x-a.x)), turn})
			}
		}
		slices.SortStableFunc(crossings, func(a, b crossing) int { return cmp.Compare(a.x, b.x) })

		winding, next := 0, 0
		for column := range glyphSide * glyphSamples {
			for x := (float64(column) + 0.5) / 2; next < len(crossings) && crossings[next].x <= x; next++ {
				winding += crossings[next].turn
			}
			if winding != 0 {
				counts[row/glyphSamples*glyphSide+column/glyphSamples]++
			}
		}
	}
	return counts
}

// unit draws from [0, 1).
func unit(r *rand.PCG) float64 { return float64(r.Uint64()>>11) / (1 << 53) }

// bell is close to normal: the sum of twelve uniform numbers, less 6. It has mean 0 and variance 1, and needs no logarithm.
func bell(r *rand.PCG) float64 {
	sum := -6.0
	for range 12 {
		sum += unit(r)
	}
	return sum
}
