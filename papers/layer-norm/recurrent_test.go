package layernorm

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/nn/rnn"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
)

// recurrentParams are what the recurrent cases of layer-norm say.
type recurrentParams struct {
	Epsilon   float64 `json:"eps"`
	GateOrder string  `json:"gate_order"`
	Layout    string  `json:"layout"`
	InnerBias bool    `json:"bias_also_inside_input_norm"`
	Masked    bool    `json:"masked"`
	Reverse   bool    `json:"reverse"`
}

func recurrentKinds(e *engine.Engine) []golden.Kind {
	return []golden.Kind{
		{
			Name:  "LN-LSTM",
			Match: func(c *golden.Case) bool { return c.Has("inputs.x", "weights.g_x", "weights.g_c") },
			Run: func(t golden.T, c *golden.Case) {
				goldenRecurrent(t, e, c, "i,f,o,g", "U", map[string]string{
					"W": "/kernel", "U": "/recurrent", "b": "/bias", "g_x": "/norm_x/scale", "b_x": "/norm_x/offset",
					"g_h": "/norm_h/scale", "b_h": "/norm_h/offset", "g_c": "/norm_c/scale", "b_c": "/norm_c/offset",
				}, func(hidden int, p recurrentParams, s rnn.Sequence) rnn.Layer {
					l := rnn.NewLNLSTM(hidden)
					l.Sequence, l.Epsilon, l.InnerBias, l.NoNormOffset = s, p.Epsilon, p.InnerBias, !c.Has("weights.b_x")
					return l
				})
			},
		},
		{
			Name:  "LN-GRU",
			Match: func(c *golden.Case) bool { return c.Has("inputs.x", "weights.Wx", "weights.s1") },
			Run: func(t golden.T, c *golden.Case) {
				goldenRecurrent(t, e, c, "r,u", "Ux", map[string]string{
					"W": "/kernel", "b": "/bias", "U": "/recurrent", "Wx": "/candidate_kernel", "bx": "/candidate_bias", "Ux": "/candidate_recurrent",
					"s1": "/norm_x/scale", "b1": "/norm_x/offset", "s2": "/norm_candidate_x/scale", "b2": "/norm_candidate_x/offset",
					"s3": "/norm_h/scale", "b3": "/norm_h/offset", "s4": "/norm_candidate_h/scale", "b4": "/norm_candidate_h/offset",
				}, func(hidden int, p recurrentParams, s rnn.Sequence) rnn.Layer {
					l := rnn.NewLNGRU(hidden)
					l.Sequence, l.Epsilon, l.NoNormOffset = s, p.Epsilon, !c.Has("weights.b1")
					return l
				})
			},
		},
	}
}

// goldenRecurrent compares every state and every gradient of sum(h w) + sum(c_last w_c_last). First states, the mask, w_c_last and the
// offsets of the norms may be missing.
func goldenRecurrent(t golden.T, e *engine.Engine, c *golden.Case, order, square string, weights map[string]string, layer func(int, recurrentParams, rnn.Sequence) rnn.Layer) {
	p := recurrentParams{Epsilon: 1e-5, GateOrder: order, Layout: "[time,batch,feature]", Masked: c.Has("inputs.mask")}
	c.Params(&p)
	if p.Layout != "[time,batch,feature]" && p.Layout != "[batch,time,feature]" {
		t.Fatalf("layout is %q", p.Layout)
	}
	if p.GateOrder != order || p.Masked != c.Has("inputs.mask") {
		t.Fatalf("gates %s, masked %v: not what this layer and this file have", p.GateOrder, p.Masked)
	}
	l := layer(c.Tensor("weights." + square).Shape[0], p, rnn.Sequence{TimeMajor: p.Layout == "[time,batch,feature]", Reverse: p.Reverse})
	store := model.NewStore()
	var paths []string
	var grads []string
	for name, path := range weights {
		if !c.Has("weights." + name) {
			continue
		}
		papertest.Create(store, path, papertest.Tensor(c.Tensor("weights."+name)))
		paths, grads = append(paths, path), append(grads, "grad_"+name)
	}
	names := []string{"x", "h0", "c0", "w", "w_c_last", "mask"}
	var args []any
	at := map[string]int{}
	for _, name := range names {
		if c.Has("inputs." + name) {
			at[name] = len(args)
			args = append(args, papertest.Tensor(c.Tensor("inputs."+name)))
		}
	}
	var outputs []string
	out := model.MustNewExec(e.Backend, store, func(scope *model.Scope, inputs []*graph.Node) []*graph.Node {
		get := func(name string) *graph.Node {
			if i, ok := at[name]; ok {
				return inputs[i]
			}
			return nil
		}
		o := l.Apply(scope, get("x"), rnn.Inputs{Mask: get("mask"), H0: get("h0"), C0: get("c0")})
		loss := graph.ReduceAllSum(graph.Mul(o.H, get("w")))
		outputs = []string{"h", "h_last"}
		results := []*graph.Node{o.H, o.HLast}
		if o.C != nil {
			outputs, results = append(outputs, "c", "c_last"), append(results, o.C, o.CLast)
			if w := get("w_c_last"); w != nil {
				loss = graph.Add(loss, graph.ReduceAllSum(graph.Mul(o.CLast, w)))
			}
		}
		wanted := []*graph.Node{}
		for _, name := range []string{"x", "h0", "c0"} {
			if v := get(name); v != nil {
				outputs, wanted = append(outputs, "grad_"+name), append(wanted, v)
			}
		}
		for i, path := range paths {
			outputs, wanted = append(outputs, grads[i]), append(wanted, store.GetVariable(path).NodeValue(inputs[0].Graph()))
		}
		return append(results, graph.Gradient(loss, wanted...)...)
	}).MustCall(args...)
	for i, name := range outputs {
		papertest.Got(c, name, out[i])
	}
}
