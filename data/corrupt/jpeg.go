package corrupt

// JPEG is what a JPEG file of low quality leaves of the image: colours at half the resolution, and the coefficients of each block of 8 x 8
// values rounded. Nothing that the file would be is made, since its code loses nothing. The arithmetic is that of libjpeg (whole numbers,
// chroma halved by means of four and doubled by triangles), as Pillow uses it, of which other builds may do otherwise: to be the same bit
// for bit as all of them is not claimed.
//
// Images of one channel are grey JPEG images; each channel of images of two, four and more is one.
type JPEG struct {
	Levels []int `json:"levels,omitempty"` // quality by severity, 1 to 100; nil = those of ImageNet-C
}

var _ Shift = JPEG{}

// Qualities, of ImageNet-C and CIFAR-10-C, arXiv 1903.12261.
var (
	jpegQuality = [Severities]int{25, 18, 15, 10, 7}
	jpegCIFAR   = [Severities]int{80, 65, 58, 50, 40}
)

// Name is jpeg.
func (JPEG) Name() string { return "jpeg" }

// Apply compresses the image.
func (j JPEG) Apply(dst, src []float32, shape []int, severity int, _ uint64, _ int) {
	quality := at(j.Name(), j.Levels, jpegQuality, severity)
	height, width, channels := shape[0], shape[1], shape[2]
	bytes := toBytes(src)
	if channels == 3 {
		jpegColour(dst, bytes, height, width, quality)
		return
	}
	one := newSamples(height, width)
	table := quantization(luminance, quality)
	for c := range channels {
		for y := range height {
			for x := range width {
				one.v[y*one.stride+x] = bytes[(y*width+x)*channels+c]
			}
		}
		one.fill(height, width)
		one.compress(&table)
		for y := range height {
			for x := range width {
				dst[(y*width+x)*channels+c] = bytes32[one.v[y*one.stride+x]]
			}
		}
	}
}

// jpegColour goes through luminance and chroma, of which the second is kept at half the resolution.
func jpegColour(dst []float32, src []uint8, height, width, quality int) {
	// Whole blocks of chroma are 16 pixels of the image; those behind its edge repeat it.
	y, cb, cr := newSamples(height, width), newSamples(height, width), newSamples(height, width)
	for row := range height {
		for column := range width {
			p := src[3*(row*width+column):][:3]
			r, g, b := int32(p[0]), int32(p[1]), int32(p[2])
			i := row*y.stride + column
			y.v[i] = uint8((19595*r + 38470*g + 7471*b + 1<<15) >> 16)
			cb.v[i] = uint8((-11058*r - 21710*g + 32768*b + 128<<16 + 1<<15 - 1) >> 16)
			cr.v[i] = uint8((32768*r - 27439*g - 5329*b + 128<<16 + 1<<15 - 1) >> 16)
		}
	}
	y.fill(height, width)
	cb.fill(height, width)
	cr.fill(height, width)

	light, colour := quantization(luminance, quality), quantization(chrominance, quality)
	y.compress(&light)
	smallHeight, smallWidth := (height+1)/2, (width+1)/2
	small := [2]samples{cb.halved(smallHeight, smallWidth), cr.halved(smallHeight, smallWidth)}
	for i := range small {
		small[i].compress(&colour)
	}
	small[0].doubled(cb, smallHeight, smallWidth)
	small[1].doubled(cr, smallHeight, smallWidth)

	for row := range height {
		for column := range width {
			i := row*y.stride + column
			l, u, v := int32(y.v[i]), int32(cb.v[i])-128, int32(cr.v[i])-128
			p := dst[3*(row*width+column):][:3]
			p[0] = bytes32[byteClip(l+(91881*v+1<<15)>>16)]
			p[1] = bytes32[byteClip(l+(-22554*u-46802*v+1<<15)>>16)]
			p[2] = bytes32[byteClip(l+(116130*u+1<<15)>>16)]
		}
	}
}

func byteClip(v int32) uint8 {
	if uint32(v) > 255 {
		return uint8(^(v >> 31))
	}
	return uint8(v)
}

// samples is one component, in whole blocks.
type samples struct {
	height, width, stride int // in values; stride = width
	v                     []uint8
}

// newSamples has room for whole blocks of 16 x 16.
func newSamples(height, width int) samples {
	h, w := (height+15)/16*16, (width+15)/16*16
	return samples{h, w, w, make([]uint8, h*w)}
}

// fill repeats the edge of the first height x width values.
func (s samples) fill(height, width int) {
	for y := range height {
		line := s.v[y*s.stride : (y+1)*s.stride]
		for x := width; x < s.width; x++ {
			line[x] = line[width-1]
		}
	}
	for y := height; y < s.height; y++ {
		copy(s.v[y*s.stride:(y+1)*s.stride], s.v[(height-1)*s.stride:])
	}
}

// halved is the mean of each four, rounded up and down in turn, of which the rows behind the given height repeat the last.
func (s samples) halved(height, width int) samples {
	out := samples{s.height / 2, s.width / 2, s.width / 2, make([]uint8, s.height*s.width/4)}
	for y := range height {
		a, b := s.v[2*y*s.stride:][:s.stride], s.v[(2*y+1)*s.stride:][:s.stride]
		line := out.v[y*out.stride:][:out.stride]
		for x := range line {
			total := int32(a[2*x]) + int32(a[2*x+1]) + int32(b[2*x]) + int32(b[2*x+1]) + 1 + int32(x&1)
			line[x] = uint8(total >> 2)
		}
	}
	out.fill(height, max(width, out.width))
	return out
}

// doubled stretches the first height x width values to twice as many, each 3/4 of the nearest and 1/4 of the next in each direction.
// Of two columns or fewer each value is repeated.
func (s samples) doubled(into samples, height, width int) {
	sums := make([]int32, width)
	for y := range 2 * height {
		near, far := y/2, min(max(y/2-1+2*(y&1), 0), height-1)
		a, b := s.v[near*s.stride:][:width], s.v[far*s.stride:][:width]
		line := into.v[y*into.stride:]
		if width <= 2 {
			for x, v := range a {
				line[2*x], line[2*x+1] = v, v
			}
			continue
		}
		for x := range sums {
			sums[x] = 3*int32(a[x]) + int32(b[x])
		}
		last := width - 1
		line[0] = uint8((4*sums[0] + 8) >> 4)
		line[1] = uint8((3*sums[0] + sums[1] + 7) >> 4)
		for x := 1; x < last; x++ {
			line[2*x] = uint8((3*sums[x] + sums[x-1] + 8) >> 4)
			line[2*x+1] = uint8((3*sums[x] + sums[x+1] + 7) >> 4)
		}
		line[2*last] = uint8((3*sums[last] + sums[last-1] + 8) >> 4)
		line[2*last+1] = uint8((4*sums[last] + 7) >> 4)
	}
}

// compress rounds the coefficients of every block.
func (s samples) compress(table *[64]int32) {
	var block [64]int32
	for y := 0; y < s.height; y += 8 {
		for x := 0; x < s.width; x += 8 {
			at := s.v[y*s.stride+x:]
			for i := range 8 {
				line := at[i*s.stride:][:8]
				for k, v := range line {
					block[8*i+k] = int32(v) - 128
				}
			}
			forward(&block)
			for i, c := range &block {
				if whole := table[i] << 3; c <= -whole/2 || c >= whole/2 {
					block[i] = rounded(c, table[i])
				} else {
					block[i] = 0
				}
			}
			inverse(&block)
			for i := range 8 {
				line := at[i*s.stride:][:8]
				for k := range line {
					line[k] = byteClip(block[8*i+k] + 128)
				}
			}
		}
	}
}

// rounded is a coefficient, which is 8 times too large, rounded to a multiple of its step; halves go away from 0.
func rounded(c, step int32) int32 {
	whole := step << 3
	if c >= 0 {
		if c += whole / 2; c < whole {
			return 0
		}
		return c / whole * step
	}
	if c = whole/2 - c; c < whole {
		return 0
	}
	return -(c / whole) * step
}
