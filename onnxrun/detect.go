package onnxrun

import (
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
)

// box is a rectangle by its ends.
type box struct{ y0, x0, y1, x1 float32 }

// overlap is the area that two boxes share over that of both together.
func (a box) overlap(b box) float32 {
	h, w := min(a.y1, b.y1)-max(a.y0, b.y0), min(a.x1, b.x1)-max(a.x0, b.x0)
	if h <= 0 || w <= 0 {
		return 0
	}
	area := func(r box) float32 { return (r.y1 - r.y0) * (r.x1 - r.x0) }
	one, other := area(a), area(b)
	if one <= 0 || other <= 0 {
		return 0
	}
	return h * w / (one + other - h*w)
}

// nonMaxSuppression picks, for each example and class, boxes in the order of their scores that overlap none picked before by more
// than a threshold: rows of example, class and box.
func nonMaxSuppression(c *call) []*tensors.Tensor {
	d, s := c.dims(0), c.dims(1)
	need(len(d) == 3 && d[2] == 4 && len(s) == 3 && s[0] == d[0] && s[2] == d[1],
		"boxes %v and scores %v, want [examples, boxes, 4] and [examples, classes, boxes]", d, s)
	most := 0
	if c.has(2) {
		most = c.intAt(2)
	}
	threshold, least := 0.0, math.Inf(-1)
	if c.has(3) {
		threshold = c.floatAt(3)
	}
	if c.has(4) {
		least = c.floatAt(4)
	}
	need(threshold >= 0 && threshold <= 1, "iou_threshold %v, want 0 to 1", threshold)
	center := c.int("center_point_box", 0)
	need(center == 0 || center == 1, "center_point_box %d, want 0 or 1", center)
	boxes, scores := c.boxes(center == 1), c.floats(1)

	var rows []int
	for e := range d[0] {
		for class := range s[1] {
			row := scores[(e*s[1]+class)*d[1] : (e*s[1]+class+1)*d[1]]
			for _, i := range c.suppress(boxes[e*d[1]:(e+1)*d[1]], row, most, float32(threshold), least) {
				rows = append(rows, e, class, i)
			}
		}
	}
	return []*tensors.Tensor{int64s(rows, len(rows)/3, 3)}
}

// boxes are input 0: two corners in any order, or centre and sizes as x, y, width, height.
func (c *call) boxes(center bool) (out []box) {
	v := c.floats(0)
	for i := 0; i+4 <= len(v); i += 4 {
		p := [4]float32{float32(v[i]), float32(v[i+1]), float32(v[i+2]), float32(v[i+3])}
		b := box{min(p[0], p[2]), min(p[1], p[3]), max(p[0], p[2]), max(p[1], p[3])}
		if center {
			b = box{p[1] - p[3]/2, p[0] - p[2]/2, p[1] + p[3]/2, p[0] + p[2]/2}
		}
		out = append(out, b)
	}
	return out
}

// suppress is nonMaxSuppression of one class.
func (c *call) suppress(boxes []box, scores []float64, most int, threshold float32, least float64) (picked []int) {
	var order []int
	for i, v := range scores {
		if v > least {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		}
		return 0
	})
	for _, i := range order {
		if len(picked) >= most {
			break
		}
		c.gone(len(picked) + 1)
		if !slices.ContainsFunc(picked, func(j int) bool { return boxes[i].overlap(boxes[j]) > threshold }) {
			picked = append(picked, i)
		}
	}
	return picked
}

// sample is a value of a map [height, width] between its elements.
type sample struct {
	at     [4]int
	weight [4]float64
	out    bool // beyond the map by more than an element: 0
}

// between is a sample at y and x; up to an element beyond the map the value at its end counts.
func between(y, x float64, height, width int) (s sample) {
	if y < -1 || y > float64(height) || x < -1 || x > float64(width) || math.IsNaN(y+x) {
		s.out = true
		return s
	}
	y0, y1, ly := lowHigh(y, height)
	x0, x1, lx := lowHigh(x, width)
	s.at = [4]int{y0*width + x0, y0*width + x1, y1*width + x0, y1*width + x1}
	s.weight = [4]float64{(1 - ly) * (1 - lx), (1 - ly) * lx, ly * (1 - lx), ly * lx}
	return s
}

// lowHigh are the elements around a place of an axis, and the share of the second.
func lowHigh(v float64, n int) (low, high int, share float64) {
	v = max(v, 0)
	low = int(v)
	if low >= n-1 {
		return n - 1, n - 1, 0
	}
	return low, low + 1, v - float64(low)
}

// roiAlign averages, or takes the largest of, samples of each part of regions of a map.
func roiAlign(c *call) []*tensors.Tensor {
	d, r := c.dims(0), c.dims(1)
	need(len(d) == 4 && len(r) == 2 && r[1] == 4 && c.in[2].shape().Size() == r[0] && volumeOf(d) > 0,
		"maps %v and regions %v, want [examples, channels, height, width] and [regions, 4] with an example for each", d,
		r)
	high, wide, ratio := c.int("output_height", 1), c.int("output_width", 1), c.int("sampling_ratio", 0)
	need(high >= 1 && wide >= 1 && ratio >= 0, "output_height %d, output_width %d, sampling_ratio %d", high, wide,
		ratio)
	mode := c.text("mode", "avg")
	need(mode == "avg" || mode == "max", "mode %q is not known", mode)
	half := 0.5
	if c.opset < 16 || c.text("coordinate_transformation_mode", "half_pixel") == "output_half_pixel" {
		half = 0
	}
	way := c.text("coordinate_transformation_mode", "half_pixel")
	need(way == "half_pixel" || way == "output_half_pixel", "coordinate_transformation_mode %q is not known", way)

	shape := room(c.dtype(0), r[0], d[1], high, wide)
	x, regions, scale := c.floats(0), c.floats(1), c.float("spatial_scale", 1)
	y := make([]float64, 0, shape.Size())
	for i, example := range c.ints(2) {
		need(example >= 0 && example < d[0], "region %d is of example %d of %d", i, example, d[0])
		p := regions[4*i : 4*i+4]
		x0, y0 := p[0]*scale-half, p[1]*scale-half
		w, h := p[2]*scale-half-x0, p[3]*scale-half-y0
		if half == 0 {
			w, h = max(w, 1), max(h, 1)
		}
		part := regionParts{y0, x0, h / float64(high), w / float64(wide), ratio, mode == "max"}
		for channel := range d[1] {
			m := x[(example*d[1]+channel)*d[2]*d[3]:][:d[2]*d[3]]
			for j := range high * wide {
				y = append(y, part.of(c, m, d[2], d[3], j/wide, j%wide))
			}
		}
	}
	return []*tensors.Tensor{made(c.dtype(0), y, shape.Dimensions...)}
}

// regionParts is a region of a map, cut into parts.
type regionParts struct {
	y0, x0, high, wide float64 // its start, and the size of a part
	ratio              int     // samples along each axis of a part; 0 for as many as the part has elements
	largest            bool
}

func (r regionParts) of(c *call, m []float64, height, width, i, j int) float64 {
	ny, nx := r.ratio, r.ratio
	if r.ratio == 0 {
		ny, nx = int(math.Ceil(r.high)), int(math.Ceil(r.wide))
	}
	need(ny <= 1<<15 && nx <= 1<<15, "a part of a region of %v by %v elements", r.high, r.wide)
	ny, nx = max(ny, 0), max(nx, 0)
	c.gone(ny*nx + 1)
	sum, best := 0.0, math.Inf(-1)
	for a := range ny {
		for b := range nx {
			y := r.y0 + float64(i)*r.high + (float64(a)+0.5)*r.high/float64(ny)
			x := r.x0 + float64(j)*r.wide + (float64(b)+0.5)*r.wide/float64(nx)
			s := between(y, x, height, width)
			top := math.Inf(-1)
			for k, at := range s.at {
				v := s.weight[k] * m[at]
				sum += v
				top = max(top, v)
			}
			if s.out {
				top = 0
			}
			best = max(best, top)
		}
	}
	switch n := ny * nx; {
	case n == 0:
		return 0
	case r.largest:
		return best
	default:
		return sum / float64(n)
	}
}

// maxRoiPool takes the largest element of each part of regions of a map.
func maxRoiPool(c *call) []*tensors.Tensor {
	d, r, pooled := c.dims(0), c.dims(1), c.list("pooled_shape")
	need(len(d) == 4 && len(r) == 2 && r[1] == 5 && len(pooled) == 2 && pooled[0] >= 1 && pooled[1] >= 1,
		"maps %v, regions %v and pooled_shape %v, want [examples, channels, height, width], [regions, 5] and two sizes",
		d, r, pooled)
	shape := room(c.dtype(0), r[0], d[1], pooled[0], pooled[1])
	x, regions, scale := c.floats(0), c.floats(1), c.float("spatial_scale", 1)
	y := make([]float64, 0, shape.Size())
	for i := range r[0] {
		p := regions[5*i : 5*i+5]
		example := int(p[0])
		need(p[0] >= 0 && example < d[0], "region %d is of example %v of %d", i, p[0], d[0])
		at := func(k int) float64 { return math.Round(p[k] * scale) }
		high, wide := max(at(4)-at(2)+1, 1)/float64(pooled[0]), max(at(3)-at(1)+1, 1)/float64(pooled[1])
		limits := func(start, size float64, k, n int) (int, int) {
			from, to := math.Floor(float64(k)*size)+start, math.Ceil(float64(k+1)*size)+start
			return int(min(max(from, 0), float64(n))), int(min(max(to, 0), float64(n)))
		}
		for channel := range d[1] {
			m := x[(example*d[1]+channel)*d[2]*d[3]:][:d[2]*d[3]]
			for j := range pooled[0] * pooled[1] {
				h0, h1 := limits(at(2), high, j/pooled[1], d[2])
				w0, w1 := limits(at(1), wide, j%pooled[1], d[3])
				c.gone(max(h1-h0, 0)*max(w1-w0, 0) + 1)
				best, some := math.Inf(-1), false
				for h := h0; h < h1; h++ {
					for w := w0; w < w1; w++ {
						best, some = max(best, m[h*d[3]+w]), true
					}
				}
				if !some {
					best = 0
				}
				y = append(y, best)
			}
		}
	}
	return []*tensors.Tensor{made(c.dtype(0), y, shape.Dimensions...)}
}
