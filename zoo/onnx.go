package zoo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/strict"
)

// ONNX is an imported graph that runs on the engines. Shapes may vary from call to call: a program is built for each combination of
// shapes, with what depends on shapes alone computed while it is built. An input whose values decide on a shape, such as that of Reshape,
// is part of the program; other values of it build another one.
//
// Methods may be called from several goroutines.
type ONNX struct {
	Model *onnx.Model

	opset       int64
	tensors     map[*onnx.Tensor]*tensors.Tensor // of initialisers and constants, those of subgraphs too
	large       []*onnx.Tensor                   // those that are given to programs as arguments; the others are constants of it
	weightBytes int64
	mu          sync.Mutex
	static      map[string]bool // inputs whose values shapes depend on
	execs       map[string]*onnxProgram
}

// UnsupportedError lists everything of a model that cannot be run.
type UnsupportedError struct {
	File string
	Ops  []string // operators, each once, as domain.Name outside the standard domain
}

func (e *UnsupportedError) Error() string {
	return strings.TrimPrefix(printable.Line(e.File)+": ", ": ") + "onnx: operators that are not supported: " + printable.Line(strings.Join(e.Ops, ", ")) + "; export the model without them, docs/onnx.md lists those that are"
}

// BadInput reports that the model is at fault.
func (e *UnsupportedError) BadInput() bool { return true }

// smallWeight is the number of elements up to which a tensor is a constant, and computed with while the graph is built.
const smallWeight = 4096

// CheckONNX tells why a model cannot be run, as NewONNX would, without preparing it; nil if nothing is known against it.
func CheckONNX(m *onnx.Model) error {
	if _, missing := ONNXOperators(m); len(missing) > 0 {
		return &UnsupportedError{m.Path, missing}
	}
	for _, t := range m.Graph.Initializers {
		if err := checkType(m.Path, "tensor "+t.Name, t.Type); err != nil {
			return err
		}
	}
	for _, v := range m.Graph.Inputs {
		if v.Type == 0 {
			continue
		}
		if err := checkType(m.Path, "input "+v.Name, v.Type); err != nil {
			return err
		}
	}
	return nil
}

func checkType(file, what string, t onnx.DataType) error {
	if _, ok := onnxTypes[t]; ok {
		return nil
	}
	return &fault.Input{File: file, Field: what, Err: fmt.Errorf("the engines have no type %s", t), Fix: "export the model with another type"}
}

// NewONNX prepares a model. All operators that are not supported are named in one *UnsupportedError.
func NewONNX(m *onnx.Model) (*ONNX, error) {
	o := &ONNX{Model: m, opset: m.Opsets[""], tensors: map[*onnx.Tensor]*tensors.Tensor{}, static: map[string]bool{}, execs: map[string]*onnxProgram{}}
	if err := CheckONNX(m); err != nil {
		return nil, err
	}
	if len(m.Graph.Outputs) == 0 {
		return nil, &fault.Input{File: m.Path, Field: "graph " + m.Graph.Name, Err: errors.New("it has no outputs"), Fix: "export the model again"}
	}
	list := constantsOf(m.Graph, nil)
	total := int64(0)
	for _, t := range list {
		if total += t.RawBytes(); total < 0 {
			total = math.MaxInt64
		}
	}
	if err := memory.Need(strings.TrimPrefix(m.Path+": the weights", ": "), total); err != nil {
		return nil, err
	}
	for _, t := range list {
		w, err := onnxTensor(t)
		if err != nil {
			return nil, inModel(m.Path, err)
		}
		o.tensors[t] = w
		if t.Elements > smallWeight {
			o.large = append(o.large, t)
		} else {
			o.weightBytes += t.RawBytes()
		}
	}
	return o, nil
}

// inModel names the file in an error of its reader.
func inModel(file string, err error) error {
	var e *onnx.Error
	if errors.As(err, &e) {
		e.File = file
	}
	return err
}

// constantsOf lists a graph's initialisers and the tensors of its Constant nodes, those of subgraphs too. Where engines have no such
// elements a tensor is left out, and its node refused if it is reached.
func constantsOf(g *onnx.Graph, list []*onnx.Tensor) []*onnx.Tensor {
	for _, t := range g.Initializers {
		if _, ok := onnxTypes[t.Type]; ok {
			list = append(list, t)
		}
	}
	for _, n := range g.Nodes {
		for i := range n.Attributes {
			a := &n.Attributes[i]
			if a.Graph != nil {
				list = constantsOf(a.Graph, list)
			}
			if a.Tensor == nil || n.Op != "Constant" {
				continue
			}
			if _, ok := onnxTypes[a.Tensor.Type]; ok {
				list = append(list, a.Tensor)
			}
		}
	}
	return list
}

// ONNXOperators counts the nodes of each operator of a model, those in subgraphs too, and lists the operators that cannot be run. They
// are written as domain.Name outside the standard domain.
func ONNXOperators(m *onnx.Model) (counts map[string]int, missing []string) {
	counts = map[string]int{}
	lacks := map[string]bool{}
	countOperators(m.Graph, counts, lacks)
	return counts, slices.Sorted(maps.Keys(lacks))
}

func countOperators(g *onnx.Graph, counts map[string]int, lacks map[string]bool) {
	for _, n := range g.Nodes {
		name := strings.TrimPrefix(n.Domain+"."+n.Op, ".")
		counts[name]++
		if _, ok := onnxOps[n.Op]; !ok || n.Domain != "" && n.Domain != "com.microsoft" {
			lacks[name] = true
		}
		for i := range n.Attributes {
			if sub := n.Attributes[i].Graph; sub != nil {
				countOperators(sub, counts, lacks)
			}
		}
	}
}

// Inputs are what a call has to give.
func (o *ONNX) Inputs() []onnx.Value { return o.Model.Graph.Inputs }

// Outputs are what a call returns.
func (o *ONNX) Outputs() []onnx.Value { return o.Model.Graph.Outputs }

// onnxTypes are the types of elements that engines know.
var onnxTypes = map[onnx.DataType]dtypes.DType{
	onnx.Float: dtypes.Float32, onnx.Double: dtypes.Float64, onnx.Float16: dtypes.Float16, onnx.BFloat16: dtypes.BFloat16, onnx.Bool: dtypes.Bool,
	onnx.Int8: dtypes.Int8, onnx.Int16: dtypes.Int16, onnx.Int32: dtypes.Int32, onnx.Int64: dtypes.Int64,
	onnx.Uint8: dtypes.Uint8, onnx.Uint16: dtypes.Uint16, onnx.Uint32: dtypes.Uint32, onnx.Uint64: dtypes.Uint64,
}

// ONNXTensor makes an engine's tensor of one of a model's.
func ONNXTensor(t *onnx.Tensor) (*tensors.Tensor, error) { return onnxTensor(t) }

func onnxTensor(t *onnx.Tensor) (*tensors.Tensor, error) {
	if err := checkType("", "tensor "+t.Name, t.Type); err != nil {
		return nil, err
	}
	x := tensors.FromShape(shapes.Make(onnxTypes[t.Type], t.Dims...))
	if t.Elements == 0 {
		return x, nil
	}
	var read error
	err := x.MutableBytes(func(b []byte) { read = t.ReadRaw(0, b) })
	return x, errors.Join(read, err)
}

var onnxHost = sync.OnceValues(func() (*engine.Engine, error) { return engine.Open(engine.KindGo) })

// Run computes the outputs for inputs by name. Types and ranks must be those of the model.
//
// What is wrong with the model, or with the inputs for it, is bad input and names the node; a *memory.Error says that the values
// the model holds at once exceed the memory limit. Loops are unrolled while the program is built, and refused beyond 2^18
// rounds; so are programs of more than 2^16 nodes, and values that grow far beyond what inputs and weights give.
func (o *ONNX) Run(e compute.Backend, inputs map[string]*tensors.Tensor) (map[string]*tensors.Tensor, error) {
	return o.RunContext(context.Background(), e, inputs)
}

// RunContext is Run that gives up between two nodes when ctx ends, with its cause. What an engine has begun it finishes first.
func (o *ONNX) RunContext(ctx context.Context, e compute.Backend, inputs map[string]*tensors.Tensor) (map[string]*tensors.Tensor, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	names := map[string]bool{}
	for _, v := range o.Inputs() {
		names[v.Name] = true
	}
	// A name that is not known comes first: with it an input is missing as well, and the name is why.
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		if !names[name] {
			fix := "give " + o.inputList()
			if near, ok := strict.Nearest(name, slices.Sorted(maps.Keys(names))); ok {
				fix += " (did you mean " + printable.Line(near) + "?)"
			}
			return nil, &fault.Input{File: o.Model.Path, Field: "input " + name, Err: errors.New("the model has none of that name"), Fix: fix}
		}
	}
	for _, v := range o.Inputs() {
		if err := o.checkInput(v, inputs[v.Name]); err != nil {
			return nil, err
		}
	}
	for {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		outputs, need, err := o.run(ctx, e, inputs)
		if len(need) == 0 {
			return outputs, err
		}
		fresh := false
		for _, name := range need {
			if !o.static[name] && inputs[name].Shape().Size() <= smallWeight {
				o.static[name], fresh = true, true
			}
		}
		if !fresh {
			return nil, err
		}
	}
}

// inputList names the model's inputs, the first twenty.
func (o *ONNX) inputList() string {
	var names []string
	for i, v := range o.Inputs() {
		if i == 20 {
			names = append(names, fmt.Sprintf("and %d more", len(o.Inputs())-i))
			break
		}
		names = append(names, printable.Line(v.Name))
	}
	return strings.Join(names, ", ")
}

// CheckShape says why an input of a shape is not what the model declares; nil if it is. Run asks it; callers that read the input
// from a file may want to know before they do. An input without a declared rank may have any shape.
func (o *ONNX) CheckShape(v onnx.Value, dims []int) error {
	if v.Rank < 0 || v.Name == "" {
		return nil
	}
	if len(dims) != v.Rank {
		return o.wrongInput(v, "its shape is %v, the model takes %d dimensions", dims, v.Rank)
	}
	for i, d := range v.Dims {
		if d.Name == "" && d.Size > 0 && d.Size != dims[i] {
			return o.wrongInput(v, "its shape is %v, the model takes %d in place %d", dims, d.Size, i)
		}
	}
	return nil
}

func (o *ONNX) wrongInput(v onnx.Value, format string, args ...any) error {
	return &fault.Input{File: o.Model.Path, Field: "input " + v.Name, Err: fmt.Errorf(format, args...), Fix: "give " + o.inputList() + " as the model declares them"}
}

func (o *ONNX) checkInput(v onnx.Value, x *tensors.Tensor) error {
	if x == nil {
		return o.wrongInput(v, "it is missing")
	}
	if want, ok := onnxTypes[v.Type]; ok && want != x.DType() {
		return o.wrongInput(v, "it is %s, the model takes %s", x.DType(), want)
	}
	return o.CheckShape(v, x.Shape().Dimensions)
}

func (o *ONNX) run(ctx context.Context, e compute.Backend, inputs map[string]*tensors.Tensor) (outputs map[string]*tensors.Tensor, need []string, err error) {
	var args []any
	var names []string
	key := fmt.Sprintf("%p", e)
	fixed := map[string]*tensors.Tensor{}
	for _, v := range o.Inputs() {
		x := inputs[v.Name]
		if !o.static[v.Name] {
			names, args = append(names, v.Name), append(args, x)
			continue
		}
		fixed[v.Name] = x
		key += "|" + v.Name + x.Shape().String()
		if x.Shape().Size() > 0 {
			if err := x.ConstBytes(func(b []byte) { key += string(b) }); err != nil {
				return nil, nil, err
			}
		}
	}
	for _, t := range o.large {
		args = append(args, o.tensors[t])
	}
	program := o.execs[key]
	if program == nil {
		b := &onnxBuild{onnx: o}
		var exec *graph.Exec
		build := func(g *graph.Graph, nodes []*graph.Node) []*graph.Node {
			defer func() {
				if r := recover(); r != nil {
					b.failed = said(r, nil)
					panic(b.failed)
				}
			}()
			*b = onnxBuild{onnx: o, ctx: b.ctx, main: g, g: g}
			return b.graph(names, nodes, fixed)
		}
		if len(args) == 0 {
			exec, err = graph.NewExec(e, func(g *graph.Graph) []*graph.Node { return build(g, nil) })
		} else {
			exec, err = graph.NewExec(e, func(nodes []*graph.Node) []*graph.Node { return build(nodes[0].Graph(), nodes) })
		}
		if err != nil {
			return nil, nil, err
		}
		exec.SetMaxCache(-1)
		program = &onnxProgram{exec, b}
	}
	var results []*tensors.Tensor
	b := program.build
	b.ctx = ctx
	func() {
		defer func() {
			if r := recover(); r != nil {
				err = said(r, nil)
			}
		}()
		results, err = program.exec.Call(args...)
	}()
	if err != nil {
		program.exec.Finalize()
		delete(o.execs, key)
		if b.failed != nil { // said plainly; err tells of the engine's programs as well
			err = b.failed
		}
		return nil, b.need, o.failure(b.at, err)
	}
	if o.execs[key] == nil {
		if len(o.execs) >= 16 {
			for k, old := range o.execs {
				old.exec.Finalize()
				delete(o.execs, k)
			}
		}
		o.execs[key] = program
	}
	if len(b.checks) > 0 { // the program is right, so it stays; these inputs may not be
		if err := b.look(results[len(results)-1]); err != nil {
			return nil, nil, err
		}
	}
	outputs = map[string]*tensors.Tensor{}
	for i, v := range o.Outputs() { // what the checks gave comes after them
		outputs[v.Name] = results[i]
	}
	return outputs, nil, nil
}

// failure puts an error at a node. One of the caller's context, or of memory, keeps its kind.
func (o *ONNX) failure(at *onnx.Node, err error) error {
	where := ""
	if at != nil {
		where = at.String()
	}
	var stopped *onnxStopped
	var short *memory.Error
	switch {
	case errors.As(err, &stopped):
		return stopped.err
	case errors.As(err, &short):
		return fmt.Errorf("%s%w", strings.TrimLeft(printable.Line(o.Model.Path)+": "+where+": ", ": "), short)
	}
	return &fault.Input{File: o.Model.Path, Field: where, Err: errors.New(said(err, nil).Error()), Fix: "check the shapes of the inputs"}
}

// look reads what a run's checks gave.
func (b *onnxBuild) look(ends *tensors.Tensor) error {
	values := tensorInts(ends)
	for i, k := range b.checks {
		if err := k.wrong(int64(values[2*i]), int64(values[2*i+1])); err != nil {
			return &fault.Input{File: b.onnx.Model.Path, Field: k.node.String(), Err: err}
		}
	}
	return nil
}

// onnxValue is a value while a graph is built: a node, or a tensor that is known already.
type onnxValue struct {
	node  *graph.Node
	known *tensors.Tensor
	from  []string // the inputs of the model that it depends on
}

func (v *onnxValue) shape() shapes.Shape {
	if v.known != nil {
		return v.known.Shape()
	}
	return v.node.Shape()
}

// onnxScope is the values that a graph sees by name.
type onnxScope struct {
	values map[string]*onnxValue
	outer  *onnxScope
}

func (s *onnxScope) get(name string) *onnxValue {
	for ; s != nil; s = s.outer {
		if v := s.values[name]; v != nil {
			return v
		}
	}
	return nil
}

// onnxProgram is what runs, for one set of known inputs and any shapes.
type onnxProgram struct {
	exec  *graph.Exec
	build *onnxBuild
}

// onnxBuild builds one program.
type onnxBuild struct {
	onnx   *ONNX
	ctx    context.Context
	main   *graph.Graph // the program's
	g      *graph.Graph // main, or that of a node that is computed at once
	args   map[*onnx.Tensor]*graph.Node
	at     *onnx.Node
	need   []string // inputs whose values have to be known
	failed error
	checks []onnxCheck

	steps, rounds, folds int
	held                 int64      // bytes of the values that are known
	foldWork, work       float64    // numbers that were computed, and those that the program computes
	constants            int64      // bytes of the program's constants
	measured             int        // nodes of the program that were counted
	marks                []onnxMark // whose they are
}

func (b *onnxBuild) graph(names []string, nodes []*graph.Node, fixed map[string]*tensors.Tensor) []*graph.Node {
	s := &onnxScope{values: map[string]*onnxValue{}}
	b.args = map[*onnx.Tensor]*graph.Node{}
	for i, t := range b.onnx.large {
		b.args[t] = nodes[len(names)+i]
	}
	for _, t := range b.onnx.Model.Graph.Initializers {
		s.values[t.Name] = b.tensor(t)
	}
	for i, name := range names {
		s.values[name] = &onnxValue{node: nodes[i], from: []string{name}}
	}
	for name, x := range fixed {
		s.values[name] = &onnxValue{known: x}
	}
	taken := map[*graph.Node]bool{}
	for _, n := range nodes {
		taken[n] = true
	}
	var out []*graph.Node
	for _, v := range b.nodes(b.onnx.Model.Graph, s) {
		n := b.node(v)
		if taken[n] {
			n = graph.Identity(n)
		}
		taken[n] = true
		out = append(out, n)
	}
	out = append(out, b.watched()...)
	b.measure(nil)
	b.fits(out)
	return out
}

// tensor is one of the model's as a value.
func (b *onnxBuild) tensor(t *onnx.Tensor) *onnxValue {
	w := b.onnx.tensors[t]
	if w == nil {
		if err := checkType("", "tensor "+t.Name, t.Type); err != nil {
			panic(err)
		}
		refuse("tensor %q is not a constant of the model", t.Name)
	}
	return &onnxValue{known: w, node: b.args[t]}
}

// node is a value as a node of the graph.
func (b *onnxBuild) node(v *onnxValue) *graph.Node {
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
func (b *onnxBuild) nodes(g *onnx.Graph, s *onnxScope) []*onnxValue {
	for _, n := range g.Nodes {
		b.at = n
		b.step()
		c := &onnxCall{build: b, g: b.g, n: n, scope: s, opset: b.onnx.opset}
		for i, name := range n.Inputs {
			var v *onnxValue
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
	var out []*onnxValue
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

// call computes a node: at once where all that it takes is known and small, else as part of the graph.
func (b *onnxBuild) call(c *onnxCall) (out []*onnxValue) {
	defer func() {
		if r := recover(); r != nil {
			panic(said(r, c))
		}
	}()
	op := onnxOps[c.n.Op]
	if op.values != nil {
		return op.values(c)
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
	for _, n := range op.nodes(c) {
		if n == nil {
			out = append(out, nil)
			continue
		}
		out = append(out, &onnxValue{node: n, from: c.from})
	}
	return out
}

// fold computes a node whose inputs are known, on the Go engine. It declines, and ok is false, if the node would hold too much.
func (b *onnxBuild) fold(c *onnxCall, op onnxOp) (out []*onnxValue, ok bool) {
	b.folds++
	need(b.folds <= mostFolds, "more than %d nodes are computed while the program is built; export the model with shorter loops", mostFolds)
	host, err := onnxHost()
	if err != nil {
		panic(err)
	}
	outer := b.g
	defer func() { b.g, c.g, c.fold = outer, outer, false }()
	var places []int
	large := false
	var failed error
	results, err := graph.CallOnceN(host, func(g *graph.Graph) []*graph.Node {
		defer func() {
			if r := recover(); r != nil {
				failed = said(r, c)
				panic(r)
			}
		}()
		b.g, c.g, c.fold = g, g, true
		var nodes []*graph.Node
		for i, n := range op.nodes(c) {
			if n != nil {
				nodes, places = append(nodes, n), append(places, i)
			}
		}
		bytes := int64(0)
		for _, n := range g.Nodes() {
			bytes += nodeBytes(n)
			b.foldWork += nodeWork(n)
			large = large || bytes > mostFoldBytes
		}
		need(large || b.foldWork <= mostFoldWork, "more than %.0e numbers are computed while the program is built; export the model with shorter loops", float64(mostFoldWork))
		if large {
			return []*graph.Node{graph.ScalarZero(g, dtypes.Int32)}
		}
		return nodes
	})
	switch {
	case failed != nil:
		panic(failed)
	case err != nil:
		panic(err)
	case large:
		return nil, false
	}
	for i, t := range results {
		for len(out) < places[i] {
			out = append(out, nil)
		}
		out = append(out, &onnxValue{known: t})
		b.hold(t)
	}
	return out, true
}

// hold counts a value that is known, until release.
func (b *onnxBuild) hold(t *tensors.Tensor) {
	b.held += int64(t.ByteSize())
	if err := memory.Need("what is computed while the program is built", b.held); err != nil {
		panic(err)
	}
}

// onnxCall is a node with its inputs while it is built.
type onnxCall struct {
	build *onnxBuild
	g     *graph.Graph
	n     *onnx.Node
	in    []*onnxValue
	scope *onnxScope
	opset int64
	from  []string
	fold  bool
}

// has tells whether an input is there.
func (c *onnxCall) has(i int) bool { return i < len(c.in) && c.in[i] != nil }

// x is an input.
func (c *onnxCall) x(i int) *graph.Node {
	if !c.has(i) {
		panic(fmt.Errorf("input %d is missing", i))
	}
	v := c.in[i]
	if c.fold {
		return constTensor(c.g, v.known)
	}
	return c.build.node(v)
}

// maybe is an input, nil if it is left out.
func (c *onnxCall) maybe(i int) *graph.Node {
	if !c.has(i) {
		return nil
	}
	return c.x(i)
}

// known is an input's values, which must not depend on what is computed.
func (c *onnxCall) known(i int) *tensors.Tensor {
	if !c.has(i) {
		panic(fmt.Errorf("input %d is missing", i))
	}
	v := c.in[i]
	if v.known == nil && len(v.from) == 0 {
		refuse("input %d, %q, has to be known before the model runs, but holds too much to be computed before", i, c.n.Inputs[i])
	}
	if v.known == nil {
		c.build.need = v.from
		panic(fmt.Errorf("input %d, %q, has to be known before the model runs, but is computed from %q; export the model with fixed shapes", i, c.n.Inputs[i], strings.Join(v.from, ", ")))
	}
	return v.known
}

// ints is an input's values as integers.
func (c *onnxCall) ints(i int) []int { return tensorInts(c.known(i)) }

func tensorInts(t *tensors.Tensor) []int {
	raw := &onnx.Tensor{Elements: t.Shape().Size()}
	for k, d := range onnxTypes {
		if d == t.DType() {
			raw.Type = k
		}
	}
	if raw.Elements == 0 {
		return []int{}
	}
	if err := t.ConstBytes(func(b []byte) { raw.Raw = slices.Clone(b) }); err != nil {
		panic(err)
	}
	v, err := raw.Ints()
	if err != nil {
		panic(err)
	}
	out := make([]int, len(v))
	for i := range v {
		need(int64(int(v[i])) == v[i], "%d is more than this machine counts to", v[i])
		out[i] = int(v[i])
	}
	return out
}

// intAt is an input that is one integer.
func (c *onnxCall) intAt(i int) int {
	v := c.ints(i)
	need(len(v) == 1, "input %d holds %d numbers, want one", i, len(v))
	return v[0]
}

// floatAt is an input that is one number.
func (c *onnxCall) floatAt(i int) float64 {
	v := c.floats(i)
	need(len(v) == 1, "input %d holds %d numbers, want one", i, len(v))
	return v[0]
}

// floats is an input's values.
func (c *onnxCall) floats(i int) []float64 {
	t := c.known(i)
	out := make([]float64, t.Shape().Size())
	if len(out) == 0 {
		return out
	}
	if t.DType() == dtypes.Float64 {
		return tensors.MustCopyFlatData[float64](t)
	}
	if !t.DType().IsFloat() && t.DType() != dtypes.Uint64 { // float32 would round those beyond 2^24
		for i, v := range tensorInts(t) {
			out[i] = float64(v)
		}
		return out
	}
	raw := make([]float32, len(out))
	var kind onnx.DataType
	for k, d := range onnxTypes {
		if d == t.DType() {
			kind = k
		}
	}
	err := t.ConstBytes(func(b []byte) {
		if err := onnx.Float32sOf(kind, b, raw); err != nil {
			panic(err)
		}
	})
	if err != nil {
		panic(err)
	}
	for i := range raw {
		out[i] = float64(raw[i])
	}
	return out
}

func (c *onnxCall) int(name string, otherwise int) int {
	if a := c.n.Attribute(name); a != nil {
		return int(a.Int)
	}
	return otherwise
}

func (c *onnxCall) float(name string, otherwise float64) float64 {
	if a := c.n.Attribute(name); a != nil {
		return float64(a.Float)
	}
	return otherwise
}

func (c *onnxCall) text(name, otherwise string) string {
	if a := c.n.Attribute(name); a != nil {
		return string(a.Bytes)
	}
	return otherwise
}

func (c *onnxCall) list(name string) []int {
	a := c.n.Attribute(name)
	if a == nil {
		return nil
	}
	out := make([]int, len(a.Ints))
	for i, v := range a.Ints {
		out[i] = int(v)
	}
	return out
}

// axes is a list that was an attribute in old versions and is an input in new ones.
func (c *onnxCall) axes(name string, input int) []int {
	if c.has(input) {
		return c.ints(input)
	}
	return c.list(name)
}

func onnxInt64s(values []int, dims ...int) *tensors.Tensor {
	t := tensors.FromShape(shapes.Make(dtypes.Int64, dims...))
	if len(values) == 0 {
		return t
	}
	err := t.MutableBytes(func(b []byte) {
		for i, v := range values {
			binary.LittleEndian.PutUint64(b[8*i:], uint64(v))
		}
	})
	if err != nil {
		panic(err)
	}
	return t
}

// onnxOp is how an operator is computed: as nodes of the graph, or from values where it needs to see them.
type onnxOp struct {
	nodes  func(c *onnxCall) []*graph.Node
	values func(c *onnxCall) []*onnxValue
}

// one is an operator with one output.
func one(f func(c *onnxCall) *graph.Node) onnxOp {
	return onnxOp{nodes: func(c *onnxCall) []*graph.Node { return []*graph.Node{f(c)} }}
}

func many(f func(c *onnxCall) []*graph.Node) onnxOp { return onnxOp{nodes: f} }

func seen(f func(c *onnxCall) []*onnxValue) onnxOp { return onnxOp{values: f} }
