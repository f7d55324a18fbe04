package efficientrobustify

import (
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
)

func TestGolden(t *testing.T) { papertest.Golden(t, "efficient-robustify", kinds) }

func kinds(e *engine.Engine) []golden.Kind {
	return []golden.Kind{
		{
			Name: "distillation weighed by certainty",
			Match: func(c *golden.Case) bool {
				return c.Has("params.temperature", "inputs.logits_teacher", "outputs.weight")
			},
			Run: func(_ golden.T, c *golden.Case) { distillation(e, c) },
		},
		{
			Name:  "choice of a head",
			Match: func(c *golden.Case) bool { return c.Has("params.heads", "params.passes", "inputs.logits") },
			Run:   choice,
		},
	}
}

// distillation compares the parts of the loss and its gradient.
func distillation(e *engine.Engine, c *golden.Case) {
	p := loss.NewKD()
	p.ByCertainty = true
	c.Params(&p)
	exec := model.MustNewExec(e.Backend, model.NewStore(), func(scope *model.Scope, student, teacher, labels *graph.Node) []*graph.Node {
		in := loss.In{Out: student, Teacher: teacher, Labels: labels}
		weight, divergence, entropy := p.Parts(scope, in)
		total := loss.Mean(p.Apply(scope, in), nil)
		return []*graph.Node{weight, divergence, entropy, total, graph.Gradient(total, student)[0]}
	})
	out := exec.MustCall(papertest.Tensor(c.Tensor("inputs.logits_student")), papertest.Tensor(c.Tensor("inputs.logits_teacher")),
		papertest.Integers(c.Tensor("inputs.labels")))
	for i, name := range []string{"weight", "kl", "ce", "loss", "grad_logits_student"} {
		papertest.Got(c, name, out[i])
	}
}

// choice compares what passes say of heads, and which of two is chosen where they do not agree.
func choice(t golden.T, c *golden.Case) {
	p := struct {
		Heads  []string `json:"heads"`
		Passes int      `json:"passes"`
	}{}
	c.Params(&p)
	logits := c.Tensor("inputs.logits")
	heads, n, classes := logits.Shape[0], logits.Shape[1], logits.Shape[3]
	if heads != len(p.Heads) || logits.Shape[2] != p.Passes {
		t.Fatalf("logits %v of %d heads in %d passes", logits.Shape, len(p.Heads), p.Passes)
	}
	all := make([]adapt.HeadStats, heads*n)
	var probabilities, top, mean, std, score, divergence, picked []float64
	for i := range all {
		from := i * p.Passes * classes
		s := adapt.StatsOfHead(papertest.Narrowed(logits.Data[from:from+p.Passes*classes]), classes)
		all[i] = s
		probabilities = append(probabilities, s.Probabilities...)
		top, mean = append(top, float64(s.Top)), append(mean, s.Mean)
		std, score = append(std, s.Std), append(score, s.Score)
	}
	for i := range n {
		clean, robust := all[i], all[n+i]
		divergence = append(divergence, adapt.HeadDivergence(clean, robust))
		picked = append(picked, float64(adapt.Heads{Delta: 0}.Pick(clean, robust)))
	}

	each := []int{heads, n}
	c.Got("mean_probs", []int{heads, n, classes}, probabilities)
	c.Got("top_class", each, top)
	c.Got("top_mean", each, mean)
	c.Got("top_std", each, std)
	c.Got("score", each, score)
	c.Got("symmetric_kl_clean_robust", []int{n}, divergence)
	c.Got("picked_clean_or_robust", []int{n}, picked)
}
