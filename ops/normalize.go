package ops

import (
	"github.com/gomlx/gomlx/core/graph"
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
func Normalize(x, scale, offset *graph.Node, axes []int, epsilon float64) (y, mean, variance *graph.Node) {
	return normalize(x, scale, offset, axes, epsilon, 1)
}

// NormalizeAcross is Normalize with the moments of all devices' x together, as if they were one along an axis of axes.
func NormalizeAcross(x, scale, offset *graph.Node, axes []int, epsilon float64) (y, mean, variance *graph.Node) {
	return normalize(x, scale, offset, axes, epsilon, DevicesOf(x.Graph()).Count)
}

func normalize(x, scale, offset *graph.Node, axes []int, epsilon float64, devices int) (y, mean, variance *graph.Node) {
	x = Widen(x)
	mean, variance = Moments(x, axes, nil)
	across := func(nodes ...*graph.Node) []*graph.Node { return nodes }
	if devices > 1 {
		across = SumAcross
		own := mean
		mean = graph.DivScalar(across(mean)[0], float64(devices))
		// A device's squares about its own mean, moved to the mean of all.
		variance = graph.DivScalar(across(graph.Add(variance, graph.Square(graph.Sub(own, mean))))[0], float64(devices))
	}

	for i, p := range []*graph.Node{scale, offset} {
		if p != nil && (p.Rank() != x.Rank() || p.DType() != x.DType()) {
			Panicf("ops.Normalize: %s is %s, x %s; give it x's rank, with sizes 1, and dtype", []string{"scale", "offset"}[i], p.Shape(), x.Shape())
		}
	}

	inverse := graph.Reciprocal(graph.Sqrt(graph.AddScalar(variance, epsilon))) // of the few moments, not of every element
	value := func(x, scale, offset, mean, inverse *graph.Node) *graph.Node {
		if scale != nil {
			if constantAlong(scale, x, axes) {
				inverse = graph.Mul(inverse, scale)
			} else {
				x, mean = graph.Mul(graph.Mul(graph.Sub(x, mean), inverse), scale), nil
			}
		}
		y := x
		if mean != nil {
			y = graph.Mul(graph.Sub(x, mean), inverse)
		}
		if offset != nil {
			y = graph.Add(y, offset)
		}
		return y
	}

	stop := func(p *graph.Node) *graph.Node {
		if p == nil {
			return nil
		}
		return graph.StopGradient(p)
	}
	inputs := []*graph.Node{x}
	for _, p := range []*graph.Node{scale, offset} {
		if p != nil {
			inputs = append(inputs, p)
		}
	}

	y = CustomGradient(value(stop(x), stop(scale), stop(offset), stop(mean), stop(inverse)), inputs, func(v *graph.Node) []*graph.Node {
		n := float64(x.Shape().Size()) / float64(mean.Shape().Size()) * float64(devices)
		sum := func(a *graph.Node) *graph.Node { return graph.ReduceAndKeep(a, graph.ReduceSum, axes...) }

		var sumV, sumVX, dx *graph.Node
		if scale == nil || constantAlong(scale, x, axes) {
			// What is constant along axes is joined before it meets x or v.
			centred := graph.Sub(x, mean)
			sumV, sumVX = sum(v), graph.Mul(sum(graph.Mul(v, centred)), inverse)
			all := across(sumV, sumVX)
			factor := inverse
			if scale != nil {
				factor = graph.Mul(inverse, scale)
			}
			slope := graph.DivScalar(graph.Mul(all[1], inverse), n)
			dx = graph.Mul(graph.Sub(graph.Sub(v, graph.DivScalar(all[0], n)), graph.Mul(centred, slope)), factor)
		} else {
			w := graph.Mul(v, scale)
			once := fence(mean, inverse)
			xhat := graph.Mul(graph.Sub(x, once[0]), once[1])
			all := across(sum(w), sum(graph.Mul(w, xhat)))
			means := fence(graph.DivScalar(all[0], n), graph.DivScalar(all[1], n))
			dx = graph.Mul(once[1], graph.Sub(w, graph.Add(means[0], graph.Mul(xhat, means[1]))))
			sumV, sumVX = v, graph.Mul(v, xhat)
		}

		adjoints := []*graph.Node{dx}
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

// NormalizeRMS scales x by the root of its own mean square over axes, without centring:
//
//	y = scale z      z = x / sqrt(mean(x^2) + epsilon)
//
// scale, which may be nil, has x's rank and broadcasts against it. All is computed in float32 or wider. The gradient is in
// closed form, with v the adjoint of y, n the elements of a mean, and w = scale v:
//
//	dx = (w - z sum(w z)/n) / sqrt(mean(x^2) + epsilon)      dscale = sum(v z)
//
// Panics where Moments does.
func NormalizeRMS(x, scale *graph.Node, axes []int, epsilon float64) *graph.Node {
	x = Widen(x)
	square := MeanSquare(x, axes, nil)
	inverse := graph.Reciprocal(graph.Sqrt(graph.AddScalar(square, epsilon)))
	stop := graph.StopGradient
	y := graph.Mul(stop(x), stop(inverse))
	inputs := []*graph.Node{x}
	if scale != nil {
		if scale.Rank() != x.Rank() || scale.DType() != x.DType() {
			Panicf("ops.NormalizeRMS: scale is %s, x %s; give it x's rank, with sizes 1, and dtype", scale.Shape(), x.Shape())
		}
		y, inputs = graph.Mul(y, stop(scale)), append(inputs, scale)
	}
	return CustomGradient(y, inputs, func(v *graph.Node) []*graph.Node {
		n := float64(x.Shape().Size()) / float64(square.Shape().Size())
		w := v
		if scale != nil {
			w = graph.Mul(v, scale)
		}
		z := graph.Mul(x, inverse)
		mean := graph.DivScalar(graph.ReduceAndKeep(graph.Mul(w, z), graph.ReduceSum, axes...), n)
		adjoints := []*graph.Node{graph.Mul(graph.Sub(w, graph.Mul(z, mean)), inverse)}
		if scale != nil {
			adjoints = append(adjoints, sumTo(graph.Mul(v, z), scale))
		}
		return adjoints
	})
}

// fence returns a and b, which have one shape, as XLA cannot see through: through a product with the identity. Without it
// the passes over x that follow are joined with those before, and what they share is written out at full size: 9 instead of
// 5 ms for the layer norm of 4096x1024 and its gradient.
func fence(a, b *graph.Node) [2]*graph.Node {
	if onGo(a) {
		return [2]*graph.Node{a, b}
	}
	n := a.Shape().Size()
	both := graph.MatMul(graph.Concatenate([]*graph.Node{graph.Reshape(a, n, 1), graph.Reshape(b, n, 1)}, 1), graph.ConvertDType(graph.Const(a.Graph(), [][]float32{{1, 0}, {0, 1}}), a.DType()))
	return [2]*graph.Node{
		graph.Reshape(graph.Slice(both, graph.AxisRange(), graph.AxisElem(0)), a.Shape().Dimensions...),
		graph.Reshape(graph.Slice(both, graph.AxisRange(), graph.AxisElem(1)), a.Shape().Dimensions...),
	}
}

// constantAlong reports whether p, which broadcasts against x, has size 1 on all axes.
func constantAlong(p, x *graph.Node, axes []int) bool {
	for _, axis := range axes {
		if p.Shape().Dimensions[(axis+x.Rank())%x.Rank()] != 1 {
			return false
		}
	}
	return true
}

// sumTo adds a up over the axes where p has size 1, to p's shape.
func sumTo(a, p *graph.Node) *graph.Node {
	var axes []int
	for axis, n := range p.Shape().Dimensions {
		if n == 1 && a.Shape().Dimensions[axis] != 1 {
			axes = append(axes, axis)
		}
	}
	if len(axes) == 0 {
		return a
	}
	return graph.ReduceAndKeep(a, graph.ReduceSum, axes...)
}
