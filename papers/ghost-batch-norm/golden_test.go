package ghostbatchnorm

import (
	"fmt"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
	"github.com/ballast-ml/ballast/train"
)

func TestGolden(t *testing.T) { papertest.Golden(t, "ghost-batch-norm", kinds) }

// kinds tests the layer, its running update, the learning rate and regime, the gradient noise and the fit of the
// distance.
func kinds(e *engine.Engine) []golden.Kind {
	return []golden.Kind{
		{Name: "layer", Match: func(c *golden.Case) bool { return c.Has("params.ghost_size", "inputs.x_step1") }, Run: func(_ golden.T, c *golden.Case) { goldenGhost(e, c) }},
		{Name: "running update", Match: func(c *golden.Case) bool { return c.Has("inputs.running0", "inputs.group_stats") }, Run: func(t golden.T, c *golden.Case) {
			p := struct {
				Momentum float64 `json:"momentum"`
				Groups   int     `json:"groups"`
			}{}
			c.Params(&p)
			stats := c.Tensor("inputs.group_stats")
			if stats.Shape[0] != p.Groups {
				t.Fatalf("%d groups, the parameters say %d", stats.Shape[0], p.Groups)
			}
			out := graph.MustNewExec(e.Backend, func(running, stats *graph.Node) *graph.Node {
				return norm.RunningUpdate(p.Momentum, running, stats)
			}).MustCall(papertest.Tensor(c.Tensor("inputs.running0")), papertest.Tensor(stats))
			papertest.Got(c, "running", out[0])
		}},
		{Name: "regime", Match: func(c *golden.Case) bool { return c.Has("params.regime") }, Run: goldenRegime},
		{Name: "gradient noise", Match: func(c *golden.Case) bool { return c.Has("inputs.standard_normal", "inputs.per_sample_grads") }, Run: func(t golden.T, c *golden.Case) { goldenNoise(t, e, c) }},
		{Name: "distance fit", Match: func(c *golden.Case) bool { return c.Has("inputs.t", "inputs.distance") }, Run: func(t golden.T, c *golden.Case) {
			p := struct {
				Data string `json:"data"`
			}{}
			c.Params(&p)
			f, err := optim.FitDistance(c.Tensor("inputs.t").Data, c.Tensor("inputs.distance").Data)
			if err != nil {
				t.Fatalf("%v", err)
			}
			for name, v := range map[string]float64{
				"log_slope": f.LogSlope, "log_intercept": f.LogIntercept, "log_r2": f.LogR2, "sqrt_slope": f.SqrtSlope,
				"sqrt_intercept": f.SqrtIntercept, "sqrt_r2": f.SqrtR2, "power_exponent": f.PowerExponent,
			} {
				c.Scalar(name, v)
			}
		}},
	}
}

func goldenGhost(e *engine.Engine, c *golden.Case) {
	p := struct {
		norm.Ghost
		Steps int `json:"steps"`
	}{Ghost: norm.NewGhost(1)}
	c.Params(&p)
	store := model.NewStore()
	root := store.RootScope()
	root.VariableWithValue("scale", papertest.Tensor(c.Tensor("weights.gamma")))
	root.VariableWithValue("offset", papertest.Tensor(c.Tensor("weights.beta")))
	mean := root.VariableWithValue("mean", papertest.Tensor(c.Tensor("inputs.running_mean0")))
	variance := root.VariableWithValue("variance", papertest.Tensor(c.Tensor("inputs.running_var0")))
	exec := model.MustNewExec(e.Backend, store, trained(p.Ghost))
	var x golden.Tensor
	for step := 1; step <= p.Steps; step++ {
		x = c.Tensor(fmt.Sprintf("inputs.x_step%d", step))
		out := exec.MustCall(papertest.Tensor(x), papertest.Tensor(c.Tensor("inputs.w")))
		for i, what := range []string{"y", "grad_x", "grad_gamma", "grad_beta"} {
			papertest.Got(c, fmt.Sprintf("%s_step%d", what, step), out[i])
		}
		papertest.Got(c, fmt.Sprintf("running_mean_step%d", step), mean.MustValue())
		papertest.Got(c, fmt.Sprintf("running_var_step%d", step), variance.MustValue())
	}
	papertest.Got(c, "y_eval", model.MustNewExec(e.Backend, store, p.Ghost.Apply).MustCall(papertest.Tensor(x))[0])
}

func goldenRegime(t golden.T, c *golden.Case) {
	p := struct {
		Large  int          `json:"large_batch"`
		Small  int          `json:"small_batch"`
		Epochs int          `json:"epochs"`
		Regime [][2]float64 `json:"regime"`
	}{}
	c.Params(&p)
	scale, err := optim.ScaleLR(1, p.Large, p.Small, optim.ScaleSqrt)
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Scalar("lr_scale", scale)
	var scaled []optim.Drop
	for _, drop := range p.Regime {
		lr, err := optim.ScaleLR(drop[1], p.Large, p.Small, optim.ScaleSqrt)
		if err != nil {
			t.Fatalf("%v", err)
		}
		scaled = append(scaled, optim.Drop{Epoch: int(drop[0]), LR: lr})
	}
	table := func(drops []optim.Drop) ([]int, []float64) {
		var flat []float64
		for _, d := range drops {
			flat = append(flat, float64(d.Epoch), d.LR)
		}
		return []int{len(drops), 2}, flat
	}
	shape, flat := table(scaled)
	c.Got("lr_only_regime", shape, flat)
	factor, err := optim.EpochFactor(p.Large, p.Small)
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Scalar("epoch_factor", float64(factor))
	adapted, epochs, err := optim.AdaptRegime(scaled, p.Epochs, p.Large, p.Small)
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Scalar("adapted_epochs", float64(epochs))
	shape, flat = table(adapted)
	c.Got("adapted_regime", shape, flat)
}

// goldenNoise weights the losses <w, g_n>, whose gradients in w are the g_n, through the very mean the trainer takes.
func goldenNoise(t golden.T, e *engine.Engine, c *golden.Case) {
	p := struct {
		Batch  int     `json:"batch"`
		Small  int     `json:"small_batch"`
		Sigma2 float64 `json:"sigma2"`
	}{}
	c.Params(&p)
	draws := c.Tensor("inputs.standard_normal").Data
	if len(draws) != p.Batch {
		t.Fatalf("%d draws for a batch of %d", len(draws), p.Batch)
	}
	grads := c.Tensor("inputs.per_sample_grads")
	for name, sigma2 := range map[string]float64{"noisy_grad": p.Sigma2, "plain_grad": 0} {
		z, err := train.GradNoiseWeights(draws, sigma2)
		if err != nil {
			t.Fatalf("%v", err)
		}
		if name == "noisy_grad" {
			c.Got("z", []int{len(z)}, z)
		}
		out := graph.MustNewExec(e.Backend, func(g, z *graph.Node) *graph.Node {
			w := graph.Zeros(g.Graph(), g.Shape())
			w = graph.ReduceSum(w, 0)
			perExample := graph.ReduceSum(graph.Mul(g, graph.BroadcastToDims(graph.ExpandAxes(w, 0), g.Shape().Dimensions...)), -1)
			return graph.Gradient(loss.Mean(perExample, z), w)[0]
		}).MustCall(papertest.Tensor(grads), tensors.FromFlatDataAndDimensions(papertest.Narrowed(z), len(z)))
		papertest.Got(c, name, out[0])
	}
}

// trained is y and the gradients of sum(y w) for x, scale and offset, in training.
func trained(layer norm.Layer) func(scope *model.Scope, x, w *graph.Node) []*graph.Node {
	return func(scope *model.Scope, x, w *graph.Node) []*graph.Node {
		g := x.Graph()
		scope.Store().SetTraining(g, true)
		y := layer.Apply(scope, x)
		scale, offset := scope.GetVariable("scale").NodeValue(g), scope.GetVariable("offset").NodeValue(g)
		return append([]*graph.Node{y}, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, w)), x, scale, offset)...)
	}
}
