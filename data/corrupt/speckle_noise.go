package corrupt

// SpeckleNoise adds noise in proportion to each value, x + x c N(0, 1): the grain of a coherent light.
type SpeckleNoise struct {
	Levels []float64 `json:"levels,omitempty"` // c by severity; nil = those of ImageNet-C
}

var _ Shift = SpeckleNoise{}

// Shares of the value, of ImageNet-C and CIFAR-10-C, arXiv 1903.12261.
var (
	speckleShare      = [Severities]float64{0.15, 0.2, 0.35, 0.45, 0.6}
	speckleShareCIFAR = [Severities]float64{0.06, 0.1, 0.12, 0.16, 0.2}
)

// Name is speckle-noise.
func (SpeckleNoise) Name() string { return "speckle-noise" }

// Apply adds the noise.
func (n SpeckleNoise) Apply(dst, src []float32, _ []int, severity int, seed uint64, index int) {
	r := stream(seed, n.Name(), severity, index)
	c := at(n.Name(), n.Levels, speckleShare, severity)
	for i, v := range src {
		dst[i] = speckled(exact(v), c, normal(r))
	}
}

// WithSpeckle is speckle noise made of given draws from N(0, 1), one for each value.
func WithSpeckle(dst, src []float32, c float64, normal []float64) {
	for i, v := range src {
		dst[i] = speckled(exact(v), c, normal[i])
	}
}

func speckled(u, c, n float64) float32 { return clip(u + float64(float64(u*c)*n)) }
