package onnxrun

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// isEmpty reports whether an input has no elements.
func (c *call) isEmpty() bool {
	for _, v := range c.in {
		if v != nil && v.shape().Size() == 0 {
			return true
		}
	}
	return false
}

// empty is what an operator that works element by element makes of inputs one of which has none: the engines are not asked, as each of them
// gives up on other operations. The type is that of its answer to one element.
func (c *call) empty(op operator) []*value {
	var shaped []*node
	one := *c
	one.in = nil
	for _, v := range c.in {
		if v == nil {
			one.in = append(one.in, nil)
			continue
		}
		s := v.shape()
		d := make([]int, s.Rank())
		for i := range d {
			d[i] = 1
		}
		shaped = append(shaped, graph.Zeros(c.g, shapes.Make(s.DType, s.Dimensions...)))
		one.in = append(one.in, &value{node: graph.Ones(c.g, shapes.Make(s.DType, d...))})
	}

	dims := broadcastDims(shaped)
	var out []*value
	for _, n := range op.nodes(&one) {
		out = append(out, &value{known: tensors.FromShape(room(n.DType(), dims...)), from: c.from})
	}
	return out
}

// emptyOf is a value without elements.
func emptyOf(c *call, d dtypes.DType, dims []int) *node {
	return graph.Zeros(c.g, shapes.Make(d, dims...))
}
