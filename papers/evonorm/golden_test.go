package evonorm

import (
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
	"github.com/ballast-ml/ballast/train/evosearch"
)

func TestGolden(t *testing.T) { papertest.Golden(t, "evonorm", kinds) }

func TestOptions(t *testing.T) { papertest.Options(t, "evonorm", kinds) }

func kinds(e *engine.Engine) []golden.Kind {
	return []golden.Kind{{
		Name:  "genome",
		Match: func(c *golden.Case) bool { return c.Has("params.genome", "inputs.x") },
		Run:   func(t golden.T, c *golden.Case) { goldenGenome(t, e, c) },
	}, {
		Name:  "selection",
		Match: func(c *golden.Case) bool { return c.Has("inputs.accuracies") },
		Run: func(_ golden.T, c *golden.Case) {
			c.Params(&struct{}{})
			table := c.Tensor("inputs.accuracies")
			rows := make([][]float64, table.Shape[0])
			for i := range rows {
				rows[i] = table.Data[i*table.Shape[1] : (i+1)*table.Shape[1]]
			}
			var front []float64
			for _, i := range evosearch.ParetoFront(rows) {
				front = append(front, float64(i))
			}
			c.Got("pareto_front", []int{len(front)}, front)
			c.Scalar("best_average", float64(evosearch.BestAverage(rows)))
		},
	}, {
		Name:  "layer",
		Match: func(c *golden.Case) bool { return c.Has("params.kind", "inputs.x", "weights.gamma") },
		Run: func(t golden.T, c *golden.Case) {
			p := struct {
				norm.EvoNorm
				Requested  int  `json:"groups_requested"`
				Used       int  `json:"groups_used"`
				Activation bool `json:"activation"`
			}{EvoNorm: norm.NewEvoNorm(""), Activation: true}
			c.Params(&p)
			if p.Requested > 0 {
				p.EvoNorm.Groups = p.Requested
			}
			if !p.Activation {
				p.EvoNorm.NoActivation = true
			}
			l := papertest.NewLayer(e, p.EvoNorm, map[string]string{"gamma": "/scale", "beta": "/offset", "v": "/v"}, c)
			if strings.HasPrefix(p.Kind, "B") && !p.NoActivation {
				l.State("moving_var", "/variance", "inputs.moving_var0")
			}
			x := papertest.Tensor(c.Tensor("inputs.x"))
			l.TrainOn(x, papertest.Tensor(c.Tensor("inputs.w")), nil, "")
			l.Infer(x, nil)
			if p.Used > 0 { // the number of groups is the one that a fallback from the requested one finds
				p.EvoNorm.Groups, p.EvoNorm.Fallback = p.Used, false
				papertest.Got(c, "y", model.MustNewExec(e.Backend, l.Store, p.EvoNorm.Apply).MustCall(x)[0])
			}
		},
	}}
}

func goldenGenome(t golden.T, e *engine.Engine, c *golden.Case) {
	p := struct {
		Nodes   []norm.GenomeNode `json:"genome"`
		Groups  int               `json:"groups"`
		Epsilon float64           `json:"eps"`
		Initial []string          `json:"initial_nodes"`
		Decay   float64           `json:"decay"`
	}{}
	g := norm.NewGenome()
	p.Groups, p.Epsilon, p.Decay, p.Initial = g.Groups, g.Epsilon, g.Decay, []string{"x", "zero", "v0", "v1"}
	c.Params(&p)
	if want := []string{"x", "zero", "v0", "v1"}; !slices.Equal(p.Initial, want) {
		t.Fatalf("the first values are %v, not %v", p.Initial, want)
	}
	g.Nodes, g.Groups, g.Epsilon, g.Decay = p.Nodes, p.Groups, p.Epsilon, p.Decay
	l := papertest.NewLayer(e, g, map[string]string{"v0": "/v0", "v1": "/v1", "gamma": "/scale", "beta": "/offset"}, c)
	x := papertest.Tensor(c.Tensor("inputs.x"))
	l.TrainOn(x, papertest.Tensor(c.Tensor("inputs.w")), nil, "")
	l.Infer(x, nil)
	var active []float64
	for _, i := range g.ActiveNodes() {
		active = append(active, float64(i))
	}
	c.Got("active_nodes", []int{len(active)}, active)
}
