package corrupt

// Contrast pulls each channel towards its mean over the image: fog, a worn print.
type Contrast struct {
	Levels []float64 `json:"levels,omitempty"` // what is left of the contrast, by severity; nil = those of ImageNet-C
}

var _ Shift = Contrast{}

// The share of the contrast that is left, of ImageNet-C and CIFAR-10-C, arXiv 1903.12261.
var (
	contrastLeft      = [Severities]float64{0.4, 0.3, 0.2, 0.1, 0.05}
	contrastLeftCIFAR = [Severities]float64{0.75, 0.5, 0.4, 0.3, 0.15}
)

// Name is contrast.
func (Contrast) Name() string { return "contrast" }

// Apply lowers the contrast.
func (c Contrast) Apply(dst, src []float32, shape []int, severity int, _ uint64, _ int) {
	left, channels := at(c.Name(), c.Levels, contrastLeft, severity), shape[2]
	for ch := range channels {
		sum := 0.0
		for i := ch; i < len(src); i += channels {
			sum += float64(src[i])
		}
		mean := sum / float64(shape[0]*shape[1])
		for i := ch; i < len(src); i += channels {
			dst[i] = clip(float64((float64(src[i])-mean)*left) + mean)
		}
	}
}
