package corruptions

import (
	"math"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
)

// memoryKinds test the baselines of test time that look at neighbours, at single examples and at a memory.
func memoryKinds(e *engine.Engine) []golden.Kind {
	return []golden.Kind{
		{
			Name:  "LAME",
			Match: func(c *golden.Case) bool { return c.Has("params.affinity", "inputs.logits", "inputs.features") },
			Run:   lame,
		},
		{
			Name:  "instance-aware batch normalisation",
			Match: func(c *golden.Case) bool { return c.Has("params.k", "params.train", "weights.running_mean") },
			Run:   func(_ golden.T, c *golden.Case) { instanceAware(e, c) },
		},
		{
			Name:  "the memory of RoTTA",
			Match: func(c *golden.Case) bool { return c.Has("params.lambda_t", "inputs.pseudo_labels") },
			Run:   func(_ golden.T, c *golden.Case) { timelyMemory(c) },
		},
	}
}

// lame compares affinities, assignments and the number of steps.
func lame(t golden.T, c *golden.Case) {
	p := struct {
		adapt.Lame
		Method string `json:"method"`
	}{Lame: adapt.NewLame()}
	c.Params(&p)
	names := map[string]string{"kNN": adapt.LameKNN, "rbf": adapt.LameRBF, "linear": adapt.LameLinear}
	known, ok := names[p.Affinity]
	if !ok {
		t.Fatalf("affinity %q", p.Affinity)
	}
	p.Affinity = known

	logits, features := c.Tensor("inputs.logits"), c.Tensor("inputs.features")
	n := logits.Shape[0]
	w := p.Weights(papertest.Narrowed(features.Data), n)
	c.Got("affinity", []int{n, n}, w)
	logY, steps := p.Assign(papertest.Narrowed(logits.Data), w, n)
	y := make([]float64, len(logY))
	for i, v := range logY {
		y[i] = math.Exp(v)
	}
	c.Got("assignments", logits.Shape, y)
	c.Scalar("iterations", float64(steps))
}

// instanceAware compares a batch normalisation whose statistics are those of IABN.
func instanceAware(e *engine.Engine, c *golden.Case) {
	p := struct {
		Method  string  `json:"method"`
		K       float64 `json:"k"`
		Train   bool    `json:"train"`
		Epsilon float64 `json:"eps"`
	}{}
	c.Params(&p)
	store := model.NewStore()
	for name, from := range map[string]string{"scale": "gamma", "offset": "beta", "mean": "running_mean", "variance": "running_var"} {
		papertest.Create(store, "/norm/"+name, papertest.Tensor(c.Tensor("weights."+from)))
	}
	layer := norm.NewBatch()
	layer.Epsilon = p.Epsilon
	source := norm.IABN{K: p.K, Epsilon: p.Epsilon, OfBatch: p.Train}
	exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x *graph.Node) (y *graph.Node) {
		norm.With(x.Graph(), source, func() { y = layer.Apply(scope.In("norm"), x) })
		return y
	})
	papertest.Got(c, "y", exec.MustCall(papertest.Tensor(c.Tensor("inputs.x")))[0])
}

// timelyMemory offers the items of a case, and compares what is left.
func timelyMemory(c *golden.Case) {
	p := struct {
		Method   string  `json:"method"`
		Capacity int     `json:"capacity"`
		Classes  int     `json:"classes"`
		Time     float64 `json:"lambda_t"`
		Doubt    float64 `json:"lambda_u"`
	}{}
	c.Params(&p)
	m := adapt.CSTU{Capacity: p.Capacity, Classes: p.Classes, TimeWeight: p.Time, DoubtWeight: p.Doubt}
	doubts := c.Tensor("inputs.uncertainty")
	item := map[int]int{} // that is in a slot
	for i, class := range c.Tensor("inputs.pseudo_labels").Data {
		if slot := m.Offer(int(class), doubts.Data[i], nil); slot >= 0 {
			item[slot] = i
		}
	}

	var ids, ages []float64
	for _, h := range m.ByClass() {
		ids, ages = append(ids, float64(item[h.Slot])), append(ages, float64(h.Age)/float64(p.Capacity))
	}
	c.Got("kept_ids_by_class", []int{len(ids)}, ids)
	c.Got("ages_over_capacity", []int{len(ages)}, ages)
}
