package corrupt

// Contrast pulls each channel towards its mean over the image: fog, a worn print.
type Contrast struct{}

var _ Shift = Contrast{}

// Of ImageNet-C, arXiv 1903.12261: the share of the contrast that is left.
var contrastLeft = [Severities]float64{0.4, 0.3, 0.2, 0.1, 0.05}

// Name is contrast.
func (Contrast) Name() string { return "contrast" }

// Apply lowers the contrast.
func (c Contrast) Apply(dst, src []float32, shape []int, severity int, _ uint64, _ int) {
	left, channels := level(c.Name(), contrastLeft, severity), shape[2]
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
