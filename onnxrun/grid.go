package onnxrun

import (
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/ops"
)

// tap is an element of an axis that counts for a sample: its place, as int32, and its weight. there is false where it is not in the map.
type tap struct{ at, weight, there *node }

// gridSample takes values of maps [batch, channels, ...] at places that a grid [batch, ..., axes] names, from -1 to 1, the last axis
// first.
func gridSample(c *call) *node {
	x, grid := c.x(0), c.x(1)
	d, gd := x.Shape().Dimensions, grid.Shape().Dimensions
	n := len(d) - 2
	need(n >= 1 && n <= 3 && len(gd) == len(d) && gd[0] == d[0] && gd[len(gd)-1] == n, "maps %v and a grid %v", d, gd)
	mode := map[string]string{"bilinear": "linear", "linear": "linear", "bicubic": "cubic", "cubic": "cubic",
		"nearest": "nearest"}[c.text("mode", "linear")]
	padding := c.text("padding_mode", "zeros")
	need(mode != "", "mode %q is not known", c.text("mode", ""))
	need(slices.Contains([]string{"zeros", "border", "reflection"}, padding), "padding_mode %q is not known", padding)
	places := volumeOf(gd[1 : len(gd)-1])
	shape := room(x.DType(), append([]int{d[0], d[1]}, gd[1:len(gd)-1]...)...)
	if shape.Size() == 0 {
		return graph.Zeros(c.g, shape)
	}
	need(x.Shape().Size() > 0, "its maps of shape %v are empty", d)
	indexable(d...)
	taps := make([][]tap, n)
	flatGrid := graph.Reshape(ops.Widen(grid), d[0], places, n)
	c.parts(map[string]int{"nearest": 40, "linear": 80, "cubic": 400}[mode] * n)
	for i := range n {
		at := graph.Squeeze(cutAxis(flatGrid, 2, n-1-i, n-i, 1), 2)
		taps[i] = axisTaps(at, d[2+i], mode, padding, c.int("align_corners", 0) == 1)
	}

	// [batch, elements, channels], so that a row is all channels of a place.
	rows := graph.TransposeAllAxes(graph.Reshape(x, d[0], d[1], volumeOf(d[2:])), 0, 2, 1)
	switch {
	case x.DType().IsFloat():
		rows = ops.Widen(rows)
	case mode != "nearest": // between elements there are fractions, which are cut off; of bools, what is not 0 is true
		rows = interpolated(rows)
	}
	y := graph.TransposeAllAxes(sampleRows(rows, taps, d[2:], mode == "nearest"), 0, 2, 1)
	switch {
	case x.DType().IsFloat():
		y = convert(y, x.DType())
	case y.DType() != x.DType() && x.DType() != dtypes.Bool:
		y = cast(whole(y), x.DType())
	default:
		y = cast(y, x.DType())
	}
	return graph.Reshape(y, shape.Dimensions...)
}

// sampleRows adds up the rows that all combinations of taps name, each by the product of its weights.
func sampleRows(rows *node, taps [][]tap, size []int, plain bool) (sum *node) {
	d := rows.Shape().Dimensions
	var walk func(axis int, at, weight *node)
	walk = func(axis int, at, weight *node) {
		if axis == len(taps) {
			part := ops.GatherBatch(rows, at, 1)
			dims := part.Shape().Dimensions
			if weight != nil {
				w := graph.BroadcastToDims(graph.ExpandAxes(weight, 2), dims...)
				if plain {
					part = graph.Where(graph.GreaterThan(w, scalar(w, 0)), part, graph.ZerosLike(part))
				} else {
					part = graph.Mul(part, convert(w, part.DType()))
				}
			}
			if sum == nil {
				sum = part
			} else {
				sum = graph.Add(sum, part)
			}
			return
		}
		for _, t := range taps[axis] {
			next, w := t.at, t.weight
			if at != nil {
				next = graph.Add(times(at, float64(size[axis])), next)
			}
			if t.there != nil {
				w = graph.Where(t.there, w, graph.ZerosLike(w))
			}
			if weight != nil {
				w = graph.Mul(weight, w)
			}
			walk(axis+1, next, w)
		}
	}
	need(d[0] > 0, "no examples")
	walk(0, nil, nil)
	return sum
}

// axisTaps are the elements of an axis of size elements that count for places from -1 to 1.
func axisTaps(at *node, size int, mode, padding string, corners bool) []tap {
	low, high := -0.5, float64(size)-0.5
	v := times(plus(times(plus(at, 1), float64(size)), -1), 0.5)
	if corners {
		low, high = 0, float64(size-1)
		v = times(times(plus(at, 1), 0.5), float64(size-1))
	}
	if mode == "nearest" {
		v = ops.Round(v)
	}
	switch {
	case padding == "border" && mode != "cubic": // whose weights are those of the place beyond, of elements at the end
		v = hard(v, 0, float64(size-1))
	case padding == "reflection":
		v = graph.Where(graph.LogicalOr(graph.LessThan(v, scalar(v, low)), graph.GreaterThan(v, scalar(v, high))),
			mirrored(v, low, high), v)
	}

	whole := v
	var weights []*node
	first := 0
	switch mode {
	case "nearest":
		weights = []*node{graph.OnesLike(v)}
	case "linear":
		whole = ops.Floor(v)
		r := graph.Sub(v, whole)
		weights = []*node{plus(graph.Neg(r), 1), r}
	case "cubic":
		whole = ops.Floor(v)
		weights, first = cubicWeights(graph.Sub(v, whole)), -1
	}
	var taps []tap
	for i, w := range weights {
		place := plus(whole, float64(first+i))
		t := tap{weight: w}
		switch padding {
		case "zeros":
			t.there = graph.LogicalAnd(graph.GreaterOrEqual(place, scalar(place, 0)), graph.LessOrEqual(place,
				scalar(place, float64(size-1))))
		case "reflection":
			outside := graph.LogicalOr(graph.LessThan(place, scalar(place, low)), graph.GreaterThan(place, scalar(place,
				high)))
			place = graph.Where(outside, mirrored(place, low, high), place)
		}
		t.at = convert(hard(place, 0, float64(size-1)), dtypes.Int32)
		taps = append(taps, t)
	}
	return taps
}

// mirrored is v turned back at both ends as often as it takes.
func mirrored(v *node, low, high float64) *node {
	long := high - low
	if long <= 0 {
		return plus(times(v, 0), low)
	}
	m := ops.Mod(plus(v, -low), scalar(v, 2*long))
	back := plus(graph.Neg(m), 2*long)
	return plus(graph.Min(m, back), low)
}

// cubicWeights are those of the four elements around a place, by its distance r from the second.
//
// Source: Keys, Cubic convolution interpolation for digital image processing, 1981, with a = -0.75.
func cubicWeights(r *node) []*node {
	const a = -0.75
	near := func(t *node) *node { // |t| <= 1
		return plus(graph.Mul(graph.Mul(plus(times(t, a+2), -(a+3)), t), t), 1)
	}
	far := func(t *node) *node { // 1 < |t| < 2
		return plus(graph.Mul(plus(graph.Mul(plus(times(t, a), -5*a), t), 8*a), t), -4*a)
	}
	s := plus(graph.Neg(r), 1)
	return []*node{far(plus(r, 1)), near(r), near(s), far(plus(s, 1))}
}

// affineGrid are the places from -1 to 1 of maps of a size, each moved by a matrix.
func affineGrid(c *call) *node {
	theta, size := c.x(0), c.ints(1)
	n := len(size) - 2
	d := theta.Shape().Dimensions
	need((n == 2 || n == 3) && len(d) == 3 && d[0] == size[0] && d[1] == n && d[2] == n+1, "matrices %v for maps of %s",
		d, dimsText(size))
	for _, s := range size {
		need(s >= 1 && s <= math.MaxInt32, "maps of %s", dimsText(size))
	}
	shape := room(dtypes.Float64, slices.Concat(size[:1], size[2:], []int{n})...)
	places := volumeOf(size[2:])
	need(places <= mostConstantBytes/8/(n+1), "maps of %s take a table of more than %d places", dimsText(size),
		mostConstantBytes/8/(n+1))
	base := make([]float64, 0, places*(n+1))
	for p := range places {
		point := make([]float64, n+1)
		point[n] = 1
		for i, rest := n-1, p; i >= 0; i-- {
			k, s := rest%size[2+i], size[2+i]
			rest /= s
			v := (2*float64(k) + 1 - float64(s)) / float64(s)
			if c.int("align_corners", 0) == 1 {
				v = (2*float64(k) + 1 - float64(s)) / max(float64(s-1), 1)
			}
			point[n-1-i] = v
		}
		base = append(base, point...)
	}
	wide := ops.Widen(theta)
	table := convert(graph.ConstTensor(c.g, tensors.FromFlatDataAndDimensions(base, places, n+1)),
		wide.DType())
	y := graph.DotGeneral(wide, []int{2}, nil, table, []int{1}, nil) // [batch, axes, places]
	return convert(graph.Reshape(graph.TransposeAllAxes(y, 0, 2, 1), shape.Dimensions...), theta.DType())
}

func gridOps() map[string]operator {
	return map[string]operator{
		"GridSample":               one(gridSample).takes("mode", "padding_mode", "align_corners"),
		"AffineGrid":               one(affineGrid).takes("align_corners"),
		"com.microsoft.GridSample": one(gridSample).takes("mode", "padding_mode", "align_corners"),
	}
}
