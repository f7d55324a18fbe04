package onnxrun

import (
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

// stood is what an input of numbers in steps stands for, as float32: input i with its scale and, where it is given, its zero after it.
func (c *call) stood(i int) *node { return c.stoodAs(i, i+1, i+2, 0) }

func (c *call) stoodAs(x, scale, zero, axis int) *node {
	y := convert(c.x(x), dtypes.Float32)
	if z := c.maybe(zero); z != nil {
		y = graph.Sub(y, along(convert(z, dtypes.Float32), y, axis))
	}
	return graph.Mul(y, along(convert(c.x(scale), dtypes.Float32), y, axis))
}

// inSteps rounds x to steps of a scale from a zero, of the zero's type, or that of input 0 without one.
func (c *call) inSteps(x *node, scale, zero int) *node {
	d := c.dtype(0)
	if c.has(zero) {
		d = c.dtype(zero)
	}
	need(d == dtypes.Uint8 || d == dtypes.Int8, "its output would be %s, want uint8 or int8", d)
	y := ops.Round(graph.Div(x, along(c.x(scale), x, 0)))
	if c.has(zero) {
		y = graph.Add(y, along(convert(c.x(zero), dtypes.Float32), y, 0))
	}
	if d == dtypes.Int8 {
		return convert(hard(y, -128, 127), d)
	}
	return convert(hard(y, 0, 255), d)
}

// stepped is an operator of numbers in steps: f of what the input stands for, with the output's scale and zero at a place.
func stepped(at int, f func(c *call, x *node) *node) operator {
	return one(func(c *call) *node { return c.inSteps(f(c, c.stood(0)), at, at+1) })
}

// steppedPair is stepped of two inputs.
func steppedPair(f func(a, b *node) *node) operator {
	return one(func(c *call) *node {
		p := broadcast(c.stood(0), c.stood(3))
		return c.inSteps(f(p[0], p[1]), 6, 7)
	}).takes()
}

func steppedConcat(c *call) *node {
	need(len(c.in) > 2 && (len(c.in)-2)%3 == 0, "%d inputs, want a scale, a zero and three for each part", len(c.in))
	var parts []*node
	first := c.dims(2)
	axis := axisIn(c.int("axis", 0), len(first))
	for i := 2; i < len(c.in); i += 3 {
		x := c.stood(i)
		d := x.Shape().Dimensions
		need(len(d) == len(first), "parts %v and %v", first, d)
		for k := range d {
			need(k == axis || d[k] == first[k], "parts %v and %v differ beside axis %d", first, d, axis)
		}
		if x.Shape().Size() > 0 {
			parts = append(parts, x)
		}
	}
	need(len(parts) > 0, "all its parts are empty")
	y := parts[0]
	if len(parts) > 1 {
		y = graph.Concatenate(parts, axis)
	}
	return c.inSteps(y, 0, 1)
}

func steppedSoftmax(c *call, x *node) *node {
	if c.int("opset", 13) >= 13 {
		return ops.MaskedSoftmax(x, nil, axisIn(c.int("axis", -1), x.Rank()))
	}
	return graph.Reshape(ops.MaskedSoftmax(flattenFrom(x, c.int("axis", 1)), nil, 1), x.Shape().Dimensions...)
}

// steppedGlobalMean is the mean over all places of maps.
func steppedGlobalMean(c *call, x *node) *node {
	need(x.Rank() >= 3 && x.Shape().Size() > 0, "its input is %v, want maps", x.Shape().Dimensions)
	axes, d := lastAxes(2, x.Rank()), slices.Clone(x.Shape().Dimensions)
	if c.int("channels_last", 0) == 1 {
		axes = lastAxes(1, x.Rank())
		axes = axes[:len(axes)-1]
	}
	for _, a := range axes {
		d[a] = 1
	}
	return graph.Reshape(graph.ReduceMean(x, axes...), d...)
}

func steppedReduceMean(c *call, x *node) *node {
	axes := positiveAxes(c.list("axes"), x.Rank())
	d := slices.Clone(x.Shape().Dimensions)
	if len(axes) == 0 {
		axes = lastAxes(0, x.Rank())
	}
	y := graph.ReduceMean(x, axes...)
	if c.int("keepdims", 1) == 1 {
		for _, a := range axes {
			d[a] = 1
		}
		y = graph.Reshape(y, d...)
	}
	return y
}

// steppedAverage is a mean over windows.
func steppedAverage(c *call) *node {
	x := c.stood(0)
	last := c.int("channels_last", 0) == 1
	if last {
		x = channelsFirst(x)
	}
	part := c.instead([]*node{x})
	y := averagePool(part)
	if last {
		y = channelsLast(y)
	}
	return c.inSteps(y, 3, 4)
}

// instead is the call with other inputs, for an operator that is another's with some of its inputs computed. nil is one left out.
func (c *call) instead(in []*node) *call {
	part := &call{build: c.build, g: c.g, n: c.n, scope: c.scope, opset: c.opset, from: c.from}
	for _, x := range in {
		if x == nil {
			part.in = append(part.in, nil)
			continue
		}
		part.in = append(part.in, &value{node: x, from: c.from})
	}
	return part
}

func steppedWhere(c *call) *node {
	return c.inSteps(choose(c.x(0), c.stood(1), c.stood(4)), 7, 8)
}

// steppedGemm is alpha a b + c of numbers in steps; c is in steps of the product. Without a scale of its own the output is float32.
func steppedGemm(c *call) *node {
	at, bt := c.int("transA", 0), c.int("transB", 0)
	a := c.wholeAs(0, 2, -1)
	b := c.wholeAs(3, 5, 1-bt)
	need(a.Rank() == 2 && b.Rank() == 2, "a %s and b %s, want matrices", a.Shape(), b.Shape())
	y := graph.DotGeneral(a, []int{1 - at}, nil, b, []int{bt}, nil)
	if bias := c.maybe(6); bias != nil {
		y = graph.Add(y, expandTo(convert(bias, dtypes.Float64), y.Shape().Dimensions))
	}
	y = convert(y, dtypes.Float32)
	y = graph.Mul(y, along(c.x(1), y, 0))
	y = times(graph.Mul(y, along(c.x(4), y, 1)), c.float("alpha", 1))
	if !c.has(7) {
		return y
	}
	return c.inSteps(y, 7, 8)
}

// wholeAs are an input's numbers less their zero as float64, which holds their products' sums exactly.
func (c *call) wholeAs(x, zero, axis int) *node {
	y := convert(c.x(x), dtypes.Float64)
	if z := c.maybe(zero); z != nil {
		y = graph.Sub(y, along(convert(z, dtypes.Float64), y, axis))
	}
	return y
}

// integerProduct is a product of integers as float32: a, b, their scales, their zeros, and what is added.
func integerProduct(c *call) *node {
	y := convert(matMul(c.wholeAs(0, 4, -2), c.wholeAs(1, 5, -1)), dtypes.Float32)
	scale := func(i, axis int) *node { return along(convert(c.x(i), dtypes.Float32), y, axis) }
	y = graph.Mul(graph.Mul(y, scale(2, -2)), scale(3, -1))
	if b := c.maybe(6); b != nil {
		y = graph.Add(y, expandTo(convert(b, dtypes.Float32), y.Shape().Dimensions))
	}
	return convert(y, c.dtype(2))
}

// roundedDynamically is x in 256 steps between its ends, as numbers again.
func roundedDynamically(x *node) *node {
	need(x.DType() == dtypes.Float32 && x.Shape().Size() > 0, "its input is %s, want float32", x.Shape())
	zero := scalar(x, 0)
	high, low := graph.Max(graph.ReduceAllMax(x), zero), graph.Min(graph.ReduceAllMin(x), zero)
	scale := times(graph.Sub(high, low), 1.0/255)
	scale = graph.Where(graph.Equal(scale, zero), scalar(x, 1), scale)
	point := hard(ops.Round(graph.Div(graph.Neg(low), scale)), 0, 255)
	d := x.Shape().Dimensions
	wide := func(v *node) *node { return expandTo(v, d) }
	steps := hard(graph.Add(ops.Round(graph.Div(x, wide(scale))), wide(point)), 0, 255)
	return graph.Mul(graph.Sub(steps, wide(point)), wide(scale))
}

// dynamicMatMul rounds its input to steps first.
func dynamicMatMul(c *call) *node {
	a, b := roundedDynamically(c.x(0)), c.stoodAs(1, 2, 3, -1)
	y := matMul(a, b)
	if bias := c.maybe(4); bias != nil {
		y = graph.Add(y, expandTo(bias, y.Shape().Dimensions))
	}
	return y
}

// dynamicLSTM is an LSTM whose weights are integers, [directions, inputs, gates], and whose inputs and hidden values are rounded to steps.
func dynamicLSTM(c *call) []*node {
	weights := func(i, scale, zero int) *node {
		w := convert(c.x(i), dtypes.Float32)
		need(w.Rank() == 3, "weights %s, want [directions, inputs, gates]", w.Shape())
		part := func(v *node) *node { // one number, one for each direction, or one for each of its gates
			v = convert(v, dtypes.Float32)
			switch {
			case v.Shape().Size() == 1:
				v = graph.Reshape(v, 1, 1, 1)
			case v.Rank() == 1:
				v = graph.Reshape(v, v.Shape().Dimensions[0], 1, 1)
			default:
				v = graph.ExpandAxes(v, 1)
			}
			return expandTo(v, w.Shape().Dimensions)
		}
		return graph.TransposeAllAxes(graph.Mul(graph.Sub(w, part(c.x(zero))), part(c.x(scale))), 0, 2, 1)
	}
	in := []*node{roundedDynamically(c.x(0)), weights(1, 8, 9), weights(2, 10, 11)}
	for i := 3; i <= 7; i++ {
		in = append(in, c.maybe(i))
	}
	step := func(r *recurrence, x *node, old state) state {
		return r.lstmStep(x, state{roundedDynamically(old.hidden), old.cell})
	}
	return recurrent(cell{4, []string{"Sigmoid", "Tanh", "Tanh"}, step}).nodes(c.instead(in))
}

// quantizedAttention is com.microsoft.Attention with an input and weights in steps.
func quantizedAttention(c *call) []*node {
	x := c.stoodAs(0, 3, 6, 0)
	out := packedAttention(c.instead([]*node{x, c.stoodAs(1, 4, 7, 1), c.x(2), c.maybe(5), c.maybe(8)}))
	for i, y := range out {
		if y != nil {
			out[i] = convert(y, c.dtype(2))
		}
	}
	return out
}

func quantizedMicrosoftOps() map[string]operator {
	ms := func(names ...string) []string { return names }
	window := ms("ceil_mode", "pads", "auto_pad", "strides", "kernel_shape", "channels_last", "count_include_pad")
	first := without(map[string]int64{"channels_last": 0})
	return map[string]operator{
		"com.microsoft.QLinearAdd": steppedPair(graph.Add), "com.microsoft.QLinearMul": steppedPair(graph.Mul),
		"com.microsoft.QLinearSigmoid": stepped(3, func(_ *call, x *node) *node { return graph.Sigmoid(x) }).takes(),
		"com.microsoft.QLinearLeakyRelu": stepped(3, func(c *call, x *node) *node {
			return prelu(x, times(graph.OnesLike(x), c.float("alpha", 0.01)))
		}).takes("alpha"),
		"com.microsoft.QLinearSoftmax":           stepped(3, steppedSoftmax).takes("axis", "opset"),
		"com.microsoft.QLinearGlobalAveragePool": stepped(3, steppedGlobalMean).takes("channels_last"),
		"com.microsoft.QLinearReduceMean":        stepped(3, steppedReduceMean).takes("axes", "keepdims"),
		"com.microsoft.QLinearAveragePool":       one(steppedAverage).takes(window...),
		"com.microsoft.QLinearConcat":            one(steppedConcat).takes("axis"),
		"com.microsoft.QLinearWhere":             one(steppedWhere).takes(),
		"com.microsoft.QLinearConv": one(quantizedConv).unless(first).
			takes("channels_last", "group", "pads", "strides", "dilations", "kernel_shape", "auto_pad"),
		"com.microsoft.QGemm":                 one(steppedGemm).takes("transA", "transB", "alpha"),
		"com.microsoft.MatMulIntegerToFloat":  one(integerProduct).takes(),
		"com.microsoft.DynamicQuantizeMatMul": one(dynamicMatMul).takes(),
		"com.microsoft.DynamicQuantizeLSTM": many(dynamicLSTM).
			takes("activations", "activation_alpha", "activation_beta", "clip", "direction", "hidden_size",
				"input_forget"),
		"com.microsoft.QAttention": many(quantizedAttention).unless(without(map[string]int64{"past_present_share_buffer": 0, "do_rotary": 0})).
			takes("num_heads", "unidirectional", "scale", "mask_filter_value", "past_present_share_buffer",
				"do_rotary"),
	}
}
