package corrupt

// ImpulseNoise makes a share c of the values 0 or 1, either as likely: salt and pepper, in each channel by itself.
type ImpulseNoise struct {
	Levels []float64 `json:"levels,omitempty"` // c by severity; nil = those of ImageNet-C
}

var _ Shift = ImpulseNoise{}

// Shares of the values, of ImageNet-C and CIFAR-10-C, arXiv 1903.12261.
var (
	impulseShare      = [Severities]float64{0.03, 0.06, 0.09, 0.17, 0.27}
	impulseShareCIFAR = [Severities]float64{0.01, 0.02, 0.03, 0.05, 0.07}
)

// Name is impulse-noise.
func (ImpulseNoise) Name() string { return "impulse-noise" }

// Apply draws one number for each value: below c/2 it is salt, from there to c pepper.
func (n ImpulseNoise) Apply(dst, src []float32, _ []int, severity int, seed uint64, index int) {
	r := stream(seed, n.Name(), severity, index)
	c := at(n.Name(), n.Levels, impulseShare, severity)
	for i, v := range src {
		switch u := uniform(r); {
		case u >= c:
			dst[i] = v
		case u < c/2:
			dst[i] = 1
		default:
			dst[i] = 0
		}
	}
}

// WithImpulses is impulse noise made of given draws from U(0, 1), two for each value: it is replaced where flip < c, by 1 where
// salt < 1/2 and else by 0.
func WithImpulses(dst, src []float32, c float64, flip, salt []float64) {
	for i, v := range src {
		switch {
		case flip[i] >= c:
			dst[i] = v
		case salt[i] < 0.5:
			dst[i] = 1
		default:
			dst[i] = 0
		}
	}
}
