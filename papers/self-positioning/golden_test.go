package selfpositioning

import (
	"math"
	"testing"

	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/merge/position"
	"github.com/ballast-ml/ballast/papers/paper/mergetest"
)

func TestGolden(t *testing.T) { golden.Run(t, "self-positioning", kinds()...) }

// kinds tests folds of task vectors with a linear encoder behind them, and what positions are compared with.
func kinds() []golden.Kind {
	return []golden.Kind{
		{Name: "chain", Match: func(c *golden.Case) bool { return c.Has("inputs.theta0", "inputs.task_vectors", "inputs.a") }, Run: goldenChain},
		{Name: "baselines", Match: func(c *golden.Case) bool { return c.Has("inputs.task_vectors", "inputs.fisher") }, Run: goldenBaselines},
		{Name: "parallel vectors", Match: func(c *golden.Case) bool { return c.Has("inputs.v_i", "inputs.v_j") }, Run: goldenParallel},
	}
}

// stacked cuts a tensor along its first axis.
func stacked(t golden.Tensor) []golden.Tensor {
	parts := make([]golden.Tensor, t.Shape[0])
	size := len(t.Data) / len(parts)
	for i := range parts {
		parts[i] = golden.Tensor{Shape: t.Shape[1:], Data: t.Data[i*size : (i+1)*size]}
	}
	return parts
}

func stackedWeights(t golden.Tensor) []weights.Set {
	var all []weights.Set
	for _, part := range stacked(t) {
		all = append(all, mergetest.One(part))
	}
	return all
}

func goldenChain(t golden.T, c *golden.Case) {
	p := struct {
		Tasks       int     `json:"num_task_vectors"`
		Accumulate  string  `json:"weight_accumulation"`
		Lambda      float64 `json:"lambda_"`
		Mu          float64 `json:"mu"`
		Temperature float64 `json:"temperature"`
	}{}
	c.Params(&p)
	method := position.New()
	method.Accumulate, method.Mu = p.Accumulate, p.Mu
	tasks := stackedWeights(c.Tensor("inputs.task_vectors"))
	if len(tasks) != p.Tasks {
		t.Fatalf("%d task vectors, want %d", len(tasks), p.Tasks)
	}
	search, err := method.FromTaskVectors(mergetest.One(c.Tensor("inputs.theta0")), tasks, nil)
	if err != nil {
		t.Fatalf("%v", err)
	}
	a := c.Tensor("inputs.a").Data
	place, err := search.At(a, p.Lambda)
	if err != nil {
		t.Fatalf("%v", err)
	}
	shape := place.Weights[0].Shape
	c.Got("angles", []int{len(place.Angles[0])}, place.Angles[0])
	c.Got("merged_task_vector", shape, mergetest.Widened(place.Vector[0].Values))
	c.Got("theta", shape, mergetest.Widened(place.Weights[0].Values))
	loss, slope := linearInfoNCE(mergetest.Widened(place.Weights[0].Values), shape[0], shape[1], c.Tensor("inputs.query_x").Data, c.Tensor("inputs.positive_x").Data, p.Temperature)
	c.Scalar("contrastive_loss", loss)
	c.Scalar("objective", loss+p.Mu*p.Lambda)
	slopeA, slopeLambda, err := search.Gradient(a, p.Lambda, weights.Set{{Name: "kernel", Shape: shape, Values: mergetest.Narrowed(slope)}})
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Got("grad_a", []int{len(slopeA)}, slopeA)
	c.Scalar("grad_lambda", slopeLambda)
}

// linearInfoNCE is the contrastive loss of the encoder x theta, scaled to length 1, with the other positives of the batch as
// negatives, and its gradient in theta.
func linearInfoNCE(theta []float64, in, out int, queries, positives []float64, temperature float64) (loss float64, slope []float64) {
	n := len(queries) / in
	q, qNorm := unitRows(mergetest.Affine(queries, theta, make([]float64, out), in, out), out)
	k, kNorm := unitRows(mergetest.Affine(positives, theta, make([]float64, out), in, out), out)
	dq, dk := make([]float64, len(q)), make([]float64, len(k))
	for i := range n {
		logits := make([]float64, n)
		for j := range n {
			for o := range out {
				logits[j] += q[i*out+o] * k[j*out+o] / temperature
			}
		}
		p := mergetest.Softmax(logits, n)
		loss -= math.Log(p[i]) / float64(n)
		p[i]--
		for j := range n {
			for o := range out {
				dq[i*out+o] += p[j] * k[j*out+o] / temperature / float64(n)
				dk[j*out+o] += p[j] * q[i*out+o] / temperature / float64(n)
			}
		}
	}
	throughUnit(dq, q, qNorm, out)
	throughUnit(dk, k, kNorm, out)
	slope = mergetest.Outer(queries, dq, in, out)
	for i, v := range mergetest.Outer(positives, dk, in, out) {
		slope[i] += v
	}
	return loss, slope
}

func unitRows(x []float64, width int) (unit, norms []float64) {
	for r := range len(x) / width {
		row, sum := x[r*width:(r+1)*width], 0.0
		for _, v := range row {
			sum += v * v
		}
		norms = append(norms, math.Sqrt(sum))
		for i := range row {
			row[i] /= norms[r]
		}
	}
	return x, norms
}

// throughUnit turns gradients in unit rows into those in the rows before they were scaled.
func throughUnit(slope, unit, norms []float64, width int) {
	for r, norm := range norms {
		along := 0.0
		for i := r * width; i < (r+1)*width; i++ {
			along += slope[i] * unit[i]
		}
		for i := r * width; i < (r+1)*width; i++ {
			slope[i] = (slope[i] - along*unit[i]) / norm
		}
	}
}

func goldenBaselines(t golden.T, c *golden.Case) {
	p := struct {
		OffDiagonal float64 `json:"regmean_offdiag_scale"`
	}{}
	c.Params(&p)
	tasks := stackedWeights(c.Tensor("inputs.task_vectors"))
	average, err := position.Average(tasks, c.Tensor("inputs.average_weights").Data)
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Got("average", average[0].Shape, mergetest.Widened(average[0].Values))
	fisher, err := position.FisherMerge(tasks, stackedWeights(c.Tensor("inputs.fisher")), c.Tensor("inputs.fisher_lambda").Data)
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Got("fisher_merged", fisher[0].Shape, mergetest.Widened(fisher[0].Values))
	var inputs [][]float64
	for _, x := range stacked(c.Tensor("inputs.regmean_inputs")) {
		inputs = append(inputs, x.Data)
	}
	var kernels []position.Kernel
	for _, k := range stacked(c.Tensor("inputs.regmean_weights")) {
		kernels = append(kernels, position.Kernel{In: k.Shape[0], Out: k.Shape[1], Values: k.Data})
	}
	for name, factor := range map[string]float64{"regmean": p.OffDiagonal, "regmean_plain": 1} {
		merged, err := position.RegMean{OffDiagonal: factor}.Merge(inputs, kernels)
		if err != nil {
			t.Fatalf("%v", err)
		}
		c.Got(name, []int{merged.In, merged.Out}, merged.Values)
	}
}

func goldenParallel(t golden.T, c *golden.Case) {
	p := struct {
		Beta       float64 `json:"beta"`
		SinEpsilon float64 `json:"sin_epsilon"`
	}{}
	c.Params(&p)
	method := position.New()
	method.SinEpsilon = p.SinEpsilon
	vectors := []weights.Set{mergetest.One(c.Tensor("inputs.v_i")), mergetest.One(c.Tensor("inputs.v_j"))}
	search, err := method.FromTaskVectors(vectors[0].ZerosLike(), vectors, nil)
	if err != nil {
		t.Fatalf("%v", err)
	}
	place, err := search.At(position.Betas(p.Beta)[0], 1)
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Got("merged", place.Vector[0].Shape, mergetest.Widened(place.Vector[0].Values))
}
