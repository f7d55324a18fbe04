package powernorm

import (
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
)

func TestGolden(t *testing.T) { papertest.Golden(t, "power-norm", kinds) }

func TestOptions(t *testing.T) { papertest.Options(t, "power-norm", kinds) }

func kinds(e *engine.Engine) []golden.Kind {
	weights := map[string]string{"gamma": "/scale", "beta": "/offset"}
	return []golden.Kind{
		{
			Name:  "group scaling",
			Match: func(c *golden.Case) bool { return c.Has("params.groups", "inputs.x") && !c.Has("weights.gamma") },
			Run: func(_ golden.T, c *golden.Case) {
				p := struct {
					Epsilon float64 `json:"eps"`
					Groups  int     `json:"groups"`
					Layout  string  `json:"layout"`
				}{}
				c.Params(&p)
				out := graph.MustNewExec(e.Backend, func(x, w *graph.Node) []*graph.Node {
					d := x.Shape().Dimensions
					blocks := append(append([]int{}, d[:len(d)-1]...), p.Groups, d[len(d)-1]/p.Groups)
					y := graph.Reshape(ops.NormalizeRMS(graph.Reshape(x, blocks...), nil, []int{-1}, p.Epsilon), d...)
					return append([]*graph.Node{y}, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, w)), x)...)
				}).MustCall(papertest.Tensor(c.Tensor("inputs.x")), papertest.Tensor(c.Tensor("inputs.w")))
				papertest.Got(c, "y", out[0])
				papertest.Got(c, "grad_x", out[1])
			},
		},
		{
			Name:  "PN-V",
			Match: func(c *golden.Case) bool { return c.Has("params.variant", "inputs.x", "weights.gamma") },
			Run: func(t golden.T, c *golden.Case) {
				p := struct {
					Epsilon float64 `json:"eps"`
					Variant string  `json:"variant"`
					Layout  string  `json:"layout"`
					Masked  bool    `json:"masked"`
				}{Epsilon: 1e-5, Masked: c.Has("inputs.pad_mask")}
				c.Params(&p)
				layer := norm.NewPower("v")
				layer.Epsilon = p.Epsilon
				l := papertest.NewLayer(e, layer, weights, c)
				l.TrainOn(papertest.Tensor(c.Tensor("inputs.x")), papertest.Tensor(c.Tensor("inputs.w")), papertest.Padding(t, c, p.Masked, p.Layout), "")
				// The running value has moved from 1 by the share of the new one.
				flat := tensors.MustCopyFlatData[float32](l.Store.GetVariable("/variance").MustValue())
				psi2 := make([]float64, len(flat))
				for i, v := range flat {
					psi2[i] = (float64(v) - layer.AlphaForward) / (1 - layer.AlphaForward)
				}
				c.Got("psi2", []int{len(psi2)}, psi2)
			},
		},
		{
			Name:  "PN of the paper",
			Match: func(c *golden.Case) bool { return c.Has("params.variant", "params.alpha", "inputs.x_step1") },
			Run: func(t golden.T, c *golden.Case) {
				p := struct {
					Alpha   float64 `json:"alpha"`
					Epsilon float64 `json:"eps"`
					Variant string  `json:"variant"`
					Layout  string  `json:"layout"`
					Masked  bool    `json:"masked"`
					Steps   int     `json:"steps"`
				}{Epsilon: 1e-5, Masked: c.Has("inputs.pad_mask"), Steps: papertest.Steps(c)}
				c.Params(&p)
				layer := norm.NewPower("paper")
				layer.AlphaForward, layer.Epsilon = p.Alpha, p.Epsilon
				l := papertest.NewLayer(e, layer, weights, c)
				l.State("psi2", "/variance", "inputs.psi2_0")
				l.State("nu", "/ema_gz", "inputs.nu_0")
				l.Steps(c, p.Steps, papertest.Padding(t, c, p.Masked, p.Layout))
			},
		},
		{
			Name:  "PN as released",
			Match: func(c *golden.Case) bool { return c.Has("params.warmup_iters", "params.alpha_fwd", "inputs.x_step1") },
			Run: func(t golden.T, c *golden.Case) {
				p := struct {
					norm.Power
					Layout string `json:"layout"`
					Masked bool   `json:"masked"`
					Steps  int    `json:"steps"`
					First  int32  `json:"iters0"`
				}{Power: norm.NewPower("running"), Masked: c.Has("inputs.pad_mask"), Steps: papertest.Steps(c)}
				c.Params(&p)
				l := papertest.NewLayer(e, p.Power, weights, c)
				l.State("running_phi", "/variance", "inputs.running_phi0")
				l.State("ema_gz", "/ema_gz", "inputs.ema_gz0")
				l.Set("/iterations", tensors.FromScalar(p.First))
				l.Steps(c, p.Steps, papertest.Padding(t, c, p.Masked, p.Layout))
			},
		},
	}
}
