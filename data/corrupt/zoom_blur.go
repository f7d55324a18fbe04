package corrupt

import (
	"fmt"
	"math"

	"github.com/ballast-ml/ballast/fault"
)

// ZoomBlur is a camera that moves towards the middle: the mean of the image and of the image zoomed by each of several factors. Images
// must be square.
type ZoomBlur struct {
	Levels []Zooms `json:"levels,omitempty"` // by severity; nil = those of ImageNet-C
}

// Zooms are the factors 1, 1 + Step, 1 + 2 Step and so on.
type Zooms struct {
	Number int     `json:"number"` // how many
	Step   float64 `json:"step"`
}

var _ Shift = ZoomBlur{}

// Of ImageNet-C and CIFAR-10-C, arXiv 1903.12261: half-open ranges of NumPy up to 1.11, 1.16, 1.21, 1.26 and 1.31, and to 1.06, 1.11, 1.16,
// 1.21 and 1.26. Where such a range ends at 1.06 or 1.11 its length is rounded up, and its last value is the end: 7 and 12 factors, not 6
// and 11. The published images have them.
var (
	zooms     = [Severities]Zooms{{12, 0.01}, {16, 0.01}, {11, 0.02}, {13, 0.02}, {11, 0.03}}
	zoomCIFAR = [Severities]Zooms{{7, 0.01}, {12, 0.01}, {16, 0.01}, {21, 0.01}, {26, 0.01}}
)

// Name is zoom-blur.
func (ZoomBlur) Name() string { return "zoom-blur" }

// Fits refuses images that are not square.
func (z ZoomBlur) Fits(shape []int) error {
	if shape[0] != shape[1] {
		return &fault.Usage{Err: fmt.Errorf("corrupt: %s: images are %dx%d; it needs square ones", z.Name(), shape[0], shape[1])}
	}
	return nil
}

// Apply blurs the image.
func (z ZoomBlur) Apply(dst, src []float32, shape []int, severity int, _ uint64, _ int) {
	must(z.Fits(shape))
	level := at(z.Name(), z.Levels, zooms, severity)
	p := read(src, shape)
	total := newPlanes(p.height, p.width, p.channels)
	copy(total.v, p.v)
	step := (1 + level.Step) - 1 // what is left of it beside 1: the ranges are made so
	spare := newPlanes(p.height, p.width, p.channels)
	for i := range level.Number {
		p.zoomed(total, spare, 1+float64(float64(i)*step))
	}
	for i := range total.v {
		total.v[i] /= float64(level.Number + 1)
	}
	total.write(dst)
}

// zoomed adds the middle of an image, zoomed to its size: the middle ceil(n/z) of n pixels each way are stretched to z times as many,
// the first and the last onto the first and the last, and the middle n of these are kept. spare is another image of the size, to work in.
func (p planes) zoomed(total, spare planes, z float64) {
	down, across := stretch(p.height, z), stretch(p.width, z)
	top, bottom := down[0].from, down[len(down)-1].from+1
	middle := spare // the rows from top on, stretched along rows alone
	for y := top; y <= min(bottom, p.height-1); y++ {
		row, out := p.row(y), middle.row(y-top)
		if p.channels == 3 {
			stretchedColours(out, row, across)
			continue
		}
		for x, s := range across {
			a := s.from * p.channels
			b := min(s.from+1, p.width-1) * p.channels
			for c := range p.channels {
				out[x*p.channels+c] = float64(row[a+c]*(1-s.share)) + float64(row[b+c]*s.share)
			}
		}
	}
	for y, s := range down {
		above := middle.row(s.from - top)
		below := middle.row(min(s.from+1, p.height-1) - top)
		mixed(total.row(y), above, below, s.share)
	}
}

// stretchedColours is one row of zoomed in three channels.
func stretchedColours(out, row []float64, across []place) {
	for x, s := range across {
		a := (*[3]float64)(row[3*s.from:])
		b := (*[3]float64)(row[min(3*s.from+3, len(row)-3):])
		to, rest := (*[3]float64)(out[3*x:]), 1-s.share
		to[0] = float64(a[0]*rest) + float64(b[0]*s.share)
		to[1] = float64(a[1]*rest) + float64(b[1]*s.share)
		to[2] = float64(a[2]*rest) + float64(b[2]*s.share)
	}
}

// mixed adds (1 - share) a + share b.
func mixed(acc, a, b []float64, share float64) {
	a, b, rest := a[:len(acc)], b[:len(acc)], 1-share
	for i := range acc {
		acc[i] += float64(a[i]*rest) + float64(b[i]*share)
	}
}

// place is a place between two pixels: from, and the share of the one behind it.
type place struct {
	from  int
	share float64
}

// stretch is where each of n pixels of a zoomed image comes from.
func stretch(n int, z float64) []place {
	kept := int(math.Ceil(float64(n) / z))
	grown := int(math.RoundToEven(float64(float64(kept) * z)))
	top, trim := (n-kept)/2, (grown-n)/2
	scale := 0.0
	if grown > 1 {
		scale = float64(kept-1) / float64(grown-1)
	}
	places := make([]place, n)
	for i := range places {
		v := float64(float64(i+trim) * scale)
		from := min(int(v), max(kept-2, 0))
		places[i] = place{top + from, v - float64(from)}
	}
	return places
}
