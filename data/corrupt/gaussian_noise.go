package corrupt

// GaussianNoise adds N(0, s^2) to each value by itself: the noise of a sensor in the dark.
type GaussianNoise struct{}

var _ Shift = GaussianNoise{}

// Of ImageNet-C, arXiv 1903.12261: standard deviations.
var noiseDeviation = [Severities]float64{0.08, 0.12, 0.18, 0.26, 0.38}

// Name is gaussian-noise.
func (GaussianNoise) Name() string { return "gaussian-noise" }

// Apply adds the noise.
func (g GaussianNoise) Apply(dst, src []float32, _ []int, severity int, seed uint64, index int) {
	r := stream(seed, g.Name(), severity, index)
	s := level(g.Name(), noiseDeviation, severity)
	for i, v := range src {
		dst[i] = clip(float64(v) + float64(s*normal(r)))
	}
}
