package corrupt

// ShotNoise is the noise of counting light: each value is Poisson(c x)/c, as if 1 were c photons.
type ShotNoise struct {
	Levels []float64 `json:"levels,omitempty"` // c by severity; nil = those of ImageNet-C
}

var _ Shift = ShotNoise{}

// Photons of a value of 1, of ImageNet-C and CIFAR-10-C, arXiv 1903.12261.
var (
	shotPhotons      = [Severities]float64{60, 25, 12, 5, 3}
	shotPhotonsCIFAR = [Severities]float64{500, 250, 100, 75, 50}
)

// Name is shot-noise.
func (ShotNoise) Name() string { return "shot-noise" }

// Apply draws the counts.
func (s ShotNoise) Apply(dst, src []float32, _ []int, severity int, seed uint64, index int) {
	r := stream(seed, s.Name(), severity, index)
	c := at(s.Name(), s.Levels, shotPhotons, severity)
	counts := newPoissons(c)
	for i, v := range src {
		dst[i] = clip(float64(counts.of(v).draw(uniform(r))) / c)
	}
}

// WithCounts is shot noise made of given counts, one for each value: each drawn from Poisson(c x).
func WithCounts(dst, src []float32, c float64, counts []int) {
	for i := range src {
		dst[i] = clip(float64(counts[i]) / c)
	}
}
