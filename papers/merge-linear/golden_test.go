package mergelinear

import (
	"strconv"
	"testing"

	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/merge"
	"github.com/ballast-ml/ballast/merge/checkpoint"
	"github.com/ballast-ml/ballast/papers/paper/mergetest"
)

func TestGolden(t *testing.T) { golden.Run(t, "merge-linear", kinds()...) }

// kinds tests methods of merging on single tensors.
func kinds() []golden.Kind {
	return []golden.Kind{
		{Name: "gradients of parameters", Match: func(c *golden.Case) bool { return c.Has("inputs.list_id") }, Run: goldenLayerGradients},
		{Name: "task arithmetic", Match: func(c *golden.Case) bool { return c.Has("inputs.base", "params.lambda") }, Run: goldenTaskArithmetic},
		{Name: "linear", Match: func(c *golden.Case) bool { return c.Has("inputs.tensors", "inputs.weight", "params.normalize") }, Run: goldenLinear},
	}
}

func goldenLayerGradients(_ golden.T, c *golden.Case) {
	c.Params(&struct{}{})
	lists := map[float64]checkpoint.Gradient{}
	of, layers, layer := c.Tensor("inputs.list_id"), c.Tensor("inputs.num_layers"), c.Tensor("inputs.layer")
	out := make([]float64, len(of.Data))
	for i, id := range of.Data {
		if lists[id] == nil {
			lists[id] = checkpoint.Gradient(c.Tensor("inputs.list" + strconv.Itoa(int(id))).Data)
		}
		out[i] = lists[id].At(checkpoint.LayerPosition(int(layer.Data[i]), int(layers.Data[i])))
	}
	c.Got("value", of.Shape, out)
}

func goldenTaskArithmetic(t golden.T, c *golden.Case) {
	m := merge.NewTaskArithmetic()
	c.Params(&m)
	m.Weight = c.Tensor("inputs.weight").Data
	target, models := mergetest.Stacked(c, "inputs.tensors")
	base := mergetest.Narrowed(c.Tensor("inputs.base").Data)
	for _, normalize := range []bool{false, true} {
		m.Normalize = normalize
		mergetest.Got(t, c, map[bool]string{false: "merged", true: "merged_normalized"}[normalize], m, target, base, models)
	}
}

func goldenLinear(t golden.T, c *golden.Case) {
	p := struct {
		Normalize int `json:"normalize"`
	}{}
	c.Params(&p)
	target, models := mergetest.Stacked(c, "inputs.tensors")
	mergetest.Got(t, c, "merged", merge.Linear{Weight: c.Tensor("inputs.weight").Data, Normalize: p.Normalize != 0}, target, nil, models)
}
