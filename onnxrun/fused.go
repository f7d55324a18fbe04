package onnxrun

import (
	"maps"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/ops"
)

// fusedFunctions are the functions that a fused operator may end with, of two numbers.
func fusedFunctions() map[string]func(x *node, a, b float64) *node {
	return map[string]func(x *node, a, b float64) *node{
		"Relu":        func(x *node, _, _ float64) *node { return graph.Max(x, scalar(x, 0)) },
		"Tanh":        func(x *node, _, _ float64) *node { return graph.Tanh(x) },
		"Sigmoid":     func(x *node, _, _ float64) *node { return graph.Sigmoid(x) },
		"LeakyRelu":   func(x *node, a, _ float64) *node { return prelu(x, times(graph.OnesLike(x), a)) },
		"Clip":        func(x *node, a, b float64) *node { return hard(x, a, b) },
		"HardSigmoid": func(x *node, a, b float64) *node { return hard(plus(times(x, a), b), 0, 1) },
		"":            func(x *node, _, _ float64) *node { return x },
	}
}

func knownFunction(names ...string) func(n *onnx.Node) string {
	return func(n *onnx.Node) string {
		if a := n.Attribute("activation"); a != nil && !slices.Contains(names, string(a.Bytes)) {
			return "activation " + string(a.Bytes) + " is not supported"
		}
		return ""
	}
}

// fusedEnd applies a node's activation.
func (c *call) fusedEnd(x *node) *node {
	name := c.text("activation", "")
	a, b := map[string]float64{"LeakyRelu": 0.01, "HardSigmoid": 0.2}[name],
		map[string]float64{"HardSigmoid": 0.5}[name]
	if p := c.numbers("activation_params"); p != nil {
		want := map[string]int{"LeakyRelu": 1, "Clip": 2, "HardSigmoid": 2}[name]
		need(len(p) == want, "activation_params has %d numbers, %s takes %d", len(p), name, want)
		a = append(p, 0)[0]
		b = append(p, 0, 0)[1]
	} else {
		need(name != "Clip", "activation Clip without activation_params")
	}
	return fusedFunctions()[name](x, c.float("activation_alpha", a), c.float("activation_beta", b))
}

// fusedConv is a convolution, plus input 3, and a function of the sum.
func fusedConv(c *call) *node {
	y := addBias(convOf(c, c.x(0), c.x(1)), c.maybe(2))
	if z := c.maybe(3); z != nil {
		need(slices.Equal(z.Shape().Dimensions, y.Shape().Dimensions), "it adds %s to %s", z.Shape(), y.Shape())
		y = graph.Add(y, z)
	}
	return c.fusedEnd(y)
}

// fusedMatMul is alpha a b of matrices that are turned first. With transBatch the first axis of an operand comes before its last.
func fusedMatMul(c *call) *node {
	turned := func(i int, batch, swap string) *node {
		x := c.x(i)
		if x.Rank() > 1 && c.int(batch, 0) == 1 {
			perm := lastAxes(1, x.Rank())
			x = graph.TransposeAllAxes(x, slices.Insert(perm, len(perm)-1, 0)...)
		}
		if x.Rank() > 1 && c.int(swap, 0) == 1 {
			perm := lastAxes(0, x.Rank())
			n := len(perm)
			perm[n-1], perm[n-2] = n-2, n-1
			x = graph.TransposeAllAxes(x, perm...)
		}
		return x
	}
	y := matMul(turned(0, "transBatchA", "transA"), turned(1, "transBatchB", "transB"))
	if alpha := c.float("alpha", 1); alpha != 1 {
		y = times(y, alpha)
	}
	return y
}

// matMulBits is x w^T with w in blocks of a few bits for each number: [rows, blocks, bytes], a scale for each block and a zero, which
// is the middle without one.
func matMulBits(c *call) *node {
	x := ops.Widen(c.x(0))
	n, k, bits, block := c.int("N", 0), c.int("K", 0), c.int("bits", 4), c.int("block_size", 0)
	need(n >= 1 && k >= 1 && block >= 1 && (bits == 2 || bits == 4 || bits == 8),
		"N %d, K %d, bits %d and block_size %d", n, k, bits, block)
	blocks := (k + block - 1) / block
	d := x.Shape().Dimensions
	need(len(d) >= 1 && d[len(d)-1] == k, "input %v for K %d", d, k)
	w := c.dims(1)
	bytes := block * bits / 8
	need(c.dtype(1) == dtypes.Uint8 && volumeOf(w) == n*blocks*bytes,
		"weights %v of %s for %d rows of %d blocks of %d bytes", w, c.dtype(1), n, blocks, bytes)
	room(dtypes.Float32, n, blocks, block)

	q := convert(unpacked(graph.Reshape(c.x(1), n*blocks, bytes), bits), x.DType())
	each := func(v *node) *node { return graph.BroadcastToDims(graph.Reshape(v, n*blocks, 1), n*blocks, block) }
	need(volumeOf(c.dims(2)) == n*blocks, "scales %v for %d rows of %d blocks", c.dims(2), n, blocks)
	zero := graph.BroadcastToDims(scalar(x, float64(int(1)<<(bits-1))), n*blocks, block)
	if c.has(3) {
		z := c.x(3)
		if z.DType() == dtypes.Uint8 {
			per := (blocks*bits + 7) / 8
			need(z.Shape().Size() == n*per, "zero_points %s for %d rows of %d blocks", z.Shape(), n, blocks)
			z = cutAxis(unpacked(graph.Reshape(z, n, per), bits), 1, 0, blocks, 1)
		}
		need(z.Shape().Size() == n*blocks, "zero_points %s for %d rows of %d blocks", z.Shape(), n, blocks)
		zero = each(convert(z, x.DType()))
	}
	q = graph.Mul(graph.Sub(q, zero), each(convert(c.x(2), x.DType())))
	q = cutAxis(graph.Reshape(q, n, blocks*block), 1, 0, k, 1)
	y := graph.DotGeneral(x, []int{len(d) - 1}, nil, q, []int{1}, nil)
	if b := c.maybe(5); b != nil {
		y = graph.Add(y, expandTo(convert(b, y.DType()), y.Shape().Dimensions))
	}
	return convert(y, c.dtype(0))
}

// unpacked are the numbers of bits in bytes [rows, n], the lowest first, as int32.
func unpacked(x *node, bits int) *node {
	x = convert(x, dtypes.Int32)
	d := x.Shape().Dimensions
	var parts []*node
	for at := 0; at < 8; at += bits {
		part := graph.BitwiseShiftRightLogical(x, scalar(x, float64(at)))
		parts = append(parts, graph.ExpandAxes(graph.BitwiseAnd(part, scalar(x, float64(int(1)<<bits-1))), 2))
	}
	if len(parts) == 1 {
		return x
	}
	return graph.Reshape(graph.Concatenate(parts, 2), d[0], d[1]*len(parts))
}

// distances are those between all rows of two matrices, by a^2 + b^2 - 2 a b, or their squares.
func distances(c *call) *node {
	a, b := c.x(0), c.x(1)
	need(a.Rank() == 2 && b.Rank() == 2 && a.Shape().Dimensions[1] == b.Shape().Dimensions[1] && a.DType().IsFloat(),
		"rows %s and %s", a.Shape(), b.Shape())
	dims := []int{a.Shape().Dimensions[0], b.Shape().Dimensions[0]}
	room(a.DType(), dims...)
	square := func(x *node, axis int) *node {
		return expandTo(graph.ExpandAxes(graph.ReduceSum(graph.Mul(x, x), 1), axis), dims)
	}
	y := graph.Add(square(a, 1), square(b, 0))
	y = graph.Sub(y, times(graph.DotGeneral(a, []int{1}, nil, b, []int{1}, nil), 2))
	y = graph.Max(y, graph.ZerosLike(y))
	if c.text("metric", "sqeuclidean") == "euclidean" {
		y = graph.Sqrt(y)
	}
	return y
}

func knownMetric(n *onnx.Node) string {
	if a := n.Attribute("metric"); a != nil && !slices.Contains([]string{"euclidean", "sqeuclidean"}, string(a.Bytes)) {
		return "metric " + string(a.Bytes) + " is not supported"
	}
	return ""
}

// expandDims is an axis of one element before a place.
func expandDims(c *call) *node {
	x, axis := c.x(0), c.intAt(1)
	need(axis >= -x.Rank()-1 && axis <= x.Rank(), "axis %d of %d", axis, x.Rank()+1)
	if axis < 0 {
		axis += x.Rank() + 1
	}
	return graph.Reshape(x, slices.Insert(slices.Clone(x.Shape().Dimensions), axis, 1)...)
}

// uniqueInOrder is com.microsoft.Unique: in the order of first places; where each is among them, and how often.
func uniqueInOrder(c *call) []*value {
	node := *c.n
	node.Attributes = []onnx.Attribute{{Name: "sorted", Type: 2}}
	part := *c
	part.n = &node
	found := unique(&part)
	return []*value{{known: found[0]}, {known: found[2]}, {known: found[3]}}
}

func fusedOps() map[string]operator {
	some := knownFunction(slices.Collect(maps.Keys(fusedFunctions()))...)
	end := []string{"activation", "activation_alpha", "activation_beta", "activation_gamma", "activation_axis"}
	noEnd := knownFunction("Relu", "Tanh", "Sigmoid", "LeakyRelu", "HardSigmoid", "")
	scales := []string{"transA", "transB", "alpha"}
	matrix := append([]string{"transBatchA", "transBatchB"}, scales...)
	withEnd := func(f func(c *call) *node) operator {
		return one(func(c *call) *node { return c.fusedEnd(f(c)) }).unless(noEnd).unlessTypes(functionOfInts)
	}
	all := map[string]operator{
		"com.microsoft.FusedConv": one(fusedConv).unless(some).
			takes("activation", "activation_params", "group", "pads", "strides", "dilations", "kernel_shape",
				"auto_pad"),
		"com.microsoft.FusedGemm":             withEnd(gemm).takes(append(end[:3:3], append(scales, "beta")...)...),
		"com.microsoft.FusedMatMul":           one(fusedMatMul).takes(matrix...),
		"com.microsoft.TransposeMatMul":       one(fusedMatMul).takes(scales...),
		"com.microsoft.FusedMatMulActivation": withEnd(fusedMatMul).takes(append(end[:3:3], matrix...)...),
		"com.microsoft.MatMulNBits": one(matMulBits).unless(without(map[string]int64{"weight_prepacked": 0})).
			unless(lacking("input", inputsOf, map[int]string{4: "g_idx"})).takes("N", "K", "bits", "block_size",
			"accuracy_level", "weight_prepacked"),
		"com.microsoft.Inverse": one(func(c *call) *node {
			return convert(ops.InverseMatrix(ops.Widen(c.x(0))), c.dtype(0))
		}).takes(),
		"com.microsoft.ExpandDims": one(expandDims).takes(),
		"com.microsoft.CDist":      one(distances).unless(knownMetric).takes("metric"),
		"com.microsoft.Unique":     {host: true, values: uniqueInOrder, reads: []string{}},
	}

	// These are the standard's under another name, with the attributes that onnxruntime gives them.
	shared := map[string][]string{"Gelu": {}, "QuantizeLinear": {"axis"}, "DequantizeLinear": {"axis"}, "Pad": {"mode"},
		"Trilu": {"upper"}, "GatherND": {}}
	for _, part := range []map[string]operator{activationOps(), quantizedOps(), shapeOps(), gatherOps()} {
		for name, o := range part {
			if reads, ok := shared[name]; ok {
				all["com.microsoft."+name] = o.takes(reads...)
			}
		}
	}
	return all
}
