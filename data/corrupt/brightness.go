package corrupt

// Brightness raises the value of the HSV colour model: grey images get brighter by c, in colour the largest channel does and
// the others keep their proportion to it; black turns grey.
type Brightness struct {
	Levels []float64 `json:"levels,omitempty"` // c by severity; nil = those of ImageNet-C
}

var _ Shift = Brightness{}

// Added to the value of HSV, of ImageNet-C and CIFAR-10-C, arXiv 1903.12261.
var (
	brightnessAdded      = [Severities]float64{0.1, 0.2, 0.3, 0.4, 0.5}
	brightnessAddedCIFAR = [Severities]float64{0.05, 0.1, 0.15, 0.2, 0.3}
)

// Name is brightness.
func (Brightness) Name() string { return "brightness" }

// Apply brightens the image.
func (b Brightness) Apply(dst, src []float32, shape []int, severity int, _ uint64, _ int) {
	c, channels := at(b.Name(), b.Levels, brightnessAdded, severity), shape[2]
	for i := 0; i < len(src); i += channels {
		pixel := src[i : i+channels]
		value := 0.0
		for _, v := range pixel {
			value = max(value, float64(v))
		}
		raised := min(value+c, 1)
		for ch, v := range pixel {
			if value == 0 {
				dst[i+ch] = clip(raised)
			} else {
				dst[i+ch] = clip(float64(float64(v)*raised) / value)
			}
		}
	}
}
