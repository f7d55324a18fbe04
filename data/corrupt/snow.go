package corrupt

// Snow lets flakes fall through the image: a layer of noise, zoomed, of which the bright parts stay, blurred along their fall; a second one
// is the first turned about. The image itself pales towards max(x, 1.5 grey + 0.5).
//
// The blur of the flakes is that of MotionBlur: results are not bit for bit those of the published images.
type Snow struct {
	Levels []Flakes `json:"levels,omitempty"` // by severity; nil = those of ImageNet-C
}

// Flakes is one severity of Snow.
type Flakes struct {
	Mean      float64 `json:"mean"`      // of the noise
	Deviation float64 `json:"deviation"` // of the noise
	Zoom      float64 `json:"zoom"`      // how large flakes are
	Threshold float64 `json:"threshold"` // what stays of the noise
	Fall      Motion  `json:"fall"`      // of the flakes, at an angle drawn from U(-135, -45) degrees
	Kept      float64 `json:"kept"`      // share of the image that does not pale
}

var _ Shift = Snow{}

// Of ImageNet-C and CIFAR-10-C, arXiv 1903.12261.
var (
	flakes = [Severities]Flakes{
		{0.1, 0.3, 3, 0.5, Motion{10, 4}, 0.8},
		{0.2, 0.3, 2, 0.5, Motion{12, 4}, 0.7},
		{0.55, 0.3, 4, 0.9, Motion{12, 8}, 0.7},
		{0.55, 0.3, 4.5, 0.85, Motion{12, 8}, 0.65},
		{0.55, 0.3, 2.5, 0.85, Motion{12, 12}, 0.55},
	}
	snowCIFAR = [Severities]Flakes{
		{0.1, 0.2, 1, 0.6, Motion{8, 3}, 0.95},
		{0.1, 0.2, 1, 0.5, Motion{10, 4}, 0.9},
		{0.15, 0.3, 1.75, 0.55, Motion{10, 4}, 0.9},
		{0.25, 0.3, 2.25, 0.6, Motion{12, 6}, 0.85},
		{0.3, 0.3, 1.25, 0.65, Motion{14, 12}, 0.8},
	}
)

// Name is snow.
func (Snow) Name() string { return "snow" }

// Apply lets it snow.
func (s Snow) Apply(dst, src []float32, shape []int, severity int, seed uint64, index int) {
	r := stream(seed, s.Name(), severity, index)
	level := at(s.Name(), s.Levels, flakes, severity)
	noise := make([]float64, shape[0]*shape[1])
	for i := range noise {
		noise[i] = normal(r)
	}
	level.With(dst, src, shape, noise, between(r, -135, -45))
}

// With is Snow at one severity made of given draws from N(0, 1), [height, width], and a given angle in degrees.
func (f Flakes) With(dst, src []float32, shape []int, normal []float64, degrees float64) {
	height, width, channels := shape[0], shape[1], shape[2]
	noise, layer := newPlanes(height, width, 1), newPlanes(height, width, 1)
	for i, n := range normal {
		noise.v[i] = f.Mean + float64(f.Deviation*n)
	}
	noise.zoomed(layer, newPlanes(height, width, 1), f.Zoom)
	for i, v := range layer.v {
		if v < f.Threshold {
			v = 0
		}
		layer.v[i] = bytes64[cutByte(v)]
	}
	layer = f.Fall.along(layer, degrees)

	last := height*width - 1
	for i, flake := range layer.v {
		pixel := src[i*channels : (i+1)*channels]
		pale := float64(1.5*grey(pixel)) + 0.5
		fallen := flake + layer.v[last-i]
		for c, v := range pixel {
			u := exact(v)
			dst[i*channels+c] = clip(float64(f.Kept*u) + float64((1-f.Kept)*max(u, pale)) + fallen)
		}
	}
}

// grey is 0.299 R + 0.587 G + 0.114 B of a pixel in colour, and the mean of its channels in others.
func grey(pixel []float32) float64 {
	if len(pixel) == 3 {
		return float64(0.299*exact(pixel[0])) + float64(0.587*exact(pixel[1])) + float64(0.114*exact(pixel[2]))
	}
	total := 0.0
	for _, v := range pixel {
		total += exact(v)
	}
	return total / float64(len(pixel))
}
