package papers

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/ops"
)

func powerNormCases(e *engine.Engine) []golden.Kind {
	slugs := []string{"power-norm"}
	weights := map[string]string{"gamma": "/scale", "beta": "/offset"}
	return []golden.Kind{
		{
			Name: "group scaling", Slugs: slugs,
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
				}).MustCall(tensor(c.Tensor("inputs.x")), tensor(c.Tensor("inputs.w")))
				got(c, "y", out[0])
				got(c, "grad_x", out[1])
			},
		},
		{
			Name: "PN-V", Slugs: slugs,
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
				l := newLayerUnderTest(e, layer, weights, c)
				l.trainOn(tensor(c.Tensor("inputs.x")), tensor(c.Tensor("inputs.w")), paddingOf(t, c, p.Masked, p.Layout), "")
				// The running value has moved from 1 by the share of the new one.
				flat := tensors.MustCopyFlatData[float32](l.store.GetVariable("/variance").MustValue())
				psi2 := make([]float64, len(flat))
				for i, v := range flat {
					psi2[i] = (float64(v) - layer.AlphaForward) / (1 - layer.AlphaForward)
				}
				c.Got("psi2", []int{len(psi2)}, psi2)
			},
		},
		{
			Name: "PN of the paper", Slugs: slugs,
			Match: func(c *golden.Case) bool { return c.Has("params.variant", "params.alpha", "inputs.x_step1") },
			Run: func(t golden.T, c *golden.Case) {
				p := struct {
					Alpha   float64 `json:"alpha"`
					Epsilon float64 `json:"eps"`
					Variant string  `json:"variant"`
					Layout  string  `json:"layout"`
					Masked  bool    `json:"masked"`
					Steps   int     `json:"steps"`
				}{Epsilon: 1e-5, Masked: c.Has("inputs.pad_mask"), Steps: stepsOf(c)}
				c.Params(&p)
				layer := norm.NewPower("paper")
				layer.AlphaForward, layer.Epsilon = p.Alpha, p.Epsilon
				l := newLayerUnderTest(e, layer, weights, c)
				l.state("psi2", "/variance", "inputs.psi2_0")
				l.state("nu", "/ema_gz", "inputs.nu_0")
				l.steps(c, p.Steps, paddingOf(t, c, p.Masked, p.Layout))
			},
		},
		{
			Name: "PN as released", Slugs: slugs,
			Match: func(c *golden.Case) bool { return c.Has("params.warmup_iters", "params.alpha_fwd", "inputs.x_step1") },
			Run: func(t golden.T, c *golden.Case) {
				p := struct {
					norm.Power
					Layout string `json:"layout"`
					Masked bool   `json:"masked"`
					Steps  int    `json:"steps"`
					First  int32  `json:"iters0"`
				}{Power: norm.NewPower("running"), Masked: c.Has("inputs.pad_mask"), Steps: stepsOf(c)}
				c.Params(&p)
				l := newLayerUnderTest(e, p.Power, weights, c)
				l.state("running_phi", "/variance", "inputs.running_phi0")
				l.state("ema_gz", "/ema_gz", "inputs.ema_gz0")
				l.set("/iterations", tensors.FromScalar(p.First))
				l.steps(c, p.Steps, paddingOf(t, c, p.Masked, p.Layout))
			},
		},
	}
}

// stepsOf counts the inputs x_step1, x_step2, ...
func stepsOf(c *golden.Case) int {
	n := 0
	for c.Has("inputs.x_step" + itoa(n+1)) {
		n++
	}
	return n
}

// paddingOf is the padding mask of a case, [batch, positions...] in the file, in the layout of its x: [T,B,C] has the axes the other way
// round.
func paddingOf(t golden.T, c *golden.Case, masked bool, layout string) *tensors.Tensor {
	if masked != c.Has("inputs.pad_mask") {
		t.Fatalf("masked is %v, but pad_mask says otherwise", masked)
	}
	if !masked {
		return nil
	}
	mask := c.Tensor("inputs.pad_mask")
	flat := make([]bool, len(mask.Data))
	for i, v := range mask.Data {
		flat[i] = v != 0
	}
	if layout == "[T,B,C]" && len(mask.Shape) == 2 {
		batch, steps := mask.Shape[0], mask.Shape[1]
		for i, v := range mask.Data {
			flat[i%steps*batch+i/steps] = v != 0
		}
		return tensors.FromFlatDataAndDimensions(flat, steps, batch)
	}
	return tensors.FromFlatDataAndDimensions(flat, mask.Shape...)
}
