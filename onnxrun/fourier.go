package onnxrun

import (
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/ops"
)

// fourierTransform is DFT: along an axis of an input [..., 1] of real numbers or [..., 2] of complex ones.
func fourierTransform(c *call) *node {
	x := c.x(0)
	d := x.Shape().Dimensions
	rank := len(d)
	need(rank >= 2 && (d[rank-1] == 1 || d[rank-1] == 2) && x.DType().IsFloat(),
		"its input is %s, want floats [..., 1] or [..., 2]", x.Shape())
	axis := c.int("axis", 1)
	if c.opset >= 20 {
		axis = -2
		if c.has(2) {
			axis = c.intAt(2)
		}
	}
	axis = axisIn(axis, rank)
	need(axis < rank-1, "axis %d is that of the parts of a number", axis)
	n := d[axis]
	if c.has(1) {
		n = c.intAt(1)
	}
	need(n >= 1 && n <= 1<<24, "a length of %d, want 1 to %d", n, 1<<24)
	half, inverse := c.int("onesided", 0) == 1, c.int("inverse", 0) == 1
	need(!half || d[rank-1] == 1, "onesided of complex numbers; it is for real ones")
	wide := slices.Clone(d)
	wide[axis], wide[rank-1] = n, 2
	shape := room(x.DType(), wide...)
	need(x.Shape().Size() > 0 && shape.Size() > 0, "its input of shape %v is empty", d)

	// The axis comes last, as long as the transform. In float32 what should be 0 is as far from it as the largest term's rounding.
	parts := func(i int) *node {
		y := graph.Squeeze(cutAxis(convert(x, dtypes.Float64), rank-1, i, i+1, 1), rank-1)
		y = graph.TransposeAllAxes(y, slices.Insert(slices.DeleteFunc(lastAxes(0, rank-1),
			func(a int) bool { return a == axis }), rank-2, axis)...)
		return toLength(y, n)
	}
	z := ops.ComplexPair{Re: parts(0)}
	if d[rank-1] == 2 {
		z.Im = parts(1)
	} else {
		z.Im = graph.ZerosLike(z.Re)
	}
	switch {
	case inverse:
		z = ops.InverseDFT(z)
	case half:
		z = ops.RealDFT(z.Re)
	default:
		z = ops.DFT(z)
	}
	back := func(y *node) *node {
		order := lastAxes(0, rank-2)
		return graph.ExpandAxes(graph.TransposeAllAxes(y, slices.Insert(order, axis, rank-2)...), -1)
	}
	return convert(graph.Concatenate([]*node{back(z.Re), back(z.Im)}, rank-1), x.DType())
}

// toLength cuts the last axis, or puts zeros at its end.
func toLength(x *node, n int) *node {
	last := x.Rank() - 1
	have := x.Shape().Dimensions[last]
	if have >= n {
		return cutAxis(x, last, 0, n, 1)
	}
	pads := make([][2]int, x.Rank())
	pads[last] = [2]int{0, n - have}
	return ops.PadConstant(x, 0, pads)
}

// shortFourier is STFT: transforms of frames of a signal [batch, length, 1 or 2], each times a window.
func shortFourier(c *call) *node {
	x := c.x(0)
	d := x.Shape().Dimensions
	need((len(d) == 3 && (d[2] == 1 || d[2] == 2) || len(d) == 2) && x.DType().IsFloat(),
		"its signal is %s, want floats [batch, length, 1 or 2]", x.Shape())
	step, frame := c.intAt(1), 0
	if c.has(3) {
		frame = c.intAt(3)
	}
	window := c.maybe(2)
	if window != nil {
		need(window.Rank() == 1 && (frame == 0 || frame == window.Shape().Size()), "a window %s for frames of %d",
			window.Shape(), frame)
		frame = window.Shape().Size()
	}
	need(step >= 1 && frame >= 1 && frame <= d[1] && frame <= 1<<24, "frames of %d every %d of a signal of %d", frame,
		step, d[1])
	count := (d[1]-frame)/step + 1
	need(count*frame <= mostConstantBytes/4, "%d frames of %d are more than %d numbers", count, frame,
		mostConstantBytes/4)
	half := c.int("onesided", 1) == 1
	complex := len(d) == 3 && d[2] == 2
	need(!half || !complex, "onesided of a complex signal; give onesided = 0")
	room(x.DType(), d[0], count, frame, 2)

	at := make([]int32, 0, count*frame)
	for i := range count {
		for j := range frame {
			at = append(at, int32(i*step+j))
		}
	}
	part := func(i int) *node {
		y := ops.Widen(x)
		if len(d) == 3 {
			y = graph.Squeeze(cutAxis(y, 2, i, i+1, 1), 2)
		}
		y = graph.Reshape(takeAxis(y, graph.Const(c.g, at), 1), d[0], count, frame)
		if window != nil {
			y = graph.Mul(y, expandTo(convert(window, y.DType()), y.Shape().Dimensions))
		}
		return y
	}
	z := ops.ComplexPair{Re: part(0)}
	switch {
	case half:
		z = ops.RealDFT(z.Re)
	case complex:
		z = ops.DFT(ops.ComplexPair{Re: z.Re, Im: part(1)})
	default:
		z = ops.DFT(ops.ComplexPair{Re: z.Re, Im: graph.ZerosLike(z.Re)})
	}
	both := graph.Concatenate([]*node{graph.ExpandAxes(z.Re, -1), graph.ExpandAxes(z.Im, -1)}, 3)
	return convert(both, x.DType())
}

// windowOf is a window of cosines: a0 - a1 cos(2 pi n / N) + a2 cos(4 pi n / N), where N is the size, or one less without periodic.
func windowOf(a0, a1, a2 float64) operator {
	return hosted(func(c *call) []*tensors.Tensor {
		n := c.intAt(0)
		d := castTo(c.int("output_datatype", 1))
		need(n >= 0 && n <= 1<<27, "a window of %d", n)
		whole := n
		if c.int("periodic", 1) == 0 {
			whole--
		}
		c.gone(n)
		y := make([]float64, n)
		for i := range y {
			t := 2 * math.Pi * float64(i) / float64(max(whole, 1))
			y[i] = a0 - a1*math.Cos(t) + a2*math.Cos(2*t)
		}
		return []*tensors.Tensor{made(d, y, n)}
	}).takes("output_datatype", "periodic")
}

// melWeights turn a spectrum into bands that are even in mel.
func melWeights(c *call) []*tensors.Tensor {
	bands, length, rate := c.intAt(0), c.intAt(1), c.intAt(2)
	d := castTo(c.int("output_datatype", 1))
	low, high := c.floatAt(3), c.floatAt(4)
	bins := length/2 + 1
	need(bands >= 1 && length >= 0 && rate >= 1, "%d bands of a transform of %d at %d samples a second", bands, length,
		rate)
	shape := room(d, bins, bands)
	mel := func(hz float64) float64 { return 2595 * math.Log10(1+hz/700) }
	step := (mel(high) - mel(low)) / float64(bands+2)
	at := make([]int, bands+2)
	for i := range at {
		hz := 700 * (math.Pow(10, (float64(i)*step+mel(low))/2595) - 1)
		at[i] = int(math.Floor(float64(length+1) * hz / float64(rate)))
		need(at[i] >= 0 && at[i] <= bins, "a band's end at %v Hz is beyond the transform", hz)
	}
	y := make([]float64, shape.Size())
	c.gone(len(y))
	put := func(bin, band int, v float64) {
		if bin < bins {
			y[bin*bands+band] = v
		}
	}
	for i := range bands {
		left, middle, right := at[i], at[i+1], at[i+2]
		if middle == left {
			put(middle, i, 1)
		}
		for j := left; j <= middle && middle > left; j++ {
			put(j, i, float64(j-left)/float64(middle-left))
		}
		for j := middle; j < right; j++ {
			put(j, i, float64(right-j)/float64(right-middle))
		}
	}
	return []*tensors.Tensor{made(d, y, bins, bands)}
}

func fourierOps() map[string]operator {
	both := func(n *onnx.Node) string {
		a, b := n.Attribute("inverse"), n.Attribute("onesided")
		if a != nil && b != nil && a.Int == 1 && b.Int == 1 {
			return "inverse = 1 with onesided = 1 is not supported"
		}
		return ""
	}
	return map[string]operator{
		"DFT":             one(fourierTransform).unless(both).takes("axis", "inverse", "onesided"),
		"STFT":            one(shortFourier).takes("onesided"),
		"MelWeightMatrix": hosted(melWeights).takes("output_datatype"),
		"HannWindow":      windowOf(0.5, 0.5, 0), "HammingWindow": windowOf(25.0/46, 21.0/46, 0),
		"BlackmanWindow": windowOf(0.42, 0.5, 0.08),
	}
}
