package mergeslerp

import (
	"testing"

	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/merge"
	"github.com/ballast-ml/ballast/papers/paper/mergetest"
)

func TestGolden(t *testing.T) { golden.Run(t, "merge-slerp", kinds()...) }

// kinds tests methods of merging on single tensors.
func kinds() []golden.Kind {
	return []golden.Kind{
		{Name: "slerp", Match: func(c *golden.Case) bool { return c.Has("params.dot_threshold") }, Run: goldenSLERP},
		{Name: "nuslerp", Match: func(c *golden.Case) bool { return c.Has("params.use_base") }, Run: goldenNuSLERP},
		{Name: "multislerp and karcher", Match: func(c *golden.Case) bool { return c.Has("params.karcher_iterations") }, Run: goldenSphericalMeans},
	}
}

func goldenSLERP(t golden.T, c *golden.Case) {
	m := merge.NewSLERP()
	c.Params(&m)
	v0, v1 := c.Tensor("inputs.v0"), c.Tensor("inputs.v1")
	models := [][]float32{mergetest.Narrowed(v0.Data), mergetest.Narrowed(v1.Data)}
	mergetest.Got(t, c, "merged", m, merge.Target{Name: "w", Shape: v0.Shape}, nil, models)
	cosine, line := m.Angle(models[0], models[1])
	c.Scalar("dot", cosine)
	c.Scalar("used_lerp", map[bool]float64{true: 1}[line])
}

func goldenNuSLERP(t golden.T, c *golden.Case) {
	p := struct {
		Flatten int `json:"flatten"`
		Axis    int `json:"axis"`
		UseBase int `json:"use_base"`
	}{}
	c.Params(&p)
	v0, v1, base := c.Tensor("inputs.v0"), c.Tensor("inputs.v1"), golden.Tensor{}
	if p.UseBase != 0 {
		base = c.Tensor("inputs.base")
	}
	m := merge.NewNuSLERP()
	m.Weight = c.Tensor("inputs.weight").Data
	m.Flatten = p.Flatten != 0
	axis := p.Axis
	if axis < 0 {
		axis += len(v0.Shape)
	}
	m.RowWise = axis == 0
	shape, back := v0.Shape, func(x []float64) []float64 { return x }
	if !m.Flatten && axis > 0 && axis < len(shape)-1 { // the method knows the first axis and the last: a middle one is made the last
		outer, n, inner := 1, shape[axis], 1
		for i, d := range shape {
			if i < axis {
				outer *= d
			} else if i > axis {
				inner *= d
			}
		}
		shape = []int{outer, inner, n}
		v0.Data, v1.Data, base.Data = middleLast(v0.Data, n, inner), middleLast(v1.Data, n, inner), middleLast(base.Data, n, inner)
		back = func(x []float64) []float64 { return middleLast(x, inner, n) }
	}
	var narrowBase []float32
	if p.UseBase != 0 {
		narrowBase = mergetest.Narrowed(base.Data)
	}
	out, err := merge.Values(m, merge.Target{Name: "w", Shape: shape}, narrowBase, [][]float32{mergetest.Narrowed(v0.Data), mergetest.Narrowed(v1.Data)})
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Got("merged", v0.Shape, back(mergetest.Widened(out)))
}

// middleLast turns [.., n, inner] into [.., inner, n].
func middleLast(x []float64, n, inner int) []float64 {
	y := make([]float64, len(x))
	for i := range x {
		outer, k, j := i/(n*inner), i/inner%n, i%inner
		y[(outer*inner+j)*n+k] = x[i]
	}
	return y
}

func goldenSphericalMeans(t golden.T, c *golden.Case) {
	p := struct {
		Eps        float64 `json:"eps"`
		Iterations int     `json:"karcher_iterations"`
	}{}
	c.Params(&p)
	target, models := mergetest.Stacked(c, "inputs.tensors")
	multi := merge.NewMultiSLERP()
	multi.Weight, multi.Eps = c.Tensor("inputs.weight").Data, p.Eps
	mergetest.Got(t, c, "multislerp", multi, target, nil, models)
	karcher := merge.NewKarcher()
	karcher.MaxIter, karcher.Tol = p.Iterations, 0
	mergetest.Got(t, c, "karcher", karcher, target, nil, models)
}
