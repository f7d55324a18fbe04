package onnxrun

import (
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

// convTranspose spreads the input by the strides and convolves it with the kernel turned around.
func convTranspose(c *call) *node {
	x, k := widen(c.x(0)), widen(c.x(1))
	need(x.Rank() >= 3 && k.Rank() == x.Rank(), "input %v and kernel %v", x.Shape().Dimensions, k.Shape().Dimensions)
	kd, size := k.Shape().Dimensions, x.Shape().Dimensions[2:]
	groups := c.int("group", 1)
	need(groups >= 1 && kd[0]%groups == 0 && x.Shape().Dim(1) == kd[0],
		"%d groups of input %v and kernel %v", groups, x.Shape().Dimensions, kd)

	w, _ := c.window(size, c.kernelShape(kd[2:]), false)
	margins := c.transposeMargins(w, size)
	for i, s := range w.strides {
		m, reach := margins[i], (kd[2+i]-1)*w.dilations[i]+1
		need(m.pads[0]+m.pads[1]+(size[i]-1)*s+1 >= reach, "its pads %v leave nothing of axis %d", m.cut, 2+i)
		if s > 1 {
			x = spread(x, 2+i, s)
		}
	}

	x = padOrCut(x, margins)
	k = turned(k, groups)
	// What was done above leaves a convolution without strides, for which ops has 0, and without pads.
	plain := window{strides: make([]int, len(size)), dilations: w.dilations, pads: make([][2]int, len(size))}
	y := addBias(channelsFirst(plain.convolve(channelsLast(x), k, groups)), c.wideBias())
	return convert(y, c.x(0).DType())
}

// margin is what a transposed convolution adds along an axis before the kernel passes; below zero it cuts.
type margin struct {
	pads [2]int
	cut  [2]int // what the node says, or output_shape and auto_pad amount to: elements that the output lacks at its ends
}

// transposeMargins are the margins of each axis.
func (c *call) transposeMargins(w window, size []int) []margin {
	n := len(size)
	extra, want := c.list("output_padding"), c.list("output_shape")
	for len(extra) < n {
		extra = append(extra, 0)
	}
	for _, v := range slices.Concat(extra, want) {
		need(v >= 0 && v <= math.MaxInt32, "output_padding %s and output_shape %s", dimsText(extra), dimsText(want))
	}
	need(want == nil || len(want) >= n, "output_shape %v for %d axes", want, n)

	mode := c.text("auto_pad", "NOTSET")
	all := make([]margin, n)
	for i := range n {
		reach := (w.kernel[i]-1)*w.dilations[i] + 1
		cut := w.pads[i]
		if mode == "SAME_UPPER" || mode == "SAME_LOWER" || want != nil {
			out := size[i] * w.strides[i]
			if want != nil {
				out = want[len(want)-n+i]
			}
			total := (size[i]-1)*w.strides[i] + reach + extra[i] - out
			cut = [2]int{total - total/2, total / 2}
			switch {
			case total < 0: // what is missing is added behind
				cut = [2]int{0, total}
			case mode == "SAME_UPPER":
				cut = [2]int{total / 2, total - total/2}
			}
		}
		all[i] = margin{pads: [2]int{reach - 1 - cut[0], reach - 1 - cut[1] + extra[i]}, cut: cut}
	}

	return all
}

// spread puts s-1 zeros between the elements along an axis.
func spread(x *node, axis, s int) *node {
	dims := slices.Clone(x.Shape().Dimensions)
	dims[axis] *= s
	room(x.DType(), dims...)

	x = graph.ExpandAxes(x, axis+1)
	pads := make([][2]int, x.Rank())
	pads[axis+1][1] = s - 1
	x = graph.Reshape(ops.PadConstant(x, 0, pads), dims...)
	return cutAxis(x, axis, 0, dims[axis]-s+1, 1)
}

// padOrCut gives the spatial axes their margins.
func padOrCut(x *node, margins []margin) *node {
	pads := make([][2]int, x.Rank())
	for i, m := range margins {
		if m.pads[0] < 0 || m.pads[1] < 0 {
			d := x.Shape().Dimensions[2+i]
			x = cutAxis(x, 2+i, max(-m.pads[0], 0), d-max(-m.pads[1], 0), 1)
		}
		pads[2+i] = [2]int{max(m.pads[0], 0), max(m.pads[1], 0)}
	}

	wide := slices.Clone(x.Shape().Dimensions)
	for i, p := range pads {
		wide[i] += p[0] + p[1]
	}
	room(x.DType(), wide...)
	return ops.PadConstant(x, 0, pads)
}

// turned makes of a kernel [cin, cout/groups, ...] one [..., cin/groups, cout] that runs backwards.
func turned(k *node, groups int) *node {
	kd := k.Shape().Dimensions
	n := len(kd) - 2
	k = graph.Reshape(k, append([]int{groups, kd[0] / groups, kd[1]}, kd[2:]...)...)

	perm := []int{}
	for i := range n {
		perm = append(perm, 3+i)
	}
	k = graph.TransposeAllAxes(k, append(perm, 1, 0, 2)...)
	k = graph.Reshape(k, append(slices.Clone(kd[2:]), kd[0]/groups, groups*kd[1])...)
	for i := range n {
		k = ops.Reverse(k, i)
	}
	return k
}
