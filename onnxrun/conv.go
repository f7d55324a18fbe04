package onnxrun

import (
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

// conv adds up in float32 or wider.
func conv(c *call) *node {
	return convert(addBias(convOf(c, widen(c.x(0)), widen(c.x(1))), c.wideBias()), c.x(0).DType())
}

// wideBias is input 2, nil if it is left out.
func (c *call) wideBias() *node {
	b := c.maybe(2)
	if b == nil {
		return nil
	}
	return widen(b)
}

// convOf convolves x [n, cin, ...] with a kernel [cout, cin/groups, ...].
func convOf(c *call, x, k *node) *node {
	groups := c.int("group", 1)
	xd, kd := x.Shape().Dimensions, k.Shape().Dimensions
	need(len(xd) >= 3 && len(kd) == len(xd), "input %v and kernel %v", xd, kd)
	need(groups >= 1 && xd[1] == kd[1]*groups && kd[0]%groups == 0,
		"%d groups of input %v and kernel %v", groups, xd, kd)
	w, out := c.window(xd[2:], c.kernelShape(kd[2:]), false)
	if x.Shape().Size() == 0 || k.Shape().Size() == 0 {
		return graph.Zeros(c.g, room(x.DType(), append([]int{xd[0], kd[0]}, out...)...))
	}

	perm := []int{}
	for i := 2; i < k.Rank(); i++ {
		perm = append(perm, i)
	}
	k = graph.TransposeAllAxes(k, append(perm, 1, 0)...)
	x = channelsLast(x)
	room(x.DType(), append([]int{xd[0], kd[0]}, out...)...)
	return channelsFirst(w.convolve(x, k, groups))
}

// kernelShape is that of a kernel, which the attribute of the name may repeat.
func (c *call) kernelShape(of []int) []int {
	if said := c.list("kernel_shape"); len(said) > 0 {
		need(slices.Equal(said, of), "kernel_shape %s, and the kernel has %v", dimsText(said), of)
	}
	return of
}

// convolve takes x [n, ..., cin] and a kernel [..., cin/groups, cout].
func (w window) convolve(x, k *node, groups int) *node {
	switch x.Rank() {
	case 3:
		return ops.Conv1D{Stride: w.strides[0], Dilation: w.dilations[0], Padding: w.pads[0], Groups: groups}.Apply(x, k)
	case 4:
		return ops.Conv{
			Strides: [2]int(w.strides), Dilations: [2]int(w.dilations), Padding: [2][2]int(w.pads), Groups: groups,
		}.Apply(x, k)
	case 5:
		return ops.Conv3D{
			Strides: [3]int(w.strides), Dilations: [3]int(w.dilations), Padding: [3][2]int(w.pads), Groups: groups,
		}.Apply(x, k)
	}
	panic(fmt.Errorf("a convolution along %d axes; 1 to 3 are supported", x.Rank()-2))
}

func addBias(y, b *node) *node {
	if b == nil {
		return y
	}
	return graph.Add(y, along(b, y, 1))
}

// channelsLast and channelsFirst move axis 1 to the end and back.
func channelsLast(x *node) *node {
	perm := []int{0}
	for i := 2; i < x.Rank(); i++ {
		perm = append(perm, i)
	}
	return graph.TransposeAllAxes(x, append(perm, 1)...)
}

func channelsFirst(x *node) *node {
	perm := []int{0, x.Rank() - 1}
	for i := 1; i < x.Rank()-1; i++ {
		perm = append(perm, i)
	}
	return graph.TransposeAllAxes(x, perm...)
}

func convOps() map[string]operator {
	return map[string]operator{"Conv": one(conv), "ConvTranspose": one(convTranspose)}
}
