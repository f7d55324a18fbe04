package onnxrun

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/format/onnx"
)

// stage is a stretch of the main graph's nodes that runs as one: as a program of an engine, or one node on the host. A graph begins
// as a single stage. It is cut where a node's outputs have shapes that depend on computed values, and where a value that was computed
// decides on a shape.
type stage struct {
	from, to int // of the graph's nodes
	host     bool
	static   map[string]bool // arguments whose values shapes depend on
	programs map[string]*program
}

func newStage(from, to int, host bool) *stage {
	return &stage{from: from, to: to, host: host, static: map[string]bool{}, programs: map[string]*program{}}
}

// cut is why a build ended: the node at a place of the main graph runs on the host.
type cut struct{ at int }

func (e *cut) Error() string { return fmt.Sprintf("node %d runs on the host", e.at) }

// onHost has the values of all inputs known, or the graph cut before the node. In the graph of a loop or a branch there is nothing to
// cut: there the values have to be known.
func (c *call) onHost() {
	for i, v := range c.in {
		if v == nil || v.known != nil {
			continue
		}
		main := c.build.of.Model.Graph.Nodes
		if at := c.build.top; at < len(main) && main[at] == c.n {
			panic(&cut{at})
		}
		c.known(i)
	}
}

// split ends stage k before a node. That node is a stage by itself if it runs on the host.
func (g *Graph) split(k, at int, host bool) {
	s := g.stages[k]
	rest := []*stage{newStage(at, s.to, false)}
	if host {
		rest = []*stage{newStage(at, at+1, true), newStage(at+1, s.to, false)}
	}
	s.to = at
	s.forget()
	g.stages = slices.Insert(g.stages, k+1, rest...)
}

// forget lets go of a stage's programs.
func (s *stage) forget() {
	for key, p := range s.programs {
		p.exec.Finalize()
		delete(s.programs, key)
	}
}

// keep holds a program for later runs. When there are too many, all others go: their arguments vary in ways that come to no end.
func (s *stage) keep(key string, p *program) {
	if s.programs[key] != nil {
		return
	}
	if len(s.programs) >= mostPrograms {
		s.forget()
	}
	s.programs[key] = p
}

// runStage runs stage k, which may end earlier than before when it comes back, and adds what it computes to the values.
func (g *Graph) runStage(ctx context.Context, e compute.Backend, k int, values map[string]*tensors.Tensor) error {
	s := g.stages[k]
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if s.host {
			return g.runHost(ctx, g.Model.Graph.Nodes[s.from], values)
		}
		if k > 0 && len(g.results(k)) == 0 || s.to == s.from && k+1 < len(g.stages) {
			return nil
		}

		b, err := g.run(ctx, e, k, values)
		if err == nil {
			return nil
		}
		var here *cut
		if errors.As(err, &here) {
			g.split(k, here.at, true)
			continue
		}

		// Once more, with these values as part of the program; or with those computed first that are not arguments.
		fresh := false
		for _, name := range b.need {
			if !s.static[name] && values[name].Shape().Size() <= smallWeight {
				s.static[name], fresh = true, true
			}
		}
		switch {
		case fresh:
		case len(b.need) > 0 && b.top > s.from:
			g.split(k, b.top, false)
		default:
			return err
		}
	}
}

// arguments of stage k by name: those of the model for the first, what it uses of the values for others.
func (g *Graph) argumentNames(k int, values map[string]*tensors.Tensor) (names []string) {
	if k == 0 {
		for _, v := range g.Inputs() {
			names = append(names, v.Name)
		}
		return names
	}

	s := g.stages[k]
	used := map[string]bool{}
	namesIn(g.Model.Graph.Nodes[s.from:s.to], used)
	for _, name := range g.results(k) {
		used[name] = true
	}
	add := func(name string) {
		if used[name] && values[name] != nil {
			names = append(names, name)
			used[name] = false
		}
	}
	for _, v := range g.Inputs() {
		add(v.Name)
	}
	for _, n := range g.Model.Graph.Nodes[:s.from] {
		if n.Op != "Constant" {
			for _, name := range n.Outputs {
				add(name)
			}
		}
	}
	return names
}

// results are the values that stage k has to give: those that later stages use, and the model's outputs. The last stage gives outputs
// that no node computes as well.
func (g *Graph) results(k int) (names []string) {
	s, nodes := g.stages[k], g.Model.Graph.Nodes
	if k == len(g.stages)-1 {
		earlier := map[string]bool{}
		for _, n := range nodes[:s.from] {
			for _, name := range n.Outputs {
				earlier[name] = n.Op != "Constant"
			}
		}
		for _, v := range g.Outputs() {
			if !earlier[v.Name] {
				names = append(names, v.Name)
			}
		}
		return names
	}

	used := map[string]bool{}
	namesIn(nodes[s.to:], used)
	for _, v := range g.Outputs() {
		used[v.Name] = true
	}
	for _, n := range nodes[s.from:s.to] {
		for _, name := range n.Outputs {
			if name != "" && used[name] && n.Op != "Constant" {
				names = append(names, name)
			}
		}
	}
	return names
}

// namesIn gathers the names of values that nodes use, in their subgraphs too.
func namesIn(nodes []*onnx.Node, used map[string]bool) {
	for _, n := range nodes {
		for _, name := range n.Inputs {
			if name != "" {
				used[name] = true
			}
		}
		for i := range n.Attributes {
			if sub := n.Attributes[i].Graph; sub != nil {
				namesIn(sub.Nodes, used)
				for _, v := range sub.Outputs {
					used[v.Name] = true
				}
			}
		}
	}
}

// runHost computes a node of the main graph from tensors.
func (g *Graph) runHost(ctx context.Context, n *onnx.Node, values map[string]*tensors.Tensor) (err error) {
	b := &builder{of: g, ctx: ctx}
	c := &call{build: b, n: n, opset: g.opset}
	defer func() {
		if r := recover(); r != nil {
			err = g.failure(n, said(r, c))
		}
	}()

	constants := &scope{values: map[string]*value{}}
	b.constantsBefore(len(g.Model.Graph.Nodes), constants)
	for i, name := range n.Inputs {
		var v *value
		if x := values[name]; x != nil {
			v = &value{known: x}
		} else if name != "" {
			v = constants.get(name)
			need(v != nil, "input %d, %q, is an output that the node before does not give here", i, name)
		}
		c.in = append(c.in, v)
	}

	for i, v := range operatorOf(n).values(c) {
		if v != nil && i < len(n.Outputs) && n.Outputs[i] != "" {
			values[n.Outputs[i]] = v.known
		}
	}
	return nil
}

// constantsBefore puts the initialisers, and what the Constant nodes before a place of the main graph hold, into a scope.
func (b *builder) constantsBefore(place int, s *scope) {
	for _, t := range b.of.Model.Graph.Initializers {
		if b.of.tensors[t] != nil || b.g != nil {
			s.values[t.Name] = b.tensor(t)
		}
	}
	for _, n := range b.of.Model.Graph.Nodes[:place] {
		if n.Op != "Constant" || n.Domain != "" || len(n.Outputs) == 0 {
			continue
		}
		if a := n.Attribute("value"); a != nil && a.Tensor != nil && b.of.tensors[a.Tensor] == nil {
			continue // a type that engines do not have; its own node refuses it if it is reached
		}
		s.values[n.Outputs[0]] = constant(&call{build: b, g: b.g, n: n})[0]
	}
}
