package batchchannelnorm

import (
	"testing"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
)

func TestGolden(t *testing.T) { papertest.Golden(t, "batch-channel-norm", kinds) }

func TestOptions(t *testing.T) { papertest.Options(t, "batch-channel-norm", kinds) }

func kinds(e *engine.Engine) []golden.Kind {
	return []golden.Kind{
		{
			Name:  "weight standardisation",
			Match: func(c *golden.Case) bool { return c.Has("params.mode", "weights.kernel", "inputs.x") },
			Run:   func(_ golden.T, c *golden.Case) { goldenStandardization(e, c) },
		},
		{
			Name:  "batch-channel normalisation",
			Match: func(c *golden.Case) bool { return c.Has("params.estimate", "weights.gamma_batch", "inputs.x_step1") },
			Run: func(_ golden.T, c *golden.Case) {
				p := struct {
					norm.BatchChannel
					Steps int `json:"steps"`
				}{BatchChannel: norm.NewBatchChannel()}
				p.Fallback = false // a case says how many groups there are
				c.Params(&p)
				l := papertest.NewLayer(e, p.BatchChannel, map[string]string{
					"gamma_batch": "/batch/scale", "beta_batch": "/batch/offset", "gamma_group": "/group/scale", "beta_group": "/group/offset",
				}, c)
				l.State("running_mean", "/batch/mean", "inputs.running_mean0")
				l.State("running_var", "/batch/variance", "inputs.running_var0")
				l.Steps(c, p.Steps, nil)
			},
		},
	}
}

func goldenStandardization(e *engine.Engine, c *golden.Case) {
	p := struct {
		linear.Standardization
		Stride  int `json:"stride"`
		Padding int `json:"padding"`
		Groups  int `json:"groups"`
	}{Standardization: linear.NewStandardization(), Stride: 1, Groups: 1}
	c.Params(&p)
	conv := ops.Conv{Strides: [2]int{p.Stride, p.Stride}, Padding: [2][2]int{{p.Padding, p.Padding}, {p.Padding, p.Padding}}, Groups: p.Groups}
	out := graph.MustNewExec(e.Backend, func(x, kernel, w *graph.Node) []*graph.Node {
		standardised := p.Apply(kernel)
		var y *graph.Node
		if kernel.Rank() == 2 { // of a dense layer
			y = graph.MatMul(x, standardised)
		} else {
			y = conv.Apply(x, standardised)
		}
		return append([]*graph.Node{standardised, y}, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, w)), kernel, x, standardised)...)
	}).MustCall(papertest.Tensor(c.Tensor("inputs.x")), papertest.Tensor(c.Tensor("weights.kernel")), papertest.Tensor(c.Tensor("inputs.w")))
	for i, name := range []string{"kernel_std", "y", "grad_kernel", "grad_x", "grad_standardized_kernel"} {
		papertest.Got(c, name, out[i])
	}
}
