package onnxrun

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/onnx"
)

// check is a condition on values that only a run knows: the smallest and largest of them come back with the outputs.
type check struct {
	node      *onnx.Node
	low, high *graph.Node // int64 scalars
	wrong     func(low, high int64) error
}

// watch has a run check the values of an integer node. What wrong returns ends it.
func (c *call) watch(x *graph.Node, wrong func(low, high int64) error) {
	if x.Shape().Size() == 0 {
		return
	}
	x = convert(x, dtypes.Int64)
	k := check{c.n, graph.ReduceAllMin(x), graph.ReduceAllMax(x), wrong}
	if c.fold {
		c.checks = append(c.checks, k)
		return
	}
	c.build.checks = append(c.build.checks, k)
}

// watchInput is watch for an input, which is checked at once where its values are known.
func (c *call) watchInput(input int, x *node, wrong func(low, high int64) error) {
	v := c.in[input]
	if v.known == nil {
		c.watch(x, wrong)
		return
	}
	for _, i := range tensorInts(v.known) {
		if err := wrong(int64(i), int64(i)); err != nil {
			panic(err)
		}
	}
}

// watched is what a run returns beside the outputs: the ends of every check.
func watched(checks []check) []*graph.Node {
	if len(checks) == 0 {
		return nil
	}
	var ends []*graph.Node
	for _, k := range checks {
		ends = append(ends, graph.Reshape(k.low, 1), graph.Reshape(k.high, 1))
	}
	return []*graph.Node{graph.Concatenate(ends, 0)}
}

// look reads what a run's checks gave.
func (b *builder) look(ends *tensors.Tensor) error {
	if k, err := failing(b.checks, ends); err != nil {
		return &fault.Input{File: b.of.Model.Path, Field: k.node.String(), Err: err}
	}
	return nil
}

// failing is the first check that does not hold, by the ends of all.
func failing(checks []check, ends *tensors.Tensor) (check, error) {
	values := tensorInts(ends)
	for i, k := range checks {
		if err := k.wrong(int64(values[2*i]), int64(values[2*i+1])); err != nil {
			return k, err
		}
	}
	return check{}, nil
}

// places is an input of indices in [-n, n) as int32 in [0, n). One beyond ends the run, with its value: moved to the nearest end it
// would name another row.
func (c *call) places(input, n int) *node {
	indexable(n)
	index := c.x(input)
	wrong := func(low, high int64) error {
		if low >= int64(-n) && high < int64(n) {
			return nil
		}
		at := high
		if low < int64(-n) {
			at = low
		}
		return fmt.Errorf("index %d of %d: the indices are %d to %d; give words or places that the model knows", at, n, -n, n-1)
	}
	c.watchInput(input, index, wrong)
	index = convert(index, dtypes.Int64)
	index = graph.Where(graph.LessThan(index, scalar(index, 0)), plus(index, float64(n)), index)
	return convert(index, dtypes.Int32)
}
