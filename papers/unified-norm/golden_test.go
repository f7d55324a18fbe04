package unifiednorm

import (
	"fmt"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/convert"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
)

func TestGolden(t *testing.T) { papertest.Golden(t, "unified-norm", kinds) }

func TestOptions(t *testing.T) { papertest.Options(t, "unified-norm", kinds) }

func kinds(e *engine.Engine) []golden.Kind {
	return []golden.Kind{
		{
			Name:  "unified normalisation",
			Match: func(c *golden.Case) bool { return c.Has("params.window_fwd", "inputs.x_step1") },
			Run:   func(t golden.T, c *golden.Case) { goldenUnified(t, e, c) },
		},
		{
			Name: "folding into a dense layer",
			Match: func(c *golden.Case) bool {
				return c.Has("weights.running_var", "weights.next_kernel", "weights.prev_kernel")
			},
			Run: func(t golden.T, c *golden.Case) { goldenFold(t, e, c) },
		},
	}
}

func goldenUnified(t golden.T, e *engine.Engine, c *golden.Case) {
	p := struct {
		norm.Unified
		Layout string `json:"layout"`
		Masked bool   `json:"masked"`
		Steps  int    `json:"steps"`
		First  int32  `json:"iters0"`
	}{Unified: norm.NewUnified(), Masked: c.Has("inputs.pad_mask"), Steps: papertest.Steps(c)}
	c.Params(&p)
	l := papertest.NewLayer(e, p.Unified, map[string]string{"gamma": "/scale", "beta": "/offset"}, c)
	l.State("running_var", "/variance", "inputs.running_var0")
	l.State("ema_gz", "/ema_gz", "inputs.ema_gz0")
	l.State("buffer_x2", "/window", "inputs.buffer_x2_0")
	l.State("buffer_gz", "/gradient_window", "inputs.buffer_gz_0")
	l.State("r", "/ratio", "")
	l.Set("/iterations", tensors.FromScalar(p.First))
	l.After = func(step int) {
		c.Scalar(fmt.Sprintf("skipped_step%d", step), float64(tensors.ToScalar[int32](l.Store.GetVariable("/skipped").MustValue())))
	}
	l.Steps(c, p.Steps, papertest.Padding(t, c, p.Masked, p.Layout))
	c.Scalar("skip_count", float64(norm.SkipCount(l.Store)))
}

// goldenFold folds the affine into the dense layer behind it and into the one before it, and runs both.
func goldenFold(t golden.T, e *engine.Engine, c *golden.Case) {
	layer := norm.NewUnified()
	c.Params(&layer)
	data := func(name string) []float64 {
		if !c.Has("weights." + name) { // a layer without a bias
			return nil
		}
		return c.Tensor("weights." + name).Data
	}
	scale, offset := norm.ScaleOffset(data("gamma"), data("beta"), nil, data("running_var"), layer.Epsilon)
	next, err := convert.FoldIntoNext(scale, offset, data("next_kernel"), data("next_bias"))
	if err != nil {
		t.Fatalf("%v", err)
	}
	previous, err := convert.FoldIntoPrevious(scale, offset, data("prev_kernel"), data("prev_bias"))
	if err != nil {
		t.Fatalf("%v", err)
	}
	for _, f := range []struct {
		dense                  convert.Linear
		x, kernel, bias, y, of string
	}{
		{next, "x", "fused_next_kernel", "fused_next_bias", "y_next", "next_kernel"},
		{previous, "h", "fused_prev_kernel", "fused_prev_bias", "y_prev", "prev_kernel"},
	} {
		shape := c.Tensor("weights." + f.of).Shape
		c.Got(f.kernel, shape, f.dense.Kernel)
		c.Got(f.bias, []int{len(f.dense.Bias)}, f.dense.Bias)
		out := graph.MustNewExec(e.Backend, func(x, kernel, bias *graph.Node) *graph.Node {
			return graph.Add(graph.MatMul(x, kernel), graph.ExpandAxes(bias, 0))
		}).MustCall(papertest.Tensor(c.Tensor("inputs."+f.x)), tensors.FromFlatDataAndDimensions(papertest.Narrowed(f.dense.Kernel), shape...), tensors.FromFlatDataAndDimensions(papertest.Narrowed(f.dense.Bias), len(f.dense.Bias)))
		papertest.Got(c, f.y, out[0])
	}
}
