package corrupt

import "math"

// Elastic stretches the image like rubber: three points near the middle are moved and the image with them (affine, bilinear, mirrored
// without the edge), then every pixel is taken from a place that a smooth random field gives (bilinear, mirrored with the edge).
//
// The constants of ImageNet-C are multiples of 244, a slip of the published program for 224 that its images have.
type Elastic struct {
	Levels []Rubber `json:"levels,omitempty"` // by severity; nil = those of ImageNet-C
}

// Rubber is one severity of Elastic, in pixels.
type Rubber struct {
	Amplitude float64 `json:"amplitude"` // of the field: that many times a Gaussian mean of U(-1, 1)
	Sigma     float64 `json:"sigma"`     // deviation of that Gaussian, which is cut after three
	Affine    float64 `json:"affine"`    // how far the three points move, at most, each way
}

var _ Shift = Elastic{}

// Of ImageNet-C and CIFAR-10-C, arXiv 1903.12261.
var (
	rubber       = rubbers(244, [Severities]Rubber{{2, 0.7, 0.1}, {2, 0.08, 0.2}, {0.05, 0.01, 0.02}, {0.07, 0.01, 0.02}, {0.12, 0.01, 0.02}})
	elasticCIFAR = rubbers(32, [Severities]Rubber{{0, 0, 0.08}, {0.05, 0.2, 0.07}, {0.08, 0.06, 0.06}, {0.1, 0.04, 0.05}, {0.1, 0.03, 0.03}})
)

// rubbers are levels given as shares of a side.
func rubbers(side float64, levels [Severities]Rubber) [Severities]Rubber {
	for i, l := range levels {
		levels[i] = Rubber{float64(side * l.Amplitude), float64(side * l.Sigma), float64(side * l.Affine)}
	}
	return levels
}

// Name is elastic.
func (Elastic) Name() string { return "elastic" }

// Apply stretches the image.
func (e Elastic) Apply(dst, src []float32, shape []int, severity int, seed uint64, index int) {
	r := stream(seed, e.Name(), severity, index)
	level := at(e.Name(), e.Levels, rubber, severity)
	var moves [6]float64
	for i := range moves {
		moves[i] = between(r, -level.Affine, level.Affine)
	}
	p := read(src, shape)
	p = p.affine(points(shape), moves)
	if level.Amplitude == 0 {
		p.write(dst)
		return
	}

	fields := [2][]float64{make([]float64, shape[0]*shape[1]), make([]float64, shape[0]*shape[1])}
	for _, field := range fields {
		for i := range field {
			field[i] = between(r, -1, 1)
		}
	}
	p.displaced(level.Displacement(fields[0], shape), level.Displacement(fields[1], shape)).write(dst)
}

// Displacement makes a field [height, width] of given draws from U(-1, 1).
func (l Rubber) Displacement(uniform []float64, shape []int) []float64 {
	p := planes{shape[0], shape[1], 1, uniform}
	out := p.blur(l.Sigma, 3, mirror)
	moved := make([]float64, len(uniform))
	for i, v := range out.v {
		moved[i] = float64(v * l.Amplitude)
	}
	return moved
}

// Displace takes every pixel from the place dx columns and dy rows, [height, width] each, away: bilinear, mirrored with the edge.
func Displace(dst, src []float32, shape []int, dx, dy []float64) {
	read(src, shape).displaced(dx, dy).write(dst)
}

func (p planes) displaced(dx, dy []float64) planes {
	out := newPlanes(p.height, p.width, p.channels)
	for y := range p.height {
		for x := range p.width {
			i := y*p.width + x
			p.sample(out.v[i*p.channels:(i+1)*p.channels], float64(y)+dy[i], float64(x)+dx[i], mirror)
		}
	}
	return out
}

// sample is the bilinear mean of the four pixels around a place.
func (p planes) sample(dst []float64, y, x float64, outside border) {
	top, left := math.Floor(y), math.Floor(x)
	down, across := y-top, x-left
	y0, x0 := outside(int(top), p.height), outside(int(left), p.width)
	y1, x1 := outside(int(top)+1, p.height), outside(int(left)+1, p.width)
	a := p.v[(y0*p.width+x0)*p.channels:]
	b := p.v[(y0*p.width+x1)*p.channels:]
	c := p.v[(y1*p.width+x0)*p.channels:]
	d := p.v[(y1*p.width+x1)*p.channels:]
	for ch := range dst {
		above := float64(a[ch]*(1-across)) + float64(b[ch]*across)
		below := float64(c[ch]*(1-across)) + float64(d[ch]*across)
		dst[ch] = float64(above*(1-down)) + float64(below*down)
	}
}

// points are the three that are moved, as (x, y): the middle and a third of the shorter side, to and fro. Rows and columns of the middle
// stand for x and y, as in the published program; it makes no difference to a square.
func points(shape []int) [6]float64 {
	first, second := float64(shape[0]/2), float64(shape[1]/2)
	apart := float64(min(shape[0], shape[1]) / 3)
	return [6]float64{first + apart, second + apart, first + apart, second - apart, first - apart, second - apart}
}

// affine moves three points of the image, and all else with them. The image is left as it is where they stand on one line, as those of
// one that is less than three pixels high or wide do.
func (p planes) affine(from, moves [6]float64) planes {
	// The way back, from places of the result to those of the image: with the moved points as a basis.
	var to [6]float64
	for i := range to {
		to[i] = from[i] + moves[i]
	}
	ax, ay, bx, by := to[2]-to[0], to[3]-to[1], to[4]-to[0], to[5]-to[1]
	area := float64(ax*by) - float64(bx*ay)
	if area == 0 || from[0] == from[4] {
		return p
	}
	fax, fay, fbx, fby := from[2]-from[0], from[3]-from[1], from[4]-from[0], from[5]-from[1]
	out := newPlanes(p.height, p.width, p.channels)
	for y := range p.height {
		for x := range p.width {
			cx, cy := float64(x)-to[0], float64(y)-to[1]
			a := (float64(cx*by) - float64(bx*cy)) / area
			b := (float64(ax*cy) - float64(cx*ay)) / area
			i := (y*p.width + x) * p.channels
			p.sample(out.v[i:i+p.channels], from[1]+float64(a*fay)+float64(b*fby), from[0]+float64(a*fax)+float64(b*fbx), mirror101)
		}
	}
	return out
}
