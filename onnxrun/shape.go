package onnxrun

import (
	"math"
	"math/bits"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/ops"
)

func reshape(c *call) *node {
	x := c.x(0)
	dims := slices.Clone(c.axes("shape", 1))
	have := x.Shape().Dimensions
	open := -1
	var others []int
	for i, d := range dims {
		switch {
		case d == -1:
			need(open < 0, "shape %s: more than one -1", dimsText(dims))
			open = i
			continue
		case d == 0 && c.int("allowzero", 0) == 0:
			need(i < len(have),
				"shape %s: place %d is 0, which copies a dimension, and the input has %d", dimsText(dims), i, len(have))
			dims[i] = have[i]
		}
		need(dims[i] >= 0, "shape %s: %d is not a size", dimsText(dims), dims[i])
		others = append(others, dims[i])
	}

	size := x.Shape().Size()
	rest, ok := untrusted.Product(math.MaxInt, others...)
	if open >= 0 {
		need(ok && (rest > 0 && size%rest == 0 || rest == 0 && size == 0),
			"%d elements of %v do not make the shape %s", size, have, dimsText(dims))
		dims[open] = size / max(rest, 1)
	} else {
		need(ok && rest == size, "%d elements of %v do not make the shape %s", size, have, dimsText(dims))
	}
	return graph.Reshape(x, dims...)
}

func unsqueeze(c *call) *node {
	x, axes := c.x(0), c.axes("axes", 1)
	axes = positiveAxes(axes, x.Rank()+len(axes))
	dims := slices.Clone(x.Shape().Dimensions)
	for _, a := range axes {
		dims = slices.Insert(dims, a, 1)
	}
	return graph.Reshape(x, dims...)
}

func squeeze(c *call) *node {
	x, axes := c.x(0), c.axes("axes", 1)
	given := c.n.Attribute("axes") != nil || c.has(1)
	axes = positiveAxes(axes, x.Rank())
	var dims []int
	for i, d := range x.Shape().Dimensions {
		if given && slices.Contains(axes, i) || !given && d == 1 {
			need(d == 1, "axis %d has %d elements and cannot be left out", i, d)
			continue
		}
		dims = append(dims, d)
	}
	return graph.Reshape(x, dims...)
}

func flattenFrom(x *node, axis int) *node {
	need(axis >= -x.Rank() && axis <= x.Rank(), "axis %d of %d", axis, x.Rank())
	if axis < 0 {
		axis += x.Rank()
	}
	a, b := 1, 1
	for i, d := range x.Shape().Dimensions {
		if i < axis {
			a *= d
		} else {
			b *= d
		}
	}
	return graph.Reshape(x, a, b)
}

func permute(c *call) *node {
	x, perm := c.x(0), c.list("perm")
	if perm == nil {
		for i := x.Rank() - 1; i >= 0; i-- {
			perm = append(perm, i)
		}
	}
	order := positiveAxes(perm, x.Rank())
	need(len(order) == x.Rank(), "perm %v of %d dimensions", perm, x.Rank())
	if x.Rank() == 0 {
		return x
	}
	for i, a := range perm {
		if a < 0 {
			perm[i] += x.Rank()
		}
	}
	return graph.TransposeAllAxes(x, perm...)
}

func concat(c *call) *node {
	first := c.x(0)
	axis := axisIn(c.int("axis", 1), first.Rank())
	dims := slices.Clone(first.Shape().Dimensions)
	var parts []*node
	for i := range c.in {
		x := c.x(i)
		need(x.Rank() == first.Rank() && x.DType() == first.DType(),
			"input %d is %s, input 0 %s", i, x.Shape(), first.Shape())
		for k, d := range x.Shape().Dimensions {
			need(k == axis || d == dims[k],
				"input %d is %s, input 0 %s: they differ beside axis %d", i, x.Shape(), first.Shape(), axis)
		}
		if i > 0 {
			dims[axis] += x.Shape().Dimensions[axis]
		}
		if x.Shape().Size() > 0 {
			parts = append(parts, x)
		}
	}

	switch len(parts) {
	case 0:
		return graph.Zeros(first.Graph(), room(first.DType(), dims...))
	case 1:
		return parts[0]
	}

	return graph.Concatenate(parts, axis)
}

func split(c *call) []*node {
	x := c.x(0)
	axis := axisIn(c.int("axis", 0), x.Rank())
	sizes := c.axes("split", 1)
	n := x.Shape().Dimensions[axis]
	if len(sizes) == 0 {
		k := c.int("num_outputs", len(c.n.Outputs))
		need(k >= 1 && k == len(c.n.Outputs), "%d parts for %d outputs", k, len(c.n.Outputs))
		part := (n + k - 1) / k
		for i := range k {
			sizes = append(sizes, max(0, min(part, n-i*part)))
		}
	}
	need(len(sizes) == len(c.n.Outputs), "%d sizes for %d outputs", len(sizes), len(c.n.Outputs))
	left := n
	for _, s := range sizes {
		need(s >= 0 && s <= left,
			"sizes %s of an axis of %d: they are 0 or more, and their sum is that of the axis", dimsText(sizes), n)
		left -= s
	}

	need(left == 0, "sizes %s of an axis of %d: %d are left over", dimsText(sizes), n, left)
	c.parts(len(sizes))
	var out []*node
	at := 0
	for _, s := range sizes {
		out = append(out, cutAxis(x, axis, at, at+s, 1))
		at += s
	}

	return out
}

func slice(c *call) *node {
	x := c.x(0)
	starts, ends, axes := c.axes("starts", 1), c.axes("ends", 2), c.axes("axes", 3)
	steps := []int(nil)
	if c.has(4) {
		steps = c.ints(4)
	}
	need(len(ends) == len(starts) && (axes == nil || len(axes) == len(starts)) && (steps == nil || len(steps) == len(starts)),
		"%d starts, %d ends, %d axes, %d steps", len(starts), len(ends), len(axes), len(steps))
	need(len(starts) <= x.Rank(), "%d starts for %d dimensions", len(starts), x.Rank())
	if axes != nil {
		positiveAxes(axes, x.Rank())
	}
	for i := range starts {
		axis, step := i, 1
		if axes != nil {
			axis = axisIn(axes[i], x.Rank())
		}
		if steps != nil {
			step = steps[i]
		}
		n := x.Shape().Dimensions[axis]
		need(step != 0, "step %d of axis %d is 0", i, axis)
		step = min(max(step, -max(n, 1)), max(n, 1)) // a longer one takes the first element as well
		limit := func(v, low, high int) int {
			if v < 0 {
				v += n
			}
			return min(max(v, low), high)
		}
		if n == 0 {
			continue
		}
		if step > 0 {
			x = cutAxis(x, axis, limit(starts[i], 0, n), limit(ends[i], 0, n), step)
			continue
		}
		start, end := limit(starts[i], 0, n-1), limit(ends[i], -1, n-1)
		if ends[i] < -n {
			end = -1
		}
		x = cutAxis(ops.Reverse(x, axis), axis, n-1-start, n-1-end, -step)
	}

	return x
}

func expand(c *call) *node {
	x := c.x(0)
	want := c.ints(1)
	dims := slices.Clone(want)
	for len(dims) < x.Rank() {
		dims = slices.Insert(dims, 0, 1)
	}
	for i, d := range x.Shape().Dimensions {
		at := len(dims) - x.Rank() + i
		if dims[at] == 1 {
			dims[at] = d
		}
		need(d == 1 || d == dims[at], "%v does not broadcast to %s", x.Shape().Dimensions, dimsText(want))
	}
	return expandTo(x, room(x.DType(), dims...).Dimensions)
}

func tile(c *call) *node {
	x, repeats := c.x(0), c.repeats()
	need(len(repeats) == x.Rank(), "%d repeats for %d dimensions", len(repeats), x.Rank())
	d := x.Shape().Dimensions
	var pair, wide, dims []int // each axis as one of repeats and itself
	for axis, n := range repeats {
		need(n >= 0, "repeat %d of axis %d", n, axis)
		high, low := bits.Mul64(uint64(n), uint64(d[axis]))
		need(high == 0 && low <= math.MaxInt, "repeats %s of %v", dimsText(repeats), d)
		pair, wide, dims = append(pair, 1, d[axis]), append(wide, n, d[axis]), append(dims, int(low))
	}

	shape := room(x.DType(), dims...)
	switch {
	case slices.Equal(dims, d):
		return x
	case shape.Size() == 0:
		return graph.Zeros(c.g, shape)
	}

	return viaInt(x, func(x *node) *node {
		return graph.Reshape(graph.BroadcastToDims(graph.Reshape(x, pair...), wide...), dims...)
	})
}

// repeats are how often each axis of Tile comes. The first version had a number, and the axis that it is for.
func (c *call) repeats() []int {
	if c.opset >= 6 {
		return c.ints(1)
	}
	list := make([]int, c.x(0).Rank())
	for i := range list {
		list[i] = 1
	}
	n, axis := c.floatAt(1), c.floatAt(2)
	need(n == math.Trunc(n) && axis == math.Trunc(axis) && math.Abs(n) < math.MaxInt32 && math.Abs(axis) < math.MaxInt32, "%v tiles along axis %v", n, axis)
	list[axisIn(int(axis), len(list))] = int(n)
	return list
}

func shapeOf(c *call) []*value {
	dims := c.in[0].shape().Dimensions
	limit := func(v int) int {
		if v < 0 {
			v += len(dims)
		}
		return min(max(v, 0), len(dims))
	}
	from, to := limit(c.int("start", 0)), limit(c.int("end", len(dims)))
	dims = dims[from:max(from, to)]
	return known(int64s(dims, len(dims)))
}

func depthSpace(c *call, toSpace bool) *node {
	x, s := c.x(0), c.int("blocksize", 1)
	d := x.Shape().Dimensions
	need(len(d) == 4, "it takes four dimensions, got %v", d)
	n, ch, h, w := d[0], d[1], d[2], d[3]
	need(s >= 1 && s <= math.MaxInt32 && (toSpace && ch%(s*s) == 0 || !toSpace && h%s == 0 && w%s == 0),
		"blocksize %d of %v", s, d)
	switch {
	case !toSpace && c.text("mode", "DCR") == "CRD":
		y := graph.TransposeAllAxes(graph.Reshape(x, n, ch, h/s, s, w/s, s), 0, 1, 3, 5, 2, 4)
		return graph.Reshape(y, n, ch*s*s, h/s, w/s)
	case !toSpace:
		y := graph.TransposeAllAxes(graph.Reshape(x, n, ch, h/s, s, w/s, s), 0, 3, 5, 1, 2, 4)
		return graph.Reshape(y, n, ch*s*s, h/s, w/s)
	case c.text("mode", "DCR") == "DCR":
		y := graph.TransposeAllAxes(graph.Reshape(x, n, s, s, ch/(s*s), h, w), 0, 3, 4, 1, 5, 2)
		return graph.Reshape(y, n, ch/(s*s), h*s, w*s)
	}
	y := graph.TransposeAllAxes(graph.Reshape(x, n, ch/(s*s), s, s, h, w), 0, 1, 4, 2, 5, 3)
	return graph.Reshape(y, n, ch/(s*s), h*s, w*s)
}

func trilu(c *call) *node {
	x, k := c.x(0), 0
	if c.has(1) {
		k = c.intAt(1)
	}
	need(x.Rank() >= 2, "it takes two dimensions or more, got %v", x.Shape().Dimensions)
	if x.Shape().Size() == 0 {
		return x
	}
	rows, columns := x.Shape().Dim(-2), x.Shape().Dim(-1)
	k = min(max(k, -rows-1), columns+1) // farther away is outside as well
	s := shapes.Make(dtypes.Int32, x.Shape().Dimensions...)
	gap := graph.Sub(graph.Iota(c.g, s, x.Rank()-1), graph.Iota(c.g, s, x.Rank()-2))
	keep := graph.LessOrEqual(gap, scalar(gap, float64(k)))
	if c.int("upper", 1) == 1 {
		keep = graph.GreaterOrEqual(gap, scalar(gap, float64(k)))
	}
	return graph.Where(keep, x, graph.ZerosLike(x))
}

func shapeOps() map[string]operator {
	return map[string]operator{
		"Identity": seen(func(c *call) []*value { return []*value{c.in[0]} }),
		"Shape":    seen(shapeOf),
		"Size":     seen(func(c *call) []*value { return known(tensors.FromScalar(int64(c.in[0].shape().Size()))) }),
		"Flatten":  one(func(c *call) *node { return flattenFrom(c.x(0), c.int("axis", 1)) }),
		"Reshape":  one(reshape), "Unsqueeze": one(unsqueeze), "Squeeze": one(squeeze), "Transpose": one(permute),
		"Concat": one(concat), "Split": many(split), "Slice": one(slice), "Expand": one(expand), "Tile": one(tile), "Pad": one(pad), "Trilu": one(trilu),
		"DepthToSpace": one(func(c *call) *node { return depthSpace(c, true) }),
		"SpaceToDepth": one(func(c *call) *node { return depthSpace(c, false) }),
	}
}
