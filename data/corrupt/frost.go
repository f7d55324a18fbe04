package corrupt

import (
	"fmt"
	"math/rand/v2"

	"github.com/ballast-ml/ballast/fault"
)

// Frost lays ice flowers over the image: Image x + Ice f, with f a part of a picture of frost.
//
// ImageNet-C takes f from six photographs, which cannot be passed on. Where Textures is nil, f is drawn: a plasma with needles of ice
// across it. What is measured on such images cannot be compared with published numbers; see Comparable.
type Frost struct {
	Levels   []Ice     `json:"levels,omitempty"` // by severity; nil = those of ImageNet-C
	Textures []Texture `json:"-"`                // one of them is drawn for each example, and a place in it
}

// Ice is one severity of Frost: the shares of the image and of the frost.
type Ice struct {
	Image float64 `json:"image"`
	Ice   float64 `json:"ice"`
}

// Texture is a picture of frost: height x width pixels of red, green and blue in [0,1], row after row.
type Texture struct {
	Height, Width int
	Pixels        []float32
}

var _ Shift = Frost{}

// Of ImageNet-C and CIFAR-10-C, arXiv 1903.12261.
var (
	ice        = [Severities]Ice{{1, 0.4}, {0.8, 0.6}, {0.7, 0.7}, {0.65, 0.7}, {0.6, 0.75}}
	frostCIFAR = [Severities]Ice{{1, 0.2}, {1, 0.3}, {0.9, 0.4}, {0.85, 0.4}, {0.75, 0.45}}
)

// Name is frost.
func (Frost) Name() string { return "frost" }

// Comparable reports whether the frost is that of pictures.
func (f Frost) Comparable() bool { return f.Textures != nil }

// Fits refuses images that are larger than a texture.
func (f Frost) Fits(shape []int) error {
	for i, t := range f.Textures {
		if len(t.Pixels) != 3*t.Height*t.Width {
			return fmt.Errorf("corrupt: %s: texture %d has %d values; %d x %d pixels have %d", f.Name(), i, len(t.Pixels), t.Height, t.Width, 3*t.Height*t.Width)
		}
		if t.Height < shape[0] || t.Width < shape[1] {
			return &fault.Usage{Err: fmt.Errorf("corrupt: %s: texture %d has %dx%d pixels and images have %dx%d; use textures that are as large or larger",
				f.Name(), i, t.Height, t.Width, shape[0], shape[1])}
		}
	}
	return nil
}

// Apply lays the frost over the image.
func (f Frost) Apply(dst, src []float32, shape []int, severity int, seed uint64, index int) {
	must(f.Fits(shape))
	r := stream(seed, f.Name(), severity, index)
	level := at(f.Name(), f.Levels, ice, severity)
	if len(f.Textures) == 0 {
		level.With(dst, src, shape, drawnFrost(r, shape[0], shape[1]), shape[1])
		return
	}
	t := f.Textures[below(r, len(f.Textures))]
	y, x := below(r, t.Height-shape[0]+1), below(r, t.Width-shape[1]+1)
	level.With(dst, src, shape, t.Pixels[3*(y*t.Width+x):], t.Width)
}

// With lays the top left corner of a picture of frost over the image: red, green and blue, width pixels a row. Images of one channel get
// its grey, others the green.
func (l Ice) With(dst, src []float32, shape []int, frost []float32, width int) {
	channels := shape[2]
	for y := range shape[0] {
		for x := range shape[1] {
			pixel := frost[3*(y*width+x):][:3]
			i := (y*shape[1] + x) * channels
			for c := range channels {
				f := float64(pixel[1])
				switch channels {
				case 1:
					f = grey(pixel)
				case 3:
					f = float64(pixel[c])
				}
				dst[i+c] = clip(float64(l.Image*exact(src[i+c])) + float64(l.Ice*f))
			}
		}
	}
}

// below draws a whole number below n.
func below(r *rand.PCG, n int) int { return int(uniform(r) * float64(n)) }

// drawnFrost is a picture of frost, bluish white: ice that is thick and thin as a plasma is, and feathers of needles on it.
func drawnFrost(r *rand.PCG, height, width int) []float32 {
	size := powerOfTwo(max(height, width))
	thick := Plasma(size, 2, func() float64 { return uniform(r) })
	needles := make([]float64, height*width)
	for range max(height*width/400, 8) {
		y, x := between(r, 0, float64(height)), between(r, 0, float64(width))
		feather(needles, height, width, y, x, between(r, -180, 180), between(r, 0.05, 0.35)*float64(max(height, width)))
	}

	out := make([]float32, 3*height*width)
	for y := range height {
		for x := range width {
			t := thick[y*size+x]
			v := 0.1 + float64(0.6*float64(t*t)) + float64(0.5*min(needles[y*width+x], 1))
			for c, tint := range [3]float64{0.88, 0.95, 1} {
				out[3*(y*width+x)+c] = clip(float64(v * tint))
			}
		}
	}
	return out
}

// feather draws a needle of ice, and shorter ones that leave it at 60 degrees on both sides.
func feather(on []float64, height, width int, y, x, degrees, length float64) {
	dy, dx := sine(degrees), cosine(degrees)
	for step := 0.0; step < length; step++ {
		at := func(sy, sx, bright float64) {
			if py, px := int(sy), int(sx); sy >= 0 && sx >= 0 && py < height && px < width {
				on[py*width+px] += bright
			}
		}
		left := 1 - step/length
		sy, sx := y+float64(step*dy), x+float64(step*dx)
		at(sy, sx, 0.2+float64(0.6*left))
		if int(step)%3 != 0 {
			continue
		}
		for _, side := range [2]float64{-60, 60} {
			by, bx := sine(degrees+side), cosine(degrees+side)
			for k := 1.0; k < float64(left*length)/4; k++ {
				at(sy+float64(k*by), sx+float64(k*bx), 0.35*left)
			}
		}
	}
}
