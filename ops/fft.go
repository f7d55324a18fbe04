package ops

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	. "github.com/gomlx/gomlx/support/exceptions"
	"gonum.org/v1/gonum/dsp/fourier"
)

// ComplexPair is a complex array held as two real ones of one shape, float32 or float64. Engines with complex numbers of their own
// give the product of two of them a wrong gradient, the Go engine has none: in pairs value and gradient are right everywhere,
// where the gradient of a real loss is that for the two parts.
type ComplexPair struct{ Re, Im *graph.Node }

// Add is z + w.
func (z ComplexPair) Add(w ComplexPair) ComplexPair {
	return ComplexPair{graph.Add(z.Re, w.Re), graph.Add(z.Im, w.Im)}
}

// Sub is z - w.
func (z ComplexPair) Sub(w ComplexPair) ComplexPair {
	return ComplexPair{graph.Sub(z.Re, w.Re), graph.Sub(z.Im, w.Im)}
}

// Mul is z w, element by element; shapes broadcast as those of real arrays.
func (z ComplexPair) Mul(w ComplexPair) ComplexPair {
	return ComplexPair{graph.Sub(graph.Mul(z.Re, w.Re), graph.Mul(z.Im, w.Im)), graph.Add(graph.Mul(z.Re, w.Im), graph.Mul(z.Im, w.Re))}
}

// MulReal is z times the real array r, element by element.
func (z ComplexPair) MulReal(r *graph.Node) ComplexPair {
	return ComplexPair{graph.Mul(z.Re, r), graph.Mul(z.Im, r)}
}

// Scale is z times the number s.
func (z ComplexPair) Scale(s float64) ComplexPair {
	return ComplexPair{graph.MulScalar(z.Re, s), graph.MulScalar(z.Im, s)}
}

// Conj is the conjugate of z.
func (z ComplexPair) Conj() ComplexPair { return ComplexPair{z.Re, graph.Neg(z.Im)} }

// Abs2 is |z|^2.
func (z ComplexPair) Abs2() *graph.Node { return graph.Add(graph.Square(z.Re), graph.Square(z.Im)) }

// each applies f to both parts.
func (z ComplexPair) each(f func(*graph.Node) *graph.Node) ComplexPair {
	return ComplexPair{f(z.Re), f(z.Im)}
}

// eachPart is each for a pair whose imaginary part may be nil.
func (z ComplexPair) eachPart(f func(*graph.Node) *graph.Node) ComplexPair {
	if z.Im == nil {
		return ComplexPair{f(z.Re), nil}
	}
	return z.each(f)
}

// DFT is the discrete Fourier transform over the last axis, of any length n:
//
//	y[k] = sum over j of x[j] exp(-2 pi i j k / n)
//
// The relative error of y in the root mean square is below 1e-15 log2(n) in float64 and 5e-7 log2(n) in float32. XLA has an
// operation for it. On the Go engine it is split into matrix products of at most 64 rows (Cooley and Tukey), and a prime
// factor of n above 64 is turned into a convolution (Bluestein): no constant there has more than max(4 n, 4096) elements, and
// n = 4096 takes 3 ms, n = 4099 15 ms. Gradients flow to both parts, of every order. Panics unless the parts are float32 or
// float64 of one shape with an axis that is not empty.
//
// Source: Cooley and Tukey, An algorithm for the machine calculation of complex Fourier series, 1965; Bluestein, A linear
// filtering approach to the computation of discrete Fourier transform, 1970.
func DFT(x ComplexPair) ComplexPair {
	checkComplex("DFT", x, 1)
	return transform(x, false)
}

// InverseDFT undoes DFT: y[j] = 1/n sum over k of x[k] exp(2 pi i j k / n). Accuracy and errors are those of DFT.
func InverseDFT(x ComplexPair) ComplexPair {
	checkComplex("InverseDFT", x, 1)
	return transform(x, true).Scale(1 / float64(lastDim(x.Re)))
}

// RealDFT is the DFT of a real x over the last axis. It returns the first n/2+1 values of n, rounded down; the rest are their
// conjugates: y[n-k] = conj(y[k]). Accuracy and errors are those of DFT.
func RealDFT(x *graph.Node) ComplexPair {
	checkReal("RealDFT", x, 1)
	return realTransform(x)
}

// InverseRealDFT undoes RealDFT: x holds the first n/2+1 values, rounded down, of the transform of a real array of n over the
// last axis. The imaginary part of x[0], and of x[n/2] where n is even, are taken as zero. Panics if x has another length for
// n; the other errors and the accuracy are those of DFT.
func InverseRealDFT(x ComplexPair, n int) *graph.Node {
	checkComplex("InverseRealDFT", x, 1)
	if n < 1 || lastDim(x.Re) != n/2+1 {
		Panicf("ops.InverseRealDFT: x is %s for n = %d; want %d values in the last axis", x.Re.Shape(), n, max(n, 0)/2+1)
	}
	return inverseRealTransform(x, n)
}

// DFT2 is the DFT over the last two axes.
func DFT2(x ComplexPair) ComplexPair {
	checkComplex("DFT2", x, 2)
	return beforeLast(transform(x, false), false)
}

// InverseDFT2 undoes DFT2.
func InverseDFT2(x ComplexPair) ComplexPair {
	checkComplex("InverseDFT2", x, 2)
	d := x.Re.Shape().Dimensions
	return transform(beforeLast(x, true), true).Scale(1 / float64(d[len(d)-1]*d[len(d)-2]))
}

// RealDFT2 is the DFT over the last two axes of a real x; of the last axis it returns the first n/2+1 values.
func RealDFT2(x *graph.Node) ComplexPair {
	checkReal("RealDFT2", x, 2)
	return beforeLast(realTransform(x), false)
}

// InverseRealDFT2 undoes RealDFT2 for an array with n columns. Panics as InverseRealDFT does.
func InverseRealDFT2(x ComplexPair, n int) *graph.Node {
	checkComplex("InverseRealDFT2", x, 2)
	if n < 1 || lastDim(x.Re) != n/2+1 {
		Panicf("ops.InverseRealDFT2: x is %s for n = %d; want %d values in the last axis", x.Re.Shape(), n, max(n, 0)/2+1)
	}
	rows := x.Re.Shape().Dimensions[x.Re.Rank()-2]
	return inverseRealTransform(beforeLast(x, true).Scale(1/float64(rows)), n)
}

// beforeLast is the transform, not scaled, over the axis before the last one.
func beforeLast(x ComplexPair, inverse bool) ComplexPair {
	swap := func(v *graph.Node) *graph.Node { return graph.Transpose(v, -2, -1) }
	return transform(x.each(swap), inverse).each(swap)
}

func checkReal(name string, x *graph.Node, axes int) {
	if x == nil || x.Rank() < axes || x.Shape().Size() == 0 || (x.DType() != dtypes.Float32 && x.DType() != dtypes.Float64) {
		text := "nil"
		if x != nil {
			text = x.Shape().String()
		}
		Panicf("ops.%s: x is %s; want float32 or float64 with %d axes or more, none empty", name, text, axes)
	}
}

func checkComplex(name string, x ComplexPair, axes int) {
	checkReal(name, x.Re, axes)
	checkReal(name, x.Im, axes)
	if !x.Re.Shape().Equal(x.Im.Shape()) {
		Panicf("ops.%s: the parts of x are %s and %s; want one shape", name, x.Re.Shape(), x.Im.Shape())
	}
}

func lastDim(x *graph.Node) int { return x.Shape().Dim(-1) }

// transform is the sum of DFT, or that of InverseDFT without the factor 1/n.
func transform(x ComplexPair, inverse bool) ComplexPair {
	n := lastDim(x.Re)
	switch {
	case n == 1:
		return x
	case onGo(x.Re):
		return split(x, inverse)
	}
	// The gradient of the operation cannot be differentiated again; this one can.
	z := graph.Complex(graph.StopGradient(x.Re), graph.StopGradient(x.Im))
	if inverse {
		z = graph.MulScalar(graph.InverseFFT(z), float64(n))
	} else {
		z = graph.FFT(z)
	}
	y := CustomGradient(graph.Stack([]*graph.Node{graph.Real(z), graph.Imag(z)}, 0), []*graph.Node{x.Re, x.Im}, func(v *graph.Node) []*graph.Node {
		dx := transform(halves(v), !inverse)
		return []*graph.Node{dx.Re, dx.Im}
	})
	return halves(y)
}

// realTransform is RealDFT.
func realTransform(x *graph.Node) ComplexPair {
	n := lastDim(x)
	half := n/2 + 1
	switch {
	case n == 1:
		return ComplexPair{x, graph.ZerosLike(x)}
	case onGo(x):
		return split(ComplexPair{x, nil}, false).each(func(v *graph.Node) *graph.Node { return cut(v, -1, 0, half) })
	}
	// As above; the gradients of the two real transforms refer to one another.
	z := graph.RealFFT(graph.StopGradient(x))
	y := CustomGradient(graph.Stack([]*graph.Node{graph.Real(z), graph.Imag(z)}, 0), []*graph.Node{x}, func(v *graph.Node) []*graph.Node {
		return []*graph.Node{graph.MulScalar(inverseRealTransform(halves(v).MulReal(halfWeights(x, n, func(c float64) float64 { return 1 / c })), n), float64(n))}
	})
	return halves(y)
}

// inverseRealTransform is InverseRealDFT.
func inverseRealTransform(x ComplexPair, n int) *graph.Node {
	switch {
	case n == 1:
		return x.Re
	case onGo(x.Re):
		x = x.MulReal(halfWeights(x.Re, n, func(c float64) float64 { return c / float64(n) }))
		return split(x.each(func(v *graph.Node) *graph.Node { return widened(v, -1, 0, n-(n/2+1)) }), true).Re
	}
	// What the imaginary parts of the ends do differs between engines, so they are hidden.
	im := graph.Mul(graph.StopGradient(x.Im), halfWeights(x.Re, n, func(c float64) float64 { return c - 1 }))
	y := graph.InverseRealFFT(graph.Complex(graph.StopGradient(x.Re), im), n)
	return CustomGradient(y, []*graph.Node{x.Re, x.Im}, func(v *graph.Node) []*graph.Node {
		z := realTransform(v).MulReal(halfWeights(v, n, func(c float64) float64 { return c / float64(n) }))
		return []*graph.Node{z.Re, z.Im}
	})
}

// halves undoes Stack.
func halves(y *graph.Node) ComplexPair {
	shape := y.Shape().Dimensions[1:]
	return ComplexPair{graph.Reshape(cut(y, 0, 0, 1), shape...), graph.Reshape(cut(y, 0, 1, 2), shape...)}
}

// halfWeights is f(c) for each value of a half spectrum of n, where c tells how often the value occurs in the whole: once at
// the ends, else twice.
func halfWeights(like *graph.Node, n int, f func(c float64) float64) *graph.Node {
	weights := make([]float64, n/2+1)
	for k := range weights {
		weights[k] = f(2)
		if k == 0 || 2*k == n {
			weights[k] = f(1)
		}
	}
	dims := make([]int, like.Rank())
	for i := range dims {
		dims[i] = 1
	}
	dims[len(dims)-1] = len(weights)
	return constant(like, weights, dims...)
}

// maxRadix is the number of rows of the largest transform that is done by one matrix product.
const maxRadix = 64

// split is transform in real matrix products; x.Im may be nil, which is zero. With n = a b, j = b j1 + j2 and k = k1 + a k2,
//
//	y[k1 + a k2] = sum over j2 of w(b)^(j2 k2) w(n)^(j2 k1) sum over j1 of w(a)^(j1 k1) x[b j1 + j2]      w(n) = exp(-2 pi i/n)
func split(x ComplexPair, inverse bool) ComplexPair {
	n := lastDim(x.Re)
	a := radix(n)
	batch := x.Re.Shape().Size() / n
	dims := x.Re.Shape().Dimensions
	back := func(v *graph.Node) *graph.Node { return graph.Reshape(v, dims...) }
	if a == n {
		return rootsProduct(x.eachPart(func(v *graph.Node) *graph.Node { return graph.Reshape(v, batch, n, 1) }), inverse).each(back)
	}
	if a == 1 {
		return chirp(x.eachPart(func(v *graph.Node) *graph.Node { return graph.Reshape(v, batch, n) }), inverse).each(back)
	}
	b := n / a
	y := rootsProduct(x.eachPart(func(v *graph.Node) *graph.Node { return graph.Reshape(v, batch, a, b) }), inverse)
	y = y.Mul(roots(x.Re, 1, n, a, b, inverse))
	y = split(y, inverse) // over j2, for each k1
	return y.each(func(v *graph.Node) *graph.Node { return back(graph.TransposeAllAxes(v, 0, 2, 1)) })
}

// radix is the largest divisor of n up to maxRadix, n itself if that is no longer.
func radix(n int) int {
	for a := min(n, maxRadix); a > 1; a-- {
		if n%a == 0 {
			return a
		}
	}
	return 1
}

// rootsProduct transforms the middle axis of x [batch, a, b] by one product with the matrix of roots of unity.
func rootsProduct(x ComplexPair, inverse bool) ComplexPair {
	d := x.Re.Shape().Dimensions
	w := roots(x.Re, 0, d[1], d[1], d[1], inverse)
	times := func(v *graph.Node) *graph.Node { // [a, a] x [batch, a, b]
		if d[2] == 1 {
			return graph.Reshape(graph.MatMul(graph.Reshape(v, d[0], d[1]), graph.Concatenate([]*graph.Node{w.Re, w.Im}, 1)), d[0], 2, d[1], 1)
		}
		both := graph.Concatenate([]*graph.Node{w.Re, w.Im}, 0)
		return graph.Reshape(graph.Einsum("ka,baj->bkj", both, v), d[0], 2, d[1], d[2])
	}
	part := func(v *graph.Node, i int) *graph.Node { return graph.Reshape(cut(v, 1, i, i+1), d...) }
	re := times(x.Re)
	y := ComplexPair{part(re, 0), part(re, 1)}
	if x.Im == nil {
		return y
	}
	im := times(x.Im)
	return ComplexPair{graph.Sub(y.Re, part(im, 1)), graph.Add(y.Im, part(im, 0))}
}

// chirp transforms x [batch, n] by a convolution of a length with small factors: from j k = (j^2 + k^2 - (k-j)^2) / 2,
//
//	y[k] = u[k] sum over j of (x[j] u[j]) conj(u[k-j])      u[j] = exp(-pi i j^2 / n)
func chirp(x ComplexPair, inverse bool) ComplexPair {
	d := x.Re.Shape().Dimensions
	n := d[1]
	length := 1
	for length < 2*n-1 {
		length *= 2
	}
	sign := -1.0
	if inverse {
		sign = 1
	}
	u := make([]complex128, n)
	for j := range u {
		s, c := math.Sincos(sign * math.Pi * float64(j*j%(2*n)) / float64(n))
		u[j] = complex(c, s)
	}
	filter := make([]complex128, length)
	for j, value := range u {
		filter[j] = complex(real(value), -imag(value))
		if j > 0 {
			filter[length-j] = filter[j]
		}
	}
	filter = fourier.NewCmplxFFT(length).Coefficients(nil, filter)
	number := func(values []complex128, scale float64) ComplexPair {
		re, im := make([]float64, len(values)), make([]float64, len(values))
		for i, value := range values {
			re[i], im[i] = real(value)*scale, imag(value)*scale
		}
		return ComplexPair{constant(x.Re, re, 1, len(values)), constant(x.Re, im, 1, len(values))}
	}
	chirps := number(u, 1)
	z := chirps.MulReal(x.Re)
	if x.Im != nil {
		z = x.Mul(chirps)
	}
	z = z.each(func(v *graph.Node) *graph.Node { return widened(v, 1, 0, length-n) })
	z = split(split(z, false).Mul(number(filter, 1/float64(length))), true)
	return z.each(func(v *graph.Node) *graph.Node { return cut(v, 1, 0, n) }).Mul(chirps)
}

// roots is the matrix exp(-2 pi i j k / n) of rows j and columns k, or its conjugate, with unit axes before it.
func roots(like *graph.Node, units, n, rows, columns int, inverse bool) ComplexPair {
	re, im := make([]float64, rows*columns), make([]float64, rows*columns)
	for j := range rows {
		for k := range columns {
			s, c := math.Sincos(2 * math.Pi * float64(j*k%n) / float64(n))
			if !inverse {
				s = -s
			}
			re[j*columns+k], im[j*columns+k] = c, s
		}
	}
	dims := []int{rows, columns}
	for range units {
		dims = append([]int{1}, dims...)
	}
	return ComplexPair{constant(like, re, dims...), constant(like, im, dims...)}
}

// constant is an array of like's dtype, rounded from float64 here rather than on the engine.
func constant(like *graph.Node, values []float64, dims ...int) *graph.Node {
	if like.DType() == dtypes.Float32 {
		narrow := make([]float32, len(values))
		for i, v := range values {
			narrow[i] = float32(v)
		}
		return graph.Const(like.Graph(), tensors.FromFlatDataAndDimensions(narrow, dims...))
	}
	return graph.Const(like.Graph(), tensors.FromFlatDataAndDimensions(values, dims...))
}

// cut is the part [from, to) of an axis, with a gradient that can be differentiated again: that of Slice cannot.
func cut(x *graph.Node, axis, from, to int) *graph.Node {
	axis = graph.MustAdjustAxis(axis, x)
	n := x.Shape().Dimensions[axis]
	if from == 0 && to == n {
		return x
	}
	spec := make([]graph.SliceAxisSpec, x.Rank())
	for i := range spec {
		spec[i] = graph.AxisRange()
	}
	spec[axis] = graph.AxisRange(from, to)
	return CustomGradient(graph.Slice(graph.StopGradient(x), spec...), []*graph.Node{x}, func(v *graph.Node) []*graph.Node {
		return []*graph.Node{widened(v, axis, from, n-to)}
	})
}

// widened puts zeros around x along an axis: the counterpart of cut.
func widened(x *graph.Node, axis, before, after int) *graph.Node {
	axis = graph.MustAdjustAxis(axis, x)
	padding := make([][2]int, x.Rank())
	padding[axis] = [2]int{before, after}
	return CustomGradient(PadConstant(graph.StopGradient(x), 0, padding), []*graph.Node{x}, func(v *graph.Node) []*graph.Node {
		return []*graph.Node{cut(v, axis, before, before+x.Shape().Dimensions[axis])}
	})
}
