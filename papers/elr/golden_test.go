package elr

import (
	"fmt"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
)

func TestGolden(t *testing.T) { papertest.Golden(t, "elr", kinds) }

func kinds(e *engine.Engine) []golden.Kind {
	return []golden.Kind{
		{
			Name:  "one network",
			Match: func(c *golden.Case) bool { return c.Has("params.num_examples", "inputs.logits_0", "inputs.labels_0") },
			Run:   func(_ golden.T, c *golden.Case) { oneNetwork(e, c) },
		},
		{
			Name: "two networks",
			Match: func(c *golden.Case) bool {
				return c.Has("params.num_examples", "inputs.logits_mixed_0", "inputs.ema_other_logits_0")
			},
			Run: func(_ golden.T, c *golden.Case) { twoNetworks(e, c) },
		},
		{
			Name:  "decay of the averaged weights",
			Match: func(c *golden.Case) bool { return c.Has("inputs.global_step") },
			Run:   func(_ golden.T, c *golden.Case) { decay(c) },
		},
	}
}

// size is what a case says besides the options of the loss.
type size struct {
	Examples int `json:"num_examples"`
	Classes  int `json:"num_classes"`
	Steps    int `json:"steps"`
	First    int `json:"first_iteration"`
}

// oneNetwork takes the steps of a case: both terms, the loss, its gradient and the whole memory after each.
func oneNetwork(e *engine.Engine, c *golden.Case) {
	p := struct {
		loss.ELR
		size
	}{ELR: loss.NewELR()}
	c.Params(&p)
	store := model.NewStore()
	exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, logits, labels, index *graph.Node) []*graph.Node {
		in := loss.In{Out: logits, Labels: labels, Index: index, Examples: p.Examples}
		entropy, pull := p.Parts(scope, in)
		total := loss.Mean(graph.Add(entropy, graph.MulScalar(pull, p.Lambda)), nil)
		return []*graph.Node{loss.Mean(entropy, nil), loss.Mean(pull, nil), total, graph.Gradient(total, logits)[0]}
	})
	for step := 0; c.Has(at("inputs.logits", step)); step++ {
		integers := func(name string) *tensors.Tensor { return papertest.Integers(c.Tensor(at("inputs."+name, step))) }
		out := exec.MustCall(papertest.Tensor(c.Tensor(at("inputs.logits", step))), integers("labels"), integers("index"))
		for i, name := range []string{"ce", "reg", "loss", "grad_logits"} {
			papertest.Got(c, at(name, step), out[i])
		}
		memory(c, at("target", step), store, p.Examples)
	}
}

// twoNetworks is oneNetwork for the loss of ELR+, with the ramp of the iteration that the case says.
func twoNetworks(e *engine.Engine, c *golden.Case) {
	p := struct {
		loss.ELRPlus
		size
	}{ELRPlus: loss.NewELRPlus()}
	c.Params(&p)
	store := model.NewStore()
	exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		logits, other, targets, index, weight, perm, ramp := in[0], in[1], in[2], in[3], in[4], in[5], in[6]
		mix := func(rows *graph.Node) *graph.Node {
			there := graph.Gather(rows, graph.ExpandAxes(perm, -1))
			return graph.Add(graph.Mul(rows, weight), graph.Mul(there, graph.OneMinus(weight)))
		}
		batch := loss.In{Out: logits, Targets: targets, Index: index, Examples: p.Examples}
		entropy, pull, mixed := p.Parts(scope, batch, other, mix)
		total := loss.Mean(graph.Add(entropy, graph.Mul(graph.MulScalar(pull, p.Lambda), ramp)), nil)
		return []*graph.Node{loss.Mean(entropy, nil), loss.Mean(pull, nil), total, graph.Gradient(total, logits)[0], mixed}
	})
	for step := 0; c.Has(at("inputs.logits_mixed", step)); step++ {
		ramp := p.Ramp(p.First + step)
		float := func(name string) *tensors.Tensor { return papertest.Tensor(c.Tensor(at("inputs."+name, step))) }
		integers := func(name string) *tensors.Tensor { return papertest.Integers(c.Tensor(at("inputs."+name, step))) }
		out := exec.MustCall(float("logits_mixed"), float("ema_other_logits"), float("mixed_targets"), integers("index"),
			float("mix_lambda"), integers("mix_perm"), float32(ramp))
		for i, name := range []string{"ce", "reg", "loss", "grad_logits", "q"} {
			papertest.Got(c, at(name, step), out[i])
		}
		c.Scalar(at("ramp", step), ramp)
		memory(c, at("hist", step), store, p.Examples)
	}
}

// memory compares the rows of the examples; the one behind them belongs to padding.
func memory(c *golden.Case, name string, store *model.Store, examples int) {
	v := store.GetVariable("/targets")
	flat := tensors.MustCopyFlatData[float32](v.MustValue())
	classes := v.Shape().Dimensions[1]
	papertest.Got(c, name, tensors.FromFlatDataAndDimensions(flat[:examples*classes], examples, classes))
}

// decay compares both ways in which the averaged weights forget.
func decay(c *golden.Case) {
	p := loss.NewELRPlus()
	c.Params(&p)
	steps := c.Tensor("inputs.global_step")
	for name, rising := range map[string]bool{"alpha_ema_update_true": true, "alpha_ema_update_false": false} {
		p.RampDecay = rising
		alpha := make([]float64, len(steps.Data))
		for i, step := range steps.Data {
			alpha[i] = p.DecayAt(int(step))
		}
		c.Got(name, steps.Shape, alpha)
	}
}

func at(name string, step int) string { return fmt.Sprintf("%s_%d", name, step) }
