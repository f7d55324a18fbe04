package norm_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/ops"
)

// array is a flat array of a golden case.
type array struct {
	Shape []int     `json:"shape"`
	Data  []float32 `json:"data"`
}

func (a array) tensor() *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(slices.Clone(a.Data), a.Shape...)
}

// goldenCase is one file of numbers computed independently. Every output it names must be compared.
type goldenCase struct {
	Params                   json.RawMessage
	Inputs, Weights, Outputs map[string]array
	Tolerance                struct{ Abs, Rel float64 }

	t *testing.T
}

func readGolden(t *testing.T, slug, name string, params any) *goldenCase {
	t.Helper()
	data, err := os.ReadFile("../../papers/" + slug + "/testdata/golden/" + slug + "/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	c := &goldenCase{t: t}
	if err := json.Unmarshal(data, c); err != nil {
		t.Fatal(err)
	}
	strict := json.NewDecoder(bytes.NewReader(c.Params))
	strict.DisallowUnknownFields()
	if err := strict.Decode(params); err != nil {
		t.Fatal(err)
	}
	return c
}

// got compares an output and strikes it off.
func (c *goldenCase) got(name string, value *tensors.Tensor) {
	c.t.Helper()
	want, ok := c.Outputs[name]
	if !ok {
		c.t.Errorf("the case has no output %s", name)
		return
	}
	delete(c.Outputs, name)
	values := tensors.MustCopyFlatData[float32](value)
	if !slices.Equal(value.Shape().Dimensions, want.Shape) {
		c.t.Errorf("%s: shape %v, want %v", name, value.Shape().Dimensions, want.Shape)
		return
	}
	for i, w := range want.Data {
		if !(math.Abs(float64(values[i]-w)) <= c.Tolerance.Abs+c.Tolerance.Rel*math.Abs(float64(w))) {
			c.t.Errorf("%s: value %d is %v, want %v", name, i, values[i], w)
		}
	}
}

func (c *goldenCase) done() {
	c.t.Helper()
	for name := range c.Outputs {
		c.t.Errorf("output %s was not compared", name)
	}
}

// forwardBackward is y and the gradients of sum(y w) for x, scale and offset.
func forwardBackward(layer norm.Layer) func(scope *model.Scope, x, w *graph.Node) []*graph.Node {
	return func(scope *model.Scope, x, w *graph.Node) []*graph.Node {
		g := x.Graph()
		scope.Store().SetTraining(g, true)
		y := layer.Apply(scope, x)
		scale, offset := scope.GetVariable("scale").NodeValue(g), scope.GetVariable("offset").NodeValue(g)
		return append([]*graph.Node{y}, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, w)), x, scale, offset)...)
	}
}

func TestGoldenGhost(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, name := range []string{"nhwc_two_steps", "dense_ghost3", "ghost_equals_batch"} {
			t.Run(name, func(t *testing.T) {
				p := struct {
					norm.Ghost
					Steps int `json:"steps"`
				}{Ghost: norm.NewGhost(1)}
				c := readGolden(t, "ghost-batch-norm", name, &p)
				store := model.NewStore()
				root := store.RootScope()
				root.VariableWithValue("scale", c.Weights["gamma"].tensor())
				root.VariableWithValue("offset", c.Weights["beta"].tensor())
				mean := root.VariableWithValue("mean", c.Inputs["running_mean0"].tensor())
				variance := root.VariableWithValue("variance", c.Inputs["running_var0"].tensor())
				exec := model.MustNewExec(e.Backend, store, forwardBackward(p.Ghost))
				var x array
				for step := 1; step <= p.Steps; step++ {
					x = c.Inputs[fmt.Sprintf("x_step%d", step)]
					out := exec.MustCall(x.tensor(), c.Inputs["w"].tensor())
					for i, what := range []string{"y", "grad_x", "grad_gamma", "grad_beta"} {
						c.got(fmt.Sprintf("%s_step%d", what, step), out[i])
					}
					c.got(fmt.Sprintf("running_mean_step%d", step), mean.MustValue())
					c.got(fmt.Sprintf("running_var_step%d", step), variance.MustValue())
				}
				c.got("y_eval", model.MustNewExec(e.Backend, store, p.Ghost.Apply).MustCall(x.tensor())[0])
				c.done()
			})
		}
		t.Run("running_closed_form", func(t *testing.T) {
			var p struct {
				Momentum float64 `json:"momentum"`
				Groups   int     `json:"groups"`
			}
			c := readGolden(t, "ghost-batch-norm", "running_closed_form", &p)
			out := graph.MustNewExec(e.Backend, func(running, stats *graph.Node) *graph.Node {
				return norm.RunningUpdate(p.Momentum, running, stats)
			}).MustCall(c.Inputs["running0"].tensor(), c.Inputs["group_stats"].tensor())
			c.got("running", out[0])
			c.done()
		})
	})
}

func TestGoldenLayerNorm(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, name := range []string{"dense", "tokens", "image_hwc", "constant_row"} {
			t.Run(name, func(t *testing.T) {
				layer := norm.NewLayerNorm()
				c := readGolden(t, "layer-norm", name, &layer)
				store := model.NewStore()
				store.RootScope().VariableWithValue("scale", c.Weights["gain"].tensor())
				store.RootScope().VariableWithValue("offset", c.Weights["bias"].tensor())
				out := model.MustNewExec(e.Backend, store, forwardBackward(layer)).MustCall(c.Inputs["x"].tensor(), c.Inputs["w"].tensor())
				for i, what := range []string{"y", "grad_x", "grad_gain", "grad_bias"} {
					c.got(what, out[i])
				}
				moments := graph.MustNewExec(e.Backend, func(x *graph.Node) (mean, variance *graph.Node) {
					return ops.Moments(x, layer.Axes, nil)
				}).MustCall(c.Inputs["x"].tensor())
				c.got("mean", moments[0])
				c.got("var", moments[1])
				c.done()
			})
		}
	})
}
