package onnxrun

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/strict"
)

// Run computes the outputs for inputs by name. Types and ranks must be those of the model.
//
// What is wrong with the model, or with the inputs for it, is bad input and names the node; a *fault.Exhausted says that the
// values the model holds at once exceed the memory limit. Loops are unrolled while the program is built, and refused beyond 2^18
// rounds; so are programs of more than 2^16 nodes, and values that grow far beyond what inputs and weights give.
func (g *Graph) Run(e compute.Backend, inputs map[string]*tensors.Tensor) (map[string]*tensors.Tensor, error) {
	return g.RunContext(context.Background(), e, inputs)
}

// RunContext is Run that gives up between two nodes when ctx ends, with its cause. What an engine has begun it finishes first.
func (g *Graph) RunContext(ctx context.Context, e compute.Backend, inputs map[string]*tensors.Tensor) (map[string]*tensors.Tensor, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.checkInputs(inputs); err != nil {
		return nil, err
	}

	values := maps.Clone(inputs)
	if values == nil {
		values = map[string]*tensors.Tensor{}
	}
	for k := 0; k < len(g.stages); k++ { // a stage that is cut adds others
		if err := g.runStage(ctx, e, k, values); err != nil {
			return nil, err
		}
	}

	outputs := map[string]*tensors.Tensor{}
	for _, v := range g.Outputs() {
		outputs[v.Name] = values[v.Name]
	}
	for name, x := range values { // what lay between stages
		if inputs[name] != x && outputs[name] != x {
			if err := x.FinalizeAll(); err != nil {
				return nil, err
			}
		}
	}
	return outputs, nil
}

// checkInputs refuses names that the model has not, and inputs that are missing or not of the declared type and shape.
func (g *Graph) checkInputs(inputs map[string]*tensors.Tensor) error {
	names := map[string]bool{}
	for _, v := range g.Inputs() {
		names[v.Name] = true
	}

	// A name that is not known comes first: with it an input is missing as well, and the name is why.
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		if names[name] {
			continue
		}
		fix := "give " + g.inputList()
		if near, ok := strict.Nearest(name, slices.Sorted(maps.Keys(names))); ok {
			fix += " (did you mean " + printable.Line(near) + "?)"
		}
		return &fault.Input{File: g.Model.Path, Field: "input " + name, Err: errors.New("the model has none of that name"), Fix: fix}
	}

	for _, v := range g.Inputs() {
		if err := g.checkInput(v, inputs[v.Name]); err != nil {
			return err
		}
	}
	return nil
}

// inputList names the model's inputs, the first twenty.
func (g *Graph) inputList() string {
	var names []string
	for i, v := range g.Inputs() {
		if i == 20 {
			names = append(names, fmt.Sprintf("and %d more", len(g.Inputs())-i))
			break
		}
		names = append(names, printable.Line(v.Name))
	}
	return strings.Join(names, ", ")
}

// CheckShape says why an input of a shape is not what the model declares; nil if it is. Run asks it; callers that read the input
// from a file may want to know before they do. An input without a declared rank may have any shape.
func (g *Graph) CheckShape(v onnx.Value, dims []int) error {
	if v.Rank < 0 || v.Name == "" {
		return nil
	}
	if len(dims) != v.Rank {
		return g.wrongInput(v, "its shape is %v, the model takes %d dimensions", dims, v.Rank)
	}
	for i, d := range v.Dims {
		if d.Name == "" && d.Size > 0 && d.Size != dims[i] {
			return g.wrongInput(v, "its shape is %v, the model takes %d in place %d", dims, d.Size, i)
		}
	}
	return nil
}

func (g *Graph) wrongInput(v onnx.Value, format string, args ...any) error {
	fix := "give " + g.inputList() + " as the model declares them"
	return &fault.Input{File: g.Model.Path, Field: "input " + v.Name, Err: fmt.Errorf(format, args...), Fix: fix}
}

func (g *Graph) checkInput(v onnx.Value, x *tensors.Tensor) error {
	if x == nil {
		return g.wrongInput(v, "it is missing")
	}
	if want, ok := engineTypes[v.Type]; ok && want != x.DType() {
		return g.wrongInput(v, "it is %s, the model takes %s", x.DType(), want)
	}
	return g.CheckShape(v, x.Shape().Dimensions)
}

// mostPrograms are kept, one for each combination of the values that shapes depend on.
const mostPrograms = 16

// program is what runs, for one set of known inputs and any shapes.
type program struct {
	exec  *graph.Exec
	build *builder
}

// arguments are the inputs of a run as one program takes them.
type arguments struct {
	key    string                     // of the program: the engine, and the inputs that are part of it
	fixed  map[string]*tensors.Tensor // inputs that are part of the program
	names  []string                   // of the other inputs, in the model's order
	values []any                      // theirs, and the large weights after them
}

func (g *Graph) arguments(e compute.Backend, k int, values map[string]*tensors.Tensor) (*arguments, error) {
	a := &arguments{key: fmt.Sprintf("%p", e), fixed: map[string]*tensors.Tensor{}}
	for _, name := range g.argumentNames(k, values) {
		x := values[name]
		if !g.stages[k].static[name] {
			a.names, a.values = append(a.names, name), append(a.values, x)
			if k > 0 { // what was computed before may have any shape; those of one program are kept for good
				a.key += "|" + x.Shape().String()
			}
			continue
		}

		a.fixed[name] = x
		a.key += "|" + name + x.Shape().String()
		if x.Shape().Size() == 0 {
			continue
		}
		if err := x.ConstBytes(func(b []byte) { a.key += string(b) }); err != nil {
			return nil, err
		}
	}

	for _, t := range g.large {
		a.values = append(a.values, g.tensors[t])
	}
	return a, nil
}

// program prepares the program of stage k for arguments. Its nodes are built in the first call.
func (g *Graph) program(e compute.Backend, k int, a *arguments) (*program, error) {
	b := &builder{of: g}
	build := func(main *graph.Graph, nodes []*graph.Node) []*graph.Node {
		defer func() {
			if r := recover(); r != nil {
				b.failed = said(r, nil)
				panic(b.failed)
			}
		}()
		*b = builder{of: g, ctx: b.ctx, main: main, g: main}
		return b.graph(k, a.names, nodes, a.fixed)
	}

	var exec *graph.Exec
	var err error
	if len(a.values) == 0 {
		exec, err = graph.NewExec(e, func(main *graph.Graph) []*graph.Node { return build(main, nil) })
	} else {
		exec, err = graph.NewExec(e, func(nodes []*graph.Node) []*graph.Node { return build(nodes[0].Graph(), nodes) })
	}
	if err != nil {
		return nil, err
	}
	exec.SetMaxCache(-1)
	return &program{exec, b}, nil
}

// call runs the program, which builds and compiles it first for shapes that are new.
func (p *program) call(ctx context.Context, values []any) (results []*tensors.Tensor, err error) {
	p.build.ctx = ctx
	defer func() {
		if r := recover(); r != nil {
			err = said(r, nil)
		}
	}()
	return p.exec.Call(values...)
}

// run computes stage k and adds its results to the values, or fails. Then the builder's need has the arguments whose values the
// program wants to know, if that is why.
func (g *Graph) run(ctx context.Context, e compute.Backend, k int, values map[string]*tensors.Tensor) (*builder, error) {
	s := g.stages[k]
	a, err := g.arguments(e, k, values)
	if err != nil {
		return &builder{}, err
	}

	p := s.programs[a.key]
	if p == nil {
		if p, err = g.program(e, k, a); err != nil {
			return &builder{}, err
		}
	}

	b := p.build
	results, err := p.call(ctx, a.values)
	if err != nil {
		p.exec.Finalize()
		delete(s.programs, a.key)
		if b.failed != nil { // said plainly; err tells of the engine's programs as well
			err = b.failed
		}
		var here *cut
		if errors.As(err, &here) {
			return b, here
		}
		return b, g.failure(b.at, err)
	}
	s.keep(a.key, p)

	if len(b.checks) > 0 { // the program is right, so it stays; these inputs may not be
		if err := b.look(results[len(results)-1]); err != nil {
			return &builder{}, err
		}
	}
	for i, name := range b.gives { // what the checks gave comes after them
		values[name] = results[i]
		if k < len(g.stages)-1 { // what other engines take too is not on the device of this one
			values[name] = ofBytes(results[i].DType(), bytesIn(results[i]), results[i].Shape().Dimensions...)
			if err := results[i].FinalizeAll(); err != nil { // else the device keeps it until the collector runs
				return &builder{}, err
			}
		}
	}
	return b, nil
}
