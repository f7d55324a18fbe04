package zoo

import (
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/ops"
)

func known(t *tensors.Tensor) []*onnxValue { return []*onnxValue{{known: t, from: nil}} }

// positiveAxes are axes counted from 0, in order, each once.
func positiveAxes(axes []int, rank int) []int {
	need(len(axes) <= max(rank, 1), "%d axes of %d", len(axes), rank)
	out := make([]int, len(axes))
	for i, a := range axes {
		out[i] = a
		if a < 0 {
			out[i] += rank
		}
		need(out[i] >= 0 && out[i] < rank, "axis %d of %d", a, rank)
		need(!slices.Contains(out[:i], out[i]), "axis %d is named twice", a)
	}
	slices.Sort(out)
	return out
}

func axisIn(axis, rank int) int { return positiveAxes([]int{axis}, rank)[0] }

func reshape(c *onnxCall) *node {
	x := c.x(0)
	dims := slices.Clone(c.axes("shape", 1))
	have := x.Shape().Dimensions
	open := -1
	var others []int
	for i, d := range dims {
		switch {
		case d == -1:
			need(open < 0, "shape %s: more than one -1", dimsText(dims))
			open = i
			continue
		case d == 0 && c.int("allowzero", 0) == 0:
			need(i < len(have), "shape %s: place %d is 0, which copies a dimension, and the input has %d", dimsText(dims), i, len(have))
			dims[i] = have[i]
		}
		need(dims[i] >= 0, "shape %s: %d is not a size", dimsText(dims), dims[i])
		others = append(others, dims[i])
	}
	size := x.Shape().Size()
	rest, ok := untrusted.Product(math.MaxInt, others...)
	if open >= 0 {
		need(ok && (rest > 0 && size%rest == 0 || rest == 0 && size == 0), "%d elements of %v do not make the shape %s", size, have, dimsText(dims))
		dims[open] = size / max(rest, 1)
	} else {
		need(ok && rest == size, "%d elements of %v do not make the shape %s", size, have, dimsText(dims))
	}
	return graph.Reshape(x, dims...)
}

func unsqueeze(c *onnxCall) *node {
	x, axes := c.x(0), c.axes("axes", 1)
	axes = positiveAxes(axes, x.Rank()+len(axes))
	dims := slices.Clone(x.Shape().Dimensions)
	for _, a := range axes {
		dims = slices.Insert(dims, a, 1)
	}
	return graph.Reshape(x, dims...)
}

func squeeze(c *onnxCall) *node {
	x, axes := c.x(0), c.axes("axes", 1)
	given := c.n.Attribute("axes") != nil || c.has(1)
	axes = positiveAxes(axes, x.Rank())
	var dims []int
	for i, d := range x.Shape().Dimensions {
		if given && slices.Contains(axes, i) || !given && d == 1 {
			need(d == 1, "axis %d has %d elements and cannot be left out", i, d)
			continue
		}
		dims = append(dims, d)
	}
	return graph.Reshape(x, dims...)
}

func flattenFrom(x *node, axis int) *node {
	need(axis >= -x.Rank() && axis <= x.Rank(), "axis %d of %d", axis, x.Rank())
	if axis < 0 {
		axis += x.Rank()
	}
	a, b := 1, 1
	for i, d := range x.Shape().Dimensions {
		if i < axis {
			a *= d
		} else {
			b *= d
		}
	}
	return graph.Reshape(x, a, b)
}

func permute(c *onnxCall) *node {
	x, perm := c.x(0), c.list("perm")
	if perm == nil {
		for i := x.Rank() - 1; i >= 0; i-- {
			perm = append(perm, i)
		}
	}
	order := positiveAxes(perm, x.Rank())
	need(len(order) == x.Rank(), "perm %v of %d dimensions", perm, x.Rank())
	if x.Rank() == 0 {
		return x
	}
	for i, a := range perm {
		if a < 0 {
			perm[i] += x.Rank()
		}
	}
	return graph.TransposeAllAxes(x, perm...)
}

func concat(c *onnxCall) *node {
	first := c.x(0)
	axis := axisIn(c.int("axis", 1), first.Rank())
	dims := slices.Clone(first.Shape().Dimensions)
	var parts []*node
	for i := range c.in {
		x := c.x(i)
		need(x.Rank() == first.Rank() && x.DType() == first.DType(), "input %d is %s, input 0 %s", i, x.Shape(), first.Shape())
		for k, d := range x.Shape().Dimensions {
			need(k == axis || d == dims[k], "input %d is %s, input 0 %s: they differ beside axis %d", i, x.Shape(), first.Shape(), axis)
		}
		if i > 0 {
			dims[axis] += x.Shape().Dimensions[axis]
		}
		if x.Shape().Size() > 0 {
			parts = append(parts, x)
		}
	}
	switch len(parts) {
	case 0:
		return graph.Zeros(first.Graph(), room(first.DType(), dims...))
	case 1:
		return parts[0]
	}
	return graph.Concatenate(parts, axis)
}

func split(c *onnxCall) []*node {
	x := c.x(0)
	axis := axisIn(c.int("axis", 0), x.Rank())
	sizes := c.axes("split", 1)
	n := x.Shape().Dimensions[axis]
	if len(sizes) == 0 {
		k := c.int("num_outputs", len(c.n.Outputs))
		need(k >= 1 && k == len(c.n.Outputs), "%d parts for %d outputs", k, len(c.n.Outputs))
		part := (n + k - 1) / k
		for i := range k {
			sizes = append(sizes, max(0, min(part, n-i*part)))
		}
	}
	need(len(sizes) == len(c.n.Outputs), "%d sizes for %d outputs", len(sizes), len(c.n.Outputs))
	left := n
	for _, s := range sizes {
		need(s >= 0 && s <= left, "sizes %s of an axis of %d: they are 0 or more, and their sum is that of the axis", dimsText(sizes), n)
		left -= s
	}
	need(left == 0, "sizes %s of an axis of %d: %d are left over", dimsText(sizes), n, left)
	c.parts(len(sizes))
	var out []*node
	at := 0
	for _, s := range sizes {
		out = append(out, cutAxis(x, axis, at, at+s, 1))
		at += s
	}
	return out
}

func cutAxis(x *node, axis, from, to, step int) *node {
	spec := make([]graph.SliceAxisSpec, x.Rank())
	for i := range spec {
		spec[i] = graph.AxisRange()
	}
	if to <= from {
		dims := slices.Clone(x.Shape().Dimensions)
		dims[axis] = 0
		return graph.Zeros(x.Graph(), shapes.Make(x.DType(), dims...))
	}
	spec[axis] = graph.AxisRange(from, to)
	if step > 1 {
		spec[axis] = spec[axis].Stride(step)
	}
	return graph.Slice(x, spec...)
}

func slice(c *onnxCall) *node {
	x := c.x(0)
	starts, ends, axes := c.axes("starts", 1), c.axes("ends", 2), c.axes("axes", 3)
	steps := []int(nil)
	if c.has(4) {
		steps = c.ints(4)
	}
	need(len(ends) == len(starts) && (axes == nil || len(axes) == len(starts)) && (steps == nil || len(steps) == len(starts)),
		"%d starts, %d ends, %d axes, %d steps", len(starts), len(ends), len(axes), len(steps))
	need(len(starts) <= x.Rank(), "%d starts for %d dimensions", len(starts), x.Rank())
	if axes != nil {
		positiveAxes(axes, x.Rank())
	}
	for i := range starts {
		axis, step := i, 1
		if axes != nil {
			axis = axisIn(axes[i], x.Rank())
		}
		if steps != nil {
			step = steps[i]
		}
		n := x.Shape().Dimensions[axis]
		need(step != 0, "step %d of axis %d is 0", i, axis)
		step = min(max(step, -max(n, 1)), max(n, 1)) // a longer one takes the first element as well
		limit := func(v, low, high int) int {
			if v < 0 {
				v += n
			}
			return min(max(v, low), high)
		}
		if n == 0 {
			continue
		}
		if step > 0 {
			x = cutAxis(x, axis, limit(starts[i], 0, n), limit(ends[i], 0, n), step)
			continue
		}
		start, end := limit(starts[i], 0, n-1), limit(ends[i], -1, n-1)
		if ends[i] < -n {
			end = -1
		}
		x = cutAxis(ops.Reverse(x, axis), axis, n-1-start, n-1-end, -step)
	}
	return x
}

func volumeOf(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// viaInt lets f work on bools as bytes.
func viaInt(x *node, f func(x *node) *node) *node {
	if x.DType() != dtypes.Bool {
		return f(x)
	}
	return cast(f(graph.ConvertDType(x, dtypes.Int32)), dtypes.Bool)
}

func expand(c *onnxCall) *node {
	x := c.x(0)
	want := c.ints(1)
	dims := slices.Clone(want)
	for len(dims) < x.Rank() {
		dims = slices.Insert(dims, 0, 1)
	}
	for i, d := range x.Shape().Dimensions {
		at := len(dims) - x.Rank() + i
		if dims[at] == 1 {
			dims[at] = d
		}
		need(d == 1 || d == dims[at], "%v does not broadcast to %s", x.Shape().Dimensions, dimsText(want))
	}
	return expandTo(x, room(x.DType(), dims...).Dimensions)
}

func tile(c *onnxCall) *node {
	x, repeats := c.x(0), c.ints(1)
	need(len(repeats) == x.Rank(), "%d repeats for %d dimensions", len(repeats), x.Rank())
	d := x.Shape().Dimensions
	var pair, wide, dims []int // each axis as one of repeats and itself
	for axis, n := range repeats {
		need(n >= 0, "repeat %d of axis %d", n, axis)
		high, low := bits.Mul64(uint64(n), uint64(d[axis]))
		need(high == 0 && low <= math.MaxInt, "repeats %s of %v", dimsText(repeats), d)
		pair, wide, dims = append(pair, 1, d[axis]), append(wide, n, d[axis]), append(dims, int(low))
	}
	shape := room(x.DType(), dims...)
	switch {
	case slices.Equal(dims, d):
		return x
	case shape.Size() == 0:
		return graph.Zeros(c.g, shape)
	}
	return viaInt(x, func(x *node) *node {
		return graph.Reshape(graph.BroadcastToDims(graph.Reshape(x, pair...), wide...), dims...)
	})
}

func constant(c *onnxCall) []*onnxValue {
	n := c.n
	for _, name := range []string{"value", "value_float", "value_int", "value_floats", "value_ints"} {
		a := n.Attribute(name)
		if a == nil {
			continue
		}
		switch name {
		case "value":
			need(a.Tensor != nil, "attribute value is not a tensor")
			return []*onnxValue{c.build.tensor(a.Tensor)}
		case "value_float":
			return known(tensors.FromScalar(a.Float))
		case "value_int":
			return known(tensors.FromScalar(a.Int))
		case "value_floats":
			return known(tensors.FromFlatDataAndDimensions(a.Floats, len(a.Floats)))
		case "value_ints":
			return known(tensors.FromFlatDataAndDimensions(a.Ints, len(a.Ints)))
		}
	}
	panic(fmt.Errorf("a constant without a value that is known here"))
}

func constantOfShape(c *onnxCall) *node {
	value := graph.Const(c.g, float32(0))
	if a := c.n.Attribute("value"); a != nil && a.Tensor != nil {
		need(a.Tensor.Elements == 1, "value has %d elements, want one", a.Tensor.Elements)
		t, err := onnxTensor(a.Tensor)
		if err != nil {
			panic(err)
		}
		value = graph.Reshape(graph.ConstTensor(c.g, t))
	}
	shape := room(value.DType(), c.ints(0)...)
	switch {
	case shape.Size() == 0:
		return graph.Zeros(c.g, shape)
	case shape.Rank() == 0:
		return value
	}
	return viaInt(value, func(x *node) *node { return graph.BroadcastToDims(x, shape.Dimensions...) })
}

// rangeOp counts integers exactly: float64 would round those beyond 2^53.
func rangeOp(c *onnxCall) *node {
	d := c.known(0).DType()
	var n float64
	if d.IsFloat() {
		start, limit, step := c.floatAt(0), c.floatAt(1), c.floatAt(2)
		need(step != 0 && !math.IsNaN(start+limit+step) && !math.IsInf(start+limit+step, 0), "from %v to %v in steps of %v: there is no end", start, limit, step)
		n = max(math.Ceil((limit-start)/step), 0)
		shape := countTo(d, n)
		if shape.Size() == 0 {
			return graph.Zeros(c.g, shape)
		}
		return plus(times(graph.Iota(c.g, shape, 0), step), start)
	}
	start, limit, step := c.intAt(0), c.intAt(1), c.intAt(2)
	need(step != 0, "from %d to %d in steps of 0: there is no end", start, limit)
	count := uint64(0)
	switch {
	case step > 0 && limit > start:
		count = (uint64(limit)-uint64(start)-1)/uint64(step) + 1
	case step < 0 && limit < start:
		count = (uint64(start)-uint64(limit)-1)/-uint64(step) + 1
	}
	shape := countTo(d, float64(count))
	if shape.Size() == 0 {
		return graph.Zeros(c.g, shape)
	}
	at := graph.Iota(c.g, shapes.Make(dtypes.Int64, int(count)), 0)
	exact := func(v int) *node { return graph.Const(c.g, int64(v)) }
	return cast(graph.Add(graph.Mul(at, exact(step)), exact(start)), d)
}

// countTo is the shape of a list of n numbers.
func countTo(d dtypes.DType, n float64) shapes.Shape {
	need(n <= 1<<53, "it counts %.0f numbers", n)
	return room(d, int(n))
}

func shapeOf(c *onnxCall) []*onnxValue {
	dims := c.in[0].shape().Dimensions
	limit := func(v int) int {
		if v < 0 {
			v += len(dims)
		}
		return min(max(v, 0), len(dims))
	}
	from, to := limit(c.int("start", 0)), limit(c.int("end", len(dims)))
	dims = dims[from:max(from, to)]
	return known(onnxInt64s(dims, len(dims)))
}

func nonZero(c *onnxCall) []*onnxValue {
	t := c.known(0)
	need(t.Shape().Rank() > 0, "it looks for places in one number, want at least one dimension")
	if err := memory.Need("the places of what is not 0", 16*int64(t.Shape().Size())*int64(t.Shape().Rank()+4)); err != nil {
		panic(err)
	}
	values := c.floats(0)
	dims := t.Shape().Dimensions
	var rows [][]int
	for i, v := range values {
		if v == 0 {
			continue
		}
		at := make([]int, len(dims))
		for j, k := len(dims)-1, i; j >= 0; j-- {
			at[j], k = k%dims[j], k/dims[j]
		}
		rows = append(rows, at)
	}
	var flat []int
	for j := range dims {
		for _, r := range rows {
			flat = append(flat, r[j])
		}
	}
	found := onnxInt64s(flat, len(dims), len(rows))
	c.build.hold(found)
	return known(found)
}

func pad(c *onnxCall) *node {
	x := c.x(0)
	pads := c.axes("pads", 1)
	if pads == nil {
		pads = c.list("paddings")
	}
	axes := []int(nil)
	if c.has(3) {
		axes = c.ints(3)
	}
	each := make([][2]int, x.Rank())
	need(len(pads)%2 == 0 && (axes == nil && len(pads) == 2*x.Rank() || axes != nil && len(pads) == 2*len(axes)), "%d pads for %d dimensions", len(pads), x.Rank())
	if axes != nil {
		positiveAxes(axes, x.Rank())
	}
	for i := range len(pads) / 2 {
		axis := i
		if axes != nil {
			axis = axisIn(axes[i], x.Rank())
		}
		each[axis] = [2]int{pads[i], pads[i+len(pads)/2]}
	}
	value := c.float("value", 0)
	if c.has(2) && len(c.floats(2)) > 0 {
		value = c.floatAt(2)
	}
	mode := c.text("mode", "constant")
	need(slices.Contains([]string{"constant", "edge", "reflect", "wrap"}, mode), "mode %q is not known", mode)
	var dims []int
	for axis, p := range each {
		const most = 1 << 47
		n := x.Shape().Dimensions[axis]
		need(p[0] <= most && p[1] <= most && p[0] >= -n && p[1] >= -n && n+min(p[0], 0)+min(p[1], 0) >= 0, "pads %v of axis %d, which has %d elements", p, axis, n)
		need(mode == "constant" || n > 0 || p == [2]int{}, "axis %d is empty and cannot be continued", axis)
		dims = append(dims, n+p[0]+p[1])
	}
	room(x.DType(), dims...)
	for axis, p := range each {
		n := x.Shape().Dimensions[axis]
		if p[0] < 0 || p[1] < 0 {
			x = cutAxis(x, axis, max(-p[0], 0), n-max(-p[1], 0), 1)
			n = x.Shape().Dimensions[axis]
			p = [2]int{max(p[0], 0), max(p[1], 0)}
			need(mode == "constant" || n > 0 || p == [2]int{}, "axis %d is empty and cannot be continued", axis)
		}
		if p == [2]int{} {
			continue
		}
		if mode == "constant" {
			all := make([][2]int, x.Rank())
			all[axis] = p
			x = ops.PadConstant(x, value, all)
			continue
		}
		need(4*(n+p[0]+p[1]) <= mostConstantBytes, "axis %d gets %d elements; at most %d are continued", axis, n+p[0]+p[1], mostConstantBytes/4)
		index := make([]int32, 0, n+p[0]+p[1])
		for i := -p[0]; i < n+p[1]; i++ {
			j := min(max(i, 0), n-1)
			switch {
			case mode == "wrap":
				j = ((i % n) + n) % n
			case mode == "reflect" && n > 1:
				period := 2 * (n - 1)
				j = ((i % period) + period) % period
				j = min(j, period-j)
			}
			index = append(index, int32(j))
		}
		x = takeAxis(x, graph.Const(c.g, index), axis)
	}
	return x
}

func takeAxis(x, index *node, axis int) *node {
	perm := make([]int, x.Rank())
	for i := range perm {
		perm[i] = i
	}
	perm[0], perm[axis] = axis, 0
	y := ops.GatherRows(graph.TransposeAllAxes(x, perm...), index)
	return graph.TransposeAllAxes(y, perm...)
}

func depthSpace(c *onnxCall, toSpace bool) *node {
	x, s := c.x(0), c.int("blocksize", 1)
	d := x.Shape().Dimensions
	need(len(d) == 4, "it takes four dimensions, got %v", d)
	n, ch, h, w := d[0], d[1], d[2], d[3]
	need(s >= 1 && s <= math.MaxInt32 && (toSpace && ch%(s*s) == 0 || !toSpace && h%s == 0 && w%s == 0), "blocksize %d of %v", s, d)
	switch {
	case !toSpace:
		y := graph.TransposeAllAxes(graph.Reshape(x, n, ch, h/s, s, w/s, s), 0, 3, 5, 1, 2, 4)
		return graph.Reshape(y, n, ch*s*s, h/s, w/s)
	case c.text("mode", "DCR") == "DCR":
		y := graph.TransposeAllAxes(graph.Reshape(x, n, s, s, ch/(s*s), h, w), 0, 3, 4, 1, 5, 2)
		return graph.Reshape(y, n, ch/(s*s), h*s, w*s)
	}
	y := graph.TransposeAllAxes(graph.Reshape(x, n, ch/(s*s), s, s, h, w), 0, 1, 4, 2, 5, 3)
	return graph.Reshape(y, n, ch/(s*s), h*s, w*s)
}

func trilu(c *onnxCall) *node {
	x, k := c.x(0), 0
	if c.has(1) {
		k = c.intAt(1)
	}
	need(x.Rank() >= 2, "it takes two dimensions or more, got %v", x.Shape().Dimensions)
	if x.Shape().Size() == 0 {
		return x
	}
	rows, columns := x.Shape().Dim(-2), x.Shape().Dim(-1)
	k = min(max(k, -rows-1), columns+1) // farther away is outside as well
	s := shapes.Make(dtypes.Int32, x.Shape().Dimensions...)
	gap := graph.Sub(graph.Iota(c.g, s, x.Rank()-1), graph.Iota(c.g, s, x.Rank()-2))
	keep := graph.LessOrEqual(gap, scalar(gap, float64(k)))
	if c.int("upper", 1) == 1 {
		keep = graph.GreaterOrEqual(gap, scalar(gap, float64(k)))
	}
	return graph.Where(keep, x, graph.ZerosLike(x))
}

func oneHot(c *onnxCall) *node {
	index, values := c.x(0), c.x(2)
	depth := c.floatAt(1)
	need(depth >= 1 && depth == math.Trunc(depth) && depth <= 1<<47, "depth %v", depth)
	need(values.Rank() == 1 && values.Shape().Size() == 2, "values %v, want two: that of the others and that of the index", values.Shape().Dimensions)
	n := int(depth)
	axis := axisIn(c.int("axis", -1), index.Rank()+1)
	dims := room(dtypes.Int64, slices.Insert(slices.Clone(index.Shape().Dimensions), axis, n)...).Dimensions
	if volumeOf(dims) == 0 {
		return graph.Zeros(c.g, shapes.Make(values.DType(), dims...))
	}
	// Indices outside [-n, n) have no place, as the specification says; in 64 bits none becomes another.
	i := index
	if i.DType().IsFloat() {
		i = graph.Where(graph.LessThan(graph.Abs(i), scalar(i, math.Exp2(30))), i, scalar(i, math.Exp2(30)))
		need(n < 1<<30, "depth %d of indices that are floats", n)
	}
	i = graph.ConvertDType(i, dtypes.Int64)
	i = graph.ExpandAxes(graph.Where(graph.LessThan(i, scalar(i, 0)), plus(i, float64(n)), i), axis)
	hit := graph.Equal(expandTo(i, dims), graph.Iota(c.g, shapes.Make(dtypes.Int64, dims...), axis))
	pick := func(j int) *node { return expandTo(graph.Reshape(cutAxis(values, 0, j, j+1, 1)), dims) }
	return graph.Where(hit, pick(1), pick(0))
}

func eyeLike(c *onnxCall) *node {
	x := c.x(0)
	need(x.Rank() == 2, "it takes two dimensions, got %v", x.Shape().Dimensions)
	d := x.DType()
	if c.n.Attribute("dtype") != nil {
		d = castTo(c.int("dtype", 1))
	}
	s := x.Shape().Dimensions
	k := min(max(c.int("k", 0), -s[0]-1), s[1]+1) // farther away is outside as well
	places := room(dtypes.Int32, s...)
	if places.Size() == 0 {
		return graph.Zeros(c.g, shapes.Make(d, s...))
	}
	hit := graph.Equal(graph.Iota(c.g, places, 1), plus(graph.Iota(c.g, places, 0), float64(k)))
	return cast(graph.ConvertDType(hit, dtypes.Int32), d)
}

func shapeOps() map[string]onnxOp {
	return map[string]onnxOp{
		"Identity": seen(func(c *onnxCall) []*onnxValue { return []*onnxValue{c.in[0]} }), "Constant": seen(constant), "Shape": seen(shapeOf),
		"Size":    seen(func(c *onnxCall) []*onnxValue { return known(tensors.FromScalar(int64(c.in[0].shape().Size()))) }),
		"NonZero": seen(nonZero), "If": seen(ifOp), "Loop": seen(loopOp), "Scan": seen(scanOp),
		"Reshape": one(reshape), "Unsqueeze": one(unsqueeze), "Squeeze": one(squeeze), "Transpose": one(permute), "Concat": one(concat), "Split": many(split),
		"Flatten": one(func(c *onnxCall) *node { return flattenFrom(c.x(0), c.int("axis", 1)) }), "Slice": one(slice),
		"Gather": one(gather), "GatherND": one(gatherND), "GatherElements": one(gatherElements), "Scatter": one(scatterElements), "ScatterElements": one(scatterElements), "ScatterND": one(scatterND),
		"Expand": one(expand), "Tile": one(tile), "ConstantOfShape": one(constantOfShape), "Range": one(rangeOp), "Pad": one(pad),
		"DepthToSpace": one(func(c *onnxCall) *node { return depthSpace(c, true) }), "SpaceToDepth": one(func(c *onnxCall) *node { return depthSpace(c, false) }),
		"Trilu": one(trilu), "OneHot": one(oneHot), "EyeLike": one(eyeLike),
	}
}
