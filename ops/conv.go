package ops

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// Conv is a 2-D convolution (cross-correlation, as everywhere in this field):
//
//	y[b,i,j,o] = sum over u,v,c of x[b, i Strides[0] + u Dilations[0] - top, j Strides[1] + v Dilations[1] - left, c] kernel[u,v,c,o]
//
// With Groups > 1 output channel o sees the input channels of its group alone; Groups = cin is a depthwise convolution.
// The zero value is stride 1 without padding. Panics when shapes, strides or groups do not fit.
type Conv struct {
	Strides   [2]int    // rows, columns; 0 counts as 1
	Dilations [2]int    // rows, columns; 0 counts as 1
	Padding   [2][2]int // zeros before and after, rows and columns
	Same      bool      // pad so that the output has ceil(input/stride) rows and columns, the odd zero after; instead of Padding
	Groups    int       // 0 counts as 1
}

// Apply convolves x [batch, height, width, cin] with kernel [kh, kw, cin/groups, cout] to [batch, height', width', cout].
func (c Conv) Apply(x, kernel *graph.Node) *graph.Node {
	c = c.complete(x, kernel)
	one := kernel.Shape().Dimensions[0] == 1 && kernel.Shape().Dimensions[1] == 1
	if one && c.Groups == 1 && c.Padding == [2][2]int{} && c.Strides == [2]int{1, 1} {
		return pointwise(x, kernel)
	}
	return c.bilinear(x, kernel)
}

// complete fills in defaults, turns Same into numbers and checks that everything fits.
func (c Conv) complete(x, kernel *graph.Node) Conv {
	if x.Rank() != 4 || kernel.Rank() != 4 {
		Panicf("ops.Conv: x is %s and kernel %s; want [batch, height, width, cin] and [kh, kw, cin/groups, cout]", x.Shape(), kernel.Shape())
	}
	if x.DType() != kernel.DType() {
		Panicf("ops.Conv: x is %s and kernel %s; convert one", x.DType(), kernel.DType())
	}
	c.Groups = max(c.Groups, 1)
	xd, kd := x.Shape().Dimensions, kernel.Shape().Dimensions
	if xd[3] != kd[2]*c.Groups || kd[3]%c.Groups != 0 {
		Panicf("ops.Conv: x has %d channels, the kernel is %v with %d groups; want %d channels a group in both and groups dividing %d", xd[3], kd, c.Groups, kd[2], kd[3])
	}
	for i, axis := range []string{"rows", "columns"} {
		if c.Strides[i] < 0 || c.Dilations[i] < 0 || c.Padding[i][0] < 0 || c.Padding[i][1] < 0 {
			Panicf("ops.Conv: strides %v, dilations %v, padding %v; none may be negative", c.Strides, c.Dilations, c.Padding)
		}
		c.Strides[i], c.Dilations[i] = max(c.Strides[i], 1), max(c.Dilations[i], 1)
		reach := (kd[i]-1)*c.Dilations[i] + 1
		if c.Same {
			out := (xd[i+1] + c.Strides[i] - 1) / c.Strides[i]
			total := max(0, (out-1)*c.Strides[i]+reach-xd[i+1])
			c.Padding[i] = [2]int{total / 2, total - total/2}
		}
		if padded := xd[i+1] + c.Padding[i][0] + c.Padding[i][1]; padded < reach {
			Panicf("ops.Conv: the kernel reaches over %d %s, the padded input has %d; use a smaller kernel or pad", reach, axis, padded)
		}
	}
	return c
}

// outSize is the number of output rows (axis 0) or columns (axis 1).
func outSize(x, kernel *graph.Node, c Conv, axis int) int {
	reach := (kernel.Shape().Dimensions[axis]-1)*c.Dilations[axis] + 1
	return (x.Shape().Dimensions[axis+1]+c.Padding[axis][0]+c.Padding[axis][1]-reach)/c.Strides[axis] + 1
}

// shifted computes the convolution as a sum over kernel positions of matrix products. With few input channels the products
// would be thin, so the patches are put side by side and multiplied once.
func (c Conv) shifted(x, kernel *graph.Node) *graph.Node {
	kd := kernel.Shape().Dimensions
	kh, kw, perGroup, cout := kd[0], kd[1], kd[2], kd[3]
	rows, columns := outSize(x, kernel, c, 0), outSize(x, kernel, c, 1)
	x = PadConstant(x, 0, [][2]int{{}, c.Padding[0], c.Padding[1], {}})
	if c.Groups == 1 && perGroup < few {
		return pointwise(c.patches(x, kd, rows, columns), graph.Reshape(kernel, 1, 1, kh*kw*perGroup, cout))
	}
	var sum *graph.Node
	for u := range kh {
		for v := range kw {
			patch := takeEvery(x, u*c.Dilations[0], v*c.Dilations[1], rows, columns, c)
			weights := graph.Slice(kernel, graph.AxisElem(u), graph.AxisElem(v), graph.AxisRange(), graph.AxisRange())
			term := c.product(patch, weights)
			if sum == nil {
				sum = term
			} else {
				sum = graph.Add(sum, term)
			}
		}
	}
	return sum
}

// few channels make products so thin that one over patches put side by side is faster.
const few = 8

// patches is [batch, rows, columns, kh kw cin]: what each output pixel sees of padded x.
func (c Conv) patches(x *graph.Node, kernel []int, rows, columns int) *graph.Node {
	list := make([]*graph.Node, 0, kernel[0]*kernel[1])
	for u := range kernel[0] {
		for v := range kernel[1] {
			list = append(list, takeEvery(x, u*c.Dilations[0], v*c.Dilations[1], rows, columns, c))
		}
	}
	return graph.Concatenate(list, -1)
}

// product multiplies the channels of a patch [batch, rows, columns, cin] with weights [1, 1, cin/groups, cout].
func (c Conv) product(patch, weights *graph.Node) *graph.Node {
	if c.Groups == 1 {
		return pointwise(patch, weights)
	}
	pd, wd := patch.Shape().Dimensions, weights.Shape().Dimensions
	if wd[2] == 1 && wd[3] == c.Groups { // depthwise: one weight a channel
		return graph.Mul(patch, graph.BroadcastToDims(graph.Reshape(weights, 1, 1, 1, c.Groups), pd...))
	}
	n := pd[0] * pd[1] * pd[2]
	y := graph.Einsum("ngc,cgo->ngo", graph.Reshape(patch, n, c.Groups, wd[2]), graph.Reshape(weights, wd[2], c.Groups, wd[3]/c.Groups))
	return graph.Reshape(y, pd[0], pd[1], pd[2], wd[3])
}

// takeEvery slices the pixels that one kernel position sees: rows x columns of them, from (top, left) on, a stride apart.
func takeEvery(x *graph.Node, top, left, rows, columns int, c Conv) *graph.Node {
	d := x.Shape().Dimensions
	if top == 0 && left == 0 && rows == d[1] && columns == d[2] && c.Strides == [2]int{1, 1} {
		return x
	}
	spatial := func(from, n, stride int) graph.SliceAxisSpec {
		return graph.AxisRange(from, from+(n-1)*stride+1).Stride(stride)
	}
	return graph.Slice(x, graph.AxisRange(), spatial(top, rows, c.Strides[0]), spatial(left, columns, c.Strides[1]), graph.AxisRange())
}

// pointwise is a 1x1 convolution.
func pointwise(x, kernel *graph.Node) *graph.Node {
	d, kd := x.Shape().Dimensions, kernel.Shape().Dimensions
	y := graph.MatMul(graph.Reshape(x, d[0]*d[1]*d[2], d[3]), graph.Reshape(kernel, kd[2], kd[3]))
	return graph.Reshape(y, d[0], d[1], d[2], kd[3])
}

// onGo reports whether the graph runs on the Go engine.
func onGo(x *graph.Node) bool { return x.Graph().Backend().Name() != "xla" }

func sizeText(x *graph.Node) string { return fmt.Sprint(x.Shape().Dimensions) }
