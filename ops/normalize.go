package ops

import (
	. "github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// Normalize centres and scales x by its own moments over axes, and returns the moments, which keep those axes with size 1:
//
//	y = scale xhat + offset      xhat = (x - mean) / sqrt(variance + epsilon)
//
// scale and offset, which may be nil, have x's rank and broadcast against it. All is computed in float32 or wider. The
// gradient is built in closed form, with v the adjoint of y, n the elements of a mean, and w = scale v:
//
//	dx = (w - sum(w)/n - xhat sum(w xhat)/n) / sqrt(variance + epsilon)      dscale = sum(v xhat)      doffset = sum(v)
//
// so that x and v are read twice each, and where scale is constant along axes the sums of dscale and doffset serve dx too.
// Panics where Moments does.
func Normalize(x, scale, offset *Node, axes []int, epsilon float64) (y, mean, variance *Node) {
	x = Widen(x)
	mean, variance = Moments(x, axes, nil)
	for what, p := range map[string]*Node{"scale": scale, "offset": offset} {
		if p != nil && (p.Rank() != x.Rank() || p.DType() != x.DType()) {
			Panicf("ops.Normalize: %s is %s, x %s; give it x's rank, with sizes 1, and dtype", what, p.Shape(), x.Shape())
		}
	}
	inverse := Inverse(Sqrt(AddScalar(variance, epsilon))) // of the few moments, not of every element
	value := func(x, scale, offset, mean, inverse *Node) *Node {
		y := Mul(Sub(x, mean), inverse)
		if scale != nil {
			y = Mul(y, scale)
		}
		if offset != nil {
			y = Add(y, offset)
		}
		return y
	}
	stop := func(p *Node) *Node {
		if p == nil {
			return nil
		}
		return StopGradient(p)
	}
	inputs := []*Node{x}
	for _, p := range []*Node{scale, offset} {
		if p != nil {
			inputs = append(inputs, p)
		}
	}
	y = CustomGradient(value(stop(x), stop(scale), stop(offset), stop(mean), stop(inverse)), inputs, func(v *Node) []*Node {
		n := float64(x.Shape().Size()) / float64(mean.Shape().Size())
		xhat := Mul(Sub(x, mean), inverse)
		sum := func(a *Node) *Node { return ReduceAndKeep(a, ReduceSum, axes...) }
		var sumV, sumVX, dx *Node
		if scale == nil || constantAlong(scale, x, axes) {
			sumV, sumVX = sum(v), sum(Mul(v, xhat))
			dx = Mul(inverse, Sub(v, DivScalar(Add(sumV, Mul(xhat, sumVX)), n)))
			if scale != nil {
				dx = Mul(scale, dx)
			}
		} else {
			w := Mul(v, scale)
			once := fence(mean, inverse)
			xhat = Mul(Sub(x, once[0]), once[1])
			means := fence(DivScalar(sum(w), n), DivScalar(sum(Mul(w, xhat)), n))
			dx = Mul(once[1], Sub(w, Add(means[0], Mul(xhat, means[1]))))
			sumV, sumVX = v, Mul(v, xhat)
		}
		adjoints := []*Node{dx}
		if scale != nil {
			adjoints = append(adjoints, sumTo(sumVX, scale))
		}
		if offset != nil {
			if !constantAlong(offset, x, axes) {
				sumV = v
			}
			adjoints = append(adjoints, sumTo(sumV, offset))
		}
		return adjoints
	})
	return y, mean, variance
}

// fence returns a and b, which have one shape, as XLA cannot see through: through a product with the identity. Without it
// the passes over x that follow are joined with those before, and what they share is written out at full size: 9 instead of
// 5 ms for the layer norm of 4096x1024 and its gradient.
func fence(a, b *Node) [2]*Node {
	if onGo(a) {
		return [2]*Node{a, b}
	}
	n := a.Shape().Size()
	both := MatMul(Concatenate([]*Node{Reshape(a, n, 1), Reshape(b, n, 1)}, 1), ConvertDType(Const(a.Graph(), [][]float32{{1, 0}, {0, 1}}), a.DType()))
	return [2]*Node{
		Reshape(Slice(both, AxisRange(), AxisElem(0)), a.Shape().Dimensions...),
		Reshape(Slice(both, AxisRange(), AxisElem(1)), a.Shape().Dimensions...),
	}
}

// constantAlong reports whether p, which broadcasts against x, has size 1 on all axes.
func constantAlong(p, x *Node, axes []int) bool {
	for _, axis := range axes {
		if p.Shape().Dimensions[(axis+x.Rank())%x.Rank()] != 1 {
			return false
		}
	}
	return true
}

// sumTo adds a up over the axes where p has size 1, to p's shape.
func sumTo(a, p *Node) *Node {
	var axes []int
	for axis, n := range p.Shape().Dimensions {
		if n == 1 && a.Shape().Dimensions[axis] != 1 {
			axes = append(axes, axis)
		}
	}
	if len(axes) == 0 {
		return a
	}
	return ReduceAndKeep(a, ReduceSum, axes...)
}
