package corrupt

import "math/rand/v2"

// GlassBlur is a view through frosted glass: the image is blurred and cut to bytes, pixels change place with near ones, and it is blurred
// again.
//
// Pixels are visited from the last row and column back, as in the program that made ImageNet-C. Its exchange of two pixels copies one
// over the other by mistake, since both sides are views of the same memory. The published images are made so, and so is the default;
// TrueSwap exchanges them.
type GlassBlur struct {
	Levels   []Glass `json:"levels,omitempty"` // by severity; nil = those of ImageNet-C
	TrueSwap bool    `json:"true_swap,omitempty"`
}

// Glass is one severity of GlassBlur.
type Glass struct {
	Sigma float64 `json:"sigma"` // deviation of both Gaussians, in pixels; they are cut after four
	Reach int     `json:"reach"` // a pixel meets one at -Reach to Reach-1 rows and columns; 1 or more
	Times int     `json:"times"` // passes over the image
}

var _ Shift = GlassBlur{}

// Of ImageNet-C and CIFAR-10-C, arXiv 1903.12261.
var (
	glass      = [Severities]Glass{{0.7, 1, 2}, {0.9, 2, 1}, {1, 2, 3}, {1.1, 3, 2}, {1.5, 4, 2}}
	glassCIFAR = [Severities]Glass{{0.05, 1, 1}, {0.25, 1, 1}, {0.4, 1, 1}, {0.25, 1, 2}, {0.4, 1, 2}}
)

// glassDeviations is after how many deviations the Gaussians of GlassBlur and GaussianBlur are cut.
const glassDeviations = 4

// Name is glass-blur.
func (GlassBlur) Name() string { return "glass-blur" }

// Apply blurs the image.
func (g GlassBlur) Apply(dst, src []float32, shape []int, severity int, seed uint64, index int) {
	r := stream(seed, g.Name(), severity, index)
	level := at(g.Name(), g.Levels, glass, severity)
	shuffled := level.cut(src, shape)
	level.shuffleDrawn(shuffled, shape, g.TrueSwap, r)
	level.finish(dst, shuffled, shape)
}

// With is GlassBlur at one severity with given offsets: next returns the columns and rows, each from -Reach to Reach-1, from a pixel to the
// one that it meets. It returns the bytes as they are before the last Gaussian.
func (g Glass) With(dst, src []float32, shape []int, swap bool, next func() (dx, dy int)) []uint8 {
	shuffled := g.cut(src, shape)
	g.shuffle(shuffled, shape, swap, next)
	g.finish(dst, shuffled, shape)
	return shuffled
}

// cut is the first Gaussian, cut to bytes.
func (g Glass) cut(src []float32, shape []int) []uint8 {
	blurred := read(src, shape).blur(g.Sigma, glassDeviations, nearest)
	out := make([]uint8, len(src))
	for i, v := range blurred.v {
		out[i] = cutByte(v)
	}
	return out
}

// finish is the second Gaussian.
func (g Glass) finish(dst []float32, shuffled []uint8, shape []int) {
	p := newPlanes(shape[0], shape[1], shape[2])
	for i, b := range shuffled {
		p.v[i] = bytes64[b]
	}
	p.blur(g.Sigma, glassDeviations, nearest).write(dst)
}

func (g Glass) shuffleDrawn(v []uint8, shape []int, swap bool, r *rand.PCG) {
	ways, reach := uint64(2*g.Reach), g.Reach
	g.shuffle(v, shape, swap, func() (dx, dy int) {
		bits := r.Uint64()
		return int((bits>>32)*ways>>32) - reach, int((bits&0xffffffff)*ways>>32) - reach
	})
}

func (g Glass) shuffle(v []uint8, shape []int, swap bool, next func() (dx, dy int)) {
	height, width, channels := shape[0], shape[1], shape[2]
	for range g.Times {
		for y := height - g.Reach; y > g.Reach; y-- {
			for x := width - g.Reach; x > g.Reach; x-- {
				dx, dy := next()
				here, there := (y*width+x)*channels, ((y+dy)*width+x+dx)*channels
				if channels == 3 && !swap {
					v[here], v[here+1], v[here+2] = v[there], v[there+1], v[there+2]
					continue
				}
				for c := range channels {
					was := v[here+c]
					v[here+c] = v[there+c]
					if swap {
						v[there+c] = was
					}
				}
			}
		}
	}
}
