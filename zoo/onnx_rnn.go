package zoo

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
)

// recurrent runs an RNN, GRU or LSTM, a step of the graph for each step of time.
func recurrent(gates int, defaults []string) onnxOp {
	return many(func(c *onnxCall) []*node {
		x, w, r := c.x(0), c.x(1), c.x(2)
		need(x.Rank() == 3 && w.Rank() == 3 && r.Rank() == 3, "input %v, weights %v and %v: each has three dimensions", x.Shape().Dimensions, w.Shape().Dimensions, r.Shape().Dimensions)
		batchFirst := c.int("layout", 0) == 1
		if batchFirst {
			x = graph.TransposeAllAxes(x, 1, 0, 2)
		}
		hidden, direction := c.int("hidden_size", r.Shape().Dimensions[2]), c.text("direction", "forward")
		d := x.Shape().Dimensions
		steps, batch, dirs := d[0], d[1], w.Shape().Dimensions[0]
		lstm := gates == 4
		need(steps <= mostNodes, "it takes %d steps, which are unrolled; a program has at most %d nodes", steps, mostNodes)
		need(hidden >= 1 && dirs >= 1 && dirs <= 2 && steps >= 1, "%d steps, %d directions, %d hidden values", steps, dirs, hidden)
		need(slices.Equal(w.Shape().Dimensions, []int{dirs, gates * hidden, d[2]}) && slices.Equal(r.Shape().Dimensions, []int{dirs, gates * hidden, hidden}),
			"weights %v and %v for input %v and %d hidden values", w.Shape().Dimensions, r.Shape().Dimensions, d, hidden)
		state := func(input, dir int) *node {
			s := c.maybe(input)
			if s == nil {
				return graph.ZerosLike(graph.BroadcastToDims(scalar(x, 0), batch, hidden))
			}
			if batchFirst {
				s = graph.TransposeAllAxes(s, 1, 0, 2)
			}
			return graph.Squeeze(cutAxis(s, 0, dir, dir+1, 1), 0)
		}
		names := defaults
		if a := c.n.Attribute("activations"); a != nil {
			names = nil
			for _, s := range a.Strings {
				names = append(names, string(s))
			}
		}
		clipAt := c.float("clip", 0)
		var ys, hs, cs []*node
		for dir := range dirs {
			of := func(t *node) *node { return graph.Squeeze(cutAxis(t, 0, dir, dir+1, 1), 0) }
			act := func(i int) func(v *node) *node {
				need(len(names) > 0, "activations is empty")
				name := names[(dir*len(defaults)+i)%len(names)]
				f := map[string]func(v *node) *node{"Sigmoid": graph.Sigmoid, "Tanh": graph.Tanh, "Relu": func(v *node) *node { return graph.Max(v, scalar(v, 0)) }}[name]
				if f == nil {
					panic(fmt.Errorf("activation %q is not supported", name))
				}
				return func(v *node) *node {
					if clipAt > 0 {
						v = hard(v, -clipAt, clipAt)
					}
					return f(v)
				}
			}
			wd, rd := of(w), of(r)
			wb, rb := (*node)(nil), (*node)(nil)
			if b := c.maybe(3); b != nil {
				wb, rb = cutAxis(of(b), 0, 0, gates*hidden, 1), cutAxis(of(b), 0, gates*hidden, 2*gates*hidden, 1)
			}
			h := state(5, dir)
			var cell, peep *node
			if lstm {
				cell = state(6, dir)
				if p := c.maybe(7); p != nil {
					peep = of(p)
				}
			}
			product := func(v, m, b *node) *node {
				y := graph.DotGeneral(v, []int{1}, nil, m, []int{1}, nil)
				if b != nil {
					y = graph.Add(y, expandTo(b, y.Shape().Dimensions))
				}
				return y
			}
			gate := func(v *node, i int) *node { return cutAxis(v, 1, i*hidden, (i+1)*hidden, 1) }
			peepAt := func(v, state *node, i int) *node {
				if peep == nil {
					return v
				}
				return graph.Add(v, graph.Mul(state, expandTo(cutAxis(peep, 0, i*hidden, (i+1)*hidden, 1), state.Shape().Dimensions)))
			}
			out := make([]*node, steps)
			reverse := direction == "reverse" || dir == 1
			begun := len(c.g.Nodes())
			for s := range steps {
				c.build.step()
				if now := len(c.g.Nodes()); s == 1 { // every step builds what the first did
					c.parts((now - begun) * (steps*(dirs-dir) - 1))
				}
				t := s
				if reverse {
					t = steps - 1 - s
				}
				xt := graph.Squeeze(cutAxis(x, 0, t, t+1, 1), 0)
				xp := product(xt, wd, wb)
				oldH, oldC := h, cell
				switch gates {
				case 1:
					h = act(0)(graph.Add(xp, product(h, rd, rb)))
				case 3:
					rp := product(h, rd, rb)
					z := act(0)(graph.Add(gate(xp, 0), gate(rp, 0)))
					reset := act(0)(graph.Add(gate(xp, 1), gate(rp, 1)))
					part := graph.Mul(reset, gate(rp, 2))
					if c.int("linear_before_reset", 0) == 0 {
						last := func(m *node) *node {
							if m == nil {
								return nil
							}
							return cutAxis(m, 0, 2*hidden, 3*hidden, 1)
						}
						part = product(graph.Mul(reset, h), last(rd), last(rb))
					}
					n := act(1)(graph.Add(gate(xp, 2), part))
					h = graph.Add(graph.Mul(plus(graph.Neg(z), 1), n), graph.Mul(z, h))
				case 4:
					a := graph.Add(xp, product(h, rd, rb))
					in := act(0)(peepAt(gate(a, 0), cell, 0))
					forget := act(0)(peepAt(gate(a, 2), cell, 2))
					if c.int("input_forget", 0) == 1 {
						forget = plus(graph.Neg(in), 1)
					}
					cell = graph.Add(graph.Mul(forget, cell), graph.Mul(in, act(1)(gate(a, 3))))
					h = graph.Mul(act(0)(peepAt(gate(a, 1), cell, 1)), act(2)(cell))
				}
				y := h
				if lengths := c.maybe(4); lengths != nil {
					l := graph.ConvertDType(lengths, dtypes.Int32)
					on := expandTo(graph.ExpandAxes(graph.GreaterThan(l, scalar(l, float64(t))), -1), []int{batch, hidden})
					h = graph.Where(on, h, oldH)
					if lstm {
						cell = graph.Where(on, cell, oldC)
					}
					y = graph.Where(on, y, graph.ZerosLike(y))
				}
				out[t] = graph.ExpandAxes(y, 0)
			}
			ys = append(ys, graph.ExpandAxes(graph.Concatenate(out, 0), 1))
			hs = append(hs, graph.ExpandAxes(h, 0))
			if lstm {
				cs = append(cs, graph.ExpandAxes(cell, 0))
			}
		}
		y := graph.Concatenate(ys, 1)
		results := []*node{y, graph.Concatenate(hs, 0)}
		if lstm {
			results = append(results, graph.Concatenate(cs, 0))
		}
		if batchFirst {
			results[0] = graph.TransposeAllAxes(y, 2, 0, 1, 3)
			for i := range results[1:] {
				results[1+i] = graph.TransposeAllAxes(results[1+i], 1, 0, 2)
			}
		}
		return slices.Clone(results)
	})
}

func rnnOps() map[string]onnxOp {
	return map[string]onnxOp{
		"RNN": recurrent(1, []string{"Tanh"}), "GRU": recurrent(3, []string{"Sigmoid", "Tanh"}), "LSTM": recurrent(4, []string{"Sigmoid", "Tanh", "Tanh"}),
	}
}

var onnxOps map[string]onnxOp

func init() {
	onnxOps = map[string]onnxOp{}
	for _, table := range []map[string]onnxOp{elementwiseOps(), shapeOps(), convOps(), reduceOps(), rnnOps()} {
		for name, op := range table {
			onnxOps[name] = op
		}
	}
}
