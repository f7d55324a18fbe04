package onnxrun

import (
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/format/onnx"
)

// builder builds one program.
type builder struct {
	of     *Graph
	ctx    context.Context
	main   *graph.Graph // the program's
	g      *graph.Graph // main, or that of a node that is computed at once
	args   map[*onnx.Tensor]*graph.Node
	at     *onnx.Node
	top    int      // the place of the main graph's node that is being built
	gives  []string // the values that the program gives
	need   []string // inputs whose values have to be known
	failed error
	checks []check

	steps, rounds, folds int
	held                 int64   // bytes of the values that are known
	foldWork, work       float64 // numbers that were computed, and those that the program computes
	constants            int64   // bytes of the program's constants
	measured             int     // nodes of the program that were counted
	marks                []mark  // whose they are
}

// value is a value while a graph is built: a node, or a tensor that is known already.
type value struct {
	node  *graph.Node
	known *tensors.Tensor
	from  []string // the inputs of the model that it depends on

	narrow onnx.DataType // of a tensor of the model whose type has fewer bits than what keeps it, else 0
}

func (v *value) shape() shapes.Shape {
	if v.known != nil {
		return v.known.Shape()
	}
	return v.node.Shape()
}

// scope is the values that a graph sees by name.
type scope struct {
	values map[string]*value
	outer  *scope
}

func (s *scope) get(name string) *value {
	for ; s != nil; s = s.outer {
		if v := s.values[name]; v != nil {
			return v
		}
	}
	return nil
}

// graph builds the program of stage k.
func (b *builder) graph(k int, names []string, nodes []*graph.Node, fixed map[string]*tensors.Tensor) []*graph.Node {
	s := &scope{values: map[string]*value{}}
	b.args = map[*onnx.Tensor]*graph.Node{}
	for i, t := range b.of.large {
		b.args[t] = nodes[len(names)+i]
	}
	stage := b.of.stages[k]
	b.constantsBefore(stage.from, s)
	for i, name := range names {
		s.values[name] = &value{node: nodes[i], from: []string{name}}
	}
	for name, x := range fixed {
		s.values[name] = &value{known: x}
	}
	taken := map[*graph.Node]bool{}
	for _, n := range nodes {
		taken[n] = true
	}
	var out []*graph.Node
	for i, n := range b.of.Model.Graph.Nodes[stage.from:stage.to] {
		b.top = stage.from + i
		b.build(n, s)
	}
	b.top = stage.to
	for _, name := range b.of.results(k) {
		v := s.get(name)
		if v == nil && stage.to < len(b.of.Model.Graph.Nodes) {
			continue // refused where it is taken
		}
		b.gives = append(b.gives, name)
		if v == nil {
			panic(fmt.Errorf("output %s was not made", name))
		}
		n := b.node(v)
		if taken[n] {
			n = graph.Identity(n)
		}
		taken[n] = true
		out = append(out, n)
	}

	out = append(out, watched(b.checks)...)
	b.measure(nil)
	b.fits(out)
	return out
}

// tensor is one of the model's as a value.
func (b *builder) tensor(t *onnx.Tensor) *value {
	w := b.of.tensors[t]
	if w == nil {
		if err := checkType("", "tensor "+t.Name, t.Type); err != nil {
			panic(err)
		}
		refuse("tensor %q is not a constant of the model", t.Name)
	}
	v := &value{known: w, node: b.args[t]}
	if _, ok := fourBits[t.Type]; ok {
		v.narrow = t.Type
	}
	return v
}

// node is a value as a node of the graph.
func (b *builder) node(v *value) *graph.Node {
	if v.node == nil || v.node.Graph() != b.g && v.known != nil {
		n := constTensor(b.g, v.known)
		if v.node == nil {
			v.node = n
		}
		return n
	}
	return v.node
}

// constTensor is a tensor as a node. One without elements is made of its shape, as XLA reads no empty literal of several dimensions.
func constTensor(g *graph.Graph, t *tensors.Tensor) *graph.Node {
	if t.Shape().Size() == 0 {
		return graph.Zeros(g, t.Shape())
	}
	return graph.ConstTensor(g, t)
}

// nodes runs a graph's nodes in order and returns its outputs.
func (b *builder) nodes(g *onnx.Graph, s *scope) []*value {
	for _, n := range g.Nodes {
		b.build(n, s)
	}

	var out []*value
	for _, v := range g.Outputs {
		x := s.get(v.Name)
		if x == nil {
			panic(fmt.Errorf("output %s was not made", v.Name))
		}
		out = append(out, x)
	}

	b.at = nil
	return out
}

// build computes a node from what a scope holds, and puts its outputs there.
func (b *builder) build(n *onnx.Node, s *scope) {
	b.at = n
	b.step()
	c := &call{build: b, g: b.g, n: n, scope: s, opset: b.of.opset}
	for i, name := range n.Inputs {
		var v *value
		if name != "" {
			v = s.get(name)
			need(v != nil, "input %d, %q, is an output that the node before does not give here", i, name)
			c.from = append(c.from, v.from...)
		}
		c.in = append(c.in, v)
	}
	slices.Sort(c.from)
	c.from = slices.Compact(c.from)
	for i, v := range b.call(c) {
		if i < len(n.Outputs) && n.Outputs[i] != "" && v != nil {
			s.values[n.Outputs[i]] = v
		}
	}
	b.measure(n)
}

// step counts a node of the model, and stops where the caller gave up.
func (b *builder) step() {
	b.steps++
	if b.steps%64 != 0 {
		return
	}
	if err := context.Cause(b.ctx); err != nil {
		panic(&stopped{err})
	}
}

// call computes a node: at once where all that it takes is known and small, else as part of the graph.
func (b *builder) call(c *call) (out []*value) {
	defer func() {
		if r := recover(); r != nil {
			panic(said(r, c))
		}
	}()
	op := operatorOf(c.n)
	if op.host {
		c.onHost()
	}
	if op.values != nil {
		return op.values(c)
	}
	if op.elements && c.isEmpty() {
		return c.empty(op)
	}
	size := 0
	for _, v := range c.in {
		if v == nil {
			continue
		}
		if v.known == nil {
			size = smallWeight + 1
			break
		}
		size += v.known.Shape().Size()
	}

	if size <= smallWeight {
		if out, ok := b.fold(c, op); ok {
			return out
		}
	}
	for _, n := range c.nodes(op) {
		if n == nil {
			out = append(out, nil)
			continue
		}
		out = append(out, &value{node: n, from: c.from})
	}

	return out
}

// nodes are an operator's outputs. On the Go engine those that are widened work on floats of 16 bits in float32 and round once, at the end:
// the engine itself would round after each of their steps, and lose the smallest numbers of float16. XLA does so by itself.
func (c *call) nodes(op operator) []*graph.Node {
	if !op.widened || c.g.Backend().Name() == "xla" {
		return op.nodes(c)
	}
	data := 0 // the input whose type the output has, if it is one of floats
	if c.n.Op == "Where" {
		data = 1
	}
	wide := *c
	wide.wide = map[int]*graph.Node{}
	for i := range c.in {
		if c.has(i) && isHalf(c.dtype(i)) {
			wide.wide[i] = convert(c.x(i), dtypes.Float32)
		}
	}

	out := op.nodes(&wide)
	c.checks = wide.checks
	for i, n := range out {
		if n != nil && wide.wide[data] != nil && n.DType() == dtypes.Float32 {
			out[i] = convert(n, c.dtype(data))
		}
	}
	return out
}

// isHalf reports whether a type is one of floats of 16 bits.
func isHalf(d dtypes.DType) bool { return d == dtypes.Float16 || d == dtypes.BFloat16 }
