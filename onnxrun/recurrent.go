package onnxrun

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
)

// cell is a kind of recurrent network: what one step makes of the input and the state before.
type cell struct {
	gates       int
	activations []string
	step        func(r *recurrence, x *node, old state) state
}

// state is what a step hands to the next: hidden values [batch, hidden], and the cell's for an LSTM.
type state struct{ hidden, cell *node }

func recurrentOps() map[string]operator {
	return map[string]operator{
		"RNN":  recurrent(cell{1, []string{"Tanh"}, (*recurrence).simpleStep}),
		"GRU":  recurrent(cell{3, []string{"Sigmoid", "Tanh"}, (*recurrence).gruStep}),
		"LSTM": recurrent(cell{4, []string{"Sigmoid", "Tanh", "Tanh"}, (*recurrence).lstmStep}),
	}
}

// recurrent runs a cell, a step of the graph for each step of time.
func recurrent(k cell) operator {
	return many(func(c *call) []*node {
		s := c.sequence(k)
		var ys, hs, cs []*node
		for dir := range s.dirs {
			y, last := s.direction(dir).run()
			ys = append(ys, graph.ExpandAxes(y, 1))
			hs = append(hs, graph.ExpandAxes(last.hidden, 0))
			if last.cell != nil {
				cs = append(cs, graph.ExpandAxes(last.cell, 0))
			}
		}

		results := []*node{graph.Concatenate(ys, 1), graph.Concatenate(hs, 0)}
		if cs != nil {
			results = append(results, graph.Concatenate(cs, 0))
		}
		for i, y := range results {
			results[i] = convert(y, c.x(0).DType())
		}
		if s.batchFirst {
			results[0] = graph.TransposeAllAxes(results[0], 2, 0, 1, 3)
			for i := range results[1:] {
				results[1+i] = graph.TransposeAllAxes(results[1+i], 1, 0, 2)
			}
		}
		return results
	})
}

// sequence is a recurrent node with the sizes of its inputs.
type sequence struct {
	c          *call
	kind       cell
	x          *node // [steps, batch, inputs]
	w, r       *node // weights of inputs [directions, gates hidden, inputs] and of hidden values [directions, gates hidden, hidden]
	batchFirst bool  // how the node has its input and outputs

	steps, batch, dirs, hidden int

	functions []func(v *node) *node // the activations of all directions
	clipAt    float64               // what activations take lies within; 0 for anything
}

func (c *call) sequence(k cell) *sequence {
	x, w, r := widen(c.x(0)), widen(c.x(1)), widen(c.x(2)) // sums are taken in float32 or wider
	need(x.Rank() == 3 && w.Rank() == 3 && r.Rank() == 3, "input %v, weights %v and %v: each has three dimensions",
		x.Shape().Dimensions, w.Shape().Dimensions, r.Shape().Dimensions)

	s := &sequence{c: c, kind: k, x: x, w: w, r: r, batchFirst: c.int("layout", 0) == 1}
	s.clipAt = c.float("clip", 0)
	if s.batchFirst {
		s.x = graph.TransposeAllAxes(x, 1, 0, 2)
	}
	d := s.x.Shape().Dimensions
	s.steps, s.batch, s.dirs = d[0], d[1], w.Shape().Dimensions[0]
	s.hidden = c.int("hidden_size", r.Shape().Dimensions[2])

	need(s.steps <= mostNodes,
		"it takes %d steps, which are unrolled; a program has at most %d nodes", s.steps, mostNodes)
	need(s.hidden >= 1 && s.dirs >= 1 && s.dirs <= 2 && s.steps >= 1,
		"%d steps, %d directions, %d hidden values", s.steps, s.dirs, s.hidden)
	wide := k.gates * s.hidden
	need(slices.Equal(w.Shape().Dimensions, []int{s.dirs, wide, d[2]}) && slices.Equal(r.Shape().Dimensions, []int{s.dirs, wide, s.hidden}),
		"weights %v and %v for input %v and %d hidden values", w.Shape().Dimensions, r.Shape().Dimensions, d, s.hidden)

	need(s.directed(), "direction %q with the weights of %d directions", c.text("direction", "forward"), s.dirs)
	s.functions = c.activations(k.activations, s.dirs)
	if c.has(4) {
		c.lengths(s.steps)
	}
	return s
}

// directed reports whether there are weights for the directions that the node names.
func (s *sequence) directed() bool {
	switch s.c.text("direction", "forward") {
	case "forward", "reverse":
		return s.dirs == 1
	case "bidirectional":
		return s.dirs == 2
	}
	return false
}

// lengths refuses sequences that are longer than the input.
func (c *call) lengths(steps int) {
	c.watchInput(4, c.x(4), func(low, high int64) error {
		if low >= 0 && high <= int64(steps) {
			return nil
		}
		return fmt.Errorf("sequences of %d to %d steps in an input of %d", low, high, steps)
	})
}

// recurrence is one direction of a sequence.
type recurrence struct {
	*sequence
	dir      int
	w, r     *node // [gates hidden, inputs] and [gates hidden, hidden]
	wb, rb   *node // [gates hidden], nil without a bias
	peephole *node // [3 hidden] of an LSTM, nil without
	start    state
}

func (s *sequence) direction(dir int) *recurrence {
	r := &recurrence{sequence: s, dir: dir, w: row(s.w, dir), r: row(s.r, dir)}
	if b := s.c.maybe(3); b != nil {
		b = widen(b)
		r.wb, r.rb = r.part(row(b, dir), 0, s.kind.gates), r.part(row(b, dir), s.kind.gates, 2*s.kind.gates)
	}

	r.start.hidden = r.initial(5)
	if s.kind.gates == 4 {
		r.start.cell = r.initial(6)
		if p := s.c.maybe(7); p != nil {
			r.peephole = row(widen(p), dir)
		}
	}
	return r
}

// row is x[i].
func row(x *node, i int) *node { return graph.Squeeze(cutAxis(x, 0, i, i+1, 1), 0) }

// part are the values for some of the gates, from a vector.
func (r *recurrence) part(v *node, from, to int) *node {
	return cutAxis(v, 0, from*r.hidden, to*r.hidden, 1)
}

// initial is the state before the first step, zeros if the input is left out.
func (r *recurrence) initial(input int) *node {
	s := r.c.maybe(input)
	if s == nil {
		return graph.ZerosLike(graph.BroadcastToDims(scalar(r.x, 0), r.batch, r.hidden))
	}
	s = widen(s)
	if r.batchFirst {
		s = graph.TransposeAllAxes(s, 1, 0, 2)
	}
	return row(s, r.dir)
}

// run takes all steps. The outputs are [steps, batch, hidden].
func (r *recurrence) run() (y *node, last state) {
	c, now := r.c, r.start
	out := make([]*node, r.steps)
	reverse := c.text("direction", "forward") == "reverse" || r.dir == 1
	begun := len(c.g.Nodes())
	for s := range r.steps {
		c.build.step()
		if built := len(c.g.Nodes()); s == 1 { // every step builds what the first did
			c.parts((built - begun) * (r.steps*(r.dirs-r.dir) - 1))
		}

		t := s
		if reverse {
			t = r.steps - 1 - s
		}
		next := r.kind.step(r, row(r.x, t), now)
		y, now = r.within(t, next, now)
		out[t] = graph.ExpandAxes(y, 0)
	}
	return graph.Concatenate(out, 0), now
}

// within keeps the old state, and gives zeros, for sequences that are over at time t.
func (r *recurrence) within(t int, next, old state) (y *node, now state) {
	lengths := r.c.maybe(4)
	if lengths == nil {
		return next.hidden, next
	}

	l := convert(lengths, dtypes.Int32)
	on := expandTo(graph.ExpandAxes(graph.GreaterThan(l, scalar(l, float64(t))), -1), []int{r.batch, r.hidden})
	now.hidden = graph.Where(on, next.hidden, old.hidden)
	if next.cell != nil {
		now.cell = graph.Where(on, next.cell, old.cell)
	}
	return graph.Where(on, next.hidden, graph.ZerosLike(next.hidden)), now
}

// product is v m^T + b.
func product(v, m, b *node) *node {
	y := graph.DotGeneral(v, []int{1}, nil, m, []int{1}, nil)
	if b != nil {
		y = graph.Add(y, expandTo(b, y.Shape().Dimensions))
	}
	return y
}

// gate are the values of one gate, from those of all.
func (r *recurrence) gate(v *node, i int) *node { return cutAxis(v, 1, i*r.hidden, (i+1)*r.hidden, 1) }

// activate is activation i of the direction.
func (r *recurrence) activate(i int, v *node) *node {
	if r.clipAt > 0 {
		v = hard(v, -r.clipAt, r.clipAt)
	}
	return r.functions[r.dir*len(r.kind.activations)+i](v)
}

// simpleStep is h = f(x W^T + h R^T + b).
func (r *recurrence) simpleStep(x *node, old state) state {
	xp := product(x, r.w, r.wb)
	return state{hidden: r.activate(0, graph.Add(xp, product(old.hidden, r.r, r.rb)))}
}

// gruStep has the gates update z and reset, and the candidate n: h = (1-z) n + z h. The reset gate acts on h before its product with
// the candidate's weights, or with linear_before_reset on the product.
func (r *recurrence) gruStep(x *node, old state) state {
	h := old.hidden
	xp := product(x, r.w, r.wb)
	rp := product(h, r.r, r.rb)
	z := r.activate(0, graph.Add(r.gate(xp, 0), r.gate(rp, 0)))
	reset := r.activate(0, graph.Add(r.gate(xp, 1), r.gate(rp, 1)))

	part := graph.Mul(reset, r.gate(rp, 2))
	if r.c.int("linear_before_reset", 0) == 0 {
		bias := r.rb
		if bias != nil {
			bias = r.part(bias, 2, 3)
		}
		part = product(graph.Mul(reset, h), r.part(r.r, 2, 3), bias)
	}
	n := r.activate(1, graph.Add(r.gate(xp, 2), part))
	return state{hidden: graph.Add(graph.Mul(plus(graph.Neg(z), 1), n), graph.Mul(z, h))}
}

// lstmStep has the gates input, output, forget and the candidate, in this order. Peepholes let the first three see the cell.
func (r *recurrence) lstmStep(x *node, old state) state {
	a := graph.Add(product(x, r.w, r.wb), product(old.hidden, r.r, r.rb))
	in := r.activate(0, r.peep(r.gate(a, 0), old.cell, 0))
	forget := r.activate(0, r.peep(r.gate(a, 2), old.cell, 2))
	if r.c.int("input_forget", 0) == 1 {
		forget = plus(graph.Neg(in), 1)
	}

	now := graph.Add(graph.Mul(forget, old.cell), graph.Mul(in, r.activate(1, r.gate(a, 3))))
	out := r.activate(0, r.peep(r.gate(a, 1), now, 1))
	return state{hidden: graph.Mul(out, r.activate(2, now)), cell: now}
}

// peep adds what a gate sees of the cell.
func (r *recurrence) peep(v, cell *node, i int) *node {
	if r.peephole == nil {
		return v
	}
	return graph.Add(v, graph.Mul(cell, expandTo(r.part(r.peephole, i, i+1), cell.Shape().Dimensions)))
}
