package zoo

import (
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/format/onnx"
)

// body is the graph of an attribute, which must take and give that many values, or more.
func (c *onnxCall) body(attribute string, inputs, outputs int) *onnx.Graph {
	a := c.n.Attribute(attribute)
	need(a != nil && a.Graph != nil, "attribute %s, a graph, is missing", attribute)
	need(len(a.Graph.Inputs) >= inputs && len(a.Graph.Outputs) >= outputs, "the graph of %s has %d inputs and %d outputs; want %d and %d",
		attribute, len(a.Graph.Inputs), len(a.Graph.Outputs), inputs, outputs)
	return a.Graph
}

// branch runs a graph of the node.
func branch(c *onnxCall, g *onnx.Graph, values map[string]*onnxValue) []*onnxValue {
	s := &onnxScope{values: values, outer: c.scope}
	for _, t := range g.Initializers {
		s.values[t.Name] = c.build.tensor(t)
	}
	at := c.build.at
	out := c.build.nodes(g, s)
	c.build.at = at
	return out
}

func ifOp(c *onnxCall) []*onnxValue {
	side := "else_branch"
	if c.intAt(0) != 0 {
		side = "then_branch"
	}
	return branch(c, c.body(side, 0, len(c.n.Outputs)), map[string]*onnxValue{})
}

// loopOp unrolls: when it ends must be known. Rounds whose values are known are computed at once and leave nothing in the program.
func loopOp(c *onnxCall) []*onnxValue {
	trips := math.MaxInt
	if c.has(0) {
		trips = c.intAt(0)
	}
	on := &onnxValue{known: tensors.FromScalar(true)}
	if c.has(1) {
		c.known(1)
		on = c.in[1]
	}
	state := slices.Clone(c.in[min(2, len(c.in)):])
	body := c.body("body", min(2, 2*len(state))+len(state), 1+len(state))
	b, held := c.build, c.build.held
	scans := make([]onnxRows, len(body.Outputs)-1-len(state))
	before := 0
	for i := 0; i < trips; i++ {
		if on.known == nil {
			b.need = on.from
			refuse("when the loop ends has to be known before the model runs; export it with a fixed number of rounds")
		}
		need(on.known.Shape().Size() == 1, "the condition holds %d values, want one", on.known.Shape().Size())
		if tensorInts(on.known)[0] == 0 {
			break
		}
		b.round()
		values := map[string]*onnxValue{}
		if len(body.Inputs) > 0 {
			values[body.Inputs[0].Name] = &onnxValue{known: tensors.FromScalar(int64(i))}
		}
		if len(body.Inputs) > 1 {
			values[body.Inputs[1].Name] = on
		}
		for j, v := range state {
			values[body.Inputs[2+j].Name] = v
		}
		out := branch(c, body, values)
		// A condition that is passed on does not end the loop, and every round builds what the second did.
		if now := len(c.g.Nodes()); i == 1 && out[0] == on && has(trips, now-before) {
			c.parts((now - before) * (trips - 2))
		} else {
			before = now
		}
		on = out[0]
		copy(state, out[1:1+len(state)])
		for j, v := range out[1+len(state):] {
			scans[j].add(v)
		}
		b.held = held // what the round made and nothing took is gone
		for _, v := range state {
			b.keep(v)
		}
		for _, s := range scans {
			b.held += s.bytes
		}
	}
	for j, s := range scans {
		state = append(state, s.value(c, body.Outputs[1+len(c.in[min(2, len(c.in)):])+j]))
	}
	return state
}

// has reports whether a loop has a number of rounds, and builds nodes in each.
func has(trips, nodes int) bool { return trips < math.MaxInt/mostNodes && nodes > 0 }

// keep is hold for a value that may be part of the program.
func (b *onnxBuild) keep(v *onnxValue) {
	if v != nil && v.known != nil && v.node == nil {
		b.hold(v.known)
	}
}

// onnxRows are the values of an output of a loop, one a round.
type onnxRows struct {
	rows  []*onnxValue
	bytes int64 // of those that are known
}

func (r *onnxRows) add(v *onnxValue) {
	if len(r.rows) > 0 {
		need(v.shape().Equal(r.rows[0].shape()), "an output of its body is %s in one round and %s in another", r.rows[0].shape(), v.shape())
	}
	r.rows = append(r.rows, v)
	if v.known != nil {
		r.bytes += int64(v.known.ByteSize())
	}
}

// value puts the rows one above the other; at once where all are known and small.
func (r *onnxRows) value(c *onnxCall, declared onnx.Value) *onnxValue {
	if len(r.rows) == 0 {
		d, ok := onnxTypes[declared.Type]
		need(ok && declared.Rank >= 0, "no round was run, and the type or shape of output %q of its body is not declared; export the model with shapes", declared.Name)
		dims := []int{0}
		for _, size := range declared.Dims {
			dims = append(dims, max(0, size.Size))
		}
		return &onnxValue{known: tensors.FromShape(room(d, dims...))}
	}
	first := r.rows[0].shape()
	dims := append([]int{len(r.rows)}, first.Dimensions...)
	shape := room(first.DType, dims...)
	if shape.Size() == 0 {
		return &onnxValue{known: tensors.FromShape(shape)}
	}
	known := r.bytes <= mostFoldBytes
	for _, v := range r.rows {
		known = known && v.known != nil
	}
	if known {
		all := tensors.FromShape(shape)
		err := all.MutableBytes(func(to []byte) {
			for _, v := range r.rows {
				if err := v.known.ConstBytes(func(from []byte) { to = to[copy(to, from):] }); err != nil {
					panic(err)
				}
			}
		})
		if err != nil {
			panic(err)
		}
		c.build.hold(all)
		return &onnxValue{known: all}
	}
	c.parts(2 * len(r.rows))
	var parts []*node
	for _, v := range r.rows {
		parts = append(parts, graph.ExpandAxes(c.build.node(v), 0))
	}
	return &onnxValue{node: graph.Concatenate(parts, 0), from: c.from}
}

func scanOp(c *onnxCall) []*onnxValue {
	m := c.int("num_scan_inputs", 1)
	need(m >= 1 && m <= len(c.in), "num_scan_inputs %d of %d inputs", m, len(c.in))
	for i := range c.in {
		need(c.has(i), "input %d is missing", i)
	}
	state := slices.Clone(c.in[:len(c.in)-m])
	xs := c.in[len(c.in)-m:]
	if c.opset < 9 || c.list("scan_input_directions") != nil || c.list("scan_input_axes") != nil || c.list("scan_output_directions") != nil || c.list("scan_output_axes") != nil {
		refuse("a Scan runs over the first axis, forwards, from opset 9 on")
	}
	body := c.body("body", len(c.in), len(state))
	rounds := -1
	for _, x := range xs {
		s := x.shape()
		need(s.Rank() > 0 && (rounds < 0 || s.Dimensions[0] == rounds), "what it runs over has shapes of different lengths, or none: %s and %s", xs[0].shape(), s)
		rounds = s.Dimensions[0]
	}
	need(rounds <= mostRounds, "it runs over %d rows, at most %d are unrolled", rounds, mostRounds)
	b, before := c.build, 0
	scans := make([]onnxRows, len(body.Outputs)-len(state))
	for i := range rounds {
		b.round()
		values := map[string]*onnxValue{}
		for j, v := range state {
			values[body.Inputs[j].Name] = v
		}
		for j, v := range xs {
			values[body.Inputs[len(state)+j].Name] = &onnxValue{node: graph.Squeeze(cutAxis(b.node(v), 0, i, i+1, 1), 0), from: c.from}
		}
		out := branch(c, body, values)
		copy(state, out[:len(state)])
		for j, v := range out[len(state):] {
			scans[j].add(v)
		}
		if now := len(c.g.Nodes()); i == 1 { // every round builds what the second did
			c.parts((now - before) * (rounds - 2))
		} else {
			before = now
		}
	}
	for j, s := range scans {
		state = append(state, s.value(c, body.Outputs[len(c.in)-m+j]))
	}
	return state
}
