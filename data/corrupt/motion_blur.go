package corrupt

import "math"

// MotionBlur is a camera that moves while the shutter is open: each pixel is a mean of those along a line that starts at it, with weights
// of one side of a Gaussian. The edge is repeated. The angle is drawn from U(-45, 45) degrees for each example and severity.
//
// ImageNet-C used ImageMagick, whose blur is recalled here, not copied: results are not bit for bit those of the published images.
type MotionBlur struct {
	Levels []Motion `json:"levels,omitempty"` // by severity; nil = those of ImageNet-C
}

// Motion is a movement along 2 Radius + 1 pixels.
type Motion struct {
	Radius int     `json:"radius"`
	Sigma  float64 `json:"sigma"` // deviation of the Gaussian, in pixels
}

var _ Shift = MotionBlur{}

// Of ImageNet-C and CIFAR-10-C, arXiv 1903.12261.
var (
	motion      = [Severities]Motion{{10, 3}, {15, 5}, {15, 8}, {15, 12}, {20, 15}}
	motionCIFAR = [Severities]Motion{{6, 1}, {6, 1.5}, {6, 2}, {8, 2}, {9, 2.5}}
)

// Name is motion-blur.
func (MotionBlur) Name() string { return "motion-blur" }

// Apply blurs the image.
func (m MotionBlur) Apply(dst, src []float32, shape []int, severity int, seed uint64, index int) {
	r := stream(seed, m.Name(), severity, index)
	level := at(m.Name(), m.Levels, motion, severity)
	level.along(read(src, shape), between(r, -45, 45)).write(dst)
}

// With is MotionBlur at one severity along a given angle in degrees, between -180 and 180: 0 moves along rows to the right, 90 down.
func (m Motion) With(dst, src []float32, shape []int, degrees float64) {
	m.along(read(src, shape), degrees).write(dst)
}

// along blurs an image.
func (m Motion) along(p planes, degrees float64) planes {
	taps := 2*m.Radius + 1
	weights, total := make([]float64, taps), 0.0
	for k := range weights {
		weights[k] = exponential(float64(-k*k) / float64(2*float64(m.Sigma*m.Sigma)))
		total += weights[k]
	}
	rows, columns := make([]int, taps), make([]int, taps)
	for k := range weights {
		weights[k] /= total
		columns[k] = int(math.Floor(float64(float64(k)*cosine(degrees)) + 0.5))
		rows[k] = int(math.Floor(float64(float64(k)*sine(degrees)) + 0.5))
	}

	// All rows with the edge repeated on both sides, so that every tap is a row moved along.
	margin := taps - 1
	wide := newPlanes(p.height, p.width+2*margin, p.channels)
	for y := range p.height {
		p.widened(wide.row(y), y, margin, nearest)
	}
	out := newPlanes(p.height, p.width, p.channels)
	for y := range p.height {
		s := sum{acc: out.row(y)}
		for k, w := range weights {
			s.add(wide.row(nearest(y+rows[k], p.height))[(margin+columns[k])*p.channels:], w)
		}
		s.end()
	}
	return out
}
