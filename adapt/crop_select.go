package adapt

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/ballast-ml/ballast/fault"
)

// The scores of Crops.
const (
	CropHash   = "hash"
	CropFilter = "filter"
	CropEdge   = "edge"
	CropMean   = "mean"
)

// greyUnit is the resolution of grey values in scores, 2^-18: every score is computed in whole numbers, so that equal pixels give equal
// bits wherever in a view they are, and on every machine.
const greyUnit = 1 << 18

// Hashing of CropHash: the response of the filter in units of 1/255 times a multiplier, modulo a prime.
const (
	hashMultiplier = 2654435761
	hashModulus    = 1048573
	maxFilter      = 255
)

// Selector chooses a crop of an image by its pixels alone. It is what Crops does before it asks the model.
type Selector struct {
	Score      string  // hash, filter, edge or mean
	Rows, Cols int     // of a crop
	FilterSize int     // k
	Filter     []int64 // [k, k] in units of 2^-18; whole numbers for hash
	Circular   bool    // candidates are all positions of the image on a torus
}

// CropFilterOf draws the filter of a seed: k x k whole numbers from -8 to 8, less their mean if so asked, in units of 2^-18.
func CropFilterOf(k int, seed uint64, zeroMean bool) []int64 {
	r := rand.New(rand.NewPCG(seed, 0x63726f70)) // "crop"
	filter := make([]int64, k*k)
	sum := int64(0)
	for i := range filter {
		filter[i] = (r.Int64N(17) - 8) * greyUnit
		sum += filter[i]
	}
	if zeroMean {
		for i := range filter {
			filter[i] -= sum / int64(len(filter))
		}
	}
	return filter
}

// Chosen is a crop of an image.
type Chosen struct {
	Row, Col int
	Tied     bool // others have the same score: the first one in the order of rows is taken
	Flat     bool // all have, and the one in the middle is taken
}

// Select returns the crop of an image [height, width, channels] with the highest score.
func (s Selector) Select(image []float32, shape []int) Chosen {
	scores, rows, cols := s.Scores(image, shape)
	best, ties := 0, 0
	for i, v := range scores {
		switch {
		case v > scores[best]:
			best, ties = i, 0
		case v == scores[best] && i > 0:
			ties++
		}
	}
	if ties == len(scores)-1 && len(scores) > 1 {
		if s.Circular {
			return Chosen{Tied: true, Flat: true}
		}
		return Chosen{Row: (rows - 1) / 2, Col: (cols - 1) / 2, Tied: true, Flat: true}
	}
	return Chosen{Row: best / cols, Col: best % cols, Tied: ties > 0}
}

// Scores are those of all candidates [rows, cols] of an image, in units of Unit.
func (s Selector) Scores(image []float32, shape []int) (scores []int64, rows, cols int) {
	height, width := shape[0], shape[1]
	rows, cols = height-s.Rows+1, width-s.Cols+1
	if s.Circular {
		rows, cols = height, width
	}
	grey := greyOf(image, shape)
	switch s.Score {
	case CropHash:
		for i, v := range grey {
			grey[i] = (v*255 + greyUnit/2) >> 18 // to the nearest byte
		}
		scores = s.correlate(grey, height, width, rows, cols)
		for i, v := range scores {
			scores[i] = remainder(v / greyUnit)
		}
	case CropFilter:
		scores = s.correlate(grey, height, width, rows, cols)
	case CropEdge:
		scores = s.edges(grey, height, width, rows, cols)
	default:
		scores = s.sums(grey, width, rows, cols)
	}
	return scores, rows, cols
}

// Unit is what a score of 1 is worth, for images with values in [0, 1].
func (s Selector) Unit() float64 {
	switch s.Score {
	case CropHash:
		return 1
	case CropMean:
		return 1.0 / greyUnit / float64(s.Rows*s.Cols)
	}
	return 1.0 / greyUnit / greyUnit
}

// remainder is v times the multiplier, modulo the modulus, from 0.
func remainder(v int64) int64 {
	v = v % hashModulus * (hashMultiplier % hashModulus) % hashModulus
	if v < 0 {
		v += hashModulus
	}
	return v
}

// greyOf are the grey values of an image in units of 2^-18: of three channels .299 R + .587 G + .114 B, of others their mean. Values beyond
// [-64, 64] count as these, NaN as 0, so that sums stay exact.
func greyOf(image []float32, shape []int) []int64 {
	channels := shape[2]
	grey := make([]int64, shape[0]*shape[1])
	for i := range grey {
		pixel := image[i*channels : (i+1)*channels]
		var v float64
		if channels == 3 {
			v = float64(0.299*float64(pixel[0])) + float64(0.587*float64(pixel[1])) + float64(0.114*float64(pixel[2]))
		} else {
			for _, p := range pixel {
				v += float64(p)
			}
			v /= float64(channels)
		}
		if v != v {
			v = 0
		}
		grey[i] = int64(math.Round(min(max(v, -64), 64) * greyUnit))
	}
	return grey
}

// correlate is the response of the filter at the middle of each candidate; circular ones at their first pixel.
func (s Selector) correlate(grey []int64, height, width, rows, cols int) []int64 {
	k := s.FilterSize
	down, right := (s.Rows-k)/2, (s.Cols-k)/2
	if s.Circular {
		down, right = 0, 0
	}
	scores := make([]int64, rows*cols)
	for i := range rows {
		for j := range cols {
			sum := int64(0)
			for a := range k {
				y := i + down + a
				if y >= height {
					y -= height
				}
				line := grey[y*width : (y+1)*width]
				for b := range k {
					x := j + right + b
					if x >= width {
						x -= width
					}
					sum += line[x] * s.Filter[a*k+b]
				}
			}
			scores[i*cols+j] = sum
		}
	}
	return scores
}

// edges are the sums over each candidate of the squares of forward differences that lie within it.
func (s Selector) edges(grey []int64, height, width, rows, cols int) []int64 {
	down, right := make([]int64, len(grey)), make([]int64, len(grey))
	for y := range height {
		for x := range width {
			at := y*width + x
			if y+1 < height {
				down[at] = (grey[at+width] - grey[at]) * (grey[at+width] - grey[at])
			}
			if x+1 < width {
				right[at] = (grey[at+1] - grey[at]) * (grey[at+1] - grey[at])
			}
		}
	}
	vertical, horizontal := integral(down, width), integral(right, width)
	scores := make([]int64, rows*cols)
	for i := range rows {
		for j := range cols {
			scores[i*cols+j] = vertical.sum(i, j, s.Rows-1, s.Cols) + horizontal.sum(i, j, s.Rows, s.Cols-1)
		}
	}
	return scores
}

// sums are those of the grey values of each candidate.
func (s Selector) sums(grey []int64, width, rows, cols int) []int64 {
	table := integral(grey, width)
	scores := make([]int64, rows*cols)
	for i := range rows {
		for j := range cols {
			scores[i*cols+j] = table.sum(i, j, s.Rows, s.Cols)
		}
	}
	return scores
}

// integralTable has the sums of all that is above and to the left, exact in whole numbers.
type integralTable struct {
	sums  []int64
	width int
}

func integral(values []int64, width int) integralTable {
	height := len(values) / width
	t := integralTable{make([]int64, (height+1)*(width+1)), width + 1}
	for y := range height {
		row := int64(0)
		for x := range width {
			row += values[y*width+x]
			t.sums[(y+1)*t.width+x+1] = t.sums[y*t.width+x+1] + row
		}
	}
	return t
}

func (t integralTable) sum(y, x, rows, cols int) int64 {
	top, bottom := t.sums[y*t.width:], t.sums[(y+rows)*t.width:]
	return bottom[x+cols] - bottom[x] - top[x+cols] + top[x]
}

// Cut copies the crop at a place of an image into dst [Rows, Cols, channels]; a circular one is the whole image, rolled.
func (s Selector) Cut(dst, image []float32, shape []int, at Chosen) {
	height, width, channels := shape[0], shape[1], shape[2]
	for y := range s.Rows {
		from := (at.Row + y) % height
		for x := 0; x < s.Cols; {
			source := (at.Col + x) % width
			run := min(s.Cols-x, width-source)
			copy(dst[(y*s.Cols+x)*channels:(y*s.Cols+x+run)*channels], image[(from*width+source)*channels:])
			x += run
		}
	}
}

// Kinds of shifts that CropBound knows.
const (
	ShiftAxis       = "axis"       // along rows or columns
	ShiftDiagonal   = "diagonal"   // by as much along both
	ShiftNeighbours = "neighbours" // all eight of one pixel at once
)

// CropBound is the least probability that the same crop of n x n candidates is chosen before and after a shift by s pixels, if no place is more
// likely than another to have the highest score:
//
//	axis         (n-s) / (n+s)
//	diagonal     (n-s)^2 / (2 n^2 - (n-s)^2)
//	neighbours   ((n-2) / (n+2))^2, that all eight shifts by one pixel choose it
//
// It is 0 where no candidate is left. The bounds are derived here, see Crops. An unknown kind is a *fault.Usage.
func CropBound(n, s int, kind string) (float64, error) {
	if n < 1 || s < 0 {
		return 0, &fault.Usage{Err: fmt.Errorf("adapt: CropBound: %d candidates and a shift of %d; use at least 1 and 0", n, s)}
	}
	inner, all := float64(max(n-s, 0)), float64(n)
	switch kind {
	case ShiftAxis:
		return inner / (all + float64(s)), nil
	case ShiftDiagonal:
		return inner * inner / (2*all*all - inner*inner), nil
	case ShiftNeighbours:
		if s != 1 {
			return 0, &fault.Usage{Err: fmt.Errorf("adapt: CropBound: neighbours are shifts by 1 pixel, not by %d; use axis or diagonal", s)}
		}
		share := float64(max(n-2, 0)) / (all + 2)
		return share * share, nil
	}
	return 0, &fault.Usage{Err: fmt.Errorf("adapt: CropBound: no kind of shift %q; use axis, diagonal or neighbours", kind)}
}

// CropCandidates is the least n for which the bound along an axis reaches p for shifts of up to s pixels: s (1+p)/(1-p), rounded up.
func CropCandidates(p float64, s int) (int, error) {
	if !(p >= 0 && p < 1) || s < 1 {
		return 0, &fault.Usage{Err: fmt.Errorf("adapt: CropCandidates: a consistency of %v for shifts of %d; use a share from 0 to below 1 and at least 1 pixel", p, s)}
	}
	n := math.Ceil(float64(s)*(1+p)/(1-p) - 1e-9)
	if n > math.MaxInt32 {
		return 0, &fault.Usage{Err: fmt.Errorf("adapt: CropCandidates: a consistency of %v for shifts of %d needs %g candidates; use a smaller one", p, s, n)}
	}
	return max(int(n), 1), nil
}
