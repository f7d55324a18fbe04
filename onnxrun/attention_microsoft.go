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

// packedAttention is com.microsoft.Attention: queries, keys and values are one product of the input.
func packedAttention(c *call) []*node {
	x, w := c.x(0), c.x(1)
	heads := c.int("num_heads", 0)
	d, wd := x.Shape().Dimensions, w.Shape().Dimensions
	need(len(d) == 3 && len(wd) == 2 && d[2] == wd[0] && x.Shape().Size() > 0, "input %v and weights %v", d, wd)
	sizes := c.list("qkv_hidden_sizes")
	if sizes == nil {
		sizes = []int{wd[1] / 3, wd[1] / 3, wd[1] / 3}
	}
	need(len(sizes) == 3 && heads >= 1 && sizes[0] == sizes[1] && sizes[0]+sizes[1]+sizes[2] == wd[1],
		"weights %v for hidden sizes %s and %d heads", wd, dimsText(sizes), heads)
	all := graph.DotGeneral(ops.Widen(x), []int{2}, nil, ops.Widen(w), []int{0}, nil)
	if b := c.maybe(2); b != nil {
		all = graph.Add(all, expandTo(ops.Widen(b), all.Shape().Dimensions))
	}
	q := splitHeads(cutAxis(all, 2, 0, sizes[0], 1), heads)
	k := splitHeads(cutAxis(all, 2, sizes[0], 2*sizes[0], 1), heads)
	v := splitHeads(cutAxis(all, 2, 2*sizes[0], wd[1], 1), heads)

	past := 0
	if p := c.maybe(4); p != nil {
		need(p.Rank() == 5 && p.Shape().Dimensions[0] == 2, "past %s, want keys and values", p.Shape())
		past = p.Shape().Dimensions[3]
		k, v = after(ops.Widen(row(p, 0)), k, 2), after(ops.Widen(row(p, 1)), v, 2)
	}
	a := &attending{q: q, k: k, v: v, scale: c.float("scale", 0)}
	c.oldMasks(a, 3, 5, past)
	y := joinHeads(a.run())
	t := c.dtype(0)
	out := []*node{convert(y, t)}
	if c.gives(1) {
		need(slices.Equal(k.Shape().Dimensions, v.Shape().Dimensions),
			"keys %s and values %s cannot be joined as present, since their shapes differ", k.Shape(), v.Shape())
		both := graph.Concatenate([]*node{graph.ExpandAxes(k, 0), graph.ExpandAxes(v, 0)}, 0)
		out = append(out, convert(both, t))
	}
	return out
}

// oldMasks reads the masks of com.microsoft: what is 0 in a mask, beyond a length, or after a word with unidirectional, gets a number
// added that hides it; and what is added beside them.
func (c *call) oldMasks(a *attending, mask, added, past int) {
	d, keys := a.q.Shape().Dimensions, a.k.Shape().Dimensions[2]
	if a.scale == 0 {
		a.scale = 1 / math.Sqrt(float64(d[3]))
	}
	a.bias = c.maybe(added)
	if a.bias != nil {
		a.bias = ops.Widen(a.bias)
	}
	var seen *node
	if m := c.maybe(mask); m != nil {
		seen = c.oldMask(m, d, keys)
	}
	if seen != nil {
		low := graph.Where(seen, graph.Zeros(c.g, shapes.Make(a.q.DType(), seen.Shape().Dimensions...)),
			graph.BroadcastToDims(scalar(a.q, c.float("mask_filter_value", -10000)), seen.Shape().Dimensions...))
		if a.bias != nil {
			p := broadcast(a.bias, low)
			low = graph.Add(p[0], p[1])
		}
		a.bias = low
	}
	if c.int("unidirectional", 0) == 1 {
		a.hide = upTo(c.g, numbered(c.g, past), d[2], keys)
	}
}

// oldMask is what a mask lets see, as bools to broadcast against [batch, heads, queries, keys].
func (c *call) oldMask(m *node, d []int, keys int) *node {
	md := m.Shape().Dimensions
	batch := d[0]
	not := func(x *node) *node { return graph.NotEqual(x, scalar(x, 0)) }
	switch {
	case len(md) == 1 && md[0] == batch:
		return upTo(c.g, plus(convert(m, dtypes.Int32), -1), 1, keys)
	case len(md) == 1 && md[0] == 2*batch:
		m = convert(m, dtypes.Int32)
		ends, starts := cutAxis(m, 0, 0, batch, 1), cutAxis(m, 0, batch, 2*batch, 1)
		return graph.LogicalAnd(upTo(c.g, plus(ends, -1), 1, keys), graph.LogicalNot(upTo(c.g, plus(starts, -1), 1,
			keys)))
	case slices.Equal(md, []int{batch, keys}):
		return graph.Reshape(not(m), batch, 1, 1, keys)
	case slices.Equal(md, []int{batch, d[2], keys}):
		return graph.Reshape(not(m), batch, 1, d[2], keys)
	}
	panic(fmt.Errorf("a mask %s for %d examples of %d words and %d keys; lengths, starts with lengths, and masks of two and three axes are supported",
		m.Shape(), batch, d[2], keys))
}

// multiHeadAttention is com.microsoft.MultiHeadAttention: queries, keys and values are given, each as [batch, words, heads * d] or
// keys and values by heads, or packed.
func multiHeadAttention(c *call) []*node {
	heads := c.int("num_heads", 0)
	q, k, v := c.threeInputs(heads)
	need(q.Shape().Size() > 0 && k.Shape().Size() > 0 && v.Shape().Size() > 0, "queries %s, keys %s and values %s",
		q.Shape(), k.Shape(), v.Shape())
	past := 0
	if p := c.maybe(6); p != nil {
		need(c.has(7) && p.Rank() == 4, "past_key %s without a past_value like it", p.Shape())
		past = p.Shape().Dimensions[2]
		k, v = after(ops.Widen(p), k, 2), after(ops.Widen(c.x(7)), v, 2)
	}
	a := &attending{q: q, k: k, v: v, scale: c.float("scale", 0)}
	c.oldMasks(a, 4, 5, past)
	t := c.dtype(0)
	y := convert(joinHeads(a.run()), t)
	return []*node{y, convert(k, t), convert(v, t)}
}

// threeInputs are the queries, keys and values of multiHeadAttention as [batch, heads, words, d], with their biases.
func (c *call) threeInputs(heads int) (q, k, v *node) {
	q = ops.Widen(c.x(0))
	need(heads >= 1, "num_heads %d", heads)
	packed := func(x *node, i int) *node { // [batch, words, heads, parts, d]
		return graph.TransposeAllAxes(graph.Squeeze(cutAxis(x, 3, i, i+1, 1), 3), 0, 2, 1, 3)
	}
	if !c.has(1) {
		need(q.Rank() == 5 && q.Shape().Dimensions[3] == 3 && q.Shape().Dimensions[2] == heads,
			"a query %s without keys, want [batch, words, %d, 3, d]", q.Shape(), heads)
		q, k, v = packed(q, 0), packed(q, 1), packed(q, 2)
	} else {
		q, k = splitHeads(q, heads), ops.Widen(c.x(1))
		switch {
		case k.Rank() == 5 && !c.has(2):
			need(k.Shape().Dimensions[3] == 2 && k.Shape().Dimensions[2] == heads,
				"keys %s without values, want [batch, words, %d, 2, d]", k.Shape(), heads)
			k, v = packed(k, 0), packed(k, 1)
		case k.Rank() == 4:
			v = ops.Widen(c.x(2))
			need(v.Rank() == 4, "keys %s and values %s", k.Shape(), v.Shape())
		default:
			k, v = splitHeads(k, heads), splitHeads(ops.Widen(c.x(2)), heads)
		}
	}
	b := c.maybe(3)
	if b == nil {
		return q, k, v
	}
	need(!c.has(1) || c.in[1].shape().Rank() == 3, "a bias for keys %s is not supported", k.Shape())
	at := 0
	add := func(x *node) *node {
		d := x.Shape().Dimensions
		n := d[1] * d[3]
		need(at+n <= b.Shape().Size(), "a bias %s for queries, keys and values of %d numbers and more", b.Shape(), at+n)
		part := graph.Reshape(cutAxis(ops.Widen(b), 0, at, at+n, 1), 1, d[1], 1, d[3])
		at += n
		return graph.Add(x, graph.BroadcastToDims(part, d...))
	}
	return add(q), add(k), add(v)
}

// groupQueryAttention is com.microsoft.GroupQueryAttention: causal, with fewer heads of keys and values, positions turned into them,
// and a cache that is written from each example's length on.
func groupQueryAttention(c *call) []*node {
	heads, kvHeads := c.int("num_heads", 0), c.int("kv_num_heads", 0)
	q := ops.Widen(c.x(0))
	need(heads >= 1 && kvHeads >= 1 && heads%kvHeads == 0 && q.Rank() == 3 && q.Shape().Size() > 0,
		"%d heads of queries %s for %d of keys and values", heads, q.Shape(), kvHeads)
	var k, v *node
	if c.has(1) {
		q, k, v = splitHeads(q, heads), splitHeads(ops.Widen(c.x(1)), kvHeads), splitHeads(ops.Widen(c.x(2)), kvHeads)
	} else {
		width := q.Shape().Dimensions[2]
		need(width%(heads+2*kvHeads) == 0, "a packed query %s for %d and twice %d heads", q.Shape(), heads, kvHeads)
		d := width / (heads + 2*kvHeads)
		part := func(from, n int) *node { return splitHeads(cutAxis(q, 2, from*d, (from+n)*d, 1), n) }
		q, k, v = part(0, heads), part(heads, kvHeads), part(heads+kvHeads, kvHeads)
	}

	d := q.Shape().Dimensions
	total := c.intAt(6)
	before, seen := c.cacheLengths(d, total)
	if c.int("do_rotary", 0) == 1 {
		cos, sin := c.cacheAngles(7, before, d), c.cacheAngles(8, before, d)
		turn := func(x *node) *node {
			return graph.TransposeAllAxes(rotated(graph.TransposeAllAxes(x, 0, 2, 1, 3), cos, sin,
				c.int("rotary_interleaved", 0) == 1), 0, 2, 1, 3)
		}
		q, k = turn(q), turn(k)
	}
	k, v = c.cached(3, k, before, total), c.cached(4, v, before, total)

	keys := k.Shape().Dimensions[2]
	a := &attending{q: q, k: k, v: v, softcap: c.float("softcap", 0), scale: c.float("scale", 0)}
	if a.scale == 0 {
		a.scale = 1 / math.Sqrt(float64(d[3]))
	}
	if b := c.maybe(10); b != nil {
		a.bias = ops.Widen(b)
		if gap := keys - b.Shape().Dimensions[b.Rank()-1]; gap > 0 {
			pads := make([][2]int, b.Rank())
			pads[b.Rank()-1] = [2]int{0, gap}
			a.bias = ops.PadConstant(a.bias, 0, pads)
		}
	}
	a.hide = upTo(c.g, before, d[2], keys)
	if w := c.int("local_window_size", -1); w >= 0 {
		a.hide = both(a.hide, graph.LogicalNot(upTo(c.g, plus(before, -float64(w)), d[2], keys)))
	}
	a.hide = both(a.hide, upTo(c.g, plus(seen, -1), 1, keys))
	a.smooth = c.int("smooth_softmax", 0) == 1
	cache := c.dtype(0)
	if c.has(3) {
		cache = c.dtype(3)
	}
	return []*node{convert(joinHeads(a.run()), c.dtype(0)), convert(k, cache), convert(v, cache)}
}

// cacheLengths are, for each example, the keys that were there before and those that are there now, as int32.
func (c *call) cacheLengths(d []int, total int) (before, seen *node) {
	need(volumeOf(c.dims(5)) == d[0], "seqlens_k %v for %d examples", c.dims(5), d[0])
	need(total >= d[2], "total_sequence_length %d for %d words", total, d[2])
	l := c.x(5)
	c.watchInput(5, l, func(low, high int64) error {
		if low >= 0 && high < int64(total) {
			return nil
		}
		return fmt.Errorf("seqlens_k from %d to %d of a total_sequence_length %d", low, high, total)
	})
	seen = plus(graph.Reshape(convert(l, dtypes.Int32), d[0]), 1)
	if d[2] == total { // the first words: padded ones are at the end
		return graph.Zeros(c.g, shapes.Make(dtypes.Int32, d[0])), graph.Max(seen, graph.Zeros(c.g, seen.Shape()))
	}
	before = plus(seen, -float64(d[2]))
	return graph.Max(before, graph.Zeros(c.g, before.Shape())), seen
}

// cacheAngles are rows of a table of angles for the words that come to a cache.
func (c *call) cacheAngles(table int, before *node, d []int) *node {
	t := c.x(table)
	if c.has(9) {
		return c.angles(t, 9, []int{d[0], d[2]})
	}
	need(t.Rank() == 2, "angles %s, want [positions, half a head]", t.Shape())
	s := shapes.Make(dtypes.Int32, d[0], d[2])
	at := graph.Add(graph.Iota(c.g, s, 1), graph.BroadcastToDims(graph.ExpandAxes(before, 1), d[0], d[2]))
	most := t.Shape().Dimensions[0]
	c.watch(at, func(_, high int64) error {
		if high < int64(most) {
			return nil
		}
		return fmt.Errorf("word %d of a table of %d angles", high, most)
	})
	return graph.Reshape(ops.GatherRows(t, graph.Reshape(at, d[0]*d[2])), d[0], d[2], t.Shape().Dimensions[1])
}

// cached writes x [batch, heads, words, d] into a cache, at each example's place; the cache grows to the total if it is shorter.
func (c *call) cached(input int, x, before *node, total int) *node {
	p := c.maybe(input)
	if p == nil {
		need(x.Shape().Dimensions[2] == total, "%d words of %d, and no cache of those before", x.Shape().Dimensions[2],
			total)
		return x
	}
	p = ops.Widen(p)
	d, xd := p.Shape().Dimensions, x.Shape().Dimensions
	need(len(d) == 4 && d[0] == xd[0] && d[1] == xd[1] && d[3] == xd[3], "a cache %s for %s", p.Shape(), x.Shape())
	if d[2] == 0 && xd[2] == total {
		return x
	}
	dims := []int{d[0], d[1], max(d[2], total), d[3]}
	room(x.DType(), dims...)
	p = ops.PadConstant(p, 0, [][2]int{{}, {}, {0, dims[2] - d[2]}, {}})
	s := shapes.Make(dtypes.Int32, dims...)
	at := graph.Sub(graph.Iota(c.g, s, 2), graph.BroadcastToDims(graph.Reshape(before, d[0], 1, 1, 1), dims...))
	taken := graph.LogicalAnd(graph.GreaterOrEqual(at, scalar(at, 0)), graph.LessThan(at, scalar(at, float64(xd[2]))))
	return graph.Where(taken, ops.TakeAlongAxis(x, at, 2), p)
}

func microsoftAttentionOps() map[string]operator {
	buffers := without(map[string]int64{"past_present_share_buffer": 0, "do_rotary": 0, "rotary_embedding_dim": 0})
	plain := without(map[string]int64{"causal": 1, "qk_output": 0, "sliding_window_cache": 0, "kv_cache_bit_width": 0})
	return map[string]operator{
		"com.microsoft.Attention": many(packedAttention).unless(buffers).
			unless(lacking("input", inputsOf, map[int]string{6: "past_sequence_length"})).
			takes("num_heads", "unidirectional", "scale", "mask_filter_value", "qkv_hidden_sizes",
				"past_present_share_buffer", "do_rotary", "rotary_embedding_dim"),
		"com.microsoft.MultiHeadAttention": many(multiHeadAttention).
			unless(lacking("input", inputsOf, map[int]string{8: "past_sequence_length", 9: "cache_indirection"})).
			unless(lacking("output", outputsOf, map[int]string{3: "qk"})).
			takes("num_heads", "unidirectional", "scale", "mask_filter_value"),
		"com.microsoft.GroupQueryAttention": many(groupQueryAttention).unless(plain).unlessTypes(numbersInCache).
			unless(lacking("input", inputsOf, map[int]string{11: "head_sink", 12: "k_scale", 13: "v_scale",
				14: "q_norm_weight", 15: "k_norm_weight", 16: "query_seqlens"})).
			unless(lacking("output", outputsOf, map[int]string{3: "output_qk"})).
			unless(numbersOnly("k_quant_type", "v_quant_type")).
			takes("num_heads", "kv_num_heads", "scale", "softcap", "do_rotary", "rotary_interleaved",
				"local_window_size", "smooth_softmax",
				"causal", "qk_output", "sliding_window_cache", "kv_cache_bit_width", "k_quant_type", "v_quant_type"),
	}
}
