package onnxrun

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/internal/memory"
)

func known(t *tensors.Tensor) []*value { return []*value{{known: t, from: nil}} }

func constant(c *call) []*value {
	n := c.n
	for _, name := range []string{"value", "value_float", "value_int", "value_floats", "value_ints"} {
		a := n.Attribute(name)
		if a == nil {
			continue
		}
		switch name {
		case "value":
			need(a.Tensor != nil, "attribute value is not a tensor")
			return []*value{c.build.tensor(a.Tensor)}
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

func constantOfShape(c *call) *node {
	value := graph.Const(c.g, float32(0))
	if a := c.n.Attribute("value"); a != nil && a.Tensor != nil {
		need(a.Tensor.Elements == 1, "value has %d elements, want one", a.Tensor.Elements)
		t, err := Tensor(a.Tensor)
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
func rangeOp(c *call) *node {
	d := c.known(0).DType()
	var n float64
	if d.IsFloat() {
		start, limit, step := c.floatAt(0), c.floatAt(1), c.floatAt(2)
		need(step != 0 && !math.IsNaN(start+limit+step) && !math.IsInf(start+limit+step, 0),
			"from %v to %v in steps of %v: there is no end", start, limit, step)
		n = max(math.Ceil((limit-start)/step), 0)
		shape := countTo(d, n)
		if shape.Size() == 0 {
			return graph.Zeros(c.g, shape)
		}
		wide := shapes.Make(dtypes.Float32, shape.Dimensions...)
		if !isHalf(d) {
			wide.DType = d
		}
		return convert(plus(times(graph.Iota(c.g, wide, 0), step), start), d)
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

func nonZero(c *call) []*tensors.Tensor {
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

	return []*tensors.Tensor{int64s(flat, len(dims), len(rows))}
}

func oneHot(c *call) *node {
	index, values := c.x(0), c.x(2)
	depth := c.floatAt(1)
	need(depth >= 1 && depth == math.Trunc(depth) && depth <= 1<<47, "depth %v", depth)
	need(values.Rank() == 1 && values.Shape().Size() == 2,
		"values %v, want two: that of the others and that of the index", values.Shape().Dimensions)
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
	i = convert(i, dtypes.Int64)
	i = graph.ExpandAxes(graph.Where(graph.LessThan(i, scalar(i, 0)), plus(i, float64(n)), i), axis)
	hit := graph.Equal(expandTo(i, dims), graph.Iota(c.g, shapes.Make(dtypes.Int64, dims...), axis))
	pick := func(j int) *node { return expandTo(graph.Reshape(cutAxis(values, 0, j, j+1, 1)), dims) }
	return graph.Where(hit, pick(1), pick(0))
}

func eyeLike(c *call) *node {
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
	return cast(convert(hit, dtypes.Int32), d)
}

func constantOps() map[string]operator {
	return map[string]operator{
		"Constant": seen(constant), "ConstantOfShape": one(constantOfShape), "Range": one(rangeOp), "NonZero": hosted(nonZero).takes(),
		"OneHot": one(oneHot), "EyeLike": one(eyeLike),
	}
}
