package shrinkmatch

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/papers/paper"
	"github.com/ballast-ml/ballast/train"
)

// thresholds to plan by, one above the other.
var thresholds = []float64{0.8, 0.9, 0.95, 0.99}

// rising plans by what a trained network gives for the test digits, and counts those of which a higher threshold keeps more classes
// ("falls"), and those that have a weight although what is kept is still below the threshold ("unsure").
func rising(at paper.Place, trained *train.Result) (map[string]float64, error) {
	p, classes, err := probabilities(at, trained)
	if err != nil {
		return nil, err
	}
	exec, err := graph.NewExec(at.Engine.Backend, func(p *graph.Node) []*graph.Node {
		var plans []*graph.Node
		for _, t := range thresholds {
			plan := loss.Shrink{Threshold: t}.Plan(p, p, nil)
			plans = append(plans, plan.First, plan.Weight)
		}
		return plans
	})
	if err != nil {
		return nil, err
	}
	defer exec.Finalize()
	n := len(p) / classes
	out, err := exec.Call(tensors.FromFlatDataAndDimensions(p, n, classes))
	if err != nil {
		return nil, err
	}

	falls, unsure := 0.0, 0.0
	last := make([]int32, n)
	for k, t := range thresholds {
		first, weight := tensors.MustCopyFlatData[int32](out[2*k]), tensors.MustCopyFlatData[float32](out[2*k+1])
		for i := range n {
			if first[i] < last[i] {
				falls++
			}
			const rounding = 1e-6
			if weight[i] > 0 && sure(p[i*classes:(i+1)*classes], int(first[i])) < t-rounding {
				unsure++
			}
		}
		last = first
	}
	return map[string]float64{"falls": falls, "unsure": unsure}, nil
}

// probabilities are those of the test digits.
func probabilities(at paper.Place, trained *train.Result) (p []float32, classes int, err error) {
	ds, err := data.Open("optdigits", "test")
	if err != nil {
		return nil, 0, err
	}
	n, size := ds.Len(), ds.Info().Size()
	x := make([]float32, n*size)
	for i := range n {
		if err := ds.Read(i, x[i*size:(i+1)*size]); err != nil {
			return nil, 0, err
		}
	}
	forward, err := trained.Bundle.NewForward(at.Engine, n)
	if err != nil {
		return nil, 0, err
	}
	defer forward.Close()
	logits, err := forward.Logits(x, n)
	if err != nil {
		return nil, 0, err
	}

	classes = len(logits) / n
	out, err := graph.NewExec(at.Engine.Backend, func(z *graph.Node) *graph.Node { return ops.MaskedSoftmax(z, nil, -1) })
	if err != nil {
		return nil, 0, err
	}
	defer out.Finalize()
	answers, err := out.Call(tensors.FromFlatDataAndDimensions(logits, n, classes))
	if err != nil {
		return nil, 0, fmt.Errorf("probabilities of the test digits: %w", err)
	}
	return tensors.MustCopyFlatData[float32](answers[0]), classes, nil
}

// sure is the share of the largest probability among itself and those from a rank on.
func sure(p []float32, from int) float64 {
	sorted := slices.SortedFunc(slices.Values(p), func(a, b float32) int { return cmp.Compare(b, a) })
	sum := float64(sorted[0])
	for _, v := range sorted[from:] {
		sum += float64(v)
	}
	return float64(sorted[0]) / sum
}
