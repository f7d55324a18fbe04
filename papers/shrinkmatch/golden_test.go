package shrinkmatch

import (
	"fmt"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
)

func TestGolden(t *testing.T) { papertest.Golden(t, "shrinkmatch", kinds) }

func kinds(e *engine.Engine) []golden.Kind {
	return []golden.Kind{
		{
			Name: "soft labels",
			Match: func(c *golden.Case) bool {
				return c.Has("params.threshold", "inputs.logits_weak", "inputs.logits_labeled")
			},
			Run: func(_ golden.T, c *golden.Case) { soft(e, c) },
		},
		{
			Name: "hard labels",
			Match: func(c *golden.Case) bool {
				return c.Has("params.threshold", "inputs.logits_weak") && !c.Has("inputs.logits_labeled")
			},
			Run: func(_ golden.T, c *golden.Case) { hard(e, c) },
		},
		{
			Name:  "alignment by a queue",
			Match: func(c *golden.Case) bool { return c.Has("params.queue_len", "inputs.probs_0") },
			Run:   func(_ golden.T, c *golden.Case) { queue(e, c) },
		},
		{
			Name:  "learning rates",
			Match: func(c *golden.Case) bool { return c.Has("params.total_steps", "inputs.step") },
			Run:   rates,
		},
	}
}

// options are what a case says besides the options of the loss.
type options struct {
	loss.Shrink
	Classes int     `json:"num_classes"`
	Last    float64 `json:"prev_certain_ratio"`
	Align   bool    `json:"use_da"`
}

// soft is the rule for CIFAR: soft labels, and the class order of the same probabilities.
func soft(e *engine.Engine, c *golden.Case) {
	p := options{Shrink: loss.NewShrink(), Last: -1}
	c.Params(&p)
	store := model.NewStore()
	papertest.Create(store, "/certain_share", tensors.FromScalar(float32(p.Last)))
	exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		labeled, labels, weak, strong, auxiliary := in[0], in[1], in[2], in[3], in[4]
		probabilities := ops.MaskedSoftmax(weak, nil, -1)
		plan := p.Plan(probabilities, probabilities, nil)
		supervised := loss.Mean(loss.CrossEntropy{}.Of(labels, labeled), nil)
		certain := loss.Mean(p.Certain(strong, plan), nil)
		each := p.Shrunk(auxiliary, plan)
		shrunk := loss.Mean(each, plan.Weight)
		share := loss.CertainShare(scope, graph.ReduceAllMean(graph.ConvertDType(plan.Certain, dtypes.Float32)), nil, 0.999)
		total := graph.Add(graph.Add(supervised, certain), graph.Mul(share, shrunk))
		float := func(x *graph.Node) *graph.Node { return graph.ConvertDType(x, dtypes.Float32) }
		out := []*graph.Node{
			plan.Targets, float(plan.Certain), float(plan.First), plan.Weight, each, shrunk, supervised, certain, share, total,
		}
		return append(out, graph.Gradient(total, labeled, strong, auxiliary)...)
	})
	out := exec.MustCall(input(c, "logits_labeled"), papertest.Integers(c.Tensor("inputs.labels")),
		input(c, "logits_weak"), input(c, "logits_strong"), input(c, "logits_strong_aux"))
	for i, name := range []string{
		"pseudo", "certain_mask", "first_kept_index", "weight1", "shrink_ce", "shrink_loss_mean", "loss_sup", "loss_certain",
		"certain_ratio_ema", "loss_total", "grad_logits_labeled", "grad_logits_strong", "grad_logits_strong_aux",
	} {
		papertest.Got(c, name, out[i])
	}
}

// hard is the rule for STL and SVHN: hard labels, the class order of the raw probabilities, alignment by a running mean.
func hard(e *engine.Engine, c *golden.Case) {
	p := options{Shrink: loss.Shrink{Hard: true}}
	c.Params(&p)
	alignment := loss.NewAlignment()
	store := model.NewStore()
	if p.Align {
		alignment.Kind = "ema"
		if c.Has("inputs.p_model") {
			papertest.Create(store, "/means", input(c, "p_model"))
		}
	}
	exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		weak, strong, auxiliary := in[0], in[1], in[2]
		raw := ops.MaskedSoftmax(weak, nil, -1)
		plan := p.Plan(alignment.Apply(scope, raw, nil), raw, nil)
		certain := loss.Mean(p.Certain(strong, plan), nil)
		shrunk := loss.Mean(p.Shrunk(auxiliary, plan), plan.Weight)
		out := []*graph.Node{plan.Targets, graph.ConvertDType(plan.Certain, dtypes.Float32), certain, shrunk}
		return append(out, graph.Gradient(graph.Add(certain, shrunk), strong, auxiliary)...)
	})
	out := exec.MustCall(input(c, "logits_weak"), input(c, "logits_strong"), input(c, "logits_strong_aux"))
	for i, name := range []string{"pseudo", "certain_mask", "loss_certain", "loss_shrink", "grad_logits_strong",
		"grad_logits_strong_aux"} {
		papertest.Got(c, name, out[i])
	}
	if p.Align {
		papertest.Got(c, "p_model_new", store.GetVariable("/means").MustValue())
	}
}

// queue aligns one batch after the other.
func queue(e *engine.Engine, c *golden.Case) {
	p := struct {
		Length   int `json:"queue_len"`
		Classes  int `json:"num_classes"`
		Official int `json:"official_queue_len"`
	}{}
	c.Params(&p)
	alignment := loss.NewAlignment()
	if p.Official != 0 && alignment.Length != p.Official {
		panic(fmt.Sprintf("the official queue has %d batches, ours %d", p.Official, alignment.Length))
	}
	alignment.Kind, alignment.Length = "queue", p.Length
	store := model.NewStore()
	exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x *graph.Node) *graph.Node {
		return alignment.Apply(scope, x, nil)
	})
	for step := 0; c.Has(fmt.Sprintf("inputs.probs_%d", step)); step++ {
		papertest.Got(c, fmt.Sprintf("aligned_%d", step), exec.MustCall(input(c, fmt.Sprintf("probs_%d", step)))[0])
	}
	papertest.Got(c, "queue", store.GetVariable("/means").MustValue())
}

// rates are those of an update at the places that a case names.
func rates(t golden.T, c *golden.Case) {
	p := struct {
		Steps int     `json:"total_steps"`
		Rate  float64 `json:"lr"`
	}{}
	c.Params(&p)
	schedule := optim.NewSchedule()
	schedule.Name = "cosine-7-16"
	course, err := schedule.Course(p.Rate, 1, p.Steps, p.Steps)
	if err != nil {
		t.Fatalf("%v", err)
		return
	}
	steps := c.Tensor("inputs.step")
	rates := make([]float64, len(steps.Data))
	for i, step := range steps.Data {
		rates[i] = course.Rate(int(step))
	}
	c.Got("lr", steps.Shape, rates)
}

func input(c *golden.Case, name string) *tensors.Tensor {
	return papertest.Tensor(c.Tensor("inputs." + name))
}
