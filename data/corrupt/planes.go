package corrupt

// planes is an image while it is worked on: height x width pixels of some channels, row after row, in float64.
type planes struct {
	height, width, channels int
	v                       []float64
}

// newPlanes is a black image.
func newPlanes(height, width, channels int) planes {
	return planes{height, width, channels, make([]float64, height*width*channels)}
}

// read takes an image of float32 over: see exact.
func read(src []float32, shape []int) planes {
	p := newPlanes(shape[0], shape[1], shape[2])
	for i, v := range src {
		p.v[i] = exact(v)
	}
	return p
}

// write clips the image to [0,1] and hands it back.
func (p planes) write(dst []float32) {
	for i, v := range p.v {
		dst[i] = clip(v)
	}
}

// row is one row of pixels.
func (p planes) row(y int) []float64 {
	n := p.width * p.channels
	return p.v[y*n : (y+1)*n]
}

// bytes32 are k/255 as an image of bytes has them in float32, bytes64 as code that works in float64 has them.
var bytes32, bytes64 = byteValues()

func byteValues() (narrow [256]float32, wide [256]float64) {
	for k := range 256 {
		narrow[k], wide[k] = float32(k)/255, float64(k)/255
	}
	return narrow, wide
}

// exact is a value in float64; what is a byte divided by 255 is that to the last digit. float32 holds k/255 with an error that, where a
// method cuts to bytes on its way, makes k-1 of one byte in three.
func exact(v float32) float64 {
	if k, ok := byteOf(v); ok {
		return bytes64[k]
	}
	return float64(v)
}

// byteOf is the byte that a value is 1/255 of, if it is one.
func byteOf(v float32) (k int, ok bool) {
	if !(v >= 0 && v <= 1) {
		return 0, false
	}
	k = int(v*255 + 0.5)
	return k, bytes32[k] == v
}

// nearestByte is the byte closest to a value of [0,1].
func nearestByte(v float32) uint8 {
	if v >= 0 && v <= 1 {
		return uint8(float64(float64(v)*255) + 0.5)
	}
	return uint8(min(max(float64(float64(v)*255), 0), 255) + 0.5)
}

// cutByte is the byte of a value of [0,1] on the scale to 255, cut towards zero as uint8() does.
func cutByte(v float64) uint8 { return uint8(min(max(float64(v*255), 0), 255)) }
