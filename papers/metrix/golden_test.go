package metrix

import (
	"math"
	"testing"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
)

func TestGolden(t *testing.T) { papertest.Golden(t, "metrix", kinds) }

func kinds(e *engine.Engine) []golden.Kind {
	return []golden.Kind{
		{
			Name:  "contrastive loss of mixed embeddings",
			Match: func(c *golden.Case) bool { return c.Has("params.lam", "inputs.embeddings", "inputs.mix_anchor") },
			Run:   func(_ golden.T, c *golden.Case) { embeddings(e, c) },
		},
		{
			Name:  "pairs",
			Match: func(c *golden.Case) bool { return c.Has("params.kind", "inputs.sim", "inputs.label", "inputs.mask") },
			Run:   func(_ golden.T, c *golden.Case) { pairs(e, c) },
		},
		{
			Name:  "numbers of embeddings",
			Match: func(c *golden.Case) bool { return c.Has("inputs.query", "inputs.train") },
			Run:   numbers,
		},
	}
}

// embeddings is the released path: the loss of the batch and of pairs that were mixed at embedding level.
func embeddings(e *engine.Engine, c *golden.Case) {
	p := struct {
		loss.Contrastive
		Lam      float64 `json:"lam"`
		Weight   float64 `json:"mix_weight"`
		Loss     string  `json:"loss"` // this and what follows in words
		Mode     string  `json:"mode"`
		Distance string  `json:"distance"`
		Reducer  string  `json:"reducer"`
	}{Contrastive: loss.NewContrastive(), Weight: 0.4}
	c.Params(&p)
	exec := graph.MustNewExec(e.Backend, func(x, labels, anchor, first, second *graph.Node) []*graph.Node {
		clean := p.Apply(nil, loss.In{Features: []*graph.Node{x}, Labels: labels})
		weight := graph.Const(x.Graph(), float32(p.Lam))
		distances := loss.MixedPairs(x, anchor, first, second, weight)
		mixed := p.Of(distances, graph.BroadcastToDims(weight, distances.Shape().Dimensions...), nil)
		total := graph.Add(clean, graph.MulScalar(mixed, p.Weight))
		return []*graph.Node{clean, mixed, total, graph.Gradient(total, x)[0], distances}
	})
	integers := func(name string) any { return papertest.Integers(c.Tensor("inputs." + name)) }
	out := exec.MustCall(papertest.Tensor(c.Tensor("inputs.embeddings")), integers("labels"), integers("mix_anchor"),
		integers("mix_first"), integers("mix_second"))
	for i, name := range []string{"clean_loss", "mixed_loss", "total", "grad_embeddings", "mixed_distance"} {
		papertest.Got(c, name, out[i])
	}
}

// pairs is the general form, of similarities that are given.
func pairs(e *engine.Engine, c *golden.Case) {
	// A case of one margin means both sides by it, but for the proxies, which have its negative on the other side.
	p := loss.NewPairs("multi_similarity")
	c.Params(&p)
	given := c.Has("params.m_neg")
	switch p.Form {
	case "proxy_anchor":
		p.Form = "multi_similarity"
		if !given {
			p.Negative = -p.Margin
		}
	case "contrastive", "lifted_structure": // one margin, of pairs of two classes
		if !given {
			p.Negative = p.Margin
		}
		p = loss.Pairs{Form: p.Form, Negative: p.Negative}
	default:
		if !given {
			p.Negative = p.Margin
		}
	}
	exec := graph.MustNewExec(e.Backend, func(sim, share, mask *graph.Node) []*graph.Node {
		each := p.Each(sim, share, graph.NotEqual(mask, graph.ZerosLike(mask)))
		mean := loss.Mean(each, nil)
		return []*graph.Node{each, mean, graph.Gradient(mean, sim)[0]}
	})
	out := exec.MustCall(papertest.Tensor(c.Tensor("inputs.sim")), papertest.Tensor(c.Tensor("inputs.label")),
		papertest.Tensor(c.Tensor("inputs.mask")))
	for i, name := range []string{"loss_per_anchor", "loss_mean", "grad_sim"} {
		papertest.Got(c, name, out[i])
	}
}

// numbers are those of the embeddings themselves. What has no pairs has no number, NaN in a case.
func numbers(_ golden.T, c *golden.Case) {
	p := struct {
		T golden.Values `json:"t"`
	}{T: golden.Values{2}}
	c.Params(&p)
	query, train := c.Tensor("inputs.query"), c.Tensor("inputs.train")
	dim := query.Shape[1]
	number := func(v float64, err error) float64 {
		if err != nil {
			return math.NaN()
		}
		return v
	}

	c.Scalar("utilization", number(metric.Utilization(query.Data, train.Data, dim)))
	uniformity := make([]float64, len(p.T))
	for i, t := range p.T {
		uniformity[i] = number(metric.Uniformity(query.Data, dim, t))
	}
	c.Got("uniformity", []int{len(p.T)}, uniformity)
	if c.Has("inputs.query_labels") {
		labels := make([]int, query.Shape[0])
		for i, v := range c.Tensor("inputs.query_labels").Data {
			labels[i] = int(v)
		}
		c.Scalar("alignment", number(metric.Alignment(query.Data, labels, dim)))
	}
}
