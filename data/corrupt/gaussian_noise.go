package corrupt

// GaussianNoise adds N(0, s^2) to each value by itself: the noise of a sensor in the dark.
type GaussianNoise struct {
	Levels []float64 `json:"levels,omitempty"` // s by severity; nil = those of ImageNet-C
}

var _ Shift = GaussianNoise{}

// Standard deviations, of ImageNet-C and CIFAR-10-C, arXiv 1903.12261.
var (
	noiseDeviation      = [Severities]float64{0.08, 0.12, 0.18, 0.26, 0.38}
	noiseDeviationCIFAR = [Severities]float64{0.04, 0.06, 0.08, 0.09, 0.10}
)

// Name is gaussian-noise.
func (GaussianNoise) Name() string { return "gaussian-noise" }

// Apply adds the noise.
func (g GaussianNoise) Apply(dst, src []float32, _ []int, severity int, seed uint64, index int) {
	r := stream(seed, g.Name(), severity, index)
	s := at(g.Name(), g.Levels, noiseDeviation, severity)
	for i, v := range src {
		dst[i] = clip(float64(v) + float64(s*normal(r)))
	}
}

// WithNormal is Gaussian noise of deviation s made of given draws from N(0, 1), one for each value: x + s n, clipped.
func WithNormal(dst, src []float32, s float64, normal []float64) {
	for i, v := range src {
		dst[i] = clip(exact(v) + float64(s*normal[i]))
	}
}
