package mergedare

import (
	"math"
	"testing"

	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/merge"
	"github.com/ballast-ml/ballast/papers/paper/mergetest"
)

func TestGolden(t *testing.T) { golden.Run(t, "merge-dare", kinds()...) }

// kinds tests methods of merging on single tensors.
func kinds() []golden.Kind {
	return []golden.Kind{
		{Name: "dare", Match: func(c *golden.Case) bool { return c.Has("inputs.keep_mask") }, Run: goldenDARE},
		{Name: "della", Match: func(c *golden.Case) bool { return c.Has("params.epsilon") }, Run: goldenDELLA},
	}
}

func goldenDARE(t golden.T, c *golden.Case) {
	p := mergetest.Sparse{Lambda: 1}
	c.Params(&p)
	target, models := mergetest.Stacked(c, "inputs.tensors")
	base := mergetest.Narrowed(c.Tensor("inputs.base").Data)
	_, masks := mergetest.Stacked(c, "inputs.keep_mask")
	var uniform [][]float32
	if c.Has("inputs.uniform") {
		_, uniform = mergetest.Stacked(c, "inputs.uniform")
	}
	for i := range uniform {
		for j, keep := range masks[i] {
			if (uniform[i][j] < float32(p.Density[i])) != (keep != 0) {
				t.Errorf("mask %d, %d is not that of the draws", i, j)
			}
		}
	}
	m := merge.NewDARE()
	m.Weight, m.Density, m.Normalize, m.Lambda, m.Elect = p.Weight, p.Density, p.Normalize != 0, p.Lambda, p.Elect != 0
	m.Keep = func(model, at int, x []float32) {
		for i := range x {
			if masks[model][at+i] == 0 {
				x[i] = 0
			}
		}
	}
	for output, rescale := range map[string]merge.Rescale{
		"merged_no_rescale": merge.RescaleNone, "merged_inverse_density": merge.RescaleInverseDensity, "merged_l1_rescale": merge.RescaleL1,
	} {
		m.Rescale = rescale
		mergetest.Got(t, c, output, m, target, base, models)
	}
	m.Rescale = merge.RescaleL1
	scales, err := m.Scales(target, base, models)
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Got("l1_scale", []int{len(scales)}, scales)
}

func goldenDELLA(t golden.T, c *golden.Case) {
	p := struct {
		Density float64 `json:"density"`
		Epsilon float64 `json:"epsilon"`
	}{}
	c.Params(&p)
	delta := c.Tensor("inputs.delta")
	target := merge.Target{Name: "w", Shape: delta.Shape}
	values := mergetest.Narrowed(delta.Data)
	out := make([]float32, len(values))
	for at := 0; at < len(values); at += target.Row() {
		merge.DELLA{}.KeepProbabilities(out[at:at+target.Row()], values[at:at+target.Row()], p.Density, p.Epsilon)
	}
	for _, v := range out {
		if math.IsNaN(float64(v)) {
			t.Errorf("a chance is NaN")
		}
	}
	c.Got("keep_probability", delta.Shape, mergetest.Widened(out))
}
