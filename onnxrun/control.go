package onnxrun

import (
	"math"
	"slices"

	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/format/onnx"
)

// body is the graph of an attribute, which must take and give that many values, or more.
func (c *call) body(attribute string, inputs, outputs int) *onnx.Graph {
	a := c.n.Attribute(attribute)
	need(a != nil && a.Graph != nil, "attribute %s, a graph, is missing", attribute)
	need(len(a.Graph.Inputs) >= inputs && len(a.Graph.Outputs) >= outputs,
		"the graph of %s has %d inputs and %d outputs; want %d and %d",
		attribute, len(a.Graph.Inputs), len(a.Graph.Outputs), inputs, outputs)
	return a.Graph
}

// branch runs a graph of the node.
func branch(c *call, g *onnx.Graph, values map[string]*value) []*value {
	s := &scope{values: values, outer: c.scope}
	for _, t := range g.Initializers {
		s.values[t.Name] = c.build.tensor(t)
	}
	at := c.build.at
	out := c.build.nodes(g, s)
	c.build.at = at
	return out
}

func ifOp(c *call) []*value {
	side := "else_branch"
	if c.intAt(0) != 0 {
		side = "then_branch"
	}
	return branch(c, c.body(side, 0, len(c.n.Outputs)), map[string]*value{})
}

// loopOp unrolls: when it ends must be known. Rounds whose values are known are computed at once and leave nothing in the program.
func loopOp(c *call) []*value {
	trips := math.MaxInt
	if c.has(0) {
		trips = c.intAt(0)
	}
	on := &value{known: tensors.FromScalar(true)}
	if c.has(1) {
		c.known(1)
		on = c.in[1]
	}
	state := slices.Clone(c.in[min(2, len(c.in)):])
	carried := len(state)
	body := c.body("body", min(2, 2*carried)+carried, 1+carried)

	b, held := c.build, c.build.held
	scans := make([]rows, len(body.Outputs)-1-carried)
	before := 0
	for i := 0; i < trips && c.goesOn(on); i++ {
		b.round()
		out := branch(c, body, roundValues(body, i, on, state))

		// A condition that is passed on does not end the loop, and every round builds what the second did.
		if now := len(c.g.Nodes()); i == 1 && out[0] == on && has(trips, now-before) {
			c.parts((now - before) * (trips - 2))
		} else {
			before = now
		}

		on = out[0]
		copy(state, out[1:1+carried])
		for j, v := range out[1+carried:] {
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

	var tried []*value
	for j, s := range scans {
		if declared := body.Outputs[1+carried+j]; len(s.rows) > 0 || s.declared(declared) {
			state = append(state, s.value(c, declared))
			continue
		}
		if tried == nil {
			tried = c.tryRound(body, roundValues(body, 0, on, state[:carried]))
		}
		state = append(state, s.none(tried[1+carried+j].shape()))
	}
	return state
}

// tryRound builds a round whose values nobody takes, for their types and shapes.
func (c *call) tryRound(body *onnx.Graph, values map[string]*value) []*value {
	b := c.build
	checks := len(b.checks)
	defer func() { b.checks = b.checks[:checks] }()
	return branch(c, body, values)
}

// goesOn reports whether a loop has a further round, which has to be known.
func (c *call) goesOn(on *value) bool {
	if on.known == nil {
		c.build.need = on.from
		refuse("when the loop ends has to be known before the model runs; export it with a fixed number of rounds")
	}
	need(on.known.Shape().Size() == 1, "the condition holds %d values, want one", on.known.Shape().Size())
	return tensorInts(on.known)[0] != 0
}

// roundValues are what a loop's body sees in round i.
func roundValues(body *onnx.Graph, i int, on *value, state []*value) map[string]*value {
	values := map[string]*value{}
	if len(body.Inputs) > 0 {
		values[body.Inputs[0].Name] = &value{known: tensors.FromScalar(int64(i))}
	}
	if len(body.Inputs) > 1 {
		values[body.Inputs[1].Name] = on
	}
	for j, v := range state {
		values[body.Inputs[2+j].Name] = v
	}
	return values
}

// has reports whether a loop has a number of rounds, and builds nodes in each.
func has(trips, nodes int) bool { return trips < math.MaxInt/mostNodes && nodes > 0 }

// rows are the values of an output of a loop, one a round.
type rows struct {
	rows  []*value
	bytes int64 // of those that are known
}

func (r *rows) add(v *value) {
	if len(r.rows) > 0 {
		need(v.shape().Equal(r.rows[0].shape()),
			"an output of its body is %s in one round and %s in another", r.rows[0].shape(), v.shape())
	}
	r.rows = append(r.rows, v)
	if v.known != nil {
		r.bytes += int64(v.known.ByteSize())
	}
}

// declared reports whether the model says of which type the rows are, and how many axes they have.
func (r *rows) declared(v onnx.Value) bool {
	_, ok := engineTypes[v.Type]
	return ok && v.Rank >= 0
}

// none is the value of no rows of a shape.
func (r *rows) none(row shapes.Shape) *value {
	return &value{known: tensors.FromShape(room(row.DType, append([]int{0}, row.Dimensions...)...))}
}

// value puts the rows one above the other; at once where all are known and small.
func (r *rows) value(c *call, declared onnx.Value) *value {
	if len(r.rows) == 0 {
		d, ok := engineTypes[declared.Type]
		need(ok && declared.Rank >= 0,
			"no round was run, and the type or shape of output %q of its body is not declared; export the model with shapes", declared.Name)
		dims := []int{}
		for _, size := range declared.Dims {
			dims = append(dims, max(0, size.Size))
		}
		return r.none(shapes.Make(d, dims...))
	}
	first := r.rows[0].shape()
	dims := append([]int{len(r.rows)}, first.Dimensions...)
	shape := room(first.DType, dims...)
	if shape.Size() == 0 {
		return &value{known: tensors.FromShape(shape)}
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
		return &value{known: all}
	}
	c.parts(2 * len(r.rows))
	var parts []*node
	for _, v := range r.rows {
		parts = append(parts, graph.ExpandAxes(c.build.node(v), 0))
	}
	return &value{node: graph.Concatenate(parts, 0), from: c.from}
}

func controlOps() map[string]operator {
	return map[string]operator{"If": seen(ifOp), "Loop": seen(loopOp), "Scan": seen(scanOp)}
}
