package ops

import (
	"github.com/gomlx/gomlx/core/graph"
)

// bilinear is the convolution with gradients of its own, which are convolutions and products again. The ones that come with
// XLA's operation are silently wrong for kernels with an even side, do not build for paddings beyond the kernel, cannot be
// differentiated twice, and are up to ten times slower for the kernel.
//
// A convolution is linear in x and in the kernel, and so are its two adjoints. Each of the three has the other two as its
// gradients, so that every order of derivative is right, however the values are computed.
func (c Conv) bilinear(x, kernel *graph.Node) *graph.Node {
	y := c.value(graph.StopGradient(x), graph.StopGradient(kernel))
	return CustomGradient(y, []*graph.Node{x, kernel}, func(v *graph.Node) []*graph.Node {
		return []*graph.Node{c.inputGradient(x, v, kernel), c.kernelGradient(x, v, kernel)}
	})
}

// value is the convolution in the fastest form that the engine has.
func (c Conv) value(x, kernel *graph.Node) *graph.Node {
	strided, dilated := c.Strides != [2]int{1, 1}, c.Dilations != [2]int{1, 1}
	kd := kernel.Shape().Dimensions
	switch {
	case kd[0] == 1 && kd[1] == 1 && c.Groups == 1 && c.Padding == [2][2]int{}:
		return pointwise(takeEvery(x, 0, 0, outSize(x, kernel, c, 0), outSize(x, kernel, c, 1), c), kernel)
	case onGo(x), c.Groups == 1 && kd[2] == 1, strided && dilated: // the operation does not take both
		return c.shifted(x, kernel)
	}
	return c.operation(x, kernel)
}

func (c Conv) operation(x, kernel *graph.Node) *graph.Node {
	return graph.Convolve(x, kernel).
		StridePerAxis(c.Strides[0], c.Strides[1]).
		DilationPerAxis(c.Dilations[0], c.Dilations[1]).
		PaddingPerDim([][2]int{c.Padding[0], c.Padding[1]}).
		ChannelGroupCount(c.Groups).
		Done()
}

// inputGradient is the adjoint of x for the adjoint v of the output; x gives its shape. It is the convolution of v, with
// zeros between its pixels where there were strides, with the kernel turned by half a circle.
func (c Conv) inputGradient(x, v, kernel *graph.Node) *graph.Node {
	xd, kd := x.Shape().Dimensions, kernel.Shape().Dimensions
	wide := spread(graph.StopGradient(v), 1, c.Strides[0], c.Strides[1], 1)
	padding := make([][2]int, 4)
	for i := range 2 {
		reach := (kd[i]-1)*c.Dilations[i] + 1
		before := reach - 1 - c.Padding[i][0]
		padding[i+1] = [2]int{before, xd[i+1] + reach - 1 - wide.Shape().Dimensions[i+1] - before}
	}
	back := Conv{Strides: [2]int{1, 1}, Dilations: c.Dilations, Groups: c.Groups}
	for i := range 2 { // zeros that the operation can put itself need no copy
		for side := range 2 {
			if p := padding[i+1][side]; p > 0 {
				back.Padding[i][side], padding[i+1][side] = p, 0
			}
		}
	}
	dx := back.value(crop(wide, padding), turned(graph.StopGradient(kernel), c.Groups))
	return CustomGradient(dx, []*graph.Node{v, kernel}, func(u *graph.Node) []*graph.Node {
		return []*graph.Node{c.bilinear(u, kernel), c.kernelGradient(u, v, kernel)}
	})
}

// turned reverses a kernel's rows and columns and swaps its input and output channels, group by group.
func turned(kernel *graph.Node, groups int) *graph.Node {
	d := kernel.Shape().Dimensions
	k := graph.Reverse(kernel, 0, 1)
	k = graph.Reshape(k, d[0], d[1], d[2], groups, d[3]/groups)
	return graph.Reshape(graph.TransposeAllAxes(k, 0, 1, 4, 3, 2), d[0], d[1], d[3]/groups, groups*d[2])
}

// kernelGradient is the adjoint of the kernel for the adjoint v of the output; kernel gives its shape.
func (c Conv) kernelGradient(x, v, kernel *graph.Node) *graph.Node {
	var dk *graph.Node
	stoppedX, stoppedV := graph.StopGradient(x), graph.StopGradient(v)
	switch form, parts := c.kernelGradientForm(x, kernel); form {
	case byParts:
		dk = c.gradientByParts(stoppedX, stoppedV, kernel, parts)
	case bySplit:
		dk = c.gradientBySplit(stoppedX, stoppedV, kernel)
	default:
		dk = c.gradientByPatches(stoppedX, stoppedV, kernel)
	}
	return CustomGradient(dk, []*graph.Node{x, v}, func(u *graph.Node) []*graph.Node {
		return []*graph.Node{c.inputGradient(x, v, u), c.bilinear(x, u)}
	})
}

// form is a way to compute the gradient of a kernel.
type form int

const (
	byParts   form = iota // the operation's own gradient, on parts of the batch
	bySplit               // one product, columns of the kernel from shifts of x, rows from shifts of v
	byPatches             // a product for each place of the kernel
)

// kernelGradientForm chooses by what was measured (milliseconds on 2 cores, AVX-512, oneDNN convolutions; whole is the
// operation's gradient on the whole batch):
//
//	x               kernel         stride   whole   4 parts   8 parts   split   places
//	128x32x32x16    3x3x16x16      1        15.1      9.9       7.6      5.7     30
//	128x16x16x32    3x3x32x32      1         8.5      4.4       4.7      4.4      6.1
//	128x8x8x64      3x3x64x64      1         3.6      3.0       3.4      3.1      4.0
//	32x56x56x64     3x3x64x64      1       121       94        89      104      111     32 parts: 43
//	128x32x32x3     3x3x3x16       1         4.2      3.2       3.0      2.6      4.0
//	64x14x14x16     3x3x16x32      1         1.3      1.2       1.4      1.0      1.4
//	128x32x32x16    3x3x16x32      2         5.8      4.4       3.6      -        4.2
//
// Each part costs 30 ms of compilation: with 4 and 8 parts in place of 2 a ResNet-20 step compiles for 3.8 s in place of
// 2.8, and takes 283 ms in place of 286.
func (c Conv) kernelGradientForm(x, kernel *graph.Node) (f form, parts int) {
	xd, kd := x.Shape().Dimensions, kernel.Shape().Dimensions
	batch, positions := xd[0], xd[1]*xd[2]
	one := [2]int{1, 1}
	switch {
	case onGo(x), c.Groups > 1, c.Groups == 1 && kd[2] == 1:
		return byPatches, 0
	case !c.operationGradientIsRight(kernel):
		if c.Strides == one {
			return bySplit, 0
		}
		return byPatches, 0
	case c.Strides != one:
		return byParts, divisor(batch, 2)
	case min(kd[2], kd[3]) < 64:
		return bySplit, 0
	case positions > 1024:
		return byParts, divisor(batch, 32)
	}
	return byParts, divisor(batch, 2)
}

// operationGradientIsRight reports whether the gradient that comes with the general operation is right for the kernel.
func (c Conv) operationGradientIsRight(kernel *graph.Node) bool {
	if c.Strides != [2]int{1, 1} && c.Dilations != [2]int{1, 1} {
		return false // the operation refuses both together
	}
	for i := range 2 {
		side := kernel.Shape().Dimensions[i]
		reach := (side-1)*c.Dilations[i] + 1
		if side%2 == 0 || c.Padding[i][0] >= reach || c.Padding[i][1] >= reach {
			return false
		}
	}
	return true
}

// divisor is the largest divisor of n that is at most most.
func divisor(n, most int) int {
	for d := min(n, most); d > 1; d-- {
		if n%d == 0 {
			return d
		}
	}
	return 1
}

// gradientByParts adds up the gradients of parts of the batch: the operation sums over the batch as over channels, and is
// faster for few of them.
func (c Conv) gradientByParts(x, v, kernel *graph.Node, parts int) *graph.Node {
	size := x.Shape().Dimensions[0] / parts
	at := graph.ZerosLike(kernel) // any point will do, the convolution is linear in the kernel
	var total *graph.Node
	for i := range parts {
		part := graph.AxisRange(i*size, (i+1)*size)
		y := c.operation(graph.SliceAxis(x, 0, part), at)
		dk := graph.Gradient(graph.ReduceAllSum(graph.Mul(y, graph.SliceAxis(v, 0, part))), at)[0]
		if total == nil {
			total = dk
		} else {
			total = graph.Add(total, dk)
		}
	}
	return total
}

// gradientBySplit needs strides of 1. The column b of the kernel sees x shifted by b, its row a sees v shifted back by a,
// so that one product over all positions holds every pair: dk[a,b] = sum (x shifted by b)^T (v shifted back by a).
func (c Conv) gradientBySplit(x, v, kernel *graph.Node) *graph.Node {
	xd, vd, kd := x.Shape().Dimensions, v.Shape().Dimensions, kernel.Shape().Dimensions
	var columns, rows []*graph.Node
	for b := range kd[1] {
		at := b*c.Dilations[1] - c.Padding[1][0]
		columns = append(columns, fit(x, 0, [][2]int{{}, {}, {-at, vd[2] - xd[2] + at}, {}}))
	}
	for a := range kd[0] {
		at := a*c.Dilations[0] - c.Padding[0][0]
		rows = append(rows, fit(v, 0, [][2]int{{}, {at, xd[1] - vd[1] - at}, {}, {}}))
	}
	n := xd[0] * xd[1] * vd[2]
	left := graph.Reshape(graph.Concatenate(columns, -1), n, kd[1]*kd[2])
	right := graph.Reshape(graph.Concatenate(rows, -1), n, kd[0]*kd[3])
	dk := graph.DotGeneral(left, []int{0}, nil, right, []int{0}, nil)
	return graph.TransposeAllAxes(graph.Reshape(dk, kd[1], kd[2], kd[0], kd[3]), 2, 0, 1, 3)
}

// gradientByPatches multiplies, for each place of the kernel, the pixels it sees with v; group by group.
func (c Conv) gradientByPatches(x, v, kernel *graph.Node) *graph.Node {
	vd, kd := v.Shape().Dimensions, kernel.Shape().Dimensions
	n, perGroup, out := vd[0]*vd[1]*vd[2], kd[2], kd[3]/c.Groups
	x = fit(x, 0, [][2]int{{}, c.Padding[0], c.Padding[1], {}})
	right := graph.Reshape(v, n, c.Groups, out)
	if c.Groups == 1 && perGroup < few {
		return graph.Reshape(graph.DotGeneral(graph.Reshape(c.patches(x, kd, vd[1], vd[2]), n, kd[0]*kd[1]*perGroup), []int{0}, nil, graph.Reshape(v, n, out), []int{0}, nil), kd...)
	}
	var places []*graph.Node
	for a := range kd[0] {
		for b := range kd[1] {
			patch := takeEvery(x, a*c.Dilations[0], b*c.Dilations[1], vd[1], vd[2], c)
			var dk *graph.Node // [cin/groups, groups, cout/groups]
			switch {
			case c.Groups == 1:
				dk = graph.DotGeneral(graph.Reshape(patch, n, perGroup), []int{0}, nil, graph.Reshape(v, n, out), []int{0}, nil)
			case perGroup == 1 && out == 1:
				dk = graph.ReduceSum(graph.Mul(graph.Reshape(patch, n, c.Groups), graph.Reshape(v, n, c.Groups)), 0)
			default:
				dk = graph.Einsum("ngc,ngo->cgo", graph.Reshape(patch, n, c.Groups, perGroup), right)
			}
			places = append(places, graph.Reshape(dk, 1, perGroup, kd[3]))
		}
	}
	return graph.Reshape(graph.Concatenate(places, 0), kd...)
}
