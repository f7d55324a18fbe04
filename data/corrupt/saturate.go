package corrupt

// Saturate changes the saturation S of HSV to S a + b, clipped: colours fade, or shriek. As there, a grey pixel counts as red where b > 0.
// Images of other than three channels stay as they are.
type Saturate struct {
	Levels []Line `json:"levels,omitempty"` // by severity; nil = those of ImageNet-C
}

// Line is the function Times x + Plus.
type Line struct {
	Times float64 `json:"times"`
	Plus  float64 `json:"plus"`
}

var _ Shift = Saturate{}

// Of ImageNet-C and CIFAR-10-C, arXiv 1903.12261.
var (
	saturation      = [Severities]Line{{0.3, 0}, {0.1, 0}, {2, 0}, {5, 0.1}, {20, 0.2}}
	saturationCIFAR = [Severities]Line{{0.3, 0}, {0.1, 0}, {1.5, 0}, {2, 0.1}, {2.5, 0.2}}
)

// Name is saturate.
func (Saturate) Name() string { return "saturate" }

// Apply changes the saturation: of value V and saturation S = 1 - least/V, a channel is V (1 - S t) with t in [0,1] that its hue gives,
// so that its distance from V grows with S.
func (s Saturate) Apply(dst, src []float32, shape []int, severity int, _ uint64, _ int) {
	c := at(s.Name(), s.Levels, saturation, severity)
	if shape[2] != 3 {
		copy(dst, src)
		return
	}
	for i := 0; i+3 <= len(src); i += 3 {
		red, green, blue := exact(src[i]), exact(src[i+1]), exact(src[i+2])
		value := max(red, green, blue)
		least := min(red, green, blue)
		if value == least { // grey: no hue, which counts as red
			rest := float64(value * (1 - min(max(c.Plus, 0), 1)))
			dst[i], dst[i+1], dst[i+2] = clip(value), clip(rest), clip(rest)
			continue
		}
		was := (value - least) / value
		grown := min(max(float64(was*c.Times)+c.Plus, 0), 1) / was
		dst[i] = clip(value - float64((value-red)*grown))
		dst[i+1] = clip(value - float64((value-green)*grown))
		dst[i+2] = clip(value - float64((value-blue)*grown))
	}
}
