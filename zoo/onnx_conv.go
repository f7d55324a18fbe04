package zoo

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/ops"
)

// window is what convolutions and pools have in common, an entry a spatial axis.
type window struct {
	kernel, strides, dilations []int
	pads                       [][2]int
}

func (c *onnxCall) window(size, kernel []int, ceil bool) (w window, out []int) {
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
		case "NOTSET":
			if len(pads) == 2*n {
				w.pads[i] = [2]int{pads[i], pads[i+n]}
			}
		case "VALID":
		default:
			refuse("auto_pad %q is not known", mode)
		}
		left := size[i] + w.pads[i][0] + w.pads[i][1] - reach
		need(c.n.Op == "ConvTranspose" || left >= 0, "a window of %d does not fit the %d elements of axis %d", reach, size[i]+w.pads[i][0]+w.pads[i][1], 2+i)
		o := left/w.strides[i] + 1
		if ceil && left%w.strides[i] != 0 && o*w.strides[i] < size[i]+w.pads[i][0] {
			o++
		}
		out = append(out, o)
	}
	return w, out
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

func addBias(y, b *node) *node {
	if b == nil {
		return y
	}
	return graph.Add(y, along(b, y, 1))
}

func conv(c *onnxCall) *node { return addBias(convOf(c, c.x(0), c.x(1)), c.maybe(2)) }

func convOf(c *onnxCall, x, k *node) *node {
	groups := c.int("group", 1)
	xd, kd := x.Shape().Dimensions, k.Shape().Dimensions
	need(len(xd) >= 3 && len(kd) == len(xd), "input %v and kernel %v", xd, kd)
	need(groups >= 1 && xd[1] == kd[1]*groups && kd[0]%groups == 0, "%d groups of input %v and kernel %v", groups, xd, kd)
	w, out := c.window(x.Shape().Dimensions[2:], k.Shape().Dimensions[2:], false)
	perm := []int{}
	for i := 2; i < k.Rank(); i++ {
		perm = append(perm, i)
	}
	k = graph.TransposeAllAxes(k, append(perm, 1, 0)...)
	x = channelsLast(x)
	room(x.DType(), append([]int{xd[0], kd[0]}, out...)...)
	switch x.Rank() {
	case 3:
		x = ops.Conv1D{Stride: w.strides[0], Dilation: w.dilations[0], Padding: w.pads[0], Groups: groups}.Apply(x, k)
	case 4:
		x = ops.Conv{Strides: [2]int(w.strides), Dilations: [2]int(w.dilations), Padding: [2][2]int(w.pads), Groups: groups}.Apply(x, k)
	case 5:
		x = ops.Conv3D{Strides: [3]int(w.strides), Dilations: [3]int(w.dilations), Padding: [3][2]int(w.pads), Groups: groups}.Apply(x, k)
	default:
		panic(fmt.Errorf("a convolution along %d axes; 1 to 3 are supported", x.Rank()-2))
	}
	return channelsFirst(x)
}

// convTranspose spreads the input by the strides and convolves it with the kernel turned around.
func convTranspose(c *onnxCall) *node {
	x, k := c.x(0), c.x(1)
	need(x.Rank() >= 3 && k.Rank() == x.Rank(), "input %v and kernel %v", x.Shape().Dimensions, k.Shape().Dimensions)
	kd, size := k.Shape().Dimensions, x.Shape().Dimensions[2:]
	n, groups := len(size), c.int("group", 1)
	need(groups >= 1 && kd[0]%groups == 0 && x.Shape().Dim(1) == kd[0], "%d groups of input %v and kernel %v", groups, x.Shape().Dimensions, kd)
	w, _ := c.window(size, kd[2:], false)
	extra, want := c.list("output_padding"), c.list("output_shape")
	for len(extra) < n {
		extra = append(extra, 0)
	}
	for _, v := range slices.Concat(extra, want) {
		need(v >= 0 && v <= math.MaxInt32, "output_padding %s and output_shape %s", dimsText(extra), dimsText(want))
	}
	need(want == nil || len(want) >= n, "output_shape %v for %d axes", want, n)
	mode := c.text("auto_pad", "NOTSET")
	all := make([][2]int, n+2)
	for i := range n {
		reach := (kd[2+i]-1)*w.dilations[i] + 1
		full := (size[i]-1)*w.strides[i] + reach + extra[i]
		pads := w.pads[i]
		if mode == "SAME_UPPER" || mode == "SAME_LOWER" || want != nil {
			out := size[i] * w.strides[i]
			if want != nil {
				out = want[len(want)-n+i]
			}
			total := full - out
			pads = [2]int{total / 2, total - total/2}
			if mode == "SAME_LOWER" || want != nil && mode == "NOTSET" {
				pads = [2]int{total - total/2, total / 2}
			}
			if mode == "SAME_UPPER" || want != nil && mode != "SAME_UPPER" {
				pads = [2]int{total / 2, total - total/2}
			}
		}
		all[2+i] = [2]int{reach - 1 - pads[0], reach - 1 - pads[1] + extra[i]}
		need(all[2+i][0]+all[2+i][1]+(size[i]-1)*w.strides[i]+1 >= reach, "its pads %v leave nothing of axis %d", pads, 2+i)
		if s := w.strides[i]; s > 1 {
			spread := slices.Clone(x.Shape().Dimensions)
			spread[2+i] *= s
			room(x.DType(), spread...)
			x = graph.ExpandAxes(x, 3+i)
			p := make([][2]int, x.Rank())
			p[3+i][1] = s - 1
			x = ops.PadConstant(x, 0, p)
			d := slices.Delete(slices.Clone(x.Shape().Dimensions), 3+i, 4+i)
			d[2+i] *= s
			x = cutAxis(graph.Reshape(x, d...), 2+i, 0, d[2+i]-s+1, 1)
		}
	}
	for i := range n {
		p := all[2+i]
		if p[0] < 0 || p[1] < 0 {
			d := x.Shape().Dimensions[2+i]
			x = cutAxis(x, 2+i, max(-p[0], 0), d-max(-p[1], 0), 1)
			all[2+i] = [2]int{max(p[0], 0), max(p[1], 0)}
		}
	}
	wide := slices.Clone(x.Shape().Dimensions)
	for i, p := range all {
		wide[i] += p[0] + p[1]
	}
	room(x.DType(), wide...)
	x = channelsLast(ops.PadConstant(x, 0, all))
	// [cin, cout/groups, ...] to [..., cin/groups, cout]
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
	switch n {
	case 1:
		x = ops.Conv1D{Dilation: w.dilations[0], Groups: groups}.Apply(x, k)
	case 2:
		x = ops.Conv{Dilations: [2]int(w.dilations), Groups: groups}.Apply(x, k)
	case 3:
		x = ops.Conv3D{Dilations: [3]int(w.dilations), Groups: groups}.Apply(x, k)
	default:
		panic(fmt.Errorf("a convolution along %d axes; 1 to 3 are supported", n))
	}
	return addBias(channelsFirst(x), c.maybe(2))
}

// windows gives, for each place of the window, the elements of x there, after padding with value.
func (c *onnxCall) windows(x *node, w window, out []int, value float64) []*node {
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

func joined(parts []*node, f func(a, b *node) *node) *node {
	y := parts[0]
	for _, p := range parts[1:] {
		y = f(y, p)
	}
	return y
}

func maxPool(c *onnxCall) []*node {
	x := c.x(0)
	size := spatial(x)
	w, out := c.window(size, c.list("kernel_shape"), c.int("ceil_mode", 0) == 1)
	lowest := math.Inf(-1)
	switch x.DType() {
	case dtypes.Uint8:
		lowest = 0
	case dtypes.Int8:
		lowest = -128
	}
	parts := c.windows(x, w, out, lowest)
	y := joined(parts, graph.Max)
	if len(c.n.Outputs) < 2 || c.n.Outputs[1] == "" {
		return []*node{y}
	}
	d := x.Shape().Dimensions
	indexable(d...)
	places := graph.Reshape(graph.Iota(c.g, shapes.Make(dtypes.Int32, volumeOf(d)), 0), d...)
	if c.int("storage_order", 0) == 1 {
		perm := []int{0, 1}
		back := append([]int{}, d[:2]...)
		for i := x.Rank() - 1; i >= 2; i-- {
			perm, back = append(perm, i), append(back, d[i])
		}
		places = graph.TransposeAllAxes(graph.Reshape(places, back...), perm...)
	}
	at := c.windows(places, w, out, -1)
	best := at[len(at)-1]
	for i := len(parts) - 1; i >= 0; i-- {
		best = graph.Where(graph.Equal(parts[i], y), at[i], best)
	}
	return []*node{y, graph.ConvertDType(best, dtypes.Int64)}
}

func averagePool(c *onnxCall) *node {
	x := c.x(0)
	w, out := c.window(spatial(x), c.list("kernel_shape"), c.int("ceil_mode", 0) == 1)
	y := joined(c.windows(x, w, out, 0), graph.Add)
	ones := graph.OnesLike(x)
	if c.int("count_include_pad", 0) == 1 {
		p := make([][2]int, x.Rank())
		copy(p[2:], w.pads)
		ones = ops.PadConstant(ones, 1, p)
		w.pads = make([][2]int, len(w.pads))
	}
	return graph.Div(y, joined(c.windows(ones, w, out, 0), graph.Add))
}

func lpPool(c *onnxCall) *node {
	x, p := c.x(0), c.float("p", 2)
	if a := c.n.Attribute("p"); a != nil && a.Int != 0 {
		p = float64(a.Int)
	}
	w, out := c.window(spatial(x), c.list("kernel_shape"), c.int("ceil_mode", 0) == 1)
	y := graph.Pow(graph.Abs(x), scalar(x, p))
	y = joined(c.windows(y, w, out, 0), graph.Add)
	return graph.Pow(y, scalar(y, 1/p))
}

func global(f func(x *node, axes ...int) *node) onnxOp {
	return unary(func(x *node) *node {
		var axes []int
		d := slices.Clone(x.Shape().Dimensions)
		for i := 2; i < x.Rank(); i++ {
			axes, d[i] = append(axes, i), 1
		}
		return graph.Reshape(f(x, axes...), d...)
	})
}

// resize multiplies each axis by a matrix of weights that is made from the sizes.
func resize(c *onnxCall) *node {
	x := c.x(0)
	d := x.Shape().Dimensions
	scalesAt, sizesAt, roiAt := 2, 3, 1
	if c.n.Op == "Upsample" || c.opset < 11 {
		scalesAt, sizesAt, roiAt = 1, 9, 9
	}
	size, scales := slices.Clone(d), make([]float64, len(d))
	axes := c.list("axes")
	if axes == nil {
		for i := range d {
			axes = append(axes, i)
		}
	}
	positiveAxes(axes, len(d))
	for i, a := range axes {
		axes[i] = axisIn(a, len(d))
	}
	for i := range scales {
		scales[i] = 1
	}
	var roi []float64
	if c.has(roiAt) {
		roi = c.floats(roiAt)
	}
	mode, where := c.text("mode", "nearest"), c.text("coordinate_transformation_mode", "half_pixel")
	if scalesAt == 1 {
		where = "asymmetric"
	}
	need(x.Shape().Size() > 0, "its input of shape %v is empty", d)
	need(where != "tf_crop_and_resize" || len(roi) == 2*len(axes), "a region of %d numbers for %d axes", len(roi), len(axes))
	if c.has(sizesAt) && len(c.ints(sizesAt)) > 0 {
		need(len(c.ints(sizesAt)) == len(axes), "%d sizes for %d axes", len(c.ints(sizesAt)), len(axes))
		for i, v := range c.ints(sizesAt) {
			size[axes[i]], scales[axes[i]] = v, float64(v)/float64(d[axes[i]])
		}
	} else {
		list := []float64(nil)
		if a := c.n.Attribute("scales"); a != nil {
			for _, v := range a.Floats {
				list = append(list, float64(v))
			}
		} else {
			list = c.floats(scalesAt)
		}
		need(len(list) == len(axes), "%d scales for %d axes", len(list), len(axes))
		for i, v := range list {
			a := axes[i]
			need(v > 0 && v <= math.MaxInt32, "scale %v of axis %d", v, a)
			scales[a] = v
			size[a] = int(math.Floor(float64(d[a])*v + 1e-6))
			if where == "tf_crop_and_resize" {
				size[a] = int(math.Floor(float64(d[a]) * (roi[i+len(axes)] - roi[i]) * v))
			}
		}
	}
	for axis, n := range size {
		need(n >= 1 && n <= math.MaxInt32, "size %d of axis %d", n, axis)
	}
	room(x.DType(), size...)
	for axis := range d {
		if size[axis] == d[axis] && scales[axis] == 1 && where != "tf_crop_and_resize" {
			continue
		}
		n, m := d[axis], size[axis]
		table, ok := untrusted.Product(mostConstantBytes/4, m, n)
		need(ok, "axis %d from %d to %d elements takes a table of more than %s; resize by smaller steps", axis, n, m, memory.Size(mostConstantBytes))
		c.build.work += float64(table)
		flat := make([]float32, m*n)
		for i := range m {
			at := float64(i) / scales[axis]
			switch where {
			case "half_pixel":
				at = (float64(i)+0.5)/scales[axis] - 0.5
			case "tf_half_pixel_for_nn":
				at = (float64(i) + 0.5) / scales[axis]
			case "pytorch_half_pixel":
				at = (float64(i)+0.5)/scales[axis] - 0.5
				if m == 1 {
					at = 0
				}
			case "align_corners":
				at = 0
				if long := float64(n) * scales[axis]; m > 1 && long > 1 { // the length before it is rounded
					at = float64(i) * float64(n-1) / (long - 1)
				}
			case "tf_crop_and_resize":
				j := slices.Index(axes, axis)
				lo, hi := roi[j], roi[j+len(axes)]
				at = 0.5 * (lo + hi) * float64(n-1)
				if m > 1 {
					at = lo*float64(n-1) + float64(i)*(hi-lo)*float64(n-1)/float64(m-1)
				}
				if at < 0 || at > float64(n-1) {
					panic(fmt.Errorf("tf_crop_and_resize beyond the image is not supported"))
				}
			}
			row := flat[i*n : (i+1)*n]
			put := func(j int, v float64) { row[min(max(j, 0), n-1)] += float32(v) }
			switch mode {
			case "nearest":
				j := math.Ceil(at - 0.5)
				switch c.text("nearest_mode", map[bool]string{true: "floor", false: "round_prefer_floor"}[scalesAt == 1]) {
				case "floor":
					j = math.Floor(at + 1e-9)
				case "ceil":
					j = math.Ceil(at)
				case "round_prefer_ceil":
					j = math.Floor(at + 0.5)
				}
				put(int(j), 1)
			case "linear", "bilinear":
				j := math.Floor(at)
				put(int(j), 1-(at-j))
				put(int(j)+1, at-j)
			case "cubic":
				a := c.float("cubic_coeff_a", -0.75)
				j := math.Floor(at)
				total := 0.0
				var parts [4]float64
				for k := range 4 {
					t := math.Abs(at - j - float64(k-1))
					v := ((a*t-5*a)*t+8*a)*t - 4*a
					if t <= 1 {
						v = ((a+2)*t-(a+3))*t*t + 1
					}
					if q := int(j) + k - 1; c.int("exclude_outside", 0) == 1 && (q < 0 || q >= n) {
						v = 0
					}
					parts[k], total = v, total+v
				}
				for k, v := range parts {
					if c.int("exclude_outside", 0) == 1 {
						v /= total
					}
					put(int(j)+k-1, v)
				}
			default:
				panic(fmt.Errorf("mode %q is not supported", mode))
			}
		}
		matrix := graph.ConvertDType(graph.ConstTensor(c.g, tensors.FromFlatDataAndDimensions(flat, m, n)), x.DType())
		y := graph.DotGeneral(x, []int{axis}, nil, matrix, []int{1}, nil)
		perm := make([]int, 0, len(d))
		for i := range d {
			switch {
			case i < axis:
				perm = append(perm, i)
			case i == axis:
				perm = append(perm, len(d)-1)
			default:
				perm = append(perm, i-1)
			}
		}
		x = graph.TransposeAllAxes(y, perm...)
	}
	return x
}

func convOps() map[string]onnxOp {
	return map[string]onnxOp{
		"Conv": one(conv), "ConvTranspose": one(convTranspose), "MaxPool": many(maxPool), "AveragePool": one(averagePool), "LpPool": one(lpPool),
		"GlobalAveragePool": global(graph.ReduceMean), "GlobalMaxPool": global(graph.ReduceMax), "Resize": one(resize), "Upsample": one(resize),
		"ConvInteger": one(func(c *onnxCall) *node {
			x := graph.ConvertDType(c.x(0), dtypes.Float32)
			if z := c.maybe(2); z != nil {
				x = graph.Sub(x, along(graph.ConvertDType(z, dtypes.Float32), x, 1))
			}
			k := graph.ConvertDType(c.x(1), dtypes.Float32)
			if z := c.maybe(3); z != nil {
				k = graph.Sub(k, along(graph.ConvertDType(z, dtypes.Float32), k, 0))
			}
			return graph.ConvertDType(convOf(c, x, k), dtypes.Int32)
		}),
		"QLinearConv": one(func(c *onnxCall) *node {
			back := func(x, scale, zero *node, axis int) *node {
				x = graph.ConvertDType(x, dtypes.Float32)
				return graph.Mul(graph.Sub(x, along(graph.ConvertDType(zero, dtypes.Float32), x, axis)), along(scale, x, axis))
			}
			y := convOf(c, back(c.x(0), c.x(1), c.x(2), 1), back(c.x(3), c.x(4), c.x(5), 0))
			if b := c.maybe(8); b != nil {
				s := graph.Mul(expandTo(graph.Reshape(c.x(1)), b.Shape().Dimensions), along(c.x(4), b, 0))
				y = addBias(y, graph.Mul(graph.ConvertDType(b, dtypes.Float32), expandTo(s, b.Shape().Dimensions)))
			}
			return quantize(y, c.x(6), c.x(7), c.x(7).DType(), 1)
		}),
	}
}
