package onnxrun

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// resizing is what a Resize or Upsample asks for.
type resizing struct {
	axes   []int     // that sizes, scales and region speak of
	size   []int     // of the output, for each axis of the input
	scales []float64 // likewise
	region []float64 // of tf_crop_and_resize: the starts on axes, then the ends, as shares of the input's size
	where  string    // coordinate_transformation_mode
	mode   string    // nearest, linear, cubic
	near   string    // nearest_mode

	cubic   float64 // cubic_coeff_a
	outside bool    // exclude_outside: cubic weights beyond the input do not count
}

// resize multiplies each axis by a matrix of weights that is made from the sizes.
func resize(c *call) *node {
	x := c.x(0)
	d := x.Shape().Dimensions
	r := c.resizing(x)
	room(x.DType(), r.size...)

	for axis, n := range d {
		if r.size[axis] == n && r.scales[axis] == 1 && r.where != "tf_crop_and_resize" {
			continue
		}
		m := r.size[axis]
		table, ok := untrusted.Product(mostConstantBytes/4, m, n)
		need(ok,
			"axis %d from %d to %d elements takes a table of more than %s; resize by smaller steps", axis, n, m, memory.Size(mostConstantBytes))
		c.build.work += float64(table)
		matrix := graph.ConstTensor(c.g, tensors.FromFlatDataAndDimensions(r.weights(axis, n), m, n))
		x = alongAxis(x, graph.ConvertDType(matrix, x.DType()), axis)
	}
	return x
}

// resizing reads the attributes and inputs of a node that resizes x.
func (c *call) resizing(x *node) resizing {
	d := x.Shape().Dimensions
	roiAt, scalesAt, sizesAt := 1, 2, 3
	old := c.n.Op == "Upsample" || c.opset < 11
	if old {
		roiAt, scalesAt, sizesAt = 9, 1, 9
	}

	r := resizing{axes: c.list("axes"), size: slices.Clone(d), scales: make([]float64, len(d))}
	if r.axes == nil {
		for i := range d {
			r.axes = append(r.axes, i)
		}
	}
	positiveAxes(r.axes, len(d))
	for i, a := range r.axes {
		r.axes[i] = axisIn(a, len(d))
	}
	for i := range r.scales {
		r.scales[i] = 1
	}

	if c.has(roiAt) {
		r.region = c.floats(roiAt)
	}
	r.mode, r.where = c.text("mode", "nearest"), c.text("coordinate_transformation_mode", "half_pixel")
	r.near = c.text("nearest_mode", "round_prefer_floor")
	if old {
		r.where, r.near = "asymmetric", c.text("nearest_mode", "floor")
	}
	r.cubic, r.outside = c.float("cubic_coeff_a", -0.75), c.int("exclude_outside", 0) == 1
	need(x.Shape().Size() > 0, "its input of shape %v is empty", d)
	need(r.where != "tf_crop_and_resize" || len(r.region) == 2*len(r.axes),
		"a region of %d numbers for %d axes", len(r.region), len(r.axes))

	if c.has(sizesAt) && len(c.ints(sizesAt)) > 0 {
		r.toSizes(c.ints(sizesAt), d)
	} else {
		r.byScales(c.scales(scalesAt), d)
	}
	for axis, n := range r.size {
		need(n >= 1 && n <= math.MaxInt32, "size %d of axis %d", n, axis)
	}
	return r
}

// scales are those of a resizing: an attribute in the oldest versions.
func (c *call) scales(input int) (list []float64) {
	a := c.n.Attribute("scales")
	if a == nil {
		return c.floats(input)
	}
	for _, v := range a.Floats {
		list = append(list, float64(v))
	}
	return list
}

func (r *resizing) toSizes(sizes, d []int) {
	need(len(sizes) == len(r.axes), "%d sizes for %d axes", len(sizes), len(r.axes))
	for i, v := range sizes {
		a := r.axes[i]
		r.size[a], r.scales[a] = v, float64(v)/float64(d[a])
	}
}

func (r *resizing) byScales(scales []float64, d []int) {
	need(len(scales) == len(r.axes), "%d scales for %d axes", len(scales), len(r.axes))
	for i, v := range scales {
		a := r.axes[i]
		need(v > 0 && v <= math.MaxInt32, "scale %v of axis %d", v, a)
		r.scales[a] = v
		r.size[a] = int(math.Floor(float64(d[a])*v + 1e-6))
		if r.where == "tf_crop_and_resize" {
			r.size[a] = int(math.Floor(float64(d[a]) * (r.region[i+len(r.axes)] - r.region[i]) * v))
		}
	}
}

// weights is the matrix [size of the output, n] of an axis of n elements, laid flat.
func (r *resizing) weights(axis, n int) []float32 {
	m := r.size[axis]
	flat := make([]float32, m*n)
	for i := range m {
		row := flat[i*n : (i+1)*n]
		put := func(j int, v float64) { row[min(max(j, 0), n-1)] += float32(v) }
		at := r.source(axis, n, i)
		switch r.mode {
		case "nearest":
			put(r.nearest(at), 1)
		case "linear", "bilinear":
			j := math.Floor(at)
			put(int(j), 1-(at-j))
			put(int(j)+1, at-j)
		case "cubic":
			r.putCubic(at, n, put)
		default:
			panic(fmt.Errorf("mode %q is not supported", r.mode))
		}
	}
	return flat
}

// source is the place in an axis of n elements that element i of the output takes its value from.
func (r *resizing) source(axis, n, i int) float64 {
	m, scale := r.size[axis], r.scales[axis]
	switch r.where {
	case "half_pixel":
		return (float64(i)+0.5)/scale - 0.5
	case "tf_half_pixel_for_nn":
		return (float64(i) + 0.5) / scale
	case "pytorch_half_pixel":
		if m == 1 {
			return 0
		}
		return (float64(i)+0.5)/scale - 0.5
	case "align_corners":
		if long := float64(n) * scale; m > 1 && long > 1 { // the length before it is rounded
			return float64(i) * float64(n-1) / (long - 1)
		}
		return 0
	case "tf_crop_and_resize":
		return r.cropped(axis, n, i)
	}
	return float64(i) / scale
}

// cropped is source for tf_crop_and_resize.
func (r *resizing) cropped(axis, n, i int) float64 {
	m := r.size[axis]
	j := slices.Index(r.axes, axis)
	low, high := r.region[j], r.region[j+len(r.axes)]
	at := 0.5 * (low + high) * float64(n-1)
	if m > 1 {
		at = low*float64(n-1) + float64(i)*(high-low)*float64(n-1)/float64(m-1)
	}
	if at < 0 || at > float64(n-1) {
		panic(fmt.Errorf("tf_crop_and_resize beyond the image is not supported"))
	}
	return at
}

func (r *resizing) nearest(at float64) int {
	switch r.near {
	case "floor":
		return int(math.Floor(at + 1e-9))
	case "ceil":
		return int(math.Ceil(at))
	case "round_prefer_ceil":
		return int(math.Floor(at + 0.5))
	}
	return int(math.Ceil(at - 0.5))
}

// putCubic gives the four elements around a place Keys' weights, with the coefficient a = r.cubic:
//
//	(a+2) t^3 - (a+3) t^2 + 1      for a distance t of at most 1
//	a t^3 - 5 a t^2 + 8 a t - 4 a  for one of at most 2
func (r *resizing) putCubic(at float64, n int, put func(j int, v float64)) {
	a, j := r.cubic, math.Floor(at)
	total := 0.0
	var parts [4]float64
	for k := range parts {
		t := math.Abs(at - j - float64(k-1))
		v := ((a*t-5*a)*t+8*a)*t - 4*a
		if t <= 1 {
			v = ((a+2)*t-(a+3))*t*t + 1
		}
		if q := int(j) + k - 1; r.outside && (q < 0 || q >= n) {
			v = 0
		}
		parts[k], total = v, total+v
	}

	for k, v := range parts {
		if r.outside {
			v /= total
		}
		put(int(j)+k-1, v)
	}
}

// alongAxis multiplies an axis of x by a matrix [m, n].
func alongAxis(x, matrix *node, axis int) *node {
	y := graph.DotGeneral(x, []int{axis}, nil, matrix, []int{1}, nil)
	perm := make([]int, 0, x.Rank())
	for i := range x.Rank() {
		switch {
		case i < axis:
			perm = append(perm, i)
		case i == axis:
			perm = append(perm, x.Rank()-1)
		default:
			perm = append(perm, i-1)
		}
	}
	return graph.TransposeAllAxes(y, perm...)
}
