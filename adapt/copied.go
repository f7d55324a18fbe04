package adapt

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/zoo"
)

// Scope is where methods keep variables of their own: "/adapt".
const Scope = "/adapt"

// copied is a copy of a model, and the programs that a method builds on it. What its programs move is its state.
type copied struct {
	Model // its Bundle is the copy
	who   string

	execs []*model.Exec
	first map[string]tensorOf // first values of all that a program moves, by path
}

// tensorOf is a variable and a value that it had.
type tensorOf struct {
	variable *model.Variable
	values   []float32
}

// newCopy copies a model for a method. Variables that the method makes draw from the model's seed.
func newCopy(who string, m Model) (*copied, error) {
	switch {
	case m.Bundle == nil || m.Engine == nil:
		return nil, fmt.Errorf("adapt %s: there is no model or no engine; give both", who)
	case m.Batch < 1:
		return nil, usage(who, "the batch is %d; use at least 1", m.Batch)
	}
	if err := m.Bundle.Manifest.Validate(); err != nil {
		return nil, fmt.Errorf("adapt %s: %s: %w", who, m.Bundle.Manifest.Name, err)
	}
	if m.Bundle.Manifest.Answers() == zoo.Language {
		return nil, usage(who, "the task of %s is %s; adapters are for models whose inputs are numbers", m.Bundle.Manifest.Name, zoo.Language)
	}

	c := &copied{Model: m, who: who, first: map[string]tensorOf{}}
	var err error
	if c.Bundle, err = m.Bundle.Clone(m.Engine.Backend); err != nil {
		return nil, fmt.Errorf("adapt %s: %w", who, err)
	}
	param.Seed(c.Bundle.Store, m.Seed)
	return c, nil
}

// usage is an error of a method that was used wrongly.
func usage(who, format string, args ...any) error {
	return &fault.Usage{Err: fmt.Errorf("adapt "+who+": "+format, args...)}
}

// name is what the model is called in errors.
func (c *copied) name() string { return c.Bundle.Manifest.Name }

// shape is that of n examples.
func (c *copied) shape(n int) []int { return append([]int{n}, c.Bundle.Manifest.InputShape...) }

// size is the number of values of an example.
func (c *copied) size() int {
	return shapes.Make(dtypes.Float32, c.Bundle.Manifest.InputShape...).Size()
}

// program is a program on the copy: build gets the root of its store. It is compiled for the shapes that it is called with, and by compile
// beforehand. Variables that build makes and moves become state.
func (c *copied) program(build func(scope *model.Scope, in []*Node) []*Node) (*program, error) {
	exec, err := model.NewExec(c.Engine.Backend, c.Bundle.Store, func(scope *model.Scope, in []*Node) []*Node {
		out := build(scope, in)
		g := in[0].Graph()
		if err := ops.Fits(g); err != nil {
			panic(err)
		}
		if err := c.noteMoved(g); err != nil {
			panic(err)
		}
		return out
	})
	if err != nil {
		return nil, fmt.Errorf("adapt %s: %w", c.who, err)
	}
	c.execs = append(c.execs, exec)
	return &program{c: c, exec: exec, compiled: map[string]bool{}}, nil
}

// noteMoved keeps the first values of what a graph moves. A variable that no program moved before has its first value still.
func (c *copied) noteMoved(g *Graph) error {
	for v := range c.Bundle.Store.IterVariables() {
		if _, known := c.first[v.Path()]; known || !v.ChangedInGraph(g) {
			continue
		}
		if v.DType() != dtypes.Float32 {
			return fmt.Errorf("variable %s is %s; what an adapter moves must be float32", v.Path(), v.DType())
		}
		values, err := read(v)
		if err != nil {
			return err
		}
		c.first[v.Path()] = tensorOf{v, values}
	}
	return nil
}

// read is a copy of a variable's values.
func read(v *model.Variable) ([]float32, error) {
	value, err := v.Value()
	if err != nil {
		return nil, err
	}
	return tensors.CopyFlatData[float32](value)
}

// moving are the paths of the state, sorted.
func (c *copied) moving() []string { return slices.Sorted(maps.Keys(c.first)) }

// Reset gives all that moves its first values.
func (c *copied) Reset() error {
	for _, path := range c.moving() {
		if err := c.set(path, c.first[path].values); err != nil {
			return err
		}
	}
	return nil
}

// set gives a variable of the state a copy of values.
func (c *copied) set(path string, values []float32) error {
	v := c.first[path].variable
	if err := v.SetValue(tensors.FromFlatDataAndDimensions(slices.Clone(values), v.Shape().Dimensions...)); err != nil {
		return fmt.Errorf("adapt %s: %s: %w", c.who, path, err)
	}
	return nil
}

// State is what moves, under the paths of its variables without the first slash.
func (c *copied) State() (weights.Set, error) {
	set := weights.Set{}
	for _, path := range c.moving() {
		v := c.first[path].variable
		values, err := read(v)
		if err != nil {
			return nil, fmt.Errorf("adapt %s: %s: %w", c.who, path, err)
		}
		set = append(set, weights.Tensor{Name: strings.TrimPrefix(path, "/"), Shape: append([]int{}, v.Shape().Dimensions...), Values: values})
	}
	return set, nil
}

// SetState gives what moves other values.
func (c *copied) SetState(state weights.Set) error {
	layout := make(weights.Set, 0, len(c.first))
	for _, path := range c.moving() {
		t := c.first[path]
		layout = append(layout, weights.Tensor{Name: strings.TrimPrefix(path, "/"), Shape: t.variable.Shape().Dimensions, Values: t.values})
	}
	if err := state.CheckShapes("the state"); err != nil {
		return err
	}
	if err := layout.SameLayout("the adapter "+c.who, state, "the state"); err != nil {
		return err
	}
	for _, t := range state {
		if err := c.set("/"+t.Name, t.Values); err != nil {
			return err
		}
	}
	return nil
}

// Close frees the programs and the copy.
func (c *copied) Close() {
	for _, e := range c.execs {
		e.Finalize()
	}
	c.execs = nil
	c.Bundle.Store.Finalize()
}

// program is one program of a copied model.
type program struct {
	c        *copied
	exec     *model.Exec
	compiled map[string]bool
}

// compile compiles for inputs of float32 of these shapes, once.
func (p *program) compile(dims ...[]int) error {
	key := fmt.Sprint(dims)
	if p.compiled[key] {
		return nil
	}
	in := make([]shapes.Shape, len(dims))
	for i, d := range dims {
		in[i] = shapes.Make(dtypes.Float32, d...)
	}
	if _, err := p.exec.Compile(in...); err != nil {
		return fmt.Errorf("adapt %s: compile %s for %v: %w", p.c.who, p.c.name(), dims, root(err))
	}
	p.compiled[key] = true
	return nil
}

// root is the error at the bottom: what a layer said when its graph was built, without the engine's account of where.
func root(err error) error {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err
}

// input is one input of a program.
type input struct {
	values []float32
	dims   []int
}

// call runs the program and returns the values of its outputs. It frees what it made on the device.
func (p *program) call(in ...input) ([][]float32, error) {
	args := make([]any, len(in))
	for i, x := range in {
		t := tensors.FromFlatDataAndDimensions(x.values, x.dims...)
		defer func() { _ = t.FinalizeAll() }()
		args[i] = t
	}
	outputs, err := p.exec.Call(args...)
	if err != nil {
		return nil, fmt.Errorf("adapt %s: run %s: %w", p.c.who, p.c.name(), err)
	}
	var all [][]float32
	for _, o := range outputs {
		flat, copyErr := tensors.CopyFlatData[float32](o)
		err = errors.Join(err, copyErr, o.FinalizeAll())
		all = append(all, flat)
	}
	if err != nil {
		return nil, fmt.Errorf("adapt %s: run %s: %w", p.c.who, p.c.name(), err)
	}
	return all, nil
}
