package alphabn

import (
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
)

func TestGolden(t *testing.T) { papertest.Golden(t, "alpha-bn", kinds) }

func kinds(e *engine.Engine) []golden.Kind {
	return []golden.Kind{
		{
			Name:  "layer",
			Match: func(c *golden.Case) bool { return c.Has("params.source_weight", "inputs.source_mean") },
			Run:   func(t golden.T, c *golden.Case) { layer(t, e, c) },
		},
		{
			Name:  "class correlation",
			Match: func(c *golden.Case) bool { return c.Has("params.form", "inputs.logits") },
			Run:   func(_ golden.T, c *golden.Case) { correlation(e, c) },
		},
	}
}

// seen is a source that shows what another one gives.
type seen struct {
	norm.Source
	mean, variance *graph.Node
}

func (s *seen) Statistics(scope *model.Scope, x *graph.Node, running *norm.Running) (mean, variance *graph.Node) {
	s.mean, s.variance = s.Source.Statistics(scope, x, running)
	return s.mean, s.variance
}

// layer compares a batch normalisation with mixed statistics, and its gradients.
func layer(t golden.T, e *engine.Engine, c *golden.Case) {
	p := struct {
		norm.Mixed
		TargetWeight float64 `json:"target_weight"`
		Epsilon      float64 `json:"eps"`
	}{Mixed: norm.NewMixed(), Epsilon: norm.NewBatch().Epsilon}
	c.Params(&p)
	if !c.Near(p.SourceWeight, 1-p.TargetWeight) {
		t.Fatalf("source weight %v and target weight %v", p.SourceWeight, p.TargetWeight)
	}
	store := model.NewStore()
	for name, from := range map[string]string{"scale": "weights.gamma", "offset": "weights.beta", "mean": "inputs.source_mean", "variance": "inputs.source_var"} {
		papertest.Create(store, "/norm/"+name, papertest.Tensor(c.Tensor(from)))
	}

	batch := norm.NewBatch()
	batch.Epsilon = p.Epsilon
	exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x, w *graph.Node) []*graph.Node {
		g, source := x.Graph(), &seen{Source: p.Mixed}
		var y *graph.Node
		if asked := norm.With(g, source, func() { y = batch.Apply(scope.In("norm"), x) }); asked != 1 {
			t.Fatalf("%d norms asked", asked)
		}
		scale, offset := store.GetVariable("/norm/scale").NodeValue(g), store.GetVariable("/norm/offset").NodeValue(g)
		channels := x.Shape().Dimensions[3]
		out := []*graph.Node{y, graph.Reshape(source.mean, channels), graph.Reshape(source.variance, channels)}
		return append(out, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, w)), x, scale, offset)...)
	})
	got(c, exec.MustCall(papertest.Tensor(c.Tensor("inputs.x")), papertest.Tensor(c.Tensor("inputs.w"))),
		"y", "mean", "var", "grad_x", "grad_gamma", "grad_beta")
}

// correlation compares the objective of CORE on logits, and its gradient.
func correlation(e *engine.Engine, c *golden.Case) {
	p := adapt.NewCore()
	c.Params(&p)
	exec := graph.MustNewExec(e.Backend, func(logits *graph.Node) []*graph.Node {
		loss, m := p.Loss(logits)
		out := []*graph.Node{loss, graph.Gradient(loss, logits)[0]}
		if m != nil {
			out = append(out, m)
		}
		return out
	})
	out := exec.MustCall(papertest.Tensor(c.Tensor("inputs.logits")))
	got(c, out, []string{"loss", "grad_logits", "correlation"}[:len(out)]...)
}

func got(c *golden.Case, out []*tensors.Tensor, names ...string) {
	for i, name := range names {
		papertest.Got(c, name, out[i])
	}
}
