package corrupt

// Quantized is a shift whose images are of bytes, as ImageNet-C and CIFAR-10-C publish them: every value times 255 is cut to the whole
// number below, which is what storing a float image as uint8 did there. Ballast's own table leaves values as they are.
type Quantized struct {
	Shift Shift `json:"quantized"`
}

var _ Shift = Quantized{}

// Name is the name of the shift.
func (q Quantized) Name() string { return q.Shift.Name() }

// Fits says whether the shift fits images of a shape.
func (q Quantized) Fits(shape []int) error { return Fits(q.Shift, shape) }

// byteSlack is what a float32 just below a whole number lacks of it: half a unit in the last place of 1, times 255, and as much again for
// the multiplication.
const byteSlack = 255.0 / (1 << 23)

// Apply shifts the image and cuts its values to bytes.
func (q Quantized) Apply(dst, src []float32, shape []int, severity int, seed uint64, index int) {
	q.Shift.Apply(dst, src, shape, severity, seed, index)
	switch q.Shift.(type) {
	case JPEG, Pixelate: // their values are bytes already
		return
	}
	for i, v := range dst {
		dst[i] = bytes32[uint8(min(float64(float64(v)*255)+byteSlack, 255))]
	}
}
