package unmixtns

import (
	"fmt"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
)

func TestGolden(t *testing.T) { papertest.Golden(t, "unmix-tns", kinds) }

func kinds(e *engine.Engine) []golden.Kind {
	return []golden.Kind{{
		Name:  "layer",
		Match: func(c *golden.Case) bool { return c.Has("params.K", "inputs.zeta", "inputs.x1") },
		Run:   func(_ golden.T, c *golden.Case) { layer(e, c) },
	}}
}

// layer goes through the batches of a case: output, assignments and components of each, and the gradients of the last.
func layer(e *engine.Engine, c *golden.Case) {
	p := struct {
		norm.UnMix
		K       int     `json:"K"`
		Epsilon float64 `json:"eps"`
	}{UnMix: norm.NewUnMix(), Epsilon: norm.NewBatch().Epsilon}
	c.Params(&p)
	u := p.UnMix
	u.K, u.BatchMax = p.K, c.Tensor("inputs.x1").Shape[0] // the momentum of a case is that of its batch

	mean, variance := c.Tensor("weights.source_mean"), c.Tensor("weights.source_var")
	means, variances := u.Components(mean.Data, variance.Data, c.Tensor("inputs.zeta").Data)
	shape := []int{u.K, len(mean.Data)}
	c.Got("means_init", shape, means)
	c.Got("vars_init", shape, variances)

	store := model.NewStore()
	for name, from := range map[string]string{"scale": "gamma", "offset": "beta", "mean": "source_mean", "variance": "source_var"} {
		papertest.Create(store, "/norm/"+name, papertest.Tensor(c.Tensor("weights."+from)))
	}
	components := map[string]string{"means": norm.UnMixScope + "/norm/means", "vars": norm.UnMixScope + "/norm/vars"}
	papertest.Create(store, components["means"], tensors.FromFlatDataAndDimensions(papertest.Narrowed(means), shape...))
	papertest.Create(store, components["vars"], tensors.FromFlatDataAndDimensions(papertest.Narrowed(variances), shape...))

	batch := norm.NewBatch()
	batch.Epsilon = p.Epsilon
	exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x, w *graph.Node) []*graph.Node {
		g := x.Graph()
		own := graph.ReduceMean(x, 1, 2)
		assigned := u.Assign(own, store.GetVariable(components["means"]).NodeValue(g))
		var y *graph.Node
		norm.With(g, u, func() { y = batch.Apply(scope.In("norm"), x) })
		scale, offset := store.GetVariable("/norm/scale").NodeValue(g), store.GetVariable("/norm/offset").NodeValue(g)
		return append([]*graph.Node{y, assigned}, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, w)), x, scale, offset)...)
	})

	w := papertest.Tensor(c.Tensor("inputs.w"))
	var out []*tensors.Tensor
	for step := 1; c.Has(fmt.Sprintf("inputs.x%d", step)); step++ {
		out = exec.MustCall(papertest.Tensor(c.Tensor(fmt.Sprintf("inputs.x%d", step))), w)
		papertest.Got(c, fmt.Sprintf("y%d", step), out[0])
		papertest.Got(c, fmt.Sprintf("p%d", step), out[1])
		for name, path := range components {
			papertest.Got(c, fmt.Sprintf("%s_after%d", name, step), store.GetVariable(path).MustValue())
		}
	}
	for i, name := range []string{"grad_x", "grad_gamma", "grad_beta"} {
		papertest.Got(c, name, out[2+i])
	}
}
