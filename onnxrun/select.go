package onnxrun

import (
	"bytes"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
)

// compress keeps the slices of an axis whose place in the condition is true; without an axis the elements of x laid flat. A shorter
// condition leaves out the rest.
func compress(c *call) []*tensors.Tensor {
	x, keep := c.known(0), c.known(1)
	need(keep.DType() == dtypes.Bool && keep.Shape().Rank() == 1, "its condition is %s, want bools of one dimension",
		keep.Shape())
	dims := slices.Clone(x.Shape().Dimensions)
	axis := 0
	if c.n.Attribute("axis") == nil {
		dims = []int{x.Shape().Size()}
	} else {
		axis = axisIn(c.int("axis", 0), len(dims))
	}

	before, n, after := around(dims, axis)
	need(keep.Shape().Size() <= n, "its condition has %d places for %d", keep.Shape().Size(), n)
	var at []int
	for i, k := range bytesIn(keep) {
		if k != 0 {
			at = append(at, i)
		}
	}
	dims[axis] = len(at)
	return []*tensors.Tensor{ofBytes(x.DType(), slicesAt(bytesIn(x), at, before, n, after*x.DType().Size()), dims...)}
}

// slicesAt takes slices of the middle axis of [before, n, size] bytes.
func slicesAt(raw []byte, at []int, before, n, size int) []byte {
	var out []byte
	for b := range before {
		for _, i := range at {
			out = append(out, raw[(b*n+i)*size:(b*n+i+1)*size]...)
		}
	}
	return out
}

// unique finds the distinct elements of x, or slices of an axis: in ascending order, or in that of their first places. Beside them
// are the first place of each, where each of x is among them, and how often each is there.
func unique(c *call) []*tensors.Tensor {
	x := c.known(0)
	dims := slices.Clone(x.Shape().Dimensions)
	axis := 0
	if c.n.Attribute("axis") == nil {
		dims = []int{x.Shape().Size()}
	} else {
		axis = axisIn(c.int("axis", 0), len(dims))
	}
	before, n, after := around(dims, axis)
	less := compareSlices(x, before, n, after)
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, less)

	// Which group each slice is in, in ascending order; first holds the first place of each group.
	group := make([]int, n)
	var first, counts []int
	for k, i := range order {
		if k == 0 || less(order[k-1], i) != 0 {
			first, counts = append(first, i), append(counts, 0)
		}
		group[i] = len(first) - 1
		counts[len(counts)-1]++
	}

	if c.int("sorted", 1) == 0 {
		rank := make([]int, len(first))
		for i := range rank {
			rank[i] = i
		}
		slices.SortFunc(rank, func(a, b int) int { return first[a] - first[b] })
		to := make([]int, len(first))
		var f, k []int
		for i, g := range rank {
			to[g] = i
			f, k = append(f, first[g]), append(k, counts[g])
		}
		first, counts = f, k
		for i, g := range group {
			group[i] = to[g]
		}
	}

	dims[axis] = len(first)
	y := ofBytes(x.DType(), slicesAt(bytesIn(x), first, before, n, after*x.DType().Size()), dims...)
	return []*tensors.Tensor{y, int64s(first, len(first)), int64s(group, n), int64s(counts, len(counts))}
}

// compareSlices orders slices i and j of the middle axis of a tensor as [before, n, after], element by element. NaN comes last, and
// no NaN equals another.
func compareSlices(x *tensors.Tensor, before, n, after int) func(i, j int) int {
	var compare func(a, b int) int
	if x.DType().IsFloat() {
		v := (&call{in: []*value{{known: x}}}).floats(0)
		compare = func(a, b int) int {
			switch p, q := v[a], v[b]; {
			case p == q:
				return 0
			case p < q || math.IsNaN(q) && !math.IsNaN(p):
				return -1
			case math.IsNaN(p) && math.IsNaN(q):
				return a - b
			}
			return 1
		}
	} else {
		raw, size := bytesIn(x), x.DType().Size()
		compare = func(a, b int) int {
			p, q := reversed(raw[a*size:(a+1)*size]), reversed(raw[b*size:(b+1)*size])
			if !x.DType().IsUnsigned() && x.DType() != dtypes.Bool {
				p[0], q[0] = p[0]^0x80, q[0]^0x80
			}
			return bytes.Compare(p, q)
		}
	}
	return func(i, j int) int {
		for b := range before {
			for k := range after {
				if s := compare((b*n+i)*after+k, (b*n+j)*after+k); s != 0 {
					return s
				}
			}
		}
		return 0
	}
}

func reversed(b []byte) []byte {
	b = slices.Clone(b)
	slices.Reverse(b)
	return b
}

func selectOps() map[string]operator {
	return map[string]operator{
		"Compress": hosted(compress).takes("axis"), "Unique": hosted(unique).takes("axis", "sorted"),
		"NonMaxSuppression": hosted(nonMaxSuppression).takes("center_point_box"),
		"RoiAlign": hosted(roiAlign).
			takes("coordinate_transformation_mode", "mode", "output_height", "output_width", "sampling_ratio",
				"spatial_scale"),
		"MaxRoiPool": hosted(maxRoiPool).takes("pooled_shape", "spatial_scale"),
		"MaxUnpool":  hosted(maxUnpool).takes("kernel_shape", "pads", "strides"),
		"DeformConv": hosted(deformConv).takes("dilations", "group", "kernel_shape", "offset_group", "pads", "strides"),
		"Col2Im":     hosted(columnsToImage).takes("dilations", "pads", "strides"),
	}
}
