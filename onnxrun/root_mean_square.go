package onnxrun

import (
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

// lastAxes are the axes from one on.
func lastAxes(axis, rank int) (axes []int) {
	for i := axisIn(axis, rank); i < rank; i++ {
		axes = append(axes, i)
	}
	return axes
}

// stash is the type in which a normalisation is computed: stash_type, or that of x if it is wider.
func (c *call) stash(x *node) *node {
	d := castTo(c.int("stash_type", 1))
	need(d == dtypes.Float32 || d == dtypes.Float64, "stash_type %s; float32 and float64 are supported", d)
	if x.DType() == dtypes.Float64 {
		d = dtypes.Float64
	}
	return convert(x, d)
}

// rmsNorm is y = x / sqrt(mean of x^2 + epsilon) scale.
func rmsNorm(c *call) *node {
	need(c.dtype(0) == c.dtype(1), "its input is %s and its scale %s, want one type", c.dtype(0), c.dtype(1))
	y, _ := c.rms(c.x(0), c.x(1), c.int("axis", -1), c.float("epsilon", 1e-5))
	return y
}

func (c *call) rms(x, scale *node, axis int, epsilon float64) (y, inverse *node) {
	need(x.DType().IsFloat(), "its input is %s, want floats", x.Shape())
	wide := c.stash(x)
	d := x.Shape().Dimensions
	if x.Shape().Size() == 0 {
		return convert(x, scale.DType()), nil
	}
	m := ops.MeanSquare(wide, lastAxes(axis, x.Rank()), nil)
	inverse = ops.Rsqrt(plus(m, epsilon))
	y = graph.Mul(wide, expandTo(inverse, d))
	if scale.DType() == dtypes.Float64 {
		y = convert(y, dtypes.Float64)
	}
	y = graph.Mul(y, expandTo(convert(scale, y.DType()), d)) // rounded once, to the type of the scale
	return convert(y, scale.DType()), inverse
}

// simplifiedLayerNorm is rmsNorm with the inverse of the root as a second output.
func simplifiedLayerNorm(c *call) []*node {
	y, inverse := c.rms(c.x(0), c.x(1), c.int("axis", -1), c.float("epsilon", 1e-5))
	return []*node{y, inverse}
}

// skipNorm normalises x + skip + bias, over the last axis; the sum itself is output 3.
func skipNorm(simplified bool) operator {
	return many(func(c *call) []*node {
		x, skip := c.x(0), c.x(1)
		d := x.Shape().Dimensions
		need(x.Rank() >= 2, "its input is %v, want [examples, words, hidden]", d)
		if x.Shape().Size() == 0 {
			return []*node{x, nil, nil, x}
		}
		sum := graph.Add(ops.Widen(x), expandTo(ops.Widen(skip), d))
		beta, biasAt := c.maybe(3), 4
		if simplified {
			beta, biasAt = nil, 3
		}
		if bias := c.maybe(biasAt); bias != nil {
			sum = graph.Add(sum, expandTo(ops.Widen(bias), d))
		}
		y, mean, inverse := normalised(sum, c.x(2), beta, c.float("epsilon", 1e-12), simplified)
		return []*node{convert(y, x.DType()), mean, inverse, convert(sum, x.DType())}
	})
}

// normalised is a layer normalisation over the last axis in x's type; simplified has no mean.
func normalised(x, scale, offset *node, epsilon float64, simplified bool) (y, mean, inverse *node) {
	d, last := x.Shape().Dimensions, []int{x.Rank() - 1}
	wide := func(v *node) *node { return expandTo(convert(v, x.DType()), d) }
	if simplified {
		inverse = ops.Rsqrt(plus(ops.MeanSquare(x, last, nil), epsilon))
		y = graph.Mul(x, expandTo(inverse, d))
	} else {
		m, v := ops.Moments(x, last, nil)
		mean, inverse = m, ops.Rsqrt(plus(v, epsilon))
		y = graph.Mul(graph.Sub(x, expandTo(m, d)), expandTo(inverse, d))
	}
	y = graph.Mul(y, wide(scale))
	if offset != nil {
		y = graph.Add(y, wide(offset))
	}
	return y, mean, inverse
}

// groupNorm normalises groups of channels. Scale and bias have one number for each channel; before opset 21 one for each group.
func groupNorm(c *call) *node {
	x, scale, bias := c.x(0), c.x(1), c.x(2)
	d, groups := x.Shape().Dimensions, c.int("num_groups", 0)
	need(len(d) >= 3 && groups >= 1 && d[1]%groups == 0, "%d groups of the channels of %v", groups, d)
	if x.Shape().Size() == 0 {
		return x
	}
	wide := ops.Widen(x)
	if c.opset >= 21 {
		wide = c.stash(x)
	}
	y := groupNormalised(wide, groups, c.float("epsilon", 1e-5))
	per := func(v *node) *node {
		v = convert(v, y.DType())
		if v.Shape().Size() == groups && c.opset < 21 && groups != d[1] {
			v = graph.Reshape(graph.BroadcastToDims(graph.ExpandAxes(v, 1), groups, d[1]/groups), d[1])
		}
		need(v.Rank() == 1 && v.Shape().Size() == d[1], "%v numbers for %d channels in %d groups", v.Shape().Dimensions,
			d[1], groups)
		return perChannel(v, y)
	}
	return convert(graph.Add(graph.Mul(y, per(scale)), per(bias)), x.DType())
}

func groupNormalised(x *node, groups int, epsilon float64) *node {
	d := x.Shape().Dimensions
	split := append([]int{d[0], groups, d[1] / groups}, d[2:]...)
	y := graph.Reshape(x, split...)
	m, v := ops.Moments(y, lastAxes(2, len(split)), nil)
	y = graph.Mul(graph.Sub(y, expandTo(m, split)), expandTo(ops.Rsqrt(plus(v, epsilon)), split))
	return graph.Reshape(y, d...)
}

// groupNormLast is com.microsoft's, with channels in the last place, scale and bias for each and, with activation 1, x sigmoid(x) after.
func groupNormLast(c *call) *node {
	x, groups := c.x(0), c.int("groups", 0)
	last := c.int("channels_last", 1) == 1
	if last {
		x = channelsFirst(x)
	}
	d := x.Shape().Dimensions
	need(len(d) >= 3 && groups >= 1 && d[1]%groups == 0 && x.Shape().Size() > 0, "%d groups of the channels of %v",
		groups, d)
	y := groupNormalised(ops.Widen(x), groups, c.float("epsilon", 1e-5))
	per := func(i int) *node { return perChannel(convert(c.x(i), y.DType()), y) }
	y = graph.Add(graph.Mul(y, per(1)), per(2))
	switch a := c.int("activation", 0); a {
	case 0:
	case 1:
		y = graph.Mul(y, graph.Sigmoid(y))
	default:
		refuse("activation %d is not known", a)
	}
	if last {
		y = channelsLast(y)
	}
	return convert(y, x.DType())
}

// embedNorm adds the rows of words, places and segments, and normalises the sum. Its second output counts the mask's words.
func embedNorm(c *call) []*node {
	ids := c.x(0)
	need(ids.Rank() == 2 && ids.Shape().Size() > 0, "input_ids %v, want [examples, words]", ids.Shape().Dimensions)
	d := ids.Shape().Dimensions
	n := d[0] * d[1]
	rows := func(table, index int) *node {
		t := c.x(table)
		need(t.Rank() == 2, "input %d is %s, want a table of rows", table, t.Shape())
		return ops.GatherRows(ops.Widen(t), graph.Reshape(c.places(index, t.Shape().Dimensions[0]), n))
	}
	sum := rows(2, 0)
	hidden := sum.Shape().Dimensions[1]
	position := c.x(3)
	if c.has(8) {
		need(slices.Equal(c.dims(8), d) || slices.Equal(c.dims(8), []int{1, d[1]}), "position_ids %v for input_ids %v",
			c.dims(8), d)
		at := c.places(8, position.Shape().Dimensions[0])
		sum = graph.Add(sum, ops.GatherRows(ops.Widen(position), graph.Reshape(graph.BroadcastToDims(at, d...), n)))
	} else {
		need(position.Rank() == 2 && position.Shape().Dimensions[0] >= d[1], "%d words; the model has places for %d",
			d[1], position.Shape().Dimensions[0])
		first := ops.Widen(cutAxis(position, 0, 0, d[1], 1))
		sum = graph.Add(sum, graph.Reshape(graph.BroadcastToDims(graph.ExpandAxes(first, 0), d[0], d[1], hidden), n,
			hidden))
	}
	if c.has(1) {
		sum = graph.Add(sum, rows(4, 1))
	}

	sum = graph.Reshape(sum, d[0], d[1], hidden)
	y, _, _ := normalised(sum, c.x(5), c.x(6), c.float("epsilon", 1e-12), false)
	count := graph.Zeros(c.g, room(dtypes.Int32, d[0]))
	if mask := c.maybe(7); mask != nil && c.int("mask_index_type", 1) != 0 {
		count = graph.ReduceSum(convert(graph.NotEqual(mask, scalar(mask, 0)), dtypes.Int32), 1)
	}
	t := c.dtype(2)
	return []*node{convert(y, t), count, convert(sum, t)}
}

// quickGelu is x sigmoid(alpha x), Swish as well.
func quickGelu(alpha float64) operator {
	return one(func(c *call) *node {
		x := ops.Widen(c.x(0))
		return convert(graph.Mul(x, graph.Sigmoid(times(x, c.float("alpha", alpha)))), c.dtype(0))
	})
}

// biasGelu is the Gelu of x + bias: by the error function, or by tanh for FastGelu.
func biasGelu(tanh bool) operator {
	return one(func(c *call) *node {
		x := ops.Widen(c.x(0))
		if x.Shape().Size() == 0 {
			return c.x(0)
		}
		if b := c.maybe(1); b != nil {
			x = graph.Add(x, expandTo(ops.Widen(b), x.Shape().Dimensions))
		}
		y := geluOf(x)
		if tanh {
			inner := times(graph.Add(x, times(graph.Mul(x, graph.Mul(x, x)), 0.044715)), math.Sqrt(2/math.Pi))
			y = times(graph.Mul(x, plus(graph.Tanh(inner), 1)), 0.5)
		}
		return convert(y, c.dtype(0))
	})
}

func geluOf(x *node) *node {
	return times(graph.Mul(x, plus(graph.Erf(times(x, math.Sqrt2/2)), 1)), 0.5)
}

func rootMeanSquareOps() map[string]operator {
	return map[string]operator{
		"RMSNormalization":   one(rmsNorm).unlessTypes(scaleOfInput).takes("axis", "epsilon", "stash_type"),
		"GroupNormalization": one(groupNorm).takes("epsilon", "num_groups", "stash_type"),
		"Swish":              quickGelu(1).takes("alpha"),

		"SimplifiedLayerNormalization": many(simplifiedLayerNorm).takes("axis", "epsilon",
			"stash_type"), // onnxruntime puts it into the standard domain
		"com.microsoft.SkipLayerNormalization":           skipNorm(false).takes("epsilon"),
		"com.microsoft.SkipSimplifiedLayerNormalization": skipNorm(true).takes("epsilon"),
		"com.microsoft.EmbedLayerNormalization":          many(embedNorm).takes("epsilon", "mask_index_type"),
		"com.microsoft.GroupNorm": one(groupNormLast).takes("epsilon", "groups", "activation",
			"channels_last"),
		"com.microsoft.BiasGelu":  biasGelu(false).takes(),
		"com.microsoft.FastGelu":  biasGelu(true).takes(),
		"com.microsoft.QuickGelu": quickGelu(1.702).takes("alpha"),
	}
}
