package layernorm

import (
	"testing"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
)

func TestGolden(t *testing.T) { papertest.Golden(t, "layer-norm", kinds, recurrentKinds) }

func TestOptions(t *testing.T) { papertest.Options(t, "layer-norm", kinds, recurrentKinds) }

func kinds(e *engine.Engine) []golden.Kind {
	return []golden.Kind{{
		Name:  "layer normalisation",
		Match: func(c *golden.Case) bool { return c.Has("params.axes", "inputs.x", "inputs.w") },
		Run: func(_ golden.T, c *golden.Case) {
			layer := norm.NewLayerNorm()
			layer.NoScale, layer.NoOffset = !c.Has("weights.gain"), !c.Has("weights.bias")
			c.Params(&layer)
			l := papertest.NewLayer(e, layer, map[string]string{"gain": "/scale", "bias": "/offset"}, c)
			x := c.Tensor("inputs.x")
			l.TrainOn(papertest.Tensor(x), papertest.Tensor(c.Tensor("inputs.w")), nil, "")
			l.Infer(papertest.Tensor(x), nil)
			moments := graph.MustNewExec(e.Backend, func(x *graph.Node) (mean, variance *graph.Node) {
				return ops.Moments(x, layer.Axes, nil)
			}).MustCall(papertest.Tensor(x))
			papertest.Got(c, "mean", moments[0])
			papertest.Got(c, "var", moments[1])
		},
	}}
}
