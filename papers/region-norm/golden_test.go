package regionnorm

import (
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
)

func TestGolden(t *testing.T) { papertest.Golden(t, "region-norm", kinds) }

func TestOptions(t *testing.T) { papertest.Options(t, "region-norm", kinds) }

func kinds(e *engine.Engine) []golden.Kind {
	return []golden.Kind{
		{
			Name: "core",
			Match: func(c *golden.Case) bool {
				return c.Has("inputs.x", "inputs.mask", "inputs.w") && !c.Has("weights.foreground_gamma")
			},
			Run: func(_ golden.T, c *golden.Case) { goldenRegion(e, c) },
		},
		{
			Name:  "RN-B",
			Match: func(c *golden.Case) bool { return c.Has("inputs.mask", "weights.foreground_gamma") },
			Run:   func(t golden.T, c *golden.Case) { goldenRegionBasic(t, e, c) },
		},
		{
			Name:  "RN-L",
			Match: func(c *golden.Case) bool { return c.Has("params.threshold", "params.kernel", "weights.conv1.weight") },
			Run:   func(t golden.T, c *golden.Case) { goldenRegionLearned(t, e, c) },
		},
		{
			Name:  "shift of the statistics",
			Match: func(c *golden.Case) bool { return c.Has("params.fill", "inputs.mask") },
			Run: func(t golden.T, c *golden.Case) {
				p := struct {
					Fill float64 `json:"fill"`
				}{}
				c.Params(&p)
				x, mask := c.Tensor("inputs.x"), c.Tensor("inputs.mask")
				shape := []int{x.Shape[0], x.Shape[3]}
				s, err := metric.HoleShift(x.Data, mask.Data, x.Shape[0], x.Shape[3], p.Fill)
				if err != nil {
					t.Fatalf("%v", err)
				}
				for name, values := range map[string][]float64{
					"mean_valid": s.MeanValid, "var_valid": s.VarValid, "mean_full": s.MeanFull, "var_full": s.VarFull, "mean_shift": s.MeanShift, "var_shift": s.VarShift,
				} {
					c.Got(name, shape, values)
				}
			},
		},
		{
			Name:  "losses",
			Match: func(c *golden.Case) bool { return c.Has("inputs.gt", "inputs.prediction", "inputs.d_fake") },
			Run: func(_ golden.T, c *golden.Case) {
				l := loss.NewInpainting()
				c.Params(&l)
				out := graph.MustNewExec(e.Backend, func(truth, prediction, mask, fake, real *graph.Node) []*graph.Node {
					l1 := l.Reconstruction(prediction, truth, mask)
					return []*graph.Node{
						l.Merged(prediction, truth, mask), l1, l.Adversarial(fake), l.Generator(prediction, truth, mask, fake), l.Discriminator(real, fake),
						graph.Gradient(l1, prediction)[0],
					}
				}).MustCall(papertest.Tensor(c.Tensor("inputs.gt")), papertest.Tensor(c.Tensor("inputs.prediction")), papertest.Tensor(c.Tensor("inputs.mask")), papertest.Tensor(c.Tensor("inputs.d_fake")), papertest.Tensor(c.Tensor("inputs.d_real")))
				for i, name := range []string{"merged", "l1", "g_gan", "g_total", "d_loss", "grad_prediction_of_l1"} {
					papertest.Got(c, name, out[i])
				}
			},
		},
	}
}

// regionStyle reads "batch, official eps", "instance" and the like.
func regionStyle(style string, epsilon float64) norm.Region {
	r := norm.NewRegion()
	r.Epsilon = epsilon
	name, option, _ := strings.Cut(style, ", ")
	if name != "" {
		r.Style = name
	}
	r.OfficialEpsilon = option == "official eps"
	return r
}

func goldenRegion(e *engine.Engine, c *golden.Case) {
	p := struct {
		Epsilon float64 `json:"eps"`
	}{}
	c.Params(&p)
	for _, style := range []string{"batch", "batch, official eps", "instance", "instance, official eps"} {
		r := regionStyle(style, p.Epsilon)
		out := graph.MustNewExec(e.Backend, func(x, mask, w *graph.Node) []*graph.Node {
			y := r.Normalize(x, mask)
			return append([]*graph.Node{y}, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, w)), x)...)
		}).MustCall(papertest.Tensor(c.Tensor("inputs.x")), papertest.Tensor(c.Tensor("inputs.mask")), papertest.Tensor(c.Tensor("inputs.w")))
		suffix := strings.ReplaceAll(strings.ReplaceAll(style, ", ", "_"), " ", "_")
		papertest.Got(c, "y_"+suffix, out[0])
		papertest.Got(c, "grad_x_"+suffix, out[1])
	}
}

func goldenRegionBasic(_ golden.T, e *engine.Engine, c *golden.Case) {
	p := struct {
		Epsilon float64 `json:"eps"`
		Style   string  `json:"style"`
	}{}
	c.Params(&p)
	for suffix, official := range map[string]bool{"official": true, "region_beta": false} {
		layer := norm.RegionBasic{Region: regionStyle(p.Style, p.Epsilon), OfficialOffset: official}
		store := model.NewStore()
		names := []string{"foreground_gamma", "foreground_beta", "background_gamma", "background_beta"}
		paths := []string{"/inside_scale", "/inside_offset", "/outside_scale", "/outside_offset"}
		for i, name := range names {
			papertest.Create(store, paths[i], papertest.Tensor(c.Tensor("weights."+name)))
		}
		out := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x, mask, w *graph.Node) []*graph.Node {
			y := layer.ApplyHole(scope, x, mask)
			wanted := []*graph.Node{x}
			for _, path := range paths {
				wanted = append(wanted, store.GetVariable(path).NodeValue(x.Graph()))
			}
			hole := graph.ConvertDType(layer.Hole(x, mask), dtypes.Float32)
			return append([]*graph.Node{y, hole}, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, w)), wanted...)...)
		}).MustCall(papertest.Tensor(c.Tensor("inputs.x")), papertest.Tensor(c.Tensor("inputs.mask")), papertest.Tensor(c.Tensor("inputs.w")))
		papertest.Got(c, "y_"+suffix, out[0])
		papertest.Got(c, "mask_resized", out[1])
		papertest.Got(c, "grad_x_"+suffix, out[2])
		if official {
			for i, name := range names {
				papertest.Got(c, "grad_"+name, out[3+i])
			}
		}
	}
}

func goldenRegionLearned(_ golden.T, e *engine.Engine, c *golden.Case) {
	p := struct {
		Threshold float64 `json:"threshold"`
		Kernel    int     `json:"kernel"`
		Epsilon   float64 `json:"eps"`
		Style     string  `json:"style"`
	}{}
	c.Params(&p)
	layer := norm.RegionLearned{Region: regionStyle(p.Style, p.Epsilon), Kernel: p.Kernel, Threshold: p.Threshold}
	store := model.NewStore()
	names := []string{"conv1.weight", "gamma_conv.weight", "gamma_conv.bias", "beta_conv.weight", "beta_conv.bias"}
	paths := []string{"/importance/kernel", "/scale/kernel", "/scale/bias", "/offset/kernel", "/offset/bias"}
	for i, name := range names {
		papertest.Create(store, paths[i], papertest.Tensor(c.Tensor("weights."+name)))
	}
	out := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x, w *graph.Node) []*graph.Node {
		y := layer.Apply(scope, x)
		wanted := []*graph.Node{x}
		for _, path := range paths {
			wanted = append(wanted, store.GetVariable(path).NodeValue(x.Graph()))
		}
		return append([]*graph.Node{y}, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, w)), wanted...)...)
	}).MustCall(papertest.Tensor(c.Tensor("inputs.x")), papertest.Tensor(c.Tensor("inputs.w")))
	papertest.Got(c, "y", out[0])
	papertest.Got(c, "grad_x", out[1])
	for i, name := range names {
		papertest.Got(c, "grad_"+name, out[2+i])
	}
	maps := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x *graph.Node) []*graph.Node {
		importance, region, scale, offset := layer.Maps(scope, x)
		return []*graph.Node{importance, graph.ConvertDType(region, dtypes.Float32), scale, offset}
	}).MustCall(papertest.Tensor(c.Tensor("inputs.x")))
	for i, name := range []string{"importance", "mask", "gamma_map", "beta_map"} {
		papertest.Got(c, name, maps[i])
	}
}
