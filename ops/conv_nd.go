package ops

import (
	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// Conv1D is a convolution along one axis; see Conv for the formula. It is Conv with one column.
type Conv1D struct {
	Stride   int    // 0 counts as 1
	Dilation int    // 0 counts as 1
	Padding  [2]int // zeros before and after
	Same     bool   // pad so that the output has ceil(input/stride) places; instead of Padding
	Groups   int    // 0 counts as 1
}

// Apply convolves x [batch, length, cin] with kernel [k, cin/groups, cout] to [batch, length', cout].
func (c Conv1D) Apply(x, kernel *graph.Node) *graph.Node {
	if x.Rank() != 3 || kernel.Rank() != 3 {
		Panicf("ops.Conv1D: x is %s and kernel %s; want [batch, length, cin] and [k, cin/groups, cout]", x.Shape(), kernel.Shape())
	}
	two := Conv{
		Strides: [2]int{c.Stride, 1}, Dilations: [2]int{c.Dilation, 1}, Padding: [2][2]int{c.Padding, {}}, Same: c.Same, Groups: c.Groups,
	}
	return graph.Squeeze(two.Apply(graph.ExpandAxes(x, 2), graph.ExpandAxes(kernel, 1)), 2)
}

// Conv3D is a convolution along three axes; see Conv for the formula. It is the sum over the kernel's first axis of
// convolutions along the other two.
type Conv3D struct {
	Strides   [3]int    // depth, rows, columns; 0 counts as 1
	Dilations [3]int    // 0 counts as 1
	Padding   [3][2]int // zeros before and after
	Same      bool      // pad so that the output has ceil(input/stride) places on each axis; instead of Padding
	Groups    int       // 0 counts as 1
}

// Apply convolves x [batch, depth, height, width, cin] with kernel [kd, kh, kw, cin/groups, cout] to [batch, depth', height',
// width', cout].
func (c Conv3D) Apply(x, kernel *graph.Node) *graph.Node {
	if x.Rank() != 5 || kernel.Rank() != 5 {
		Panicf("ops.Conv3D: x is %s and kernel %s; want [batch, depth, height, width, cin] and [kd, kh, kw, cin/groups, cout]", x.Shape(), kernel.Shape())
	}
	if c.Strides[0] < 0 || c.Dilations[0] < 0 || c.Padding[0][0] < 0 || c.Padding[0][1] < 0 {
		Panicf("ops.Conv3D: strides %v, dilations %v, padding %v; none may be negative", c.Strides, c.Dilations, c.Padding)
	}
	xd, kd := x.Shape().Dimensions, kernel.Shape().Dimensions
	stride, dilation, padding := max(c.Strides[0], 1), max(c.Dilations[0], 1), c.Padding[0]
	reach := (kd[0]-1)*dilation + 1
	if c.Same {
		total := max(0, ((xd[1]+stride-1)/stride-1)*stride+reach-xd[1])
		padding = [2]int{total / 2, total - total/2}
	}
	if padded := xd[1] + padding[0] + padding[1]; padded < reach {
		Panicf("ops.Conv3D: the kernel reaches over %d places in depth, the padded input has %d; use a smaller kernel or pad", reach, padded)
	}
	depth := (xd[1]+padding[0]+padding[1]-reach)/stride + 1
	x = fit(x, 0, [][2]int{{}, padding, {}, {}, {}})
	plane := Conv{
		Strides: [2]int{c.Strides[1], c.Strides[2]}, Dilations: [2]int{c.Dilations[1], c.Dilations[2]},
		Padding: [2][2]int{c.Padding[1], c.Padding[2]}, Same: c.Same, Groups: c.Groups,
	}
	var sum *graph.Node
	for k := range kd[0] {
		// The planes that place k of the kernel sees, all as one batch.
		seen := every(x, 1, k*dilation, depth, stride)
		y := plane.Apply(graph.Reshape(seen, xd[0]*depth, xd[2], xd[3], xd[4]), graph.Squeeze(every(kernel, 0, k, 1, 1), 0))
		if sum == nil {
			sum = y
		} else {
			sum = graph.Add(sum, y)
		}
	}
	return graph.Reshape(sum, append([]int{xd[0], depth}, sum.Shape().Dimensions[1:]...)...)
}

// every takes n elements along an axis, a stride apart, from one on.
func every(x *graph.Node, axis, from, n, stride int) *graph.Node {
	spec := make([]graph.SliceAxisSpec, x.Rank())
	for i := range spec {
		spec[i] = graph.AxisRange()
	}
	spec[axis] = graph.AxisRange(from, from+(n-1)*stride+1).Stride(stride)
	y := graph.Slice(graph.StopGradient(x), spec...)
	return CustomGradient(y, []*graph.Node{x}, func(v *graph.Node) []*graph.Node {
		return []*graph.Node{scattered(v, x, axis, from, stride)}
	})
}

// scattered lays v, of which each element along an axis belongs a stride apart, from one on, into zeros of x's shape.
func scattered(v, x *graph.Node, axis, from, stride int) *graph.Node {
	wide := make([]int, v.Rank())
	for i := range wide {
		wide[i] = 1
	}
	wide[axis] = stride
	n := v.Shape().Dimensions[axis]
	padding := make([][2]int, v.Rank())
	padding[axis] = [2]int{from, x.Shape().Dimensions[axis] - from - (n-1)*stride - 1}
	y := fit(spread(graph.StopGradient(v), wide...), 0, padding)
	return CustomGradient(graph.StopGradient(y), []*graph.Node{v}, func(u *graph.Node) []*graph.Node {
		return []*graph.Node{every(u, axis, from, n, stride)}
	})
}

// ConvTranspose is the transposed convolution, the adjoint of Conv for its input: each pixel of x lays its kernel into the
// output, Strides apart. The output has (size-1) stride - before - after + (k-1) dilation + 1 + OutputPadding places on an
// axis. This is PyTorch's ConvTranspose2d but for the kernel's axes.
type ConvTranspose struct {
	Strides       [2]int    // rows, columns; 0 counts as 1
	Dilations     [2]int    // 0 counts as 1
	Padding       [2][2]int // places cut off before and after
	OutputPadding [2]int    // places added after, each below the stride
	Groups        int       // 0 counts as 1
}

// Apply turns x [batch, height, width, cin] and kernel [kh, kw, cout/groups, cin], as Conv from cout to cin channels would
// have it, into [batch, height', width', cout].
func (c ConvTranspose) Apply(x, kernel *graph.Node) *graph.Node {
	if x.Rank() != 4 || kernel.Rank() != 4 || x.DType() != kernel.DType() {
		Panicf("ops.ConvTranspose: x is %s and kernel %s; want [batch, height, width, cin] and [kh, kw, cout/groups, cin] of one type", x.Shape(), kernel.Shape())
	}
	groups := max(c.Groups, 1)
	xd, kd := x.Shape().Dimensions, kernel.Shape().Dimensions
	if xd[3] != kd[3] || xd[3]%groups != 0 {
		Panicf("ops.ConvTranspose: x has %d channels, the kernel is %v with %d groups; want as many, and groups dividing them", xd[3], kd, groups)
	}
	conv := Conv{Groups: groups, Padding: c.Padding}
	out := []int{xd[0], 0, 0, kd[2] * groups}
	for i := range 2 {
		if c.Strides[i] < 0 || c.Dilations[i] < 0 || c.Padding[i][0] < 0 || c.Padding[i][1] < 0 || c.OutputPadding[i] < 0 {
			Panicf("ops.ConvTranspose: %+v; nothing may be negative", c)
		}
		conv.Strides[i], conv.Dilations[i] = max(c.Strides[i], 1), max(c.Dilations[i], 1)
		if c.OutputPadding[i] >= conv.Strides[i] && c.OutputPadding[i] > 0 {
			Panicf("ops.ConvTranspose: OutputPadding %v with strides %v; each must be below its stride", c.OutputPadding, conv.Strides)
		}
		out[i+1] = (xd[i+1]-1)*conv.Strides[i] - c.Padding[i][0] - c.Padding[i][1] + (kd[i]-1)*conv.Dilations[i] + 1 + c.OutputPadding[i]
		if out[i+1] < 1 {
			Panicf("ops.ConvTranspose: the padding %v cuts everything off x %s with kernel %v", c.Padding, x.Shape(), kd)
		}
	}
	shape := x.Shape().Clone()
	shape.Dimensions = out
	return conv.inputGradient(graph.Zeros(x.Graph(), shape), x, kernel) // of the zeros, only the shape counts
}
