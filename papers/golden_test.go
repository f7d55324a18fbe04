package papers

import (
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/ops"
)

// TestGolden runs every case of testdata/golden, or of the folder BALLAST_GOLDEN names, on every engine.
func TestGolden(t *testing.T) {
	golden.Run(t, "testdata/golden", func(t *testing.T, run func(*testing.T, []golden.Kind)) {
		enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
			run(t, slices.Concat(
				batchChannelNormCases(e), batchnormOnlyCases(e), evonormCases(e), ghostBatchNormCases(e), grokkingCases(e), ibnNetCases(e), regionNormCases(e), layerNormCases(e), layerNormRecurrentCases(e), powerNormCases(e), temperatureCases(), unifiedNormCases(e),
				formatCases(), ggufCases(), roundingCases(), onnxCases(e), toolingCases(),
				soupCases(), signatureCases(), positionCases(), mergeCases(),
			))
		})
	})
}

// TestOptions runs the cases of testdata/options: what the cards of normalisation state and no case of testdata/golden shows, such as
// other axes, ranks, masks, counters and missing inputs.
func TestOptions(t *testing.T) {
	t.Setenv(golden.EnvFolder, "")
	golden.Run(t, "testdata/options", func(t *testing.T, run func(*testing.T, []golden.Kind)) {
		enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
			run(t, slices.Concat(
				batchChannelNormCases(e), batchnormOnlyCases(e), evonormCases(e), grokkingCases(e), ibnNetCases(e), layerNormCases(e),
				layerNormRecurrentCases(e), powerNormCases(e), regionNormCases(e), unifiedNormCases(e),
			))
		})
	})
}

// tensor is a golden tensor as the engine takes it, in float32.
func tensor(g golden.Tensor) *tensors.Tensor {
	flat := make([]float32, len(g.Data))
	for i, v := range g.Data {
		flat[i] = float32(v)
	}
	return tensors.FromFlatDataAndDimensions(flat, g.Shape...)
}

// got compares an engine's tensor with an output of the file.
func got(c *golden.Case, name string, t *tensors.Tensor) {
	flat := tensors.MustCopyFlatData[float32](t)
	wide := make([]float64, len(flat))
	for i, v := range flat {
		wide[i] = float64(v)
	}
	c.Got(name, t.Shape().Dimensions, wide)
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

func layerNormCases(e *engine.Engine) []golden.Kind {
	return []golden.Kind{{
		Name: "layer normalisation", Slugs: []string{"layer-norm"},
		Match: func(c *golden.Case) bool { return c.Has("params.axes", "inputs.x", "inputs.w") },
		Run: func(_ golden.T, c *golden.Case) {
			layer := norm.NewLayerNorm()
			layer.NoScale, layer.NoOffset = !c.Has("weights.gain"), !c.Has("weights.bias")
			c.Params(&layer)
			l := newLayerUnderTest(e, layer, map[string]string{"gain": "/scale", "bias": "/offset"}, c)
			x := c.Tensor("inputs.x")
			l.trainOn(tensor(x), tensor(c.Tensor("inputs.w")), nil, "")
			l.infer(tensor(x), nil)
			moments := graph.MustNewExec(e.Backend, func(x *graph.Node) (mean, variance *graph.Node) {
				return ops.Moments(x, layer.Axes, nil)
			}).MustCall(tensor(x))
			got(c, "mean", moments[0])
			got(c, "var", moments[1])
		},
	}}
}

func temperatureCases() []golden.Kind {
	return []golden.Kind{{
		Name: "temperature scaling", Slugs: []string{"temperature-overlap"},
		Match: func(c *golden.Case) bool { return c.Has("params.num_classes", "inputs.logits", "inputs.labels") },
		Run: func(t golden.T, c *golden.Case) {
			p := struct {
				Classes int `json:"num_classes"`
			}{}
			c.Params(&p)
			logits := c.Tensor("inputs.logits")
			var labels []int
			for _, l := range c.Tensor("inputs.labels").Data {
				labels = append(labels, int(l))
			}
			fit, err := calibrate.FitTemperature(calibrate.NewTemperatureScaling(), logits.Data, labels, p.Classes)
			if err != nil {
				t.Fatalf("%v", err)
			}
			c.Scalar("nll_before", fit.NLLBefore)
			c.Scalar("temperature", fit.T)
			c.Scalar("nll_after", fit.NLLAfter)
			c.GotJSON("saturated", fit.Saturated)
			calibrate.Apply(logits.Data, fit.T)
			probabilities, err := metric.Softmax(logits.Data, p.Classes)
			if err != nil {
				t.Fatalf("%v", err)
			}
			c.Got("probs_after", logits.Shape, probabilities)
		},
	}}
}
