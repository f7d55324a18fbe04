package tcm

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

func TestGolden(t *testing.T) { papertest.Golden(t, "tcm", kinds) }

func kinds(e *engine.Engine) []golden.Kind {
	return []golden.Kind{
		{
			Name:  "loss",
			Match: func(c *golden.Case) bool { return c.Has("params.margin_pos", "inputs.embeddings", "inputs.labels") },
			Run:   func(_ golden.T, c *golden.Case) { terms(e, c) },
		},
		{
			Name:  "operating points",
			Match: func(c *golden.Case) bool { return c.Has("params.num_thresholds", "inputs.features", "inputs.labels") },
			Run:   opis,
		},
	}
}

// terms compares both terms of the loss, how many pairs they are over, and the gradient.
func terms(e *engine.Engine, c *golden.Case) {
	p := struct {
		loss.TCM
		Reduction string `json:"reduction"` // in words
	}{TCM: loss.NewTCM()}
	c.Params(&p)
	exec := graph.MustNewExec(e.Backend, func(embeddings, labels *graph.Node) []*graph.Node {
		in := loss.In{Features: []*graph.Node{embeddings}, Labels: labels}
		parts, total := p.Parts(in), p.TCM.Apply(nil, in)
		return []*graph.Node{total, parts.Positive, parts.Negative, parts.Positives, parts.Negatives,
			graph.Gradient(total, embeddings)[0]}
	})
	out := exec.MustCall(papertest.Tensor(c.Tensor("inputs.embeddings")), papertest.Integers(c.Tensor("inputs.labels")))
	for i, name := range []string{"loss", "pos_term", "neg_term", "num_pos_violations", "num_neg_violations",
		"grad_embeddings"} {
		papertest.Got(c, name, out[i])
	}
}

// opis compares the curves of the classes and the score, over the range that a case gives or that of its own false accepts.
func opis(t golden.T, c *golden.Case) {
	o := metric.NewOPIS()
	p := struct {
		Low     *float64  `json:"d_min"`
		High    *float64  `json:"d_max"`
		Range   []float64 `json:"far_range"`
		Grid    int       `json:"num_thresholds"`
		Epsilon float64   `json:"epsilon"`
		Least   int       `json:"min_class_size"`
	}{Range: []float64{o.FARLow, o.FARHigh}, Grid: o.Thresholds, Epsilon: o.TailFraction, Least: o.MinClassSize}
	c.Params(&p)
	if len(p.Range) != 2 {
		t.Fatalf("far_range is %v; want the lowest and the highest share of false accepts", p.Range)
		return
	}
	o = metric.OPIS{FARLow: p.Range[0], FARHigh: p.Range[1], Thresholds: p.Grid, TailFraction: p.Epsilon,
		MinClassSize: p.Least}
	features, labels := c.Tensor("inputs.features"), classes(c.Tensor("inputs.labels"))
	got, err := metric.OPISOf(o, features.Data, labels, features.Shape[1])
	if p.Low != nil && p.High != nil {
		got, err = metric.OPISBetween(o, features.Data, labels, features.Shape[1], *p.Low, *p.High)
	}
	if err != nil { // too few classes or pairs: a case has no number for it
		none := math.NaN()
		got = metric.Consistency{OPIS: none, OPISMean: none, Tail: none, TailMean: none, Min: none, Max: none}
	}

	n := len(got.Classes)
	ids, utility := make([]float64, n), []float64{}
	for i, class := range got.Classes {
		ids[i] = float64(class)
		utility = append(utility, got.Utility[i]...)
	}
	c.Got("class_ids", []int{n}, ids)
	c.Got("utility", []int{n, len(got.Thresholds)}, utility)
	c.Got("thresholds", []int{len(got.Thresholds)}, got.Thresholds)
	for name, value := range map[string]float64{"opis_mean": got.OPISMean, "opis_trapz": got.OPIS,
		"eps_opis_mean": got.TailMean, "eps_opis_trapz": got.Tail, "d_min": got.Min, "d_max": got.Max} {
		c.Scalar(name, value)
	}
}

func classes(labels golden.Tensor) []int {
	all := make([]int, len(labels.Data))
	for i, v := range labels.Data {
		all[i] = int(v)
	}
	return all
}
