package papers

import (
	"math"
	"strconv"

	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/merge"
)

// mergeCases tests the methods of merging on single tensors.
func mergeCases() []golden.Kind {
	linear, slerp, ties, dare := []string{"merge-linear"}, []string{"merge-slerp"}, []string{"merge-ties"}, []string{"merge-dare"}
	return []golden.Kind{
		{Name: "gradients of parameters", Slugs: linear, Match: func(c *golden.Case) bool { return c.Has("inputs.list_id") }, Run: goldenLayerGradients},
		{Name: "task arithmetic", Slugs: linear, Match: func(c *golden.Case) bool { return c.Has("inputs.base", "params.lambda") }, Run: goldenTaskArithmetic},
		{Name: "linear", Slugs: linear, Match: func(c *golden.Case) bool { return c.Has("inputs.tensors", "inputs.weight", "params.normalize") }, Run: goldenLinear},
		{Name: "slerp", Slugs: slerp, Match: func(c *golden.Case) bool { return c.Has("params.dot_threshold") }, Run: goldenSLERP},
		{Name: "nuslerp", Slugs: slerp, Match: func(c *golden.Case) bool { return c.Has("params.use_base") }, Run: goldenNuSLERP},
		{Name: "multislerp and karcher", Slugs: slerp, Match: func(c *golden.Case) bool { return c.Has("params.karcher_iterations") }, Run: goldenSphericalMeans},
		{Name: "ties", Slugs: ties, Match: func(c *golden.Case) bool { return c.Has("params.density", "params.weight") }, Run: goldenTIES},
		{Name: "breadcrumbs", Slugs: ties, Match: func(c *golden.Case) bool { return c.Has("params.gamma") }, Run: goldenBreadcrumbs},
		{Name: "model stock", Slugs: ties, Match: func(c *golden.Case) bool { return !c.Has("params.density") && c.Has("inputs.base", "inputs.tensors") }, Run: goldenModelStock},
		{Name: "dare", Slugs: dare, Match: func(c *golden.Case) bool { return c.Has("inputs.keep_mask") }, Run: goldenDARE},
		{Name: "della", Slugs: dare, Match: func(c *golden.Case) bool { return c.Has("params.epsilon") }, Run: goldenDELLA},
	}
}

// stackedTensors cuts a tensor that holds one model after the other along its first axis.
func stackedTensors(c *golden.Case, path string) (t merge.Target, models [][]float32) {
	all := c.Tensor(path)
	n := all.Shape[0]
	size := len(all.Data) / n
	for m := range n {
		models = append(models, narrowed(all.Data[m*size:(m+1)*size]))
	}
	return merge.Target{Name: "w", Shape: all.Shape[1:]}, models
}

// merged compares a merged tensor with an output.
func merged(t golden.T, c *golden.Case, output string, m merge.Method, target merge.Target, base []float32, models [][]float32) {
	out, err := merge.Values(m, target, base, models)
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Got(output, target.Shape, widened(out))
}

func goldenLayerGradients(_ golden.T, c *golden.Case) {
	c.Params(&struct{}{})
	lists := map[float64]merge.Gradient{}
	of, layers, layer := c.Tensor("inputs.list_id"), c.Tensor("inputs.num_layers"), c.Tensor("inputs.layer")
	out := make([]float64, len(of.Data))
	for i, id := range of.Data {
		if lists[id] == nil {
			lists[id] = merge.Gradient(c.Tensor("inputs.list" + strconv.Itoa(int(id))).Data)
		}
		out[i] = lists[id].At(merge.LayerPosition(int(layer.Data[i]), int(layers.Data[i])))
	}
	c.Got("value", of.Shape, out)
}

func goldenTaskArithmetic(t golden.T, c *golden.Case) {
	m := merge.NewTaskArithmetic()
	c.Params(&m)
	m.Weight = c.Tensor("inputs.weight").Data
	target, models := stackedTensors(c, "inputs.tensors")
	base := narrowed(c.Tensor("inputs.base").Data)
	for _, normalize := range []bool{false, true} {
		m.Normalize = normalize
		merged(t, c, map[bool]string{false: "merged", true: "merged_normalized"}[normalize], m, target, base, models)
	}
}

func goldenLinear(t golden.T, c *golden.Case) {
	p := struct {
		Normalize int `json:"normalize"`
	}{}
	c.Params(&p)
	target, models := stackedTensors(c, "inputs.tensors")
	merged(t, c, "merged", merge.Linear{Weight: c.Tensor("inputs.weight").Data, Normalize: p.Normalize != 0}, target, nil, models)
}

func goldenSLERP(t golden.T, c *golden.Case) {
	m := merge.NewSLERP()
	c.Params(&m)
	v0, v1 := c.Tensor("inputs.v0"), c.Tensor("inputs.v1")
	models := [][]float32{narrowed(v0.Data), narrowed(v1.Data)}
	merged(t, c, "merged", m, merge.Target{Name: "w", Shape: v0.Shape}, nil, models)
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
		narrowBase = narrowed(base.Data)
	}
	out, err := merge.Values(m, merge.Target{Name: "w", Shape: shape}, narrowBase, [][]float32{narrowed(v0.Data), narrowed(v1.Data)})
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Got("merged", v0.Shape, back(widened(out)))
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
	target, models := stackedTensors(c, "inputs.tensors")
	multi := merge.NewMultiSLERP()
	multi.Weight, multi.Eps = c.Tensor("inputs.weight").Data, p.Eps
	merged(t, c, "multislerp", multi, target, nil, models)
	karcher := merge.NewKarcher()
	karcher.MaxIter, karcher.Tol = p.Iterations, 0
	merged(t, c, "karcher", karcher, target, nil, models)
}

// sparseParams are the parameters that cases of sparse methods share.
type sparseParams struct {
	Density   []float64 `json:"density"`
	Weight    []float64 `json:"weight"`
	Elect     int       `json:"elect_sign"`
	Normalize int       `json:"normalize"`
	Lambda    float64   `json:"lambda"`
}

func goldenTIES(t golden.T, c *golden.Case) {
	p := sparseParams{Lambda: 1}
	c.Params(&p)
	target, models := stackedTensors(c, "inputs.tensors")
	base := narrowed(c.Tensor("inputs.base").Data)
	m := merge.TIES{Weight: p.Weight, Density: p.Density, Normalize: p.Normalize != 0, Lambda: p.Lambda}
	merged(t, c, "merged", m, target, base, models)
	kept, agree, err := m.Masks(target, base, models)
	if err != nil {
		t.Fatalf("%v", err)
	}
	shape := append([]int{len(models)}, target.Shape...)
	c.Got("kept_mask", shape, flags(kept))
	c.Got("agree_mask", shape, flags(agree))
	delta, counts := merge.ResearchTIES(base, models, p.Density[0])
	c.Got("paper_merged_task_vector", target.Shape, widened(delta))
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
	out := narrowed(delta.Data)
	if err := m.Trim(merge.Target{Name: "w", Shape: delta.Shape}, out); err != nil {
		t.Fatalf("%v", err)
	}
	c.Got("trimmed", delta.Shape, widened(out))
}

func goldenModelStock(t golden.T, c *golden.Case) {
	m := merge.NewModelStock()
	c.Params(&m)
	target, models := stackedTensors(c, "inputs.tensors")
	base := narrowed(c.Tensor("inputs.base").Data)
	merged(t, c, "merged", m, target, base, models)
	cosine, ratio := m.Cosine(base, models)
	c.Scalar("cos_theta", cosine)
	c.Scalar("t", ratio)
}

func goldenDARE(t golden.T, c *golden.Case) {
	p := sparseParams{Lambda: 1}
	c.Params(&p)
	target, models := stackedTensors(c, "inputs.tensors")
	base := narrowed(c.Tensor("inputs.base").Data)
	_, masks := stackedTensors(c, "inputs.keep_mask")
	var uniform [][]float32
	if c.Has("inputs.uniform") {
		_, uniform = stackedTensors(c, "inputs.uniform")
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
		merged(t, c, output, m, target, base, models)
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
	values := narrowed(delta.Data)
	out := make([]float32, len(values))
	for at := 0; at < len(values); at += target.Row() {
		merge.DELLA{}.KeepProbabilities(out[at:at+target.Row()], values[at:at+target.Row()], p.Density, p.Epsilon)
	}
	for _, v := range out {
		if math.IsNaN(float64(v)) {
			t.Errorf("a chance is NaN")
		}
	}
	c.Got("keep_probability", delta.Shape, widened(out))
}
