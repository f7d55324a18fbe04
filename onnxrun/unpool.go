package onnxrun

import (
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/internal/untrusted"
)

// spread reads an attribute with a number for each of n spatial axes: otherwise if it is left out.
func (c *call) spread(name string, n, otherwise, least int) []int {
	v := c.list(name)
	need(len(v) == 0 || len(v) == n, "%s %s for %d axes", name, dimsText(v), n)
	for len(v) < n {
		v = append(v, otherwise)
	}
	for _, k := range v {
		need(k >= least && k <= math.MaxInt32, "%s %s: each is %d or more", name, dimsText(v), least)
	}
	return v
}

// maxUnpool puts the elements that a MaxPool took back where they were; the others are 0.
func maxUnpool(c *call) []*tensors.Tensor {
	d := c.dims(0)
	n := len(d) - 2
	need(n >= 1 && slices.Equal(d, c.dims(1)), "values %v and places %v, want the same examples, channels and axes", d,
		c.dims(1))
	kernel, strides, pads := c.list("kernel_shape"), c.spread("strides", n, 1, 1), c.spread("pads", 2*n, 0, 0)
	need(len(kernel) == n, "kernel_shape %s for %d axes", dimsText(kernel), n)
	inner := slices.Clone(d)
	for i := range n {
		need(kernel[i] >= 1 && kernel[i] <= math.MaxInt32, "kernel_shape %s: each is 1 or more", dimsText(kernel))
		inner[2+i] = (d[2+i]-1)*strides[i] + kernel[i] - pads[i] - pads[n+i]
	}

	// The places count through the shape that the window gives; a larger one that is asked for has the rest at its ends.
	shape := inner
	if c.has(2) {
		shape = c.ints(2)
		need(len(shape) == len(d) && slices.Equal(shape[:2], d[:2]), "output_shape %s for values of %v",
			dimsText(shape), d)
		for i := range n {
			need(shape[2+i] >= inner[2+i], "output_shape %s is less than the %v that the values take", dimsText(shape),
				inner)
		}
	}
	room(c.dtype(0), inner...)
	out := room(c.dtype(0), shape...)
	x, y := c.floats(0), make([]float64, out.Size())
	c.gone(out.Size())
	for i, at := range c.ints(1) {
		need(at >= 0 && at < volumeOf(inner), "place %d of %d, in the shape %v", at, volumeOf(inner), inner)
		y[placeIn(at, inner, shape)] = x[i]
	}
	return []*tensors.Tensor{made(c.dtype(0), y, shape...)}
}

// placeIn is the place in an array of shape to of the element at a place of one of shape from.
func placeIn(at int, from, to []int) int {
	place, step := 0, 1
	for i := len(from) - 1; i >= 0; i-- {
		place += at % from[i] * step
		at /= from[i]
		step *= to[i]
	}
	return place
}

// columnsToImage adds up blocks where they lie in an image: x [examples, channels * places of a block, blocks].
func columnsToImage(c *call) []*tensors.Tensor {
	d, image, block := c.dims(0), c.ints(1), c.ints(2)
	n := len(image)
	need(len(d) == 3 && n >= 1 && len(block) == n, "input %v, image_shape %s and block_shape %s", d, dimsText(image),
		dimsText(block))
	dilations, strides, pads := c.spread("dilations", n, 1, 1), c.spread("strides", n, 1, 1), c.spread("pads", 2*n, 0,
		0)
	places, ok := untrusted.Product(math.MaxInt32, block...)
	need(ok && places > 0 && d[1]%places == 0, "%d rows for blocks of %s", d[1], dimsText(block))
	steps := make([]int, n)
	for i := range n {
		need(image[i] >= 1 && image[i] <= math.MaxInt32 && block[i] <= math.MaxInt32,
			"image_shape %s and block_shape %s: each is 1 or more", dimsText(image), dimsText(block))
		left := image[i] + pads[i] + pads[n+i] - dilations[i]*(block[i]-1) - 1
		need(left >= 0, "a block of %s does not fit the image of %s", dimsText(block), dimsText(image))
		steps[i] = left/strides[i] + 1
	}
	blocks, ok := untrusted.Product(math.MaxInt32, steps...)
	need(ok && blocks == d[2], "%d blocks, an image of %s has %s", d[2], dimsText(image), dimsText(steps))

	channels := d[1] / places
	shape := room(c.dtype(0), append([]int{d[0], channels}, image...)...)
	x, y := c.floats(0), make([]float64, shape.Size())
	size := volumeOf(image)
	for i := range x {
		if i%4096 == 0 {
			c.gone(4096)
		}
		b := i % blocks
		k := i / blocks % places
		at, step := 0, 1
		for axis := n - 1; axis >= 0 && at >= 0; axis-- {
			v := b%steps[axis]*strides[axis] + k%block[axis]*dilations[axis] - pads[axis]
			b, k = b/steps[axis], k/block[axis]
			if v < 0 || v >= image[axis] {
				at = -1
				break
			}
			at += v * step
			step *= image[axis]
		}
		if at >= 0 {
			y[i/(blocks*places)*size+at] += x[i]
		}
	}
	return []*tensors.Tensor{made(c.dtype(0), y, shape.Dimensions...)}
}

// deformConv is a convolution whose window reaches, at each place, for elements that offsets name, between the map's own.
func deformConv(c *call) []*tensors.Tensor {
	d, k, o := c.dims(0), c.dims(1), c.dims(2)
	group, offsets := c.int("group", 1), c.int("offset_group", 1)
	need(len(d) == 4 && len(k) == 4 && len(o) == 4,
		"input %v, kernel %v and offsets %v: maps of two axes are supported", d, k, o)
	strides, dilations, pads := c.spread("strides", 2, 1, 1), c.spread("dilations", 2, 1, 1), c.spread("pads", 4, 0, 0)
	if list := c.list("kernel_shape"); list != nil {
		need(slices.Equal(list, k[2:]), "kernel_shape %s of a kernel of %v", dimsText(list), k)
	}
	need(group >= 1 && offsets >= 1 && d[1] == k[1]*group && k[0]%group == 0 && d[1]%offsets == 0,
		"%d groups and %d of offsets for input %v and kernel %v", group, offsets, d, k)
	var out [2]int
	for i := range 2 {
		need(k[2+i] >= 1 && d[2+i] >= 1, "a window of %v on maps of %v", k[2:], d[2:])
		out[i] = (d[2+i]+pads[i]+pads[2+i]-dilations[i]*(k[2+i]-1)-1)/strides[i] + 1
	}
	window := k[2] * k[3]
	need(slices.Equal(o, []int{d[0], 2 * offsets * window, out[0], out[1]}), "offsets %v, want %v", o, []int{d[0],
		2 * offsets * window, out[0], out[1]})
	shape := room(c.dtype(0), d[0], k[0], out[0], out[1])
	x, w, at, y := c.floats(0), c.floats(1), c.floats(2), make([]float64, shape.Size())
	var mask, bias []float64
	if c.has(3) {
		bias = c.floats(3)
		need(len(bias) == k[0], "%d biases for %d channels", len(bias), k[0])
	}
	if c.has(4) {
		mask = c.floats(4)
		need(len(mask)*2 == len(at), "a mask of %v for offsets of %v", c.dims(4), o)
	}

	places := out[0] * out[1]
	taken := make([]float64, d[1]*window) // of one place: what the window reaches, for each channel
	for e := range d[0] {
		for p := range places {
			c.gone(len(taken) * k[0] / group)
			for j := range offsets * window {
				row := (e*offsets*window + j) * 2 * places
				q := j % window
				h := float64(p/out[1]*strides[0]-pads[0]+q/k[3]*dilations[0]) + at[row+p]
				v := float64(p%out[1]*strides[1]-pads[1]+q%k[3]*dilations[1]) + at[row+places+p]
				factor := 1.0
				if mask != nil {
					factor = mask[(e*offsets*window+j)*places+p]
				}
				for ch := j / window * (d[1] / offsets); ch < (j/window+1)*(d[1]/offsets); ch++ {
					taken[ch*window+q] = factor * zeroBeyond(x[(e*d[1]+ch)*d[2]*d[3]:], d[2], d[3], h, v)
				}
			}
			for f := range k[0] {
				sum := 0.0
				from := f / (k[0] / group) * k[1] * window
				for i, weight := range w[f*k[1]*window : (f+1)*k[1]*window] {
					sum += weight * taken[from+i]
				}
				if bias != nil {
					sum += bias[f]
				}
				y[(e*k[0]+f)*places+p] = sum
			}
		}
	}
	return []*tensors.Tensor{made(c.dtype(0), y, shape.Dimensions...)}
}

// zeroBeyond is the value of a map between its elements, with zeros around it.
func zeroBeyond(m []float64, height, width int, y, x float64) float64 {
	if !(y > -1 && y < float64(height) && x > -1 && x < float64(width)) {
		return 0
	}
	y0, x0 := int(math.Floor(y)), int(math.Floor(x))
	ly, lx := y-float64(y0), x-float64(x0)
	get := func(i, j int) float64 {
		if i < 0 || j < 0 || i >= height || j >= width {
			return 0
		}
		return m[i*width+j]
	}
	return (1-ly)*((1-lx)*get(y0, x0)+lx*get(y0, x0+1)) + ly*((1-lx)*get(y0+1, x0)+lx*get(y0+1, x0+1))
}
