package onnxrun

import (
	"slices"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

// pad adds elements at the ends of axes; numbers below zero cut.
func pad(c *call) *node {
	x := c.x(0)
	each := c.pads(x)
	fill := c.float("value", 0)
	if c.has(2) && len(c.floats(2)) > 0 {
		fill = c.floatAt(2)
	}
	mode := c.text("mode", "constant")
	need(slices.Contains([]string{"constant", "edge", "reflect", "wrap"}, mode), "mode %q is not known", mode)

	checkPads(x, each, mode)
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
			x = c.padAxis(x, axis, p, fill)
			continue
		}
		need(4*(n+p[0]+p[1]) <= mostConstantBytes,
			"axis %d gets %d elements; at most %d are continued", axis, n+p[0]+p[1], mostConstantBytes/4)
		x = takeAxis(x, graph.Const(c.g, continued(n, p, mode)), axis)
	}

	return x
}

// padAxis puts a value at the ends of an axis. That of a wide integer is taken as it is, which no float holds, and of
// 16-bit floats, whose smallest the Go engine loses.
func (c *call) padAxis(x *node, axis int, p [2]int, fill float64) *node {
	if c.has(2) && (isHalf(x.DType()) || x.DType().IsInt() && x.DType().Size() == 8) && c.x(2).Shape().Size() == 1 {
		value := graph.Reshape(c.x(2))
		end := func(n int) *node {
			d := slices.Clone(x.Shape().Dimensions)
			d[axis] = n
			return expandTo(value, d)
		}
		return joinedAxis(axis, end(p[0]), x, end(p[1]))
	}
	all := make([][2]int, x.Rank())
	all[axis] = p
	return ops.PadConstant(x, fill, all)
}

// joinedAxis puts those of the parts that have elements behind each other.
func joinedAxis(axis int, parts ...*node) *node {
	var full []*node
	for _, p := range parts {
		if p.Shape().Size() > 0 {
			full = append(full, p)
		}
	}
	switch len(full) {
	case 0:
		return parts[1]
	case 1:
		return full[0]
	}
	return graph.Concatenate(full, axis)
}

// pads are the elements to add before and after each axis of x: an attribute in old versions, an input in new ones, which may name axes.
func (c *call) pads(x *node) [][2]int {
	pads := c.axes("pads", 1)
	if pads == nil {
		pads = c.list("paddings")
	}
	axes := []int(nil)
	if c.has(3) {
		axes = c.ints(3)
	}

	each := make([][2]int, x.Rank())
	need(len(pads)%2 == 0 && (axes == nil && len(pads) == 2*x.Rank() || axes != nil && len(pads) == 2*len(axes)),
		"%d pads for %d dimensions", len(pads), x.Rank())
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
	return each
}

// checkPads refuses pads that leave less than nothing, or more than memory has.
func checkPads(x *node, each [][2]int, mode string) {
	const most = 1 << 47
	var dims []int
	for axis, p := range each {
		n := x.Shape().Dimensions[axis]
		need(p[0] <= most && p[1] <= most && p[0] >= -n && p[1] >= -n && n+min(p[0], 0)+min(p[1], 0) >= 0,
			"pads %v of axis %d, which has %d elements", p, axis, n)
		need(mode == "constant" || n > 0 || p == [2]int{}, "axis %d is empty and cannot be continued", axis)
		dims = append(dims, n+p[0]+p[1])
	}
	room(x.DType(), dims...)
}

// continued are the places of an axis of n elements that its continuation takes its values from.
func continued(n int, p [2]int, mode string) []int32 {
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
	return index
}
