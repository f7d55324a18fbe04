package zoo

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/ops"
)

func known(t *tensors.Tensor) []*onnxValue { return []*onnxValue{{known: t, from: nil}} }

func positiveAxes(axes []int, rank int) []int {
	out := make([]int, len(axes))
	for i, a := range axes {
		if a < 0 {
			a += rank
		}
		if a < 0 || a >= rank {
			panic(fmt.Errorf("axis %d of %d", axes[i], rank))
		}
		out[i] = a
	}
	slices.Sort(out)
	return out
}

func axisIn(axis, rank int) int { return positiveAxes([]int{axis}, rank)[0] }

func reshape(c *onnxCall) *node {
	x := c.x(0)
	want := c.axes("shape", 1)
	dims := slices.Clone(want)
	rest, at := 1, -1
	for i, d := range dims {
		switch {
		case d == 0 && c.int("allowzero", 0) == 0:
			dims[i] = x.Shape().Dimensions[i]
		case d == -1:
			at = i
			continue
		}
		rest *= dims[i]
	}
	if at >= 0 {
		dims[at] = x.Shape().Size() / max(rest, 1)
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
			continue
		}
		dims = append(dims, d)
	}
	return graph.Reshape(x, dims...)
}

func flattenFrom(x *node, axis int) *node {
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
	if x.Rank() == 0 {
		return x
	}
	return graph.TransposeAllAxes(x, perm...)
}

func concat(c *onnxCall) *node {
	var parts []*node
	for i := range c.in {
		if x := c.x(i); x.Shape().Size() > 0 {
			parts = append(parts, x)
		}
	}
	if len(parts) == 0 {
		x := c.x(0)
		dims := slices.Clone(x.Shape().Dimensions)
		axis := axisIn(c.int("axis", 1), len(dims))
		for i := range c.in[1:] {
			dims[axis] += c.x(i + 1).Shape().Dimensions[axis]
		}
		return graph.Zeros(x.Graph(), shapes.Make(x.DType(), dims...))
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return graph.Concatenate(parts, axisIn(c.int("axis", 1), parts[0].Rank()))
}

func split(c *onnxCall) []*node {
	x := c.x(0)
	axis := axisIn(c.int("axis", 0), x.Rank())
	sizes := c.axes("split", 1)
	n := x.Shape().Dimensions[axis]
	if len(sizes) == 0 {
		k := len(c.n.Outputs)
		for i := range k {
			part := (n + k - 1) / k
			sizes = append(sizes, min(part, n-i*part))
		}
	}
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
	for i := range starts {
		axis, step := i, 1
		if axes != nil {
			axis = axisIn(axes[i], x.Rank())
		}
		if steps != nil {
			step = steps[i]
		}
		n := x.Shape().Dimensions[axis]
		limit := func(v, low, high int) int {
			if v < 0 {
				v += n
			}
			return min(max(v, low), high)
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

func wrapIndex(i *node, n int) *node {
	i = graph.ConvertDType(i, dtypes.Int32)
	return graph.Where(graph.LessThan(i, scalar(i, 0)), plus(i, float64(n)), i)
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

func gather(c *onnxCall) *node {
	x, index := c.x(0), c.x(1)
	axis := axisIn(c.int("axis", 0), x.Rank())
	d := x.Shape().Dimensions
	perm := []int{axis}
	for i := range d {
		if i != axis {
			perm = append(perm, i)
		}
	}
	rest := append(slices.Clone(d[:axis]), d[axis+1:]...)
	return viaInt(x, func(x *node) *node {
		if x.Rank() > 1 && axis > 0 {
			x = graph.TransposeAllAxes(x, perm...)
		}
		rows := ops.GatherRows(graph.Reshape(x, d[axis], volumeOf(rest)), graph.Reshape(wrapIndex(index, d[axis]), index.Shape().Size()))
		id := index.Shape().Dimensions
		y := graph.Reshape(rows, append(slices.Clone(id), rest...)...)
		if axis == 0 || y.Rank() < 2 {
			return y
		}
		var back []int
		for i := range axis {
			back = append(back, len(id)+i)
		}
		for i := range id {
			back = append(back, i)
		}
		for i := axis; i < len(rest); i++ {
			back = append(back, len(id)+i)
		}
		return graph.TransposeAllAxes(y, back...)
	})
}

// flatIndex is the place of index [..., k] in the first k dimensions of d.
func flatIndex(index *node, d []int) *node {
	k := index.Shape().Dimensions[index.Rank()-1]
	var at *node
	for j := range k {
		part := wrapIndex(graph.Squeeze(cutAxis(index, index.Rank()-1, j, j+1, 1), -1), d[j])
		if at == nil {
			at = part
		} else {
			at = graph.Add(times(at, float64(d[j])), part)
		}
	}
	return at
}

func gatherND(c *onnxCall) *node {
	x, index, batch := c.x(0), c.x(1), c.int("batch_dims", 0)
	d, id := x.Shape().Dimensions, index.Shape().Dimensions
	b, k := volumeOf(d[:batch]), id[len(id)-1]
	n := volumeOf(d[batch : batch+k])
	per := volumeOf(id[batch : len(id)-1])
	at := graph.Reshape(flatIndex(index, d[batch:]), b, per)
	at = graph.Add(at, times(graph.Iota(c.g, shapes.Make(dtypes.Int32, b, per), 0), float64(n)))
	return viaInt(x, func(x *node) *node {
		rows := ops.GatherRows(graph.Reshape(x, b*n, volumeOf(d[batch+k:])), graph.Reshape(at, b*per))
		return graph.Reshape(rows, append(slices.Clone(id[:len(id)-1]), d[batch+k:]...)...)
	})
}

// elementPlaces is where, in x laid flat, the elements lie that index names along an axis.
func elementPlaces(x, index *node, axis int) *node {
	d := x.Shape().Dimensions
	var at *node
	for i := range d {
		part := wrapIndex(index, d[axis])
		if i != axis {
			part = graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, index.Shape().Dimensions...), i)
		}
		if at == nil {
			at = part
		} else {
			at = graph.Add(times(at, float64(d[i])), part)
		}
	}
	return graph.Reshape(at, index.Shape().Size())
}

func gatherElements(c *onnxCall) *node {
	x, index := c.x(0), c.x(1)
	at := elementPlaces(x, index, axisIn(c.int("axis", 0), x.Rank()))
	return viaInt(x, func(x *node) *node {
		return graph.Reshape(ops.GatherRows(graph.Reshape(x, x.Shape().Size(), 1), at), index.Shape().Dimensions...)
	})
}

func scatterRows(c *onnxCall, x, at, updates *node) *node {
	switch how := c.text("reduction", "none"); how {
	case "none":
		return ops.ScatterUpdate(x, at, updates)
	case "add":
		return ops.ScatterAdd(x, at, updates)
	default:
		n, k := x.Shape().Dimensions[0], at.Shape().Dimensions[0]
		hit := graph.Equal(graph.BroadcastToDims(graph.ExpandAxes(at, 0), n, k), graph.Iota(c.g, shapes.Make(at.DType(), n, k), 0))
		y := x
		for i := range k { // in order, as the reference does
			row := graph.ConvertDType(graph.BroadcastToDims(cutAxis(hit, 1, i, i+1, 1), x.Shape().Dimensions...), dtypes.Bool)
			u := graph.BroadcastToDims(cutAxis(updates, 0, i, i+1, 1), x.Shape().Dimensions...)
			next := map[string]func(a, b *node) *node{"mul": graph.Mul, "max": graph.Max, "min": graph.Min}[how]
			if next == nil {
				panic(fmt.Errorf("reduction %q is not known", how))
			}
			y = graph.Where(row, next(y, u), y)
		}
		return y
	}
}

func scatterElements(c *onnxCall) *node {
	x, index, updates := c.x(0), c.x(1), c.x(2)
	at := elementPlaces(x, index, axisIn(c.int("axis", 0), x.Rank()))
	y := scatterRows(c, graph.Reshape(x, x.Shape().Size(), 1), at, graph.Reshape(updates, updates.Shape().Size(), 1))
	return graph.Reshape(y, x.Shape().Dimensions...)
}

func scatterND(c *onnxCall) *node {
	x, index, updates := c.x(0), c.x(1), c.x(2)
	d, id := x.Shape().Dimensions, index.Shape().Dimensions
	k := id[len(id)-1]
	at := flatIndex(index, d)
	rows, rest := volumeOf(d[:k]), volumeOf(d[k:])
	y := scatterRows(c, graph.Reshape(x, rows, rest), graph.Reshape(at, at.Shape().Size()), graph.Reshape(updates, at.Shape().Size(), rest))
	return graph.Reshape(y, d...)
}

func expand(c *onnxCall) *node {
	x := c.x(0)
	dims := slices.Clone(c.ints(1))
	for len(dims) < x.Rank() {
		dims = slices.Insert(dims, 0, 1)
	}
	for i, d := range x.Shape().Dimensions {
		if at := len(dims) - x.Rank() + i; dims[at] == 1 {
			dims[at] = d
		}
	}
	return expandTo(x, dims)
}

func tile(c *onnxCall) *node {
	x := c.x(0)
	for axis, n := range c.ints(1) {
		if n != 1 {
			parts := make([]*node, n)
			for i := range parts {
				parts[i] = x
			}
			x = graph.Concatenate(parts, axis)
		}
	}
	return x
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
			t, err := onnxTensor(a.Tensor)
			if err != nil {
				panic(err)
			}
			return known(t)
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
		t, err := onnxTensor(a.Tensor)
		if err != nil {
			panic(err)
		}
		value = graph.Reshape(graph.ConstTensor(c.g, t))
	}
	dims := c.ints(0)
	if volumeOf(dims) == 0 {
		return graph.Zeros(c.g, shapes.Make(value.DType(), dims...))
	}
	if len(dims) == 0 {
		return value
	}
	return graph.BroadcastToDims(value, dims...)
}

func rangeOp(c *onnxCall) *node {
	d := c.known(0).DType()
	start, limit, step := c.floats(0)[0], c.floats(1)[0], c.floats(2)[0]
	n := max(int(math.Ceil((limit-start)/step)), 0)
	if n == 0 {
		return graph.Zeros(c.g, shapes.Make(d, 0))
	}
	return plus(times(graph.Iota(c.g, shapes.Make(d, n), 0), step), start)
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
	return known(onnxInt64s(flat, len(dims), len(rows)))
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
	for i := range len(pads) / 2 {
		axis := i
		if axes != nil {
			axis = axisIn(axes[i], x.Rank())
		}
		each[axis] = [2]int{pads[i], pads[i+len(pads)/2]}
	}
	value := c.float("value", 0)
	if c.has(2) {
		value = c.floats(2)[0]
	}
	mode := c.text("mode", "constant")
	for axis, p := range each {
		n := x.Shape().Dimensions[axis]
		if p[0] < 0 || p[1] < 0 {
			x = cutAxis(x, axis, max(-p[0], 0), n-max(-p[1], 0), 1)
			n = x.Shape().Dimensions[axis]
			p = [2]int{max(p[0], 0), max(p[1], 0)}
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
	n, ch, h, w := d[0], d[1], d[2], d[3]
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
		k = c.ints(1)[0]
	}
	if x.Shape().Size() == 0 {
		return x
	}
	s := shapes.Make(dtypes.Int32, x.Shape().Dimensions...)
	gap := graph.Sub(graph.Iota(c.g, s, x.Rank()-1), graph.Iota(c.g, s, x.Rank()-2))
	keep := graph.LessOrEqual(gap, scalar(gap, float64(k)))
	if c.int("upper", 1) == 1 {
		keep = graph.GreaterOrEqual(gap, scalar(gap, float64(k)))
	}
	return graph.Where(keep, x, graph.ZerosLike(x))
}

func oneHot(c *onnxCall) *node {
	index, depth := c.x(0), int(c.floats(1)[0])
	values := c.x(2)
	axis := c.int("axis", -1)
	if axis < 0 {
		axis += index.Rank() + 1
	}
	i := graph.ExpandAxes(wrapIndex(index, depth), axis)
	dims := slices.Insert(slices.Clone(index.Shape().Dimensions), axis, depth)
	hit := graph.Equal(expandTo(i, dims), graph.Iota(c.g, shapes.Make(dtypes.Int32, dims...), axis))
	pick := func(j int) *node { return expandTo(graph.Reshape(cutAxis(values, 0, j, j+1, 1)), dims) }
	return graph.Where(hit, pick(1), pick(0))
}

func eyeLike(c *onnxCall) *node {
	x := c.x(0)
	d := x.DType()
	if c.n.Attribute("dtype") != nil {
		d = castTo(c.int("dtype", 1))
	}
	s := shapes.Make(dtypes.Int32, x.Shape().Dimensions...)
	hit := graph.Equal(graph.Iota(c.g, s, 1), plus(graph.Iota(c.g, s, 0), float64(c.int("k", 0))))
	return cast(graph.ConvertDType(hit, dtypes.Int32), d)
}

// branch runs the graph of an attribute.
func branch(c *onnxCall, attribute string, values map[string]*onnxValue) []*onnxValue {
	a := c.n.Attribute(attribute)
	if a == nil || a.Graph == nil {
		panic(fmt.Errorf("attribute %s is missing", attribute))
	}
	s := &onnxScope{values: values, outer: c.scope}
	for _, t := range a.Graph.Initializers {
		w, err := onnxTensor(t)
		if err != nil {
			panic(err)
		}
		s.values[t.Name] = &onnxValue{known: w}
	}
	at := c.build.at
	out := c.build.nodes(a.Graph, s)
	c.build.at = at
	return out
}

func ifOp(c *onnxCall) []*onnxValue {
	if c.ints(0)[0] != 0 {
		return branch(c, "then_branch", map[string]*onnxValue{})
	}
	return branch(c, "else_branch", map[string]*onnxValue{})
}

// loopOp unrolls: how often, and when it ends, must be known.
func loopOp(c *onnxCall) []*onnxValue {
	most := 1 << 12
	trips := most
	if c.has(0) {
		trips = c.ints(0)[0]
	}
	on := &onnxValue{known: tensors.FromScalar(true)}
	if c.has(1) {
		c.known(1)
		on = c.in[1]
	}
	body := c.n.Attribute("body").Graph
	state := slices.Clone(c.in[min(2, len(c.in)):])
	var scans [][]*node
	for i := range trips {
		if i >= most {
			panic(fmt.Errorf("a loop of more than %d rounds", most))
		}
		if on.known == nil {
			c.build.need = on.from
			panic(fmt.Errorf("when the loop ends has to be known before the model runs"))
		}
		if tensorInts(on.known)[0] == 0 {
			break
		}
		values := map[string]*onnxValue{body.Inputs[0].Name: {known: tensors.FromScalar(int64(i))}}
		if len(body.Inputs) > 1 {
			values[body.Inputs[1].Name] = on
		}
		for j, v := range state {
			values[body.Inputs[2+j].Name] = v
		}
		out := branch(c, "body", values)
		on = out[0]
		copy(state, out[1:1+len(state)])
		scans = append(scans, nil)
		for _, v := range out[1+len(state):] {
			scans[i] = append(scans[i], graph.ExpandAxes(c.build.node(v), 0))
		}
	}
	if len(scans) == 0 {
		return state
	}
	for j := range scans[0] {
		var parts []*node
		for _, s := range scans {
			parts = append(parts, s[j])
		}
		state = append(state, &onnxValue{node: graph.Concatenate(parts, 0), from: c.from})
	}
	return state
}

func scanOp(c *onnxCall) []*onnxValue {
	body := c.n.Attribute("body").Graph
	m := c.int("num_scan_inputs", 1)
	state := slices.Clone(c.in[:len(c.in)-m])
	xs := c.in[len(c.in)-m:]
	if c.opset < 9 || c.list("scan_input_directions") != nil || c.list("scan_input_axes") != nil {
		panic(fmt.Errorf("a Scan runs over the first axis, forwards, from opset 9 on"))
	}
	var scans [][]*node
	for i := range xs[0].shape().Dimensions[0] {
		values := map[string]*onnxValue{}
		for j, v := range state {
			values[body.Inputs[j].Name] = v
		}
		for j, v := range xs {
			values[body.Inputs[len(state)+j].Name] = &onnxValue{node: graph.Squeeze(cutAxis(c.build.node(v), 0, i, i+1, 1), 0), from: c.from}
		}
		out := branch(c, "body", values)
		copy(state, out[:len(state)])
		scans = append(scans, nil)
		for _, v := range out[len(state):] {
			scans[i] = append(scans[i], graph.ExpandAxes(c.build.node(v), 0))
		}
	}
	for j := range scans[0] {
		var parts []*node
		for _, s := range scans {
			parts = append(parts, s[j])
		}
		state = append(state, &onnxValue{node: graph.Concatenate(parts, 0), from: c.from})
	}
	return state
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
