package corrupt

// GaussianBlur blurs by a Gaussian, cut after four deviations, with the edge repeated.
type GaussianBlur struct {
	Levels []float64 `json:"levels,omitempty"` // deviation in pixels by severity; nil = those of ImageNet-C
}

var _ Shift = GaussianBlur{}

// Deviations in pixels, of ImageNet-C and CIFAR-10-C, arXiv 1903.12261.
var (
	gaussianBlur      = [Severities]float64{1, 2, 3, 4, 6}
	gaussianBlurCIFAR = [Severities]float64{0.4, 0.6, 0.7, 0.8, 1}
)

// Name is gaussian-blur.
func (GaussianBlur) Name() string { return "gaussian-blur" }

// Apply blurs the image.
func (g GaussianBlur) Apply(dst, src []float32, shape []int, severity int, _ uint64, _ int) {
	sigma := at(g.Name(), g.Levels, gaussianBlur, severity)
	read(src, shape).blur(sigma, glassDeviations, nearest).write(dst)
}
