package onnxrun

import (
	"math"
	"slices"

	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/ops"
)

// window is what convolutions and pools have in common, an entry a spatial axis.
type window struct {
	kernel, strides, dilations []int
	pads                       [][2]int
}

func (c *call) window(size, kernel []int, ceil bool) (w window, out []int) {
	n := len(size)
	const most = math.MaxInt32 // of a size, a step or a margin, so that none of the sums below overflows
	need(n >= 1 && n <= 3 && len(kernel) == n, "a window of %s along %d axes; 1 to 3 are supported", dimsText(kernel), n)
	fill := func(name string) []int {
		v := c.list(name)
		need(len(v) == 0 || len(v) == n, "%s %s for %d axes", name, dimsText(v), n)
		for len(v) < n {
			v = append(v, 1)
		}
		for _, k := range v {
			need(k >= 1 && k <= most, "%s %s: each is 1 or more", name, dimsText(v))
		}
		return v
	}
	for i, k := range kernel {
		need(k >= 1 && k <= most, "kernel %s: each is 1 or more, and at most %d", dimsText(kernel), most)
		need(size[i] <= most, "size %d of axis %d, at most %d are supported", size[i], 2+i, most)
	}

	w = window{kernel: kernel, strides: fill("strides"), dilations: fill("dilations"), pads: make([][2]int, n)}
	pads := c.list("pads")
	need(len(pads) == 0 || len(pads) == 2*n, "pads %s for %d axes", dimsText(pads), n)
	for _, p := range pads {
		need(p >= 0 && p <= most, "pads %s: each is 0 or more, and at most %d", dimsText(pads), most)
	}
	for i := range n {
		reach := (kernel[i]-1)*w.dilations[i] + 1
		switch mode := c.text("auto_pad", "NOTSET"); mode {
		case "SAME_UPPER", "SAME_LOWER":
			total := max(0, ((size[i]+w.strides[i]-1)/w.strides[i]-1)*w.strides[i]+reach-size[i])
			w.pads[i] = [2]int{total / 2, total - total/2}
			if mode == "SAME_LOWER" {
				w.pads[i] = [2]int{total - total/2, total / 2}
			}
			c.padsAgree(pads, i, n, w.pads[i])
		case "NOTSET":
			if len(pads) == 2*n {
				w.pads[i] = [2]int{pads[i], pads[i+n]}
			}
		case "VALID":
			c.padsAgree(pads, i, n, [2]int{})
		default:
			refuse("auto_pad %q is not known", mode)
		}
		left := size[i] + w.pads[i][0] + w.pads[i][1] - reach
		need(c.n.Op == "ConvTranspose" || left >= 0,
			"a window of %d does not fit the %d elements of axis %d", reach, size[i]+w.pads[i][0]+w.pads[i][1], 2+i)
		o := left/w.strides[i] + 1
		if ceil && left%w.strides[i] != 0 && o*w.strides[i] < size[i]+w.pads[i][0] {
			o++
		}
		out = append(out, o)
	}

	return w, out
}

// padsAgree refuses pads beside an auto_pad that amounts to others along axis i of n. Those of a ConvTranspose are cut, in its own way.
func (c *call) padsAgree(pads []int, i, n int, are [2]int) {
	if len(pads) == 0 || c.n.Op == "ConvTranspose" {
		return
	}
	said := [2]int{pads[i], pads[i+n]}
	need(said == are || said == [2]int{}, "pads %s beside auto_pad, which amounts to %v along axis %d; give one of them", dimsText(pads), are, 2+i)
}

// windows gives, for each place of the window, the elements of x there, after padding with value.
func (c *call) windows(x *node, w window, out []int, value float64) []*node {
	places, ok := untrusted.Product(mostNodes, w.kernel...)
	need(ok, "a kernel of %s has more than %d places", dimsText(w.kernel), mostNodes)
	c.parts(4 * places)
	room(x.DType(), append(slices.Clone(x.Shape().Dimensions[:2]), out...)...)
	pads := make([][2]int, x.Rank())
	wide := slices.Clone(x.Shape().Dimensions)
	for i, p := range w.pads {
		reach := (out[i]-1)*w.strides[i] + (w.kernel[i]-1)*w.dilations[i] + 1
		pads[2+i] = [2]int{p[0], max(p[1], reach-x.Shape().Dimensions[2+i]-p[0])}
		wide[2+i] += pads[2+i][0] + pads[2+i][1]
	}

	room(x.DType(), wide...)
	x = ops.PadConstant(x, value, pads)
	parts := []*node{x}
	for i := range w.kernel {
		var next []*node
		for _, p := range parts {
			for k := range w.kernel[i] {
				from := k * w.dilations[i]
				next = append(next, cutAxis(p, 2+i, from, from+(out[i]-1)*w.strides[i]+1, w.strides[i]))
			}
		}
		parts = next
	}
	return parts
}

// spatial are the sizes after examples and channels.
func spatial(x *node) []int {
	need(x.Rank() >= 3, "it takes examples, channels and 1 to 3 axes, got %v", x.Shape().Dimensions)
	need(x.Shape().Size() > 0, "its input of shape %v is empty", x.Shape().Dimensions)
	return x.Shape().Dimensions[2:]
}
