package zoo

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

func reduction(f func(x *node, axes []int) *node) onnxOp {
	return one(func(c *onnxCall) *node {
		x := c.x(0)
		axes := c.axes("axes", 1)
		if len(axes) == 0 {
			if c.int("noop_with_empty_axes", 0) == 1 {
				return x
			}
			for i := range x.Rank() {
				axes = append(axes, i)
			}
		}
		axes = positiveAxes(axes, x.Rank())
		if len(axes) == 0 {
			return x
		}
		y := f(x, axes)
		if c.int("keepdims", 1) == 1 {
			d := slices.Clone(x.Shape().Dimensions)
			for _, a := range axes {
				d[a] = 1
			}
			y = graph.Reshape(y, d...)
		}
		return y
	})
}

func arg(best func(x *node, axis int, d ...dtypes.DType) *node) onnxOp {
	return one(func(c *onnxCall) *node {
		x := c.x(0)
		axis := axisIn(c.int("axis", 0), x.Rank())
		n := x.Shape().Dimensions[axis]
		need(n > 0 && n <= math.MaxInt32, "axis %d has %d elements, of which none is the largest", axis, n)
		var y *node
		if c.int("select_last_index", 0) == 1 {
			y = best(ops.Reverse(x, axis), axis, dtypes.Int32)
			y = plus(graph.Neg(y), float64(x.Shape().Dimensions[axis]-1))
		} else {
			y = best(x, axis, dtypes.Int32)
		}
		y = graph.ConvertDType(y, dtypes.Int64)
		if c.int("keepdims", 1) == 1 {
			y = graph.ExpandAxes(y, axis)
		}
		return y
	})
}

func softmax(f func(x, mask *node, axis int) *node) onnxOp {
	return one(func(c *onnxCall) *node {
		x := c.x(0)
		if c.opset >= 13 {
			return f(x, nil, axisIn(c.int("axis", -1), x.Rank()))
		}
		return graph.Reshape(f(flattenFrom(x, c.int("axis", 1)), nil, 1), x.Shape().Dimensions...)
	})
}

func hardmax(x, _ *node, axis int) *node {
	d := x.Shape().Dimensions
	best := expandTo(graph.ExpandAxes(graph.ArgMax(x, axis, dtypes.Int32), axis), d)
	return graph.ConvertDType(graph.Equal(best, graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, d...), axis)), x.DType())
}

func matMul(a, b *node) *node {
	if a.Rank() == 1 && b.Rank() == 1 {
		return graph.ReduceAllSum(graph.Mul(a, b))
	}
	left, right := a.Rank() == 1, b.Rank() == 1
	if left {
		a = graph.ExpandAxes(a, 0)
	}
	if right {
		b = graph.ExpandAxes(b, 1)
	}
	ad, bd := a.Shape().Dimensions, b.Shape().Dimensions
	var y *node
	if len(bd) == 2 {
		y = graph.DotGeneral(a, []int{len(ad) - 1}, nil, b, []int{0}, nil)
	} else {
		rank := max(len(ad), len(bd))
		lead := make([]int, rank-2)
		for i := range lead {
			lead[i] = 1
			for _, d := range [][]int{ad, bd} {
				if at := len(d) - rank + i; at >= 0 && d[at] != 1 {
					lead[i] = d[at]
				}
			}
		}
		a = expandTo(a, append(slices.Clone(lead), ad[len(ad)-2:]...))
		b = expandTo(b, append(slices.Clone(lead), bd[len(bd)-2:]...))
		batch := []int{}
		for i := range lead {
			batch = append(batch, i)
		}
		y = graph.DotGeneral(a, []int{rank - 1}, batch, b, []int{rank - 2}, batch)
	}
	if left {
		y = graph.Squeeze(y, -2)
	}
	if right {
		y = graph.Squeeze(y, -1)
	}
	return y
}

func gemm(c *onnxCall) *node {
	a, b := c.x(0), c.x(1)
	at, bt := c.int("transA", 0), c.int("transB", 0)
	y := graph.DotGeneral(a, []int{1 - at}, nil, b, []int{bt}, nil)
	if alpha := c.float("alpha", 1); alpha != 1 {
		y = times(y, alpha)
	}
	if bias := c.maybe(2); bias != nil {
		if beta := c.float("beta", 1); beta != 1 {
			bias = times(bias, beta)
		}
		y = graph.Add(y, expandTo(bias, y.Shape().Dimensions))
	}
	return y
}

// einsum adds the letters of one operand after the other.
func einsum(c *onnxCall) *node {
	equation := strings.ReplaceAll(c.text("equation", ""), " ", "")
	left, right, explicit := strings.Cut(equation, "->")
	terms := strings.Split(left, ",")
	if len(terms) != len(c.in) {
		panic(fmt.Errorf("equation %q for %d inputs", equation, len(c.in)))
	}
	const spare = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	dots := 0
	for i, t := range terms {
		if strings.Contains(t, "...") {
			dots = max(dots, c.x(i).Rank()-len(t)+3)
		}
	}
	if dots > len(spare) || strings.ContainsAny(equation, spare) && dots > 0 {
		panic(fmt.Errorf("equation %q mixes capital letters and dots", equation))
	}
	for i, t := range terms {
		if strings.Contains(t, "...") {
			terms[i] = strings.Replace(t, "...", spare[dots-(c.x(i).Rank()-len(t)+3):dots], 1)
		}
	}
	right = strings.Replace(right, "...", spare[:dots], 1)
	if !explicit {
		right = spare[:dots]
		all := strings.Join(terms, "")
		for l := 'a'; l <= 'z'; l++ {
			if strings.Count(all, string(l)) == 1 {
				right += string(l)
			}
		}
	}
	var letters []byte
	for _, t := range terms {
		for i := range t {
			if !slices.Contains(letters, t[i]) {
				letters = append(letters, t[i])
			}
		}
	}
	// Every operand gets all letters as axes, in one order; a letter that occurs twice in an operand takes the diagonal.
	var order []byte
	order = append(order, right...)
	for _, l := range letters {
		if !slices.Contains(order, l) {
			order = append(order, l)
		}
	}
	if len(terms) == 2 {
		simple := true
		for _, t := range terms {
			for i := range t {
				simple = simple && strings.Count(t, t[i:i+1]) == 1
			}
			for i := range t {
				simple = simple && (strings.Contains(right, t[i:i+1]) || strings.Contains(terms[0], t[i:i+1]) && strings.Contains(terms[1], t[i:i+1]))
			}
		}
		if simple && dots == 0 {
			return graph.Einsum(terms[0]+","+terms[1]+"->"+right, c.x(0), c.x(1))
		}
	}
	var parts []*node
	for i, t := range terms {
		x := c.x(i)
		for j := 0; j < len(t); j++ {
			k := strings.IndexByte(t[j+1:], t[j])
			if k < 0 {
				continue
			}
			k += j + 1
			s := shapes.Make(dtypes.Int32, x.Shape().Dimensions...)
			on := graph.Equal(graph.Iota(c.g, s, j), graph.Iota(c.g, s, k))
			x = graph.ReduceSum(graph.Where(on, x, graph.ZerosLike(x)), k)
			t = t[:k] + t[k+1:]
			j--
		}
		var perm []int
		d := make([]int, len(order))
		for j, l := range order {
			d[j] = 1
			if at := strings.IndexByte(t, l); at >= 0 {
				perm = append(perm, at)
				d[j] = x.Shape().Dimensions[at]
			}
		}
		if len(perm) > 1 {
			x = graph.TransposeAllAxes(x, perm...)
		}
		parts = append(parts, graph.Reshape(x, d...))
	}
	parts = broadcast(parts...)
	y := joined(parts, graph.Mul)
	var axes []int
	for j := len(right); j < len(order); j++ {
		axes = append(axes, j)
	}
	if len(axes) > 0 {
		y = graph.ReduceSum(y, axes...)
	}
	return y
}

func batchNorm(c *onnxCall) []*node {
	x := c.x(0)
	mean, variance := c.x(3), c.x(4)
	out := []*node{nil}
	d := x.DType()
	if c.int("training_mode", 0) == 1 {
		axes := []int{}
		for i := range x.Rank() {
			if i != 1 {
				axes = append(axes, i)
			}
		}
		m, v := ops.Moments(x, axes, nil)
		m, v = graph.Reshape(m, x.Shape().Dimensions[1]), graph.Reshape(v, x.Shape().Dimensions[1])
		k := c.float("momentum", 0.9)
		out = append(out, graph.Add(times(mean, k), times(graph.ConvertDType(m, mean.DType()), 1-k)), graph.Add(times(variance, k), times(graph.ConvertDType(v, variance.DType()), 1-k)))
		mean, variance = m, v
	}
	x = ops.Widen(x)
	wide := func(i *node) *node { return graph.ConvertDType(i, x.DType()) }
	scale := graph.Div(wide(c.x(1)), graph.Sqrt(plus(wide(variance), c.float("epsilon", 1e-5))))
	y := graph.Add(graph.Mul(graph.Sub(x, perChannel(wide(mean), x)), perChannel(scale, x)), perChannel(wide(c.x(2)), x))
	out[0] = graph.ConvertDType(y, d)
	return out
}

// perChannel lays a vector along axis 1, also where it has one element.
func perChannel(v, x *node) *node {
	need(x.Rank() >= 2 && (v.Shape().Size() == x.Shape().Dimensions[1] || v.Shape().Size() == 1), "%v for the channels of %v", v.Shape().Dimensions, x.Shape().Dimensions)
	dims := make([]int, x.Rank())
	for i := range dims {
		dims[i] = 1
	}
	dims[1] = v.Shape().Size()
	return expandTo(graph.Reshape(v, dims...), x.Shape().Dimensions)
}

func instanceNorm(c *onnxCall) *node {
	x := c.x(0)
	axes := []int{}
	for i := 2; i < x.Rank(); i++ {
		axes = append(axes, i)
	}
	m, v := ops.Moments(x, axes, nil)
	d := x.Shape().Dimensions
	y := graph.Div(graph.Sub(x, expandTo(m, d)), expandTo(graph.Sqrt(plus(v, c.float("epsilon", 1e-5))), d))
	return graph.Add(graph.Mul(y, perChannel(c.x(1), x)), perChannel(c.x(2), x))
}

func layerNorm(c *onnxCall) []*node {
	x := c.x(0)
	var axes []int
	for i := axisIn(c.int("axis", -1), x.Rank()); i < x.Rank(); i++ {
		axes = append(axes, i)
	}
	d := x.Shape().Dimensions
	m, v := ops.Moments(x, axes, nil)
	inverse := ops.Rsqrt(plus(v, c.float("epsilon", 1e-5)))
	y := graph.Mul(graph.Sub(x, expandTo(m, d)), expandTo(inverse, d))
	y = graph.Mul(y, expandTo(c.x(1), d))
	if b := c.maybe(2); b != nil {
		y = graph.Add(y, expandTo(b, d))
	}
	return []*node{y, m, inverse}
}

func lrn(c *onnxCall) *node {
	x, size := c.x(0), c.int("size", 1)
	need(x.Rank() >= 2 && size >= 1 && size <= mostNodes, "size %d of %v", size, x.Shape().Dimensions)
	c.parts(2 * size)
	wide := slices.Clone(x.Shape().Dimensions)
	wide[1] += size - 1
	room(x.DType(), wide...)
	p := make([][2]int, x.Rank())
	p[1] = [2]int{(size - 1) / 2, size / 2}
	s := ops.PadConstant(graph.Mul(x, x), 0, p)
	var parts []*node
	for i := range size {
		parts = append(parts, cutAxis(s, 1, i, i+x.Shape().Dimensions[1], 1))
	}
	base := plus(times(joined(parts, graph.Add), c.float("alpha", 1e-4)/float64(size)), c.float("bias", 1))
	return graph.Div(x, graph.Pow(base, scalar(x, c.float("beta", 0.75))))
}

func topK(c *onnxCall) []*node {
	x := c.x(0)
	k := c.int("k", 0)
	if c.has(1) {
		k = c.intAt(1)
	}
	axis := axisIn(c.int("axis", -1), x.Rank())
	n := x.Shape().Dimensions[axis]
	need(k >= 0 && k <= n, "the first %d of axis %d, which has %d elements", k, axis, n)
	if d := slices.Clone(x.Shape().Dimensions); k == 0 || x.Shape().Size() == 0 {
		d[axis] = k
		return []*node{graph.Zeros(c.g, shapes.Make(x.DType(), d...)), graph.Zeros(c.g, shapes.Make(dtypes.Int64, d...))}
	}
	order := cutAxis(ops.ArgSort(x, axis, c.int("largest", 1) == 1), axis, 0, k, 1)
	return []*node{ops.TakeAlongAxis(x, order, axis), graph.ConvertDType(order, dtypes.Int64)}
}

func cumSum(c *onnxCall) *node {
	return ops.Cumulative{Axis: axisIn(c.intAt(1), c.x(0).Rank()), Exclusive: c.int("exclusive", 0) == 1, Reverse: c.int("reverse", 0) == 1}.Sum(c.x(0))
}

// classes checks that the targets of a loss are classes, or the number that is ignored.
func (c *onnxCall) classes(n int) {
	wrong := func(low, high int64) error {
		if low >= 0 && high < int64(n) {
			return nil
		}
		return fmt.Errorf("targets from %d to %d of %d classes", low, high, n)
	}
	a := c.n.Attribute("ignore_index")
	if v := c.in[1]; v.known != nil {
		for _, i := range tensorInts(v.known) {
			if err := wrong(int64(i), int64(i)); err != nil && (a == nil || int64(i) != a.Int) {
				panic(err)
			}
		}
		return
	}
	target := graph.ConvertDType(c.x(1), dtypes.Int64)
	if a != nil {
		target = graph.Where(graph.Equal(target, graph.Const(c.g, a.Int)), graph.ZerosLike(target), target)
	}
	c.watch(target, wrong)
}

// logLoss is the mean of -w[t] logp[t], or its sum, or each.
func logLoss(c *onnxCall, logp *node) *node {
	target := graph.ConvertDType(c.x(1), dtypes.Int64)
	d := logp.Shape().Dimensions
	need(len(d) >= 2, "it takes examples and classes, got %v", d)
	c.classes(d[1])
	hit := graph.Equal(expandTo(graph.ExpandAxes(target, 1), d), graph.Iota(c.g, shapes.Make(dtypes.Int64, d...), 1))
	pick := func(x *node) *node { return graph.ReduceSum(graph.Where(hit, x, graph.ZerosLike(x)), 1) }
	w := graph.OnesLike(logp)
	if v := c.maybe(2); v != nil {
		w = perChannel(v, logp)
	}
	w = pick(w)
	if a := c.n.Attribute("ignore_index"); a != nil {
		w = graph.Where(graph.Equal(target, graph.Const(c.g, a.Int)), graph.ZerosLike(w), w)
	}
	y := graph.Neg(graph.Mul(pick(logp), w))
	switch c.text("reduction", "mean") {
	case "none":
		return y
	case "sum":
		return graph.ReduceAllSum(y)
	}
	return graph.Div(graph.ReduceAllSum(y), graph.ReduceAllSum(w))
}

func reduceOps() map[string]onnxOp {
	sum := func(x *node, a []int) *node { return graph.ReduceSum(x, a...) }
	logSumExp := func(x *node, a []int) *node {
		m := graph.ReduceMax(x, a...)
		d := slices.Clone(x.Shape().Dimensions)
		for _, i := range a {
			d[i] = 1
		}
		return graph.Add(m, graph.Log(sum(graph.Exp(graph.Sub(x, expandTo(graph.Reshape(m, d...), x.Shape().Dimensions))), a)))
	}
	integer := func(c *onnxCall, i int) *node { return graph.ConvertDType(c.x(i), dtypes.Float64) }
	return map[string]onnxOp{
		"ReduceSum": reduction(sum), "ReduceMean": reduction(func(x *node, a []int) *node { return graph.ReduceMean(x, a...) }),
		"ReduceMax": reduction(func(x *node, a []int) *node { return graph.ReduceMax(x, a...) }), "ReduceMin": reduction(func(x *node, a []int) *node { return graph.ReduceMin(x, a...) }),
		"ReduceL1":        reduction(func(x *node, a []int) *node { return sum(graph.Abs(x), a) }),
		"ReduceL2":        reduction(func(x *node, a []int) *node { return graph.Sqrt(sum(graph.Mul(x, x), a)) }),
		"ReduceSumSquare": reduction(func(x *node, a []int) *node { return sum(graph.Mul(x, x), a) }),
		"ReduceLogSum":    reduction(func(x *node, a []int) *node { return graph.Log(sum(x, a)) }), "ReduceLogSumExp": reduction(logSumExp),
		"ReduceProd": reduction(func(x *node, a []int) *node {
			for i := len(a) - 1; i >= 0; i-- {
				x = ops.ReduceProduct(x, a[i])
			}
			return x
		}),
		"ArgMax": arg(graph.ArgMax), "ArgMin": arg(graph.ArgMin), "Softmax": softmax(ops.MaskedSoftmax), "LogSoftmax": softmax(ops.MaskedLogSoftmax), "Hardmax": softmax(hardmax),
		"MatMul": one(func(c *onnxCall) *node { return matMul(c.x(0), c.x(1)) }), "Gemm": one(gemm), "Einsum": one(einsum),
		"BatchNormalization": many(batchNorm), "InstanceNormalization": one(instanceNorm), "LayerNormalization": many(layerNorm), "LRN": one(lrn),
		"LpNormalization": one(func(c *onnxCall) *node {
			x := c.x(0)
			axis := axisIn(c.int("axis", -1), x.Rank())
			n := graph.Sqrt(graph.ReduceSum(graph.Mul(x, x), axis))
			if c.int("p", 2) == 1 {
				n = graph.ReduceSum(graph.Abs(x), axis)
			}
			return graph.Div(x, expandTo(graph.ExpandAxes(n, axis), x.Shape().Dimensions))
		}),
		"MeanVarianceNormalization": one(func(c *onnxCall) *node {
			x, axes := c.x(0), c.list("axes")
			if axes == nil {
				axes = []int{0, 2, 3}
			}
			m, v := ops.Moments(x, axes, nil)
			d := x.Shape().Dimensions
			return graph.Div(graph.Sub(x, expandTo(m, d)), expandTo(plus(graph.Sqrt(v), 1e-9), d))
		}),
		"TopK": many(topK), "CumSum": one(cumSum),
		"Dropout": many(func(c *onnxCall) []*node {
			x := c.x(0)
			if c.has(2) && c.intAt(2) != 0 && !(c.has(1) && c.floatAt(1) == 0) {
				panic(fmt.Errorf("dropout in training draws numbers of its own; export the model for inference"))
			}
			return []*node{x, graph.Equal(graph.ZerosLike(x), graph.ZerosLike(x))}
		}),
		"Det":                       one(func(c *onnxCall) *node { l, s := ops.LogDet(c.x(0)); return graph.Mul(graph.Exp(l), s) }),
		"NegativeLogLikelihoodLoss": one(func(c *onnxCall) *node { return logLoss(c, c.x(0)) }),
		"SoftmaxCrossEntropyLoss": many(func(c *onnxCall) []*node {
			logp := ops.MaskedLogSoftmax(c.x(0), nil, 1)
			return []*node{logLoss(c, logp), logp}
		}),
		"MatMulInteger": one(func(c *onnxCall) *node {
			a, b := integer(c, 0), integer(c, 1)
			if c.has(2) {
				a = graph.Sub(a, along(integer(c, 2), a, -2))
			}
			if c.has(3) {
				b = graph.Sub(b, along(integer(c, 3), b, -1))
			}
			return graph.ConvertDType(matMul(a, b), dtypes.Int32)
		}),
		"QLinearMatMul": one(func(c *onnxCall) *node {
			f := func(i int) *node { return graph.ConvertDType(c.x(i), dtypes.Float32) }
			a, b := f(0), f(3)
			a = graph.Mul(graph.Sub(a, along(f(2), a, -2)), along(f(1), a, -2))
			b = graph.Mul(graph.Sub(b, along(f(5), b, -1)), along(f(4), b, -1))
			return quantize(matMul(a, b), c.x(6), c.x(7), c.x(7).DType(), -2)
		}),
	}
}
