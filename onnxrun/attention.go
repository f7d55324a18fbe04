package onnxrun

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

// attending is a scaled dot-product attention: softmax(softcap(scale q k^T) + bias) v. q is [batch, heads, queries, d], k and v are
// [batch, heads or a divisor of them, keys, d].
type attending struct {
	q, k, v *node
	scale   float64
	softcap float64 // 0 for none
	bias    *node   // nil, or to broadcast against [batch, heads, queries, keys]; -inf hides
	hide    *node   // nil, or bools likewise, false for what is not seen
	smooth  bool    // the weights' sum has 1 more, so that a query may see nothing

	logits, capped, biased, weights *node // what was computed
}

// run computes the values [batch, heads, queries, d of v]: zeros for a query that sees no key.
func (a *attending) run() *node {
	qd, kd := a.q.Shape().Dimensions, a.k.Shape().Dimensions
	a.k, a.v = repeatHeads(a.k, qd[1]), repeatHeads(a.v, qd[1])
	root := math.Sqrt(math.Abs(a.scale)) // of both factors, as the specification multiplies
	q := times(a.q, math.Copysign(root, a.scale))
	dims := []int{qd[0], qd[1], qd[2], kd[2]}
	room(q.DType(), dims...)
	a.logits = graph.DotGeneral(q, []int{3}, []int{0, 1}, times(a.k, root), []int{3}, []int{0, 1})

	a.capped = a.logits
	if a.softcap > 0 {
		a.capped = times(graph.Tanh(times(a.logits, 1/a.softcap)), a.softcap)
	}
	a.biased = a.capped
	if a.bias != nil {
		a.biased = graph.Add(a.biased, expandTo(convert(a.bias, q.DType()), dims))
	}
	if a.hide != nil {
		low := graph.BroadcastToDims(graph.Infinity(q.Graph(), q.DType(), -1), dims...)
		a.biased = graph.Where(expandBool(a.hide, dims), a.biased, low)
	}
	hidden := graph.BroadcastToDims(graph.Infinity(q.Graph(), q.DType(), -1), dims...)
	a.weights = ops.MaskedSoftmax(a.biased, graph.NotEqual(a.biased, hidden), 3)
	if a.smooth {
		wide := slices.Clone(dims)
		wide[3] = 1
		more := graph.Concatenate([]*node{a.biased, graph.Zeros(q.Graph(), shapes.Make(q.DType(), wide...))}, 3)
		a.weights = cutAxis(ops.MaskedSoftmax(more, nil, 3), 3, 0, dims[3], 1)
	}
	return graph.DotGeneral(a.weights, []int{3}, []int{0, 1}, a.v, []int{2}, []int{0, 1})
}

// expandBool is expandTo for bools.
func expandBool(x *node, dims []int) *node {
	if slices.Equal(x.Shape().Dimensions, dims) {
		return x
	}
	return graph.NotEqual(expandTo(convert(x, dtypes.Int32), dims), graph.Zeros(x.Graph(),
		shapes.Make(dtypes.Int32, dims...)))
}

// repeatHeads gives each head of [batch, heads, ...] as often as it takes to have n.
func repeatHeads(x *node, n int) *node {
	d := x.Shape().Dimensions
	need(d[1] >= 1 && n%d[1] == 0, "%d heads of queries for %d of keys and values", n, d[1])
	if d[1] == n {
		return x
	}
	room(x.DType(), d[0], n, d[2], d[3])
	y := graph.BroadcastToDims(graph.ExpandAxes(x, 2), d[0], d[1], n/d[1], d[2], d[3])
	return graph.Reshape(y, d[0], n, d[2], d[3])
}

// splitHeads brings [batch, words, heads * d] to [batch, heads, words, d].
func splitHeads(x *node, heads int) *node {
	d := x.Shape().Dimensions
	need(len(d) == 3 && heads >= 1 && d[2]%heads == 0, "%d heads of %v", heads, d)
	return graph.TransposeAllAxes(graph.Reshape(x, d[0], d[1], heads, d[2]/heads), 0, 2, 1, 3)
}

// joinHeads undoes splitHeads.
func joinHeads(x *node) *node {
	d := x.Shape().Dimensions
	return graph.Reshape(graph.TransposeAllAxes(x, 0, 2, 1, 3), d[0], d[2], d[1]*d[3])
}

// after puts what was there before in front of x, along an axis.
func after(past, x *node, axis int) *node {
	if past == nil || past.Shape().Dimensions[axis] == 0 {
		return x
	}
	for i, d := range past.Shape().Dimensions {
		need(past.Rank() == x.Rank() && (i == axis || d == x.Shape().Dimensions[i]),
			"the past is %s, which does not fit the new values %s", past.Shape(), x.Shape())
	}
	if x.Shape().Size() == 0 {
		return past
	}
	return graph.Concatenate([]*node{past, x}, axis)
}

// upTo is bools [rows of limits..., queries, keys]: key j is seen by query i if j <= i + offset.
func upTo(g *graph.Graph, offset *node, queries, keys int) *node {
	b := offset.Shape().Dimensions[0]
	s := shapes.Make(dtypes.Int32, b, 1, queries, keys)
	last := graph.Add(graph.Iota(g, s, 2), graph.BroadcastToDims(graph.Reshape(offset, b, 1, 1, 1), s.Dimensions...))
	return graph.LessOrEqual(graph.Iota(g, s, 3), last)
}

// numbered is one int32 as [1].
func numbered(g *graph.Graph, v int) *node { return graph.Const(g, []int32{int32(v)}) }

// both is a and b, where each may be nil.
func both(a, b *node) *node {
	if a == nil || b == nil {
		if a == nil {
			return b
		}
		return a
	}
	dims := make([]int, max(a.Rank(), b.Rank()))
	for i := range dims {
		dims[i] = 1
		for _, x := range []*node{a, b} {
			if at := i - len(dims) + x.Rank(); at >= 0 && x.Shape().Dimensions[at] != 1 {
				need(dims[i] == 1 || dims[i] == x.Shape().Dimensions[at], "masks of %s and %s", a.Shape(), b.Shape())
				dims[i] = x.Shape().Dimensions[at]
			}
		}
	}
	return graph.LogicalAnd(expandBool(a, dims), expandBool(b, dims))
}

// attention is the standard's, of opset 23 and 24.
func attention(c *call) []*node {
	q, k, v := c.x(0), c.x(1), c.x(2)
	three := q.Rank() == 3
	if three {
		heads := c.int("kv_num_heads", 0)
		q, k, v = splitHeads(q, c.int("q_num_heads", 0)), splitHeads(k, heads), splitHeads(v, heads)
	}
	need(q.Rank() == 4 && k.Rank() == 4 && v.Rank() == 4 &&
		volumeOf(q.Shape().Dimensions)*volumeOf(v.Shape().Dimensions) > 0,
		"queries %s, keys %s and values %s", q.Shape(), k.Shape(), v.Shape())
	past := 0
	if c.has(4) {
		past = c.dims(4)[2]
	}
	k, v = after(c.maybe(4), k, 2), after(c.maybe(5), v, 2)

	d := q.Shape().Dimensions
	a := &attending{q: ops.Widen(q), k: ops.Widen(k), v: ops.Widen(v), softcap: c.float("softcap", 0)}
	a.scale = c.float("scale", 1/math.Sqrt(float64(d[3])))
	double := a.q.DType() == dtypes.Float64 || a.v.DType() == dtypes.Float64 // values may have another type than queries and keys
	if p := c.int("softmax_precision", 0); p != 0 {                          // none is below float32 here
		need(castTo(p).IsFloat(), "softmax_precision %s, want a type of floats", castTo(p))
		double = double || castTo(p) == dtypes.Float64
	}
	if double {
		wide := func(x *node) *node { return convert(x, dtypes.Float64) }
		a.q, a.k, a.v = wide(a.q), wide(a.k), wide(a.v)
	}
	keys := k.Shape().Dimensions[2]
	c.attentionMask(a, keys, past)
	y := a.run()
	if three {
		y = joinHeads(y)
	}

	t := c.dtype(0)
	out := []*node{convert(y, t), k, v}
	mode := c.int("qk_matmul_output_mode", 0)
	need(mode >= 0 && mode <= 3, "qk_matmul_output_mode %d, want 0 to 3", mode)
	if c.gives(3) {
		shown := []*node{a.logits, a.capped, a.biased, a.weights}
		out = append(out, convert(shown[mode], t))
	}
	return out
}

// attentionMask reads the standard's masks: bools or numbers to add, a causal one, and how many keys of each example are there.
func (c *call) attentionMask(a *attending, keys, past int) {
	queries := a.q.Shape().Dimensions[2]
	if m := c.maybe(3); m != nil {
		last := m.Shape().Dimensions[max(0, m.Rank()-1):]
		need(len(last) == 1 && (last[0] == keys || last[0] < keys), "a mask %s for %d keys", m.Shape(), keys)
		if gap := keys - last[0]; gap > 0 && last[0] != 1 { // the keys that it does not speak of are not seen
			dims := slices.Clone(m.Shape().Dimensions)
			dims[len(dims)-1] = gap
			rest := graph.BroadcastToDims(graph.Infinity(c.g, dtypes.Float32, -1), dims...)
			if m.DType() == dtypes.Bool {
				m = cast(graph.Concatenate([]*node{convert(m, dtypes.Int32), graph.Zeros(c.g,
					shapes.Make(dtypes.Int32, dims...))}, m.Rank()-1), dtypes.Bool)
			} else {
				m = graph.Concatenate([]*node{m, convert(rest, m.DType())}, m.Rank()-1)
			}
		}
		if m.DType() == dtypes.Bool {
			a.hide = m
		} else {
			a.bias = m
		}
	}

	var there *node // [batch] how many keys
	if l := c.maybe(6); l != nil {
		need(slices.Equal(l.Shape().Dimensions, a.q.Shape().Dimensions[:1]), "nonpad_kv_seqlen %s for %d examples",
			l.Shape(), a.q.Shape().Dimensions[0])
		c.watchInput(6, l, func(low, high int64) error {
			if low >= 0 && high <= int64(keys) {
				return nil
			}
			return fmt.Errorf("nonpad_kv_seqlen from %d to %d of %d keys", low, high, keys)
		})
		there = convert(l, dtypes.Int32)
	}
	if c.int("is_causal", 0) == 1 {
		offset := numbered(c.g, past)
		if there != nil && !c.has(4) {
			offset = plus(there, -float64(queries))
		}
		a.hide = both(a.hide, upTo(c.g, offset, queries, keys))
	}
	if there != nil {
		a.hide = both(a.hide, upTo(c.g, plus(there, -1), 1, keys))
	}
}

func attentionOps() map[string]operator {
	return map[string]operator{
		"Attention": many(attention).
			takes("is_causal", "kv_num_heads", "q_num_heads", "qk_matmul_output_mode", "scale", "softcap",
				"softmax_precision"),
		"RotaryEmbedding": one(rotaryEmbedding).takes("interleaved", "num_heads", "rotary_embedding_dim"),
		"com.microsoft.RotaryEmbedding": one(rotaryEmbeddingOld).unless(without(map[string]int64{"is_packed_batching": 0})).unless(idleScale).
			takes("num_heads", "rotary_embedding_dim", "interleaved", "is_packed_batching", "scale"),
	}
}
