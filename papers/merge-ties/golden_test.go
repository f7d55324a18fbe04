package mergeties

import (
	"testing"

	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/merge"
	"github.com/ballast-ml/ballast/papers/paper/mergetest"
)

func TestGolden(t *testing.T) { golden.Run(t, "merge-ties", kinds()...) }

// kinds tests methods of merging on single tensors.
func kinds() []golden.Kind {
	return []golden.Kind{
		{Name: "ties", Match: func(c *golden.Case) bool { return c.Has("params.density", "params.weight") }, Run: goldenTIES},
		{Name: "breadcrumbs", Match: func(c *golden.Case) bool { return c.Has("params.gamma") }, Run: goldenBreadcrumbs},
		{Name: "model stock", Match: func(c *golden.Case) bool { return !c.Has("params.density") && c.Has("inputs.base", "inputs.tensors") }, Run: goldenModelStock},
	}
}

func goldenTIES(t golden.T, c *golden.Case) {
	p := mergetest.Sparse{Lambda: 1}
	c.Params(&p)
	target, models := mergetest.Stacked(c, "inputs.tensors")
	base := mergetest.Narrowed(c.Tensor("inputs.base").Data)
	m := merge.TIES{Weight: p.Weight, Density: p.Density, Normalize: p.Normalize != 0, Lambda: p.Lambda}
	mergetest.Got(t, c, "merged", m, target, base, models)
	kept, agree, err := m.Masks(target, base, models)
	if err != nil {
		t.Fatalf("%v", err)
	}
	shape := append([]int{len(models)}, target.Shape...)
	c.Got("kept_mask", shape, flags(kept))
	c.Got("agree_mask", shape, flags(agree))
	delta, counts := merge.ResearchTIES(base, models, p.Density[0])
	c.Got("paper_merged_task_vector", target.Shape, mergetest.Widened(delta))
	var wide []float64
	for _, n := range counts {
		wide = append(wide, float64(n))
	}
	c.Got("paper_kept_count", []int{len(wide)}, wide)
}

// flags are 0 and 1 in a row.
func flags(lists [][]bool) (out []float64) {
	for _, list := range lists {
		for _, v := range list {
			out = append(out, map[bool]float64{true: 1}[v])
		}
	}
	return out
}

func goldenBreadcrumbs(t golden.T, c *golden.Case) {
	p := struct {
		Density float64 `json:"density"`
		Gamma   float64 `json:"gamma"`
	}{}
	c.Params(&p)
	delta := c.Tensor("inputs.delta")
	m := merge.NewBreadcrumbs()
	m.Weight, m.Density, m.Gamma = []float64{1}, []float64{p.Density}, []float64{p.Gamma}
	out := mergetest.Narrowed(delta.Data)
	if err := m.Trim(merge.Target{Name: "w", Shape: delta.Shape}, out); err != nil {
		t.Fatalf("%v", err)
	}
	c.Got("trimmed", delta.Shape, mergetest.Widened(out))
}

func goldenModelStock(t golden.T, c *golden.Case) {
	m := merge.NewModelStock()
	c.Params(&m)
	target, models := mergetest.Stacked(c, "inputs.tensors")
	base := mergetest.Narrowed(c.Tensor("inputs.base").Data)
	mergetest.Got(t, c, "merged", m, target, base, models)
	cosine, ratio := m.Cosine(base, models)
	c.Scalar("cos_theta", cosine)
	c.Scalar("t", ratio)
}
