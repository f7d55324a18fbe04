package onnxrun

import (
	"math"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/ops"
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
	outside bool    // exclude_outside: weights beyond the input do not count
	smooth  bool    // antialias: where there are fewer elements than before, each is made of all that it stands for
	extra   float64 // extrapolation_value: of what tf_crop_and_resize finds beyond the input
	policy  string  // keep_aspect_ratio_policy
}

// resize multiplies each axis by a matrix of weights that is made from the sizes; of the nearest elements it takes the rows. What
// becomes of integers is computed in floats, the fraction cut off; of bools, what is not 0 is true.
func resize(c *call) *node {
	x := c.x(0)
	d := x.Shape().Dimensions
	r := c.resizing(x)
	shape := room(x.DType(), r.size...)
	if shape.Size() == 0 {
		return graph.Zeros(c.g, shape)
	}
	need(x.Shape().Size() > 0, "its input of shape %v is empty", d)

	y := x
	if r.mode != "nearest" {
		y = interpolated(x)
	}
	for axis, n := range d {
		if r.size[axis] == n && r.scales[axis] == 1 && r.where != "tf_crop_and_resize" {
			continue
		}
		m := r.size[axis]
		if r.mode == "nearest" {
			at := make([]int32, m)
			for i := range at {
				at[i] = int32(min(max(r.nearest(r.source(axis, n, i)), 0), n-1))
			}
			y = viaInt(y, func(y *node) *node { return takeAxis(y, graph.Const(c.g, at), axis) })
			continue
		}

		table, ok := untrusted.Product(mostConstantBytes/y.DType().Size(), m, n)
		need(ok,
			"axis %d from %d to %d elements takes a table of more than %s; resize by smaller steps", axis, n, m, memory.Size(mostConstantBytes))
		c.build.work += float64(table)
		y = alongAxis(y, weightTable(y, r.weights(axis, n), m, n), axis)
	}
	if y.DType() != x.DType() && !x.DType().IsFloat() && x.DType() != dtypes.Bool {
		y = whole(y)
	}
	return viaInt(cast(y, x.DType()), func(y *node) *node { return r.extrapolated(y, d) })
}

// weightTable is a constant [m, n] of the type of x.
func weightTable(x *node, weights []float64, m, n int) *node {
	if x.DType() == dtypes.Float64 {
		return graph.ConstTensor(x.Graph(), tensors.FromFlatDataAndDimensions(weights, m, n))
	}
	narrow := make([]float32, len(weights))
	for i, v := range weights {
		narrow[i] = float32(v)
	}
	return convert(graph.ConstTensor(x.Graph(), tensors.FromFlatDataAndDimensions(narrow, m, n)), x.DType())
}

// whole cuts off the fraction of x, unless it is next to a whole number: of 3 in place of 2.9999 each sum has its own.
func whole(x *node) *node {
	near := ops.Round(x)
	close := graph.LessThan(graph.Abs(graph.Sub(x, near)), scalar(x, 1e-4))
	cut := graph.Where(graph.LessThan(x, graph.ZerosLike(x)), ops.Ceil(x), ops.Floor(x))
	return graph.Where(close, near, cut)
}

// interpolated is x as interpolation takes it.
func interpolated(x *node) *node {
	switch d := x.DType(); {
	case d.IsFloat():
		return ops.Widen(x)
	case d.Size() > 2:
		return convert(x, dtypes.Float64)
	}
	return convert(x, dtypes.Float32)
}

// extrapolated puts extrapolation_value where a cropped region lies beyond the input of dimensions d.
func (r *resizing) extrapolated(y *node, d []int) *node {
	if r.where != "tf_crop_and_resize" {
		return y
	}
	for axis, n := range d {
		beyond, any := make([]bool, r.size[axis]), false
		for i := range beyond {
			at := r.source(axis, n, i)
			beyond[i] = at < 0 || at > float64(n-1)
			any = any || beyond[i]
		}
		if !any {
			continue
		}

		wide := make([]int, len(d))
		for i := range wide {
			wide[i] = 1
		}
		wide[axis] = len(beyond)
		mask := graph.BroadcastToDims(graph.Reshape(graph.Const(y.Graph(), beyond), wide...), y.Shape().Dimensions...)
		y = graph.Where(mask, graph.BroadcastToDims(scalar(y, r.extra), y.Shape().Dimensions...), y)
	}
	return y
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
	r.smooth, r.extra = c.int("antialias", 0) == 1, c.float("extrapolation_value", 0)
	r.policy = c.text("keep_aspect_ratio_policy", "stretch")
	r.check()
	need(r.where != "tf_crop_and_resize" || len(r.region) == 2*len(r.axes),
		"a region of %d numbers for %d axes", len(r.region), len(r.axes))

	if c.has(sizesAt) && len(c.ints(sizesAt)) > 0 {
		r.toSizes(c.ints(sizesAt), d)
	} else {
		r.byScales(c.scales(scalesAt), d)
	}
	for axis, n := range r.size {
		need(n >= 1 && n <= math.MaxInt32 || n == 0 && d[axis] == 0, "size %d of axis %d", n, axis)
	}
	return r
}

// check refuses words that no version of the operator knows.
func (r *resizing) check() {
	one := func(name, value string, of ...string) {
		need(slices.Contains(of, value), "%s %q is not known; there are %s", name, value, strings.Join(of, ", "))
	}
	one("mode", r.mode, "nearest", "linear", "bilinear", "cubic")
	one("nearest_mode", r.near, "round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
	one("keep_aspect_ratio_policy", r.policy, "stretch", "not_larger", "not_smaller")
	one("coordinate_transformation_mode", r.where, "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
		"tf_half_pixel_for_nn", "tf_crop_and_resize")
}

// scales are those of a resizing: an attribute in the oldest versions.
func (c *call) scales(input int) (list []float64) {
	if c.n.Attribute("height_scale") != nil || c.n.Attribute("width_scale") != nil { // of images, in the first version
		return []float64{1, 1, c.float("height_scale", 1), c.float("width_scale", 1)}
	}
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
	need(len(sizes) == len(r.axes) && len(sizes) > 0, "%d sizes for %d axes", len(sizes), len(r.axes))
	for i, v := range sizes {
		a := r.axes[i]
		r.size[a], r.scales[a] = v, float64(v)/float64(max(1, d[a]))
	}
	if r.policy == "stretch" {
		return
	}

	// All axes get the scale of one: the smallest, or the largest.
	scale := r.scales[r.axes[0]]
	for _, a := range r.axes[1:] {
		if r.policy == "not_larger" {
			scale = min(scale, r.scales[a])
		} else {
			scale = max(scale, r.scales[a])
		}
	}
	for _, a := range r.axes {
		r.size[a], r.scales[a] = int(math.Floor(scale*float64(d[a])+0.5)), scale
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
func (r *resizing) weights(axis, n int) []float64 {
	m := r.size[axis]
	flat := make([]float64, m*n)
	for i := range m {
		row := flat[i*n : (i+1)*n]
		put := func(j int, v float64) { row[min(max(j, 0), n-1)] += v }
		at := r.source(axis, n, i)
		switch {
		case r.smooth && r.scales[axis] < 1:
			r.putSmooth(at, r.scales[axis], n, put)
		case r.mode == "cubic":
			r.putCubic(at, n, put)
		case r.outside && (at < 0 || at > float64(n-1)): // one of two neighbours, the other does not count
			put(int(math.Round(at)), 1)
		default:
			j := math.Floor(at)
			put(int(j), 1-(at-j))
			put(int(j)+1, at-j)
		}
	}
	return flat
}

// putSmooth gives the elements within reach of a place the weights of linear or cubic interpolation, the distances counted in steps of
// the output.
func (r *resizing) putSmooth(at, scale float64, n int, put func(j int, v float64)) {
	reach, weigh := 1.0, func(t float64) float64 { return max(0, 1-t) }
	if r.mode == "cubic" {
		reach, weigh = 2, r.keys
	}

	from := int(math.Floor(at)) + int(math.Floor(-reach/scale)) + 1
	to := int(math.Floor(at)) + 2 - (int(math.Floor(-reach/scale)) + 1)
	total := 0.0
	var parts []float64
	for j := from; j < to; j++ {
		v := weigh(scale * math.Abs(float64(j)-at))
		if r.outside && (j < 0 || j >= n) {
			v = 0
		}
		parts, total = append(parts, v), total+v
	}
	for k, v := range parts {
		put(from+k, v/total)
	}
}

// source is the place in an axis of n elements that element i of the output takes its value from.
func (r *resizing) source(axis, n, i int) float64 {
	m, scale := r.size[axis], r.scales[axis]
	switch r.where {
	case "half_pixel":
		return (float64(i)+0.5)/scale - 0.5
	case "half_pixel_symmetric": // the same on both sides where the size was rounded
		return float64(n)/2*(1-float64(m)/(float64(n)*scale)) + (float64(i)+0.5)/scale - 0.5
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
	if j < 0 {
		return float64(i)
	}
	low, high := r.region[j], r.region[j+len(r.axes)]
	at := 0.5 * (low + high) * float64(n-1)
	if m > 1 {
		at = low*float64(n-1) + float64(i)*(high-low)*float64(n-1)/float64(m-1)
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

// putCubic gives the four elements around a place Keys' weights.
func (r *resizing) putCubic(at float64, n int, put func(j int, v float64)) {
	j := math.Floor(at)
	total := 0.0
	var parts [4]float64
	for k := range parts {
		v := r.keys(math.Abs(at - j - float64(k-1)))
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

// keys is Keys' weight at a distance t, with the coefficient a = r.cubic:
//
//	(a+2) t^3 - (a+3) t^2 + 1      for a distance of at most 1
//	a t^3 - 5 a t^2 + 8 a t - 4 a  for one of at most 2
func (r *resizing) keys(t float64) float64 {
	a := r.cubic
	switch {
	case t <= 1:
		return ((a+2)*t-(a+3))*t*t + 1
	case t < 2:
		return ((a*t-5*a)*t+8*a)*t - 4*a
	}
	return 0
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
