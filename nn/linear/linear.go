// Package linear has the layers that multiply by a kernel, dense and convolution, each with a hook on its kernel, and the activations.
//
//	layer    x                                y                                     variables
//	Dense    [..., in]                        [..., Units]                          kernel [in, Units], bias [Units]
//	Conv2D   [batch, height, width, cin]      [batch, height', width', Filters]     kernel [k, k, cin/Groups, Filters], bias [Filters]
//
// Kernels start from N(0, 2/fan-in) (He et al., arXiv 1502.01852), biases from zero.
package linear

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// Hook gets a layer's kernel and returns the one the layer multiplies with: standardised, quantised, masked. The gradient
// flows through it to the variable. scope is the layer's, for variables of the hook's own.
type Hook func(scope *model.Scope, kernel *graph.Node) *graph.Node

// Dense is y = x kernel + bias over the last axis.
type Dense struct {
	Units  int
	NoBias bool       // leave the bias out, as before a normalisation that subtracts the mean
	Kernel Hook       // nil = the kernel as it is
	Init   param.Init // nil = He normal with the fan-in

	// InitOf is Init for who does not know the fan-in: param.LeCunNormal, where the layer is a value before there is an x.
	InitOf func(fanIn int) param.Init
}

// Apply multiplies x [..., in] to [..., Units]. Panics if Units is below 1 or x has less than two axes.
func (d Dense) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	if d.Units < 1 || x.Rank() < 2 {
		Panicf("linear.Dense %s: %d units on x %s; want at least 1 unit and x [batch, ..., in]", scope.Scope(), d.Units, x.Shape())
	}
	x = pass.See(scope, pass.Input, x)
	dims := x.Shape().Dimensions
	in := dims[len(dims)-1]
	init := d.Init
	if init == nil && d.InitOf != nil {
		init = d.InitOf(in)
	}
	kernel := kernelOf(scope, x, d.Kernel, init, in, in, d.Units)
	y := graph.MatMul(graph.Reshape(x, x.Shape().Size()/in, in), kernel)
	if !d.NoBias {
		y = graph.Add(y, graph.ExpandAxes(biasOf(scope, x, d.Units), 0))
	}
	return graph.Reshape(y, append(append([]int{}, dims[:len(dims)-1]...), d.Units)...)
}

// Conv2D is a convolution with a square kernel. See ops.Conv for the formula.
type Conv2D struct {
	Filters  int
	Size     int  // side of the kernel
	Stride   int  // 0 counts as 1
	Dilation int  // distance of the pixels that neighbouring weights see; 0 counts as 1
	Padding  int  // zeros on every side; without effect when Same
	Same     bool // pad so that the output has ceil(input/stride) rows and columns
	Groups   int  // 0 counts as 1
	NoBias   bool
	Kernel   Hook
	Init     param.Init // nil = He normal with the fan-in
}

// Apply convolves x [batch, height, width, cin] to [batch, height', width', Filters]. Panics when sizes do not fit.
func (c Conv2D) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	groups := max(c.Groups, 1)
	if c.Filters < 1 || c.Size < 1 || x.Rank() != 4 || x.Shape().Dimensions[3]%groups != 0 {
		Panicf("linear.Conv2D %s: %d filters of side %d in %d groups on x %s; want x [batch, height, width, channels], groups dividing the channels",
			scope.Scope(), c.Filters, c.Size, groups, x.Shape())
	}
	x = pass.See(scope, pass.Input, x)
	cin := x.Shape().Dimensions[3] / groups
	kernel := kernelOf(scope, x, c.Kernel, c.Init, c.Size*c.Size*cin, c.Size, c.Size, cin, c.Filters)
	pad := [2]int{c.Padding, c.Padding}
	y := ops.Conv{Strides: [2]int{c.Stride, c.Stride}, Dilations: [2]int{c.Dilation, c.Dilation}, Padding: [2][2]int{pad, pad}, Same: c.Same, Groups: groups}.Apply(x, kernel)
	if c.NoBias {
		return y
	}
	return graph.Add(y, graph.Reshape(biasOf(scope, x, c.Filters), 1, 1, 1, c.Filters))
}

func kernelOf(scope *model.Scope, x *graph.Node, hook Hook, init param.Init, fanIn int, dims ...int) *graph.Node {
	if init == nil {
		init = param.HeNormal(fanIn)
	}
	v := param.Variable(scope, "kernel", param.Kernel, variableType(x), init, dims...)
	kernel := pass.Weight(v, x.Graph())
	if hook != nil {
		before := kernel.Shape()
		if kernel = hook(scope, kernel); !kernel.Shape().EqualDimensions(before) {
			Panicf("linear: %s: the kernel hook turned %s into %s; it must keep the shape", scope.Scope(), before, kernel.Shape())
		}
	}
	return graph.ConvertDType(pass.See(scope, pass.Kernel, kernel), x.DType())
}

func biasOf(scope *model.Scope, x *graph.Node, n int) *graph.Node {
	bias := param.Variable(scope, "bias", param.Affine, variableType(x), param.Constant(0), n)
	return graph.ConvertDType(pass.Weight(bias, x.Graph()), x.DType())
}

// variableType keeps the variables of narrow activations in float32.
func variableType(x *graph.Node) dtypes.DType {
	if x.DType() == dtypes.Float64 {
		return dtypes.Float64
	}
	return dtypes.Float32
}
