package onnxrun

import (
	"slices"

	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/ops"
)

// scanning is a Scan: a body that is run over the places of an axis of its inputs, with a state that goes from one to the next.
type scanning struct {
	c        *call
	body     *onnx.Graph
	state    []*value
	xs       []*value // what it runs over
	axes     []int    // of xs
	backward []bool   // likewise
	outAxes  []int    // of the outputs that hold a row for each place
	outBack  []bool
	rounds   int
}

func scanOp(c *call) []*value {
	m := c.int("num_scan_inputs", 1)
	first := 0
	if c.opset < 9 {
		first = 1 // the lengths of the sequences
	}
	need(m >= 1 && m <= len(c.in)-first, "num_scan_inputs %d of %d inputs", m, len(c.in))
	for i := range c.in {
		need(c.has(i) || i < first, "input %d is missing", i)
	}

	s := &scanning{c: c, state: slices.Clone(c.in[first : len(c.in)-m]), xs: slices.Clone(c.in[len(c.in)-m:])}
	s.body = c.body("body", len(c.in)-first, len(s.state))
	rows := len(s.body.Outputs) - len(s.state)
	s.backward, s.outBack = c.directions("scan_input_directions", m), c.directions("scan_output_directions", rows)
	s.axes, s.outAxes = c.scanAxes("scan_input_axes", m), c.scanAxes("scan_output_axes", rows)
	if c.opset < 9 {
		s.backward = c.directions("directions", m)
		return s.eachExample()
	}
	return s.run()
}

// directions is a list that has 1 for each of n values that is gone through from its end.
func (c *call) directions(name string, n int) []bool {
	list := c.list(name)
	need(list == nil || len(list) == n, "%s %s for %d values", name, dimsText(list), n)
	out := make([]bool, n)
	for i, v := range list {
		need(v == 0 || v == 1, "%s %s: each is 0 or 1", name, dimsText(list))
		out[i] = v == 1
	}
	return out
}

func (c *call) scanAxes(name string, n int) []int {
	list := c.list(name)
	need(list == nil || len(list) == n, "%s %s for %d values", name, dimsText(list), n)
	if list == nil {
		return make([]int, n)
	}
	return list
}

// length finds the axes and how many places they have.
func (s *scanning) length() {
	s.rounds = -1
	for i, x := range s.xs {
		shape := x.shape()
		need(shape.Rank() > 0, "the sequences it scans differ in length, or have none: %s and %s", s.xs[0].shape(), shape)
		s.axes[i] = axisIn(s.axes[i], shape.Rank())
		n := shape.Dimensions[s.axes[i]]
		need(s.rounds < 0 || n == s.rounds, "the sequences it scans differ in length, or have none: %s and %s", s.xs[0].shape(), shape)
		s.rounds = n
	}
	need(s.rounds <= mostRounds, "it runs over %d rows, at most %d are unrolled", s.rounds, mostRounds)
}

// at are what the body sees in round i.
func (s *scanning) at(i int) map[string]*value {
	values := map[string]*value{}
	for j, v := range s.state {
		values[s.body.Inputs[j].Name] = v
	}
	for j, v := range s.xs {
		k := i
		if s.backward[j] {
			k = s.rounds - 1 - i
		}
		row := graph.Squeeze(cutAxis(s.c.build.node(v), s.axes[j], k, k+1, 1), s.axes[j])
		values[s.body.Inputs[len(s.state)+j].Name] = &value{node: row, from: s.c.from}
	}
	return values
}

// run takes all rounds, and returns the state after them and the rows that they gave.
func (s *scanning) run() []*value {
	s.length()
	c, carried := s.c, len(s.state)
	before := 0
	scans := make([]rows, len(s.body.Outputs)-carried)
	for i := range s.rounds {
		c.build.round()
		out := branch(c, s.body, s.at(i))
		copy(s.state, out[:carried])
		for j, v := range out[carried:] {
			scans[j].add(v)
		}
		if now := len(c.g.Nodes()); i == 1 { // every round builds what the second did
			c.parts((now - before) * (s.rounds - 2))
		} else {
			before = now
		}
	}

	results := slices.Clone(s.state)
	var tried []*value
	for j, r := range scans {
		declared := s.body.Outputs[carried+j]
		if len(r.rows) > 0 || r.declared(declared) {
			results = append(results, s.laid(j, r.value(c, declared)))
			continue
		}
		if tried == nil {
			tried = c.tryRound(s.body, s.nowhere())
		}
		results = append(results, s.laid(j, r.none(tried[carried+j].shape())))
	}
	return results
}

// nowhere is at for inputs without places: zeros of the shape of a row.
func (s *scanning) nowhere() map[string]*value {
	values := map[string]*value{}
	for j, v := range s.state {
		values[s.body.Inputs[j].Name] = v
	}
	for j, v := range s.xs {
		row := v.shape()
		d := slices.Delete(slices.Clone(row.Dimensions), s.axes[j], s.axes[j]+1)
		values[s.body.Inputs[len(s.state)+j].Name] = &value{node: graph.Zeros(s.c.build.g, shapes.Make(row.DType, d...)), from: s.c.from}
	}
	return values
}

// laid is what rows make, in the direction and along the axis that output j has.
func (s *scanning) laid(j int, v *value) *value {
	shape := v.shape()
	axis := axisIn(s.outAxes[j], shape.Rank())
	if axis == 0 && !s.outBack[j] || shape.Size() == 0 && axis == 0 {
		return v
	}

	x := s.c.build.node(v)
	if s.outBack[j] && shape.Size() > 0 {
		x = ops.Reverse(x, 0)
	}
	if axis > 0 {
		var perm []int
		for i := 1; i <= axis; i++ {
			perm = append(perm, i)
		}
		perm = append(perm, 0)
		for i := axis + 1; i < shape.Rank(); i++ {
			perm = append(perm, i)
		}
		x = graph.TransposeAllAxes(x, perm...)
	}
	return &value{node: x, from: s.c.from}
}

// eachExample runs the first version of the operator: all inputs have examples as their first axis, places as their second, and each
// example its length.
func (s *scanning) eachExample() []*value {
	c := s.c
	need(s.xs[0].shape().Rank() >= 2, "it runs over %s, want examples and places", s.xs[0].shape())
	n, places := s.xs[0].shape().Dimensions[0], s.xs[0].shape().Dimensions[1]
	need(n > 0, "it has no examples")
	if c.has(0) {
		for _, l := range c.ints(0) {
			need(l == places, "sequences of %d places in an input of %d: lengths of their own are not supported", l, places)
		}
	}

	example := func(v *value, i int) *value {
		shape := v.shape()
		need(shape.Rank() > 0 && shape.Dimensions[0] == n, "an input is %s, want %d examples", shape, n)
		return &value{node: row(c.build.node(v), i), from: c.from}
	}
	var all [][]*node
	for i := range n {
		one := *s
		one.state, one.xs, one.axes = nil, nil, make([]int, len(s.xs))
		for _, v := range s.state {
			one.state = append(one.state, example(v, i))
		}
		for _, v := range s.xs {
			one.xs = append(one.xs, example(v, i))
		}
		for j, v := range one.run() {
			if i == 0 {
				all = append(all, nil)
			}
			all[j] = append(all[j], graph.ExpandAxes(c.build.node(v), 0))
		}
	}

	var out []*value
	for _, parts := range all {
		out = append(out, &value{node: graph.Concatenate(parts, 0), from: c.from})
	}
	return out
}
