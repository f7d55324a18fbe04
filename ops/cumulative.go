package ops

import (
	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// Cumulative computes running sums and products along an axis. The zero value is y_i = x_0 + ... + x_i along axis 0.
type Cumulative struct {
	Axis      int  // counted from the end if negative
	Exclusive bool // leave x_i itself out; y_0 is 0, or 1
	Reverse   bool // from the last element to the first
}

// Sum is the running sum of x. It takes log2(n) additions of the whole, and lets a NaN or an infinity reach only what comes
// after it, as a product with a triangular matrix would not.
func (c Cumulative) Sum(x *graph.Node) *graph.Node {
	axis := c.axis("Sum", x)
	y := c.scan(graph.StopGradient(x), axis, 0, graph.Add)
	if !x.DType().IsFloat() {
		return y
	}
	back := c
	back.Reverse = !c.Reverse
	return CustomGradient(y, []*graph.Node{x}, func(v *graph.Node) []*graph.Node { return []*graph.Node{back.Sum(v)} })
}

// Product is the running product of x. Its gradient is right where x has zeros too.
func (c Cumulative) Product(x *graph.Node) *graph.Node {
	return c.scan(x, c.axis("Product", x), 1, graph.Mul)
}

// scan joins each element with those before it: with the one before, then with two before that, four, and so on.
func (c Cumulative) scan(x *graph.Node, axis int, neutral float64, join func(a, b *graph.Node) *graph.Node) *graph.Node {
	n := x.Shape().Dimensions[axis]
	shift := func(x *graph.Node, by int) *graph.Node { // towards what comes later
		padding := make([][2]int, x.Rank())
		padding[axis] = [2]int{by, -by}
		if c.Reverse {
			padding[axis] = [2]int{-by, by}
		}
		return fitAny(x, neutral, padding)
	}
	if c.Exclusive {
		x = shift(x, 1)
	}
	for by := 1; by < n; by *= 2 {
		x = join(x, shift(x, by))
	}
	return x
}

func (c Cumulative) axis(what string, x *graph.Node) int {
	return axisOf("Cumulative."+what, x, c.Axis)
}

// axisOf counts an axis from the front, or panics if x has no such axis or is empty along it.
func axisOf(what string, x *graph.Node, axis int) int {
	a := axis
	if a < 0 {
		a += x.Rank()
	}
	if a < 0 || a >= x.Rank() || x.Shape().Dimensions[a] == 0 {
		Panicf("ops.%s: axis %d does not fit x %s", what, axis, x.Shape())
	}
	return a
}

// Reverse turns x around along the axes.
func Reverse(x *graph.Node, axes ...int) *graph.Node {
	for _, axis := range axes {
		axisOf("Reverse", x, axis)
	}
	y := graph.Reverse(graph.StopGradient(x), axes...)
	if !x.DType().IsFloat() {
		return y
	}
	return CustomGradient(y, []*graph.Node{x}, func(v *graph.Node) []*graph.Node { return []*graph.Node{Reverse(v, axes...)} })
}

// ReduceProduct multiplies the elements along an axis, which goes away. Its gradient is right where x has zeros too.
func ReduceProduct(x *graph.Node, axis int) *graph.Node {
	a := axisOf("ReduceProduct", x, axis)
	half := func(x *graph.Node, from, to int) *graph.Node {
		padding := make([][2]int, x.Rank())
		padding[a] = [2]int{-from, to - x.Shape().Dimensions[a]}
		return fitAny(x, 1, padding)
	}
	for n := x.Shape().Dimensions[a]; n > 1; n = (n + 1) / 2 {
		m := (n + 1) / 2
		x = graph.Mul(half(x, 0, m), half(x, m, 2*m))
	}
	return graph.Squeeze(x, a)
}
