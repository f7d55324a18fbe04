package onnxrun

import (
	"slices"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/ops"
)

// rotated turns pairs of the first numbers of x [batch, words, heads, d] by angles whose cosines and sines are [batch or 1, words, half].
// A pair is one number of each half, or with interleaved two that are beside each other.
func rotated(x, cos, sin *node, interleaved bool) *node {
	d := x.Shape().Dimensions
	half := cos.Shape().Dimensions[2]
	need(half >= 1 && 2*half <= d[3], "%d angles for heads of %d", half, d[3])
	part := []int{d[0], d[1], d[2], half}
	angle := func(v *node) *node { return expandTo(graph.ExpandAxes(convert(v, x.DType()), 2), part) }
	turned := cutAxis(x, 3, 0, 2*half, 1)
	a, b := cutAxis(turned, 3, 0, half, 1), cutAxis(turned, 3, half, 2*half, 1)
	if interleaved {
		a, b = cutAxis(turned, 3, 0, 2*half, 2), cutAxis(turned, 3, 1, 2*half, 2)
	}
	re := graph.Sub(graph.Mul(angle(cos), a), graph.Mul(angle(sin), b))
	im := graph.Add(graph.Mul(angle(sin), a), graph.Mul(angle(cos), b))
	y := graph.Concatenate([]*node{re, im}, 3)
	if interleaved {
		y = graph.Reshape(graph.Concatenate([]*node{graph.ExpandAxes(re, 4), graph.ExpandAxes(im, 4)}, 4), d[0], d[1],
			d[2], 2*half)
	}
	if 2*half == d[3] {
		return y
	}
	return graph.Concatenate([]*node{y, cutAxis(x, 3, 2*half, d[3], 1)}, 3)
}

// wordsHeads brings an input [batch, heads, words, d] or [batch, words, heads * d] to [batch, words, heads, d]; back undoes it.
func wordsHeads(x *node, heads int) (y *node, back func(y *node) *node) {
	d := x.Shape().Dimensions
	need(x.Shape().Size() > 0, "its input of shape %v is empty", d)
	if len(d) == 4 {
		swap := func(y *node) *node { return graph.TransposeAllAxes(y, 0, 2, 1, 3) }
		return swap(x), swap
	}
	need(len(d) == 3 && heads >= 1 && d[2]%heads == 0, "num_heads %d of an input %v", heads, d)
	return graph.Reshape(x, d[0], d[1], heads, d[2]/heads), func(y *node) *node { return graph.Reshape(y, d...) }
}

// rotaryEmbedding is the standard's: input, cosines and sines, and positions that pick rows of them.
func rotaryEmbedding(c *call) *node {
	x, back := wordsHeads(c.x(0), c.int("num_heads", 0))
	cos, sin := c.x(1), c.x(2)
	d := x.Shape().Dimensions
	if c.has(3) {
		need(slices.Equal(c.dims(3), d[:2]), "position_ids %v for %d examples of %d words", c.dims(3), d[0], d[1])
		cos, sin = c.angles(cos, 3, d), c.angles(sin, 3, d)
	}
	need(cos.Rank() == 3 && slices.Equal(cos.Shape().Dimensions, sin.Shape().Dimensions) &&
		cos.Shape().Dimensions[1] == d[1] &&
		(cos.Shape().Dimensions[0] == d[0] || cos.Shape().Dimensions[0] == 1),
		"cosines %s and sines %s for %d examples of %d words", cos.Shape(), sin.Shape(), d[0], d[1])
	if n := c.int("rotary_embedding_dim", 0); n != 0 {
		need(n == 2*cos.Shape().Dimensions[2], "rotary_embedding_dim %d with %d angles", n, cos.Shape().Dimensions[2])
	} else {
		need(2*cos.Shape().Dimensions[2] == d[3],
			"%d angles for heads of %d; give rotary_embedding_dim to turn a part of them", cos.Shape().Dimensions[2],
			d[3])
	}
	y := rotated(ops.Widen(x), cos, sin, c.int("interleaved", 0) == 1)
	return convert(back(y), c.dtype(0))
}

// angles are rows of a table [positions, half], by an input of places [batch, words].
func (c *call) angles(table *node, input int, d []int) *node {
	need(table.Rank() == 2, "angles %s, want [positions, half a head]", table.Shape())
	half := table.Shape().Dimensions[1]
	at := graph.Reshape(c.places(input, table.Shape().Dimensions[0]), d[0]*d[1])
	return graph.Reshape(ops.GatherRows(table, at), d[0], d[1], half)
}

// rotaryEmbeddingOld is com.microsoft's: input, positions, cosines and sines. One position is that of the first word of every example.
func rotaryEmbeddingOld(c *call) *node {
	heads := c.int("num_heads", 0)
	x := c.x(0)
	half := c.dims(2)[max(0, len(c.dims(2))-1)]
	if x.Rank() == 3 && heads == 0 { // heads as wide as the angles
		need(half >= 1 && x.Shape().Dimensions[2]%(2*half) == 0, "num_heads is missing for an input %s and %d angles",
			x.Shape(), half)
		heads = x.Shape().Dimensions[2] / (2 * half)
	}
	x, back := wordsHeads(x, heads)
	if n := c.int("rotary_embedding_dim", 0); n != 0 {
		need(n == 2*half && n <= x.Shape().Dimensions[3], "rotary_embedding_dim %d with %d angles and heads of %d", n,
			half, x.Shape().Dimensions[3])
	}
	cos, sin := c.oldAngles(1, 2, x.Shape().Dimensions), c.oldAngles(1, 3, x.Shape().Dimensions)
	y := rotated(ops.Widen(x), cos, sin, c.int("interleaved", 0) == 1)
	return convert(back(y), c.dtype(0))
}

// oldAngles are rows of a table for the positions of an input: [batch, words], or one that the others follow.
func (c *call) oldAngles(positions, table int, d []int) *node {
	t := c.x(table)
	if volumeOf(c.dims(positions)) == 1 && d[0]*d[1] != 1 {
		start := c.intAt(positions)
		need(t.Rank() == 2 && start >= 0 && start+d[1] <= t.Shape().Dimensions[0], "words %d to %d of a table %s",
			start, start+d[1], t.Shape())
		return graph.ExpandAxes(cutAxis(t, 0, start, start+d[1], 1), 0)
	}
	need(volumeOf(c.dims(positions)) == d[0]*d[1], "position_ids %v for %d examples of %d words", c.dims(positions),
		d[0], d[1])
	return c.angles(t, positions, d)
}

// idleScale refuses a scale, which the other runtime has among its attributes and does not look at.
func idleScale(n *onnx.Node) string {
	if a := n.Attribute("scale"); a != nil && a.Float != 1 {
		return "a scale of other than 1 is not supported"
	}
	return ""
}
